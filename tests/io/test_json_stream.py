from __future__ import annotations

import io
import json

import pytest

from aiida_pet.io.json_stream import JsonStream, JsonStreamError

VALUES = [
    1,
    -2.5e-3,
    123456789,
    True,
    None,
    'a"b\\u00e9\n',
    [],
    {},
    [[1, 2], {"k": [3]}],
    {"": "é"},
    float("inf"),
]


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 1000])
def test_array_gives_every_element_whatever_the_chunk(chunk: int) -> None:
    stream = JsonStream(io.StringIO(" " + json.dumps(VALUES, indent=1) + "\n"), chunk)
    found = [stream.value() for _ in stream.array()]
    stream.end()
    assert found == VALUES


@pytest.mark.parametrize("chunk", [1, 5, 1000])
def test_object_gives_every_key_and_value(chunk: int) -> None:
    text = json.dumps({str(i): value for i, value in enumerate(VALUES)})
    stream = JsonStream(io.StringIO(text), chunk)
    assert {key: stream.value() for key in stream.object()} == json.loads(text)


def test_nested_containers_are_stepped_into() -> None:
    stream = JsonStream(io.StringIO('{"a": {"0": 1, "1": 2}, "b": {"0": 3}}'), 4)
    found = {key: {row: stream.value() for row in stream.object()} for key in stream.object()}
    assert found == {"a": {"0": 1, "1": 2}, "b": {"0": 3}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2", "end of the text"),
        ("[1 2]", "expected ',' or ']'"),
        ('["abc', "end of the text"),
        ("[1, }", "Expecting value"),
        ("{1: 2}", "expected a key in quotes"),
        ('{"a" 2}', "expected ':'"),
        ("", "expected '['"),
    ],
)
def test_damaged_text_raises_and_says_where(text: str, message: str) -> None:
    stream = JsonStream(io.StringIO(text), 2)

    def read() -> list[object]:
        steps = stream.object() if text.startswith("{") else stream.array()
        return [stream.value() for _ in steps]

    with pytest.raises(JsonStreamError, match="not valid JSON") as caught:
        read()
    assert message in str(caught.value)


def test_error_position_counts_from_the_start_of_the_text() -> None:
    good = json.dumps([0] * 500)[:-1]
    stream = JsonStream(io.StringIO(good + ", ?" + " " * 100 + "]"), 64)
    with pytest.raises(JsonStreamError, match=f"character {len(good) + 2}:"):
        [stream.value() for _ in stream.array()]


def test_syntax_error_does_not_read_the_rest() -> None:
    text = io.StringIO('[{"a" 1}' + ", 0" * 10_000 + "]")
    stream = JsonStream(text, 100)
    with pytest.raises(JsonStreamError):
        [stream.value() for _ in stream.array()]
    assert text.tell() < 1000


def test_text_after_the_value_raises() -> None:
    stream = JsonStream(io.StringIO("[1] 2"))
    assert [stream.value() for _ in stream.array()] == [1]
    with pytest.raises(JsonStreamError, match="expected the end of the text"):
        stream.end()

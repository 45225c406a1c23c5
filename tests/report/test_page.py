"""The page as text: data that no text in it can break, and nothing of the machine."""

from __future__ import annotations

import getpass
import json
import socket
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from aiida_pet.report import Choices, Document, page_of, write_report
from aiida_pet.report.asked import Asked, Fact
from aiida_pet.report.overview import Section
from aiida_pet.report.page import embedded

HOSTILE = ["</script><b>", "<!--<script>", "\u2028\u2029", "\ud800", '"\\', "]]>", "&lt;", "𝛼"]


class Scripts(HTMLParser):
    """Collects what stands in each script element, and all other texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.texts: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin an element."""
        self.tags.append(tag)
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_data(self, data: str) -> None:
        """Take a text."""
        if self.scripts and self.cdata_elem == "script":
            attributes, so_far = self.scripts[-1]
            self.scripts[-1] = attributes, so_far + data
        else:
            self.texts.append(data)


def test_json_in_a_script_element_is_what_was_put_in() -> None:
    text = embedded({"ids": HOSTILE})
    assert "<" not in text
    found = json.loads(text)["ids"]
    assert found == [one if one != "\ud800" else "?" for one in HOSTILE]
    with pytest.raises(ValueError, match="JSON"):
        embedded([float("nan")])


def test_texts_of_a_document_are_texts_in_the_page() -> None:
    asked = Asked(name="<b>bold</b>", state="&", message="", facts=[Fact("<i>", "</dd><script>")])
    document = Document(
        title="</title><script>",
        lead="<u>",
        written="now",
        refresh_s=None,
        campaigns=[asked],
        sections=[Section("funnel", "<h1>")],
        notes=["<blink>"],
    )
    found = Scripts(page_of(document))
    assert not {"b", "u", "blink", "i"} & (set(found.tags) - {"b"})
    assert "<b>bold</b> " in found.texts
    assert len(found.scripts) == 4  # data, two libraries, the script


def test_nothing_of_the_machine_is_in_a_report(archive: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "screening.html"
    with archive() as launch:
        write_report([launch("screening")], path, Choices(best=1))
    text = path.read_text()
    parsed = Scripts(text)
    own = " ".join([*parsed.texts, *(body for kind, body in parsed.scripts if kind.get("id") == "data")])
    for word in (
        socket.gethostname(),
        str(Path.home()),
        "/tmp/",
        "aiida@localhost",
        "localhost",
        str(tmp_path),
    ):
        assert word not in own, word
    if len(getpass.getuser()) > 4:
        assert getpass.getuser() not in own
    assert "http-equiv" in text
    assert "default-src 'none'" in text  # the browser itself would refuse to fetch anything
    assert path.stat().st_size < 4_000_000
    assert [one.name for one in tmp_path.iterdir()] == ["screening.html"]

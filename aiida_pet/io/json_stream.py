"""Reads JSON piece by piece, so that a file of gigabytes needs the memory of its largest element. No AiiDA.

A cursor walks over the text: :meth:`JsonStream.array` and :meth:`JsonStream.object` step into a container
without reading all of it, :meth:`JsonStream.value` decodes what stands at the cursor.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TextIO

_SPACE = " \t\n\r"
# An error this close to the end of what was read so far may be a literal cut in two (-Infinity, \uXXXX).
_MARGIN = 32


class JsonStreamError(ValueError):
    """Raised where the text is not valid JSON; the message says at which character and what was expected."""


class FloatText(float):
    """A number of JSON that remembers how it is written, for ids: ``1e3``, ``1.10``.

    :ivar text: as it stands in the file.
    """

    text: str

    def __new__(cls, text: str) -> FloatText:
        """Return the number that ``text`` is."""
        number = super().__new__(cls, text)
        number.text = text
        return number


class JsonStream:
    """A cursor over JSON text.

    :param text: to read from.
    :param chunk: characters to read at once.
    """

    def __init__(self, text: TextIO, chunk: int = 1 << 20) -> None:
        self._text = text
        self._chunk = chunk
        self._buffer = ""
        self._at = 0
        self._start = 0  # of the last value
        self._before = 0  # characters dropped from the front of the buffer
        self._ended = False
        self._decode = json.JSONDecoder().raw_decode

    def peek(self) -> str:
        """Return the next character that is not space, empty at the end of the text."""
        while True:
            while self._at < len(self._buffer):
                if self._buffer[self._at] not in _SPACE:
                    return self._buffer[self._at]
                self._at += 1
            if not self._fill():
                return ""

    def value(self, exact: bool = False) -> Any:
        """Decode the value at the cursor and step over it.

        :param exact: return a number that is not an integer as a :class:`FloatText`.
        :raises JsonStreamError: if there is none or it is damaged.
        """
        self.peek()
        while True:
            try:
                value, end = self._decode(self._buffer, self._at)
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated string") or error.pos >= len(self._buffer) - _MARGIN
                if cut and self._fill():
                    continue
                where = "the end of the text" if cut else f"character {self._before + error.pos}"
                raise JsonStreamError(f"not valid JSON at {where}: {error.msg}") from error
            except RecursionError as error:
                raise JsonStreamError("JSON nested too deeply") from error
            except ValueError as error:  # Python reads no integer of more than 4300 digits
                where = f"after character {self._before + self._at}"
                raise JsonStreamError(f"a number cannot be read {where}: {error}") from error
            # a number that ends with the buffer may go on after it
            if end == len(self._buffer) and not isinstance(value, str | dict | list) and self._fill():
                continue
            self._start, self._at = self._at, end
            return FloatText(self.last()) if exact and type(value) is float else value

    def last(self) -> str:
        """Return the text of the last value, as long as the cursor has not moved on."""
        return self._buffer[self._start : self._at]

    def array(self) -> Iterator[None]:
        """Step into the array at the cursor: before each element, yield; the caller consumes the element.

        :raises JsonStreamError: if the text is damaged.
        """
        self._expect("[")
        yield from self._elements("]")

    def object(self) -> Iterator[str]:
        """Step into the object at the cursor: yield each key; the caller consumes the value.

        :raises JsonStreamError: if the text is damaged.
        """
        self._expect("{")
        for _ in self._elements("}"):
            if self.peek() != '"':
                raise self._unexpected("a key in quotes")
            key = self.value()
            self._expect(":")
            yield key

    def end(self) -> None:
        """:raises JsonStreamError: if anything but space follows."""
        if self.peek():
            raise self._unexpected("the end of the text")

    def _elements(self, closing: str) -> Iterator[None]:
        if self.peek() == closing:
            self._at += 1
            return
        while True:
            yield
            found = self.peek()
            if found not in {",", closing} or not found:
                raise self._unexpected(f"',' or {closing!r}")
            self._at += 1
            if found == closing:
                return

    def _expect(self, character: str) -> None:
        if self.peek() != character:
            raise self._unexpected(repr(character))
        self._at += 1

    def _unexpected(self, expected: str) -> JsonStreamError:
        found = self.peek()
        where = f"{found!r} at character {self._before + self._at}" if found else "the end of the text"
        return JsonStreamError(f"not valid JSON: expected {expected}, got {where}")

    def _fill(self) -> bool:
        """Read more, as much as there is at least: a long value costs linear time. False at the end."""
        if self._ended:
            return False
        kept = self._buffer[self._at :]
        more = self._text.read(max(self._chunk, len(kept)))
        if not more:
            self._ended = True
            return False
        self._before += self._at
        self._buffer, self._at = kept + more, 0
        return True

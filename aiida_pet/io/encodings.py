"""Opens text in the encoding that its first bytes tell; bytes that are not UTF-8 are taken as Latin-1. No AiiDA.

Spreadsheets and editors of Windows write UTF-16, and older programs names in Latin-1. What was taken otherwise than as
UTF-8 is counted, for the summary of an import.
"""

from __future__ import annotations

import codecs
import io
from typing import IO, Any, TextIO, cast

LATIN = "aiida_pet_latin_1"
"""Name of the handler of errors that takes bytes as Latin-1."""
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_HEAD = 32  # bytes by which an encoding is told
_found = 0


def bytes_taken_as_latin() -> int:
    """Return how many places were taken as Latin-1 so far."""
    return _found


def _as_latin(error: UnicodeError) -> tuple[str, int]:
    global _found  # noqa: PLW0603 - a handler of errors is one for the whole process
    if not isinstance(error, UnicodeDecodeError) or error.encoding.replace("_", "-").lower() != "utf-8":
        raise error
    _found += 1
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error(LATIN, _as_latin)


def _encoding(head: bytes) -> str:
    """Return the encoding that the first bytes of a file tell: by a mark, or by the zeros of UTF-16 without one."""
    marked = next((name for mark, name in _MARKS if head.startswith(mark)), "")
    if marked or len(head) < 4:
        return marked or "utf-8-sig"
    first, second = head[0:-1:2], head[1::2]
    if not any(second) and all(first):
        return "utf-16-le"
    return "utf-16-be" if not any(first) and all(second) else "utf-8-sig"


def as_text(raw: IO[bytes], strict: bool) -> TextIO:
    """Return the text of ``raw``: UTF-8 or UTF-16, with a mark or without, or UTF-32 with one.

    :param strict: raise ``UnicodeDecodeError`` at bytes that are not UTF-8, rather than take them as Latin-1.
    """
    buffered = io.BufferedReader(cast(Any, raw))
    encoding = _encoding(buffered.peek(_HEAD)[:_HEAD])
    return io.TextIOWrapper(buffered, encoding=encoding, errors="strict" if strict else LATIN)

"""Fits a table of texts into a width: what is the same in all rows is said once, what finds no room is named.

The steps, each only where the one before was not enough: headings are broken at their underscores, long texts are
shortened, columns are left out, beginning at the right end. Nothing is ever wrapped or left out in silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from aiida_pet.words import plural

GAP = 2
"""Blanks between columns."""
_SHORT_TEXTS = (40, 28, 18)
"""Widths to which texts are shortened, one after the other."""
_FEWEST = 6
_WIDEST_ID = 28


@dataclass(frozen=True)
class Printed:
    """A column of texts.

    :ivar name: heading; broken at underscores where there is little room.
    :ivar texts: texts of the rows.
    :ivar unit: second heading.
    :ivar right: whether it is aligned to the right, as numbers are.
    :ivar fixed: whether it stays though it is the same in all rows.
    :ivar rank: where there is too little room, columns of a lower rank are kept before columns of a higher rank.
    """

    name: str
    texts: tuple[str, ...]
    unit: str = ""
    right: bool = False
    fixed: bool = False
    rank: int = 0

    def heading(self, width: int | None = None) -> list[str]:
        """Return the lines of the heading; ``width`` breaks the name at underscores into lines of about so many."""
        return [self.name] if width is None else broken(self.name, width)

    def width(self, heading: int | None = None) -> int:
        """Return the characters that it takes."""
        return max([1, *map(len, self.heading(heading)), len(self.unit), *map(len, self.texts)])


@dataclass(frozen=True)
class Laid:
    """A table within a width.

    :ivar text: headings, rule and rows; empty if no column is left.
    :ivar once: column -> the text that it has in all rows, said in place of the column.
    :ivar left_out: columns for which there was no room.
    :ivar shortened: whether a text ends with an ellipsis.
    """

    text: str
    once: dict[str, str]
    left_out: tuple[str, ...] = ()
    shortened: bool = False


def broken(name: str, width: int) -> list[str]:
    """Return ``name`` in lines of at most ``width`` where its underscores allow it.

    >>> broken("is_dynamically_stable", 8)
    ['is_', 'dynamically_', 'stable']
    """
    lines: list[str] = []
    for piece in _pieces(name):
        if lines and len(lines[-1]) + len(piece) <= width:
            lines[-1] += piece
        else:
            lines.append(piece)
    return lines


def _pieces(name: str) -> list[str]:
    parts = name.split("_")
    return [f"{part}_" for part in parts[:-1]] + [parts[-1]]


def lay_out(columns: Sequence[Printed], width: int | None = None, *, once: bool = True) -> Laid:
    """Return ``columns`` as a table.

    :param columns: all with as many texts; the first one always stays.
    :param width: width of the terminal; None for as wide as it takes.
    :param once: whether what is the same in all rows is said once.
    """
    said: dict[str, str] = {}
    kept = list(columns)
    if once and columns and len(columns[0].texts) > 1:
        same = [one for one in columns[1:] if not one.fixed and len(set(one.texts)) == 1]
        said = {one.name: one.texts[0] + (f" {one.unit}" if one.unit else "") for one in same}
        kept = [one for one in columns if one.name not in said]
    if width is None or _total(kept) <= width:
        return Laid(_text(kept), said)
    heading = max(_FEWEST, *(max(map(len, one.texts), default=0) for one in kept if one.right), 8)
    for length in (None, *_SHORT_TEXTS):
        fitted = kept if length is None else [_shortened(one, length, at=i) for i, one in enumerate(kept)]
        if _total(fitted, heading) <= width:
            return Laid(_text(fitted, heading), said, shortened=fitted != kept)
    return _without_some(fitted, kept, width, heading, said)


def _without_some(
    fitted: list[Printed], kept: list[Printed], width: int, heading: int, said: dict[str, str]
) -> Laid:
    """Return the table with as many columns, from the left and by rank, as find room."""
    chosen = {0}
    # one that finds no room leaves it to the next
    for place in sorted(range(1, len(fitted)), key=lambda i: (fitted[i].rank, i)):
        if _total([fitted[i] for i in sorted({*chosen, place})], heading) <= width:
            chosen.add(place)
    left_out = [one.name for i, one in enumerate(fitted) if i not in chosen]
    fitted = [one for i, one in enumerate(fitted) if i in chosen]
    if _total(fitted, heading) > width:  # one column, wider than the terminal
        fitted = [_shortened(fitted[0], max(width, _FEWEST), at=1)]
    is_short = any(one.texts not in {other.texts for other in kept} for one in fitted)
    return Laid(_text(fitted, heading), said, tuple(left_out), is_short)


def _shortened(column: Printed, length: int, *, at: int) -> Printed:
    """Return a column of texts with what is longer than ``length`` cut; ids, which come first, keep their ends."""
    if column.right:
        return column
    if at == 0:
        return replace(
            column, texts=tuple(middle_cut(text, max(length, _WIDEST_ID)) for text in column.texts)
        )
    return replace(column, texts=tuple(cut(text, length) for text in column.texts))


def cut(text: str, length: int) -> str:
    """Return ``text``, with an ellipsis at its end if it is longer than ``length``."""
    return text if len(text) <= length else f"{text[: max(length - 1, 0)]}…"


def middle_cut(text: str, length: int) -> str:
    """Return ``text``, with an ellipsis in its middle if it is longer than ``length``.

    >>> middle_cut("a-very-long-identifier-000123", 16)
    'a-very-l…-000123'
    """
    if len(text) <= length:
        return text
    tail = (length - 1) // 2
    return f"{text[: length - 1 - tail]}…{text[len(text) - tail :]}"


def _total(columns: Sequence[Printed], heading: int | None = None) -> int:
    return sum(one.width(heading) for one in columns) + GAP * max(len(columns) - 1, 0)


def _text(columns: Sequence[Printed], heading: int | None = None) -> str:
    if not columns:
        return ""
    headings = [one.heading(heading) for one in columns]
    height = max(map(len, headings))
    lines: list[list[str]] = [
        [("" if height - len(head) > row else head[row - height + len(head)]) for head in headings]
        for row in range(height)
    ]
    if any(one.unit for one in columns):
        lines.append([one.unit for one in columns])
    widths = [one.width(heading) for one in columns]
    lines.append(["-" * width for width in widths])
    lines += [list(row) for row in zip(*(one.texts for one in columns), strict=True)]
    return "\n".join(
        (" " * GAP)
        .join(
            text.rjust(width) if one.right else text.ljust(width)
            for text, width, one in zip(line, widths, columns, strict=True)
        )
        .rstrip()
        for line in lines
    )


def said_once(once: dict[str, str], n_rows: int) -> list[str]:
    """Return the lines above a table about what is the same in all of its rows.

    >>> said_once({"heads": "conservative", "reason": ""}, 64)
    ['in all 64 rows: heads conservative', 'without a value in all 64 rows: reason']
    """
    rows = f"in all {plural(n_rows, 'row')}"
    full = [f"{name} {text}" for name, text in once.items() if text.strip("- ")]
    empty = [name for name, text in once.items() if not text.strip("- ")]
    lines = [f"{rows}: {', '.join(full)}"] if full else []
    return [*lines, f"without a value {rows}: {', '.join(empty)}"] if empty else lines


def said_left_out(names: Sequence[str], is_short: bool = False, asked: bool = False) -> str:
    """Return the line below a table about what it has no room for; empty if there is room for all.

    :param is_short: whether texts were cut.
    :param asked: whether the columns were asked for by name.
    """
    remedy = "--wide shows all" if asked else "--wide shows all columns, --columns A,B shows these columns"
    if names:
        return (
            f"no room for {', '.join(names)}{', and some texts are shortened' if is_short else ''}: {remedy}"
        )
    return "some texts are shortened: --wide shows all of them" if is_short else ""


def as_column(name: str, texts: Iterable[Any], **options: Any) -> Printed:
    """Return a column of ``texts``; see :class:`Printed`."""
    return Printed(name, tuple(map(str, texts)), **options)

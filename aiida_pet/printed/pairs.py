"""Names and values in lines, and prose, within a width: what is too long goes on below itself."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

LONGEST_CELL = 20
"""Characters of a cell beside prose; what is longer is said in the prose."""
NARROWEST = 24
"""Characters that a value has at least, however long the names are."""


def pair_lines(pairs: Mapping[str, str], width: int | None = None) -> list[str]:
    """Return ``name: value`` lines with the values aligned.

    :param width: width of the terminal; None for as wide as it takes.

    >>> pair_lines({"task": "relax", "parameters": "fmax=0.01, steps=100"}, 40)
    ['task:       relax', 'parameters: fmax=0.01, steps=100']
    """
    beside = max((len(name) for name in pairs), default=0) + 2
    if width is not None:
        beside = min(beside, max(width - NARROWEST, 1))
    lines: list[str] = []
    for name, value in pairs.items():
        head = f"{name}:"
        if len(head) >= beside:
            head += " "
        lines += hanging(f"{head:<{beside}}", value, beside, width)
    return [line.rstrip() for line in lines]


def hanging(head: str, text: str, indent: int, width: int | None) -> list[str]:
    """Return ``head`` and ``text`` behind it, the lines after the first indented by ``indent``.

    A word that is too long for the room behind the indent, such as a path, stands further to the left, so that it stays
    whole and can be copied. Only a word that is longer than a line is broken.
    """
    if width is None or len(head) + len(text) <= width or not text:
        return [head + text]
    margin, lines = " " * min(indent, width - 1), [head]
    for word in re.findall(r"\s*\S+", text):
        bare = word.lstrip()
        if len(lines[-1]) + len(word) <= width:
            lines[-1] += word
        elif len(bare) <= width:
            lines.append(margin[: width - len(bare)] + bare)
        else:
            lines[-1] += word
            while len(lines[-1]) > width:
                lines[-1:] = [lines[-1][:width], margin + lines[-1][width:]]
    return [line.rstrip() for line in lines if line.strip()]


def wrapped_rows(
    rows: Sequence[Sequence[str]], headers: Sequence[str], width: int | None, gap: int = 2
) -> str:
    """Return rows of text under ``headers``; the last column is prose, and goes on below itself.

    Where there is a width, a long cell of another column is said at the end of the prose. Where little room is left
    beside the other columns, the prose stands below them, indented.

    :param width: width of the terminal; None for as wide as it takes.
    """
    if width is not None:
        rows = [_with_long_cells_last(row, headers) for row in rows]
    widths = [max([len(head), *(len(row[i]) for row in rows)]) for i, head in enumerate(headers[:-1])]
    indent = sum(widths) + gap * len(widths)
    below = width is not None and width - indent < 30
    head = (" " * gap).join([*(f"{text:<{size}}" for text, size in zip(headers, widths, strict=False))])
    lines = [head if below else f"{head}{' ' * gap}{headers[-1]}"]
    lines.append(
        (" " * gap).join(["-" * size for size in widths] + ([] if below else ["-" * len(headers[-1])]))
    )
    for row in rows:
        start = "".join(f"{text:<{size}}{' ' * gap}" for text, size in zip(row, widths, strict=False))
        if below:
            lines += [start.rstrip(), *hanging("    ", row[-1], 4, width)]
        else:
            lines += hanging(start, row[-1], indent, width)
    return "\n".join(line.rstrip() for line in lines)


def _with_long_cells_last(row: Sequence[str], headers: Sequence[str]) -> list[str]:
    """Return ``row`` with each cell but the first and last that is long moved to the end of the last one."""
    long = {i for i in range(1, len(row) - 1) if len(row[i]) > LONGEST_CELL}
    prose = "".join(f" ({headers[i]}: {row[i]})" for i in sorted(long))
    return [*("..." if i in long else cell for i, cell in enumerate(row[:-1])), row[-1] + prose]

"""The page docs/columns.md, made of the catalogue: ``python -m aiida_pet.tables.page > docs/columns.md``."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from aiida_pet.tables.columns import COLUMNS, Section

_HEAD = """# The columns of the results

<!-- This page is made by `python -m aiida_pet.tables.page > docs/columns.md`. Change the catalogue, not the page. -->

Every table that a launch makes holds columns of this list. `aiida-pet columns relax` prints the columns of a task, and
`--json` gives everything that is known about them. A name with `{symprec}` stands for one column per tolerance of
`symprecs`: `spacegroup_0_01` is the space group at 0.01 A.

The shape is the shape of the value of one row: `A` stands for the number of atoms of the row, `*` for a number that
differs from row to row. A missing value is NaN in arrays, empty in csv and null in JSON. [warnings.md](warnings.md)
lists the codes of `warnings`.
"""
_TITLES = {
    Section.EOS: "Equations of state",
    Section.QHA: "Quasi-harmonic properties",
    Section.OTHER: "Everything else",
}


def page() -> str:
    """Return the text of docs/columns.md."""
    parts = [_HEAD]
    for section in Section:
        rows = [
            (f"`{one.name}`", one.unit, " x ".join(one.shape), _written_by(one.sources), one.meaning)
            for one in COLUMNS
            if one.section is section
        ]
        title = _TITLES.get(section, section.value.capitalize())
        parts.append(
            f"\n## {title}\n\n{markdown_table(('column', 'unit', 'shape', 'written by', 'meaning'), rows)}"
        )
    return "".join(parts)


def _written_by(sources: Sequence[str]) -> str:
    return ", ".join(map(str, sources)) or "the input"


def markdown_table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown; a bar within a cell is escaped."""
    lines = [headers, ["---"] * len(headers), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(page())

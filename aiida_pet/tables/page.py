"""The page docs/columns.md, made of the catalogue: ``python -m aiida_pet.tables.page > docs/columns.md``."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from aiida_pet.tables.columns import COLUMNS, Section, Source
from aiida_pet.tables.warnings import Warned

_HEAD = """# The columns of the results

<!-- This page is made by `python -m aiida_pet.tables.page > docs/columns.md`. Change the catalogue, not the page. -->

Every table that a launch makes holds columns of this list. `aiida-pet columns relax` prints those of a task, and
`--json` gives all that is known of them. A name with `{symprec}` stands for one column per tolerance of `symprecs`:
`spacegroup_0_01` is the space group at 0.01 A.

The shape is that of the value of one row: `A` is the number of its atoms, `*` a number of its own. Rows that have no
value hold NaN or an empty text in arrays, flags and counts included, and nothing in csv and JSON.
"""
_WARNINGS = """
## The codes of `warnings`

A row holds any number of these codes, separated by spaces. `aiida-pet status` counts them.
"""
_TITLES = {Section.OTHER: "Everything else"}


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
        parts.append(f"\n## {title}\n\n{_table(('column', 'unit', 'shape', 'written by', 'meaning'), rows)}")
    codes = _table(("code", "meaning"), [(f"`{code}`", code.meaning) for code in Warned])
    return "".join([*parts, _WARNINGS, "\n", codes])


def _written_by(sources: Sequence[Source]) -> str:
    return ", ".join(source.value for source in sources) or "the input"


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headers, ["---"] * len(headers), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(page())

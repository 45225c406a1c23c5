"""The geometry of one crystal, for ``aiida-pet show``: cell, positions, space groups or layer groups."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from aiida_pet.cli.output import echo_pairs
from aiida_pet.words import without_negative_zero

if TYPE_CHECKING:
    from aiida_pet.campaigns.geometry import Geometry

MOST_POSITIONS = 24


def echo_geometry(geometry: Geometry) -> None:
    """Print the geometry of one crystal."""
    click.echo("\ngeometry")
    groups = "  layer groups" if geometry.group_kind == "layergroup" else "  space groups"
    echo_pairs(
        {
            "  formula": geometry.formula,
            "  n_atoms": geometry.n_atoms,
            "  volume (A^3)": shown(geometry.volume, "A^3"),
            "  a, b, c (A)": shown(geometry.lengths, "A"),
            "  alpha, beta, gamma (degrees)": shown(geometry.angles, "degrees"),
            groups: _groups(geometry),
        }
    )
    click.echo("  cell (A):")
    echo_vectors(geometry.cell, [""] * 3)
    click.echo("  positions (A):")
    echo_vectors(geometry.positions[:MOST_POSITIONS], [f"{symbol:<2}" for symbol in geometry.symbols])
    if geometry.n_atoms > MOST_POSITIONS:
        click.echo(f"    and {geometry.n_atoms - MOST_POSITIONS} more (--json has all)")


def echo_vectors(vectors: Iterable[Iterable[float]], names: Iterable[str]) -> None:
    """Print vectors (n, 3) behind their names, a line each."""
    for name, vector in zip(names, vectors, strict=False):
        click.echo(f"    {name}" + "".join(f"{without_negative_zero(f'{x:.6f}'):>12}" for x in vector))


def _groups(geometry: Geometry) -> str:
    """Return the groups in a line: ``0.01 A: 229 Im-3m``, ``none`` where no group was found."""
    groups = [f"{_tolerance(name)}: {_group(name, number)}" for name, number in geometry.groups.items()]
    return ", ".join(groups) or "none, since the crystal is periodic in fewer than two directions"


def _group(name: str, number: Any) -> str:
    from aiida_pet.printed.groups import group_text, is_group

    return f"{number} {group_text(number)}" if number and is_group(name) else str(number or "none")


def _tolerance(column: str) -> str:
    """Return ``0.01 A`` for ``spacegroup_0_01``, and nothing but ``found`` where the name has no tolerance."""
    label = column.removeprefix("spacegroup").removeprefix("layergroup").strip("_").replace("_", ".")
    return f"{label} A" if label else "found"


def shown(value: Any, unit: str = "", name: str = "") -> str:
    """Return a value, or several in brackets, as people read it, rounded by its unit; a group with its symbol."""
    from aiida_pet.printed import cells, groups

    if isinstance(value, list):
        largest = cells.largest_of(value)
        return f"[{', '.join(_item(item, unit, largest) for item in value)}]"
    if groups.is_group(name) and groups.group_text(value) != "-":
        return f"{int(value)} {groups.group_text(value)}"
    return cells.shown(value, unit, name)


def _item(value: Any, unit: str, largest: float) -> str:
    """Return a value of an array, or a line of it, in the digits of the largest one."""
    from aiida_pet.printed.cells import shown_beside

    if isinstance(value, list):
        return f"[{', '.join(_item(item, unit, largest) for item in value)}]"
    return shown_beside(value, largest, unit)

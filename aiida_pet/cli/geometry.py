"""The geometry of one crystal, for ``aiida-pet show``: cell, positions, space groups or layer groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from aiida_pet.cli.output import cell, echo_pairs, plain

if TYPE_CHECKING:
    from aiida_pet.data.structures import StructureSetData

MOST_POSITIONS = 24


def geometry_of(crystals: StructureSetData, row_id: str, symmetry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the geometry of a row.

    A crystal has space groups and a slab layer groups, which are looked for if ``symmetry`` names none; of what is
    periodic in one direction or none there are neither.
    """
    atoms = crystals.get_ase(row_id)
    kind = {3: "spacegroup", 2: "layergroup"}.get(int(atoms.pbc.sum()))
    groups = {name: value for name, value in symmetry.items() if kind and name.startswith(kind) and value}
    if kind and not groups:
        groups = _groups_found(atoms, kind)
    lengths_angles = atoms.cell.cellpar().tolist()
    return {
        "pk": crystals.pk,
        "formula": atoms.get_chemical_formula(),
        "n_atoms": len(atoms),
        "volume_A3": abs(float(atoms.cell.volume)),
        "lengths_A": lengths_angles[:3],
        "angles_deg": lengths_angles[3:],
        f"{kind or 'spacegroup'}s": groups,
        "pbc": atoms.pbc.tolist(),
        "cell_A": atoms.cell.tolist(),
        "symbols": atoms.get_chemical_symbols(),
        "positions_A": atoms.positions.tolist(),
    }


def _groups_found(atoms: Any, kind: str) -> dict[str, int]:
    """Return the numbers of the space groups or layer groups of ``atoms`` by the names of their columns."""
    from aiida_pet.crystals.symmetry.spacegroup import groups_of
    from aiida_pet.tables.crystals import StructureTable

    found = groups_of(StructureTable.from_ase([("", atoms)]), (0.001, 0.01, 0.1))
    numbers = {
        label: groups.space if kind == "spacegroup" else groups.layer for label, groups in found.items()
    }
    return {f"{kind}_{label}": int(values[0]) for label, values in numbers.items()}


def echo_geometry(structure: Mapping[str, Any]) -> None:
    """Print what :func:`geometry_of` returned."""
    click.echo("\ngeometry")
    echo_pairs(
        {
            "  formula": structure["formula"],
            "  n_atoms": structure["n_atoms"],
            "  volume (A^3)": structure["volume_A3"],
            "  a, b, c (A)": shown(structure["lengths_A"]),
            "  alpha, beta, gamma (degrees)": shown(structure["angles_deg"]),
            **_told_groups(structure),
        }
    )
    click.echo("  cell (A):")
    for vector in plain(structure["cell_A"]):
        click.echo("    " + "".join(f"{x:12.6f}" for x in vector))
    atoms = list(zip(structure["symbols"], plain(structure["positions_A"]), strict=True))
    click.echo("  positions (A):")
    for symbol, position in atoms[:MOST_POSITIONS]:
        click.echo(f"    {symbol:<2}" + "".join(f"{x:12.6f}" for x in position))
    if len(atoms) > MOST_POSITIONS:
        click.echo(f"    and {len(atoms) - MOST_POSITIONS} more (--json has all)")


def _told_groups(structure: Mapping[str, Any]) -> dict[str, str]:
    """Return the line of the space groups, or of a slab's layer groups: ``0.01 A: 229``, ``none`` of no row."""
    kind = "layer groups" if "layergroups" in structure else "space groups"
    groups = structure[kind.replace(" ", "")]
    told = [f"{_tolerance(name)}: {number or 'none'}" for name, number in groups.items()]
    return {f"  {kind}": ", ".join(told) or "none: it is not periodic in two directions or three"}


def _tolerance(column: str) -> str:
    """Return ``0.01 A`` for ``spacegroup_0_01``, and nothing but ``found`` where the name has no tolerance."""
    label = column.removeprefix("spacegroup").removeprefix("layergroup").strip("_").replace("_", ".")
    return f"{label} A" if label else "found"


def shown(value: Any) -> str:
    """Return a value, or several in brackets, as people read it."""
    if isinstance(value, list):
        return f"[{', '.join(shown(item) for item in value)}]"
    return cell(value)

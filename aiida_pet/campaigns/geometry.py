"""The geometry of one crystal: cell, positions, space groups or layer groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ase import Atoms

from aiida_pet.crystals.symmetry.spacegroup import groups_of
from aiida_pet.data.structures import StructureSetData
from aiida_pet.tables.crystals import StructureTable

SYMPRECS = (0.001, 0.01, 0.1)
"""Tolerances in A at which groups are looked for where no column names them."""
_KINDS = {3: "spacegroup", 2: "layergroup"}


@dataclass(frozen=True)
class Geometry:
    """Cell and atoms of one crystal.

    :ivar pk: pk of the set that holds it.
    :ivar formula: formula of the whole cell.
    :ivar volume: in A^3.
    :ivar lengths: lengths of the cell's vectors, in A.
    :ivar angles: between them, in degrees.
    :ivar cell: (3, 3) vectors in A.
    :ivar symbols: symbols of the atoms.
    :ivar positions: (n, 3) Cartesian, in A.
    :ivar pbc: along which vectors it is periodic.
    :ivar group_kind: ``spacegroup`` of a crystal, ``layergroup`` of a slab, empty of what is periodic in one direction
        or none.
    :ivar groups: their numbers by column, such as ``spacegroup_0_01``.
    """

    pk: int | None
    formula: str
    volume: float
    lengths: list[float]
    angles: list[float]
    cell: list[list[float]]
    symbols: list[str]
    positions: list[list[float]]
    pbc: list[bool]
    group_kind: str
    groups: dict[str, int]

    @property
    def n_atoms(self) -> int:
        """How many atoms are in the cell."""
        return len(self.symbols)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain values, units in the names."""
        return {
            "pk": self.pk,
            "formula": self.formula,
            "n_atoms": self.n_atoms,
            "volume_A3": self.volume,
            "lengths_A": self.lengths,
            "angles_deg": self.angles,
            f"{self.group_kind or 'spacegroup'}s": self.groups,
            "pbc": self.pbc,
            "cell_A": self.cell,
            "symbols": self.symbols,
            "positions_A": self.positions,
        }


def geometry_of(crystals: StructureSetData, row_id: str, symmetry: Mapping[str, Any]) -> Geometry:
    """Return the geometry of row ``row_id`` of a set.

    :param symmetry: columns of the row's symmetry; groups are looked for if it names none.
    """
    atoms = crystals.get_ase(row_id)
    kind = _KINDS.get(int(atoms.pbc.sum()), "")
    groups = {name: value for name, value in symmetry.items() if kind and name.startswith(kind) and value}
    if kind and not groups:
        groups = _groups_found(atoms, kind)
    lengths_angles = atoms.cell.cellpar().tolist()
    return Geometry(
        pk=crystals.pk,
        formula=atoms.get_chemical_formula(),
        volume=abs(float(atoms.cell.volume)),
        lengths=lengths_angles[:3],
        angles=lengths_angles[3:],
        cell=atoms.cell.tolist(),
        symbols=atoms.get_chemical_symbols(),
        positions=atoms.positions.tolist(),
        pbc=atoms.pbc.tolist(),
        group_kind=kind,
        groups=groups,
    )


def _groups_found(atoms: Atoms, kind: str) -> dict[str, int]:
    """Return the numbers of the space groups or layer groups of ``atoms`` by the names of their columns."""
    found = groups_of(StructureTable.from_ase([("", atoms)]), SYMPRECS)
    numbers = {
        label: groups.space if kind == "spacegroup" else groups.layer for label, groups in found.items()
    }
    return {f"{kind}_{label}": int(values[0]) for label, values in numbers.items()}

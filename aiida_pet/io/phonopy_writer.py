"""Writes rows as yaml files that phonopy and phono3py load: force constants, or settings, displacements and forces.

A row with force constants becomes a ``phonopy_params.yaml`` with these. One that came with a supercell, as
:mod:`~aiida_pet.io.phonopy_yaml` reads them, is written with it, its displacements, forces and charges. A row of
forces for a conductivity becomes a ``phono3py_params.yaml``. No AiiDA.
"""

from __future__ import annotations

from typing import Any, TextIO

import numpy as np
from phonopy import Phonopy
from phonopy.structure.atoms import PhonopyAtoms

from aiida_pet.crystals.conductivity.cells import ThirdOrderCells, displaced_supercells, make_phono3py
from aiida_pet.crystals.phonons.harmonic import nac_parameters, phonopy_yaml
from aiida_pet.crystals.phonons.stored import phonopy_of_row
from aiida_pet.io.phonopy_displacements import phonopy_dataset
from aiida_pet.tables.arrays import Array
from aiida_pet.tables.crystals import StructureTable

__all__ = ["reason_against_phono3py", "reason_against_phonopy", "write_phono3py", "write_phonopy"]

_SUPERCELL, _PRIMITIVE = "supercell_matrix", "primitive_matrix"
_OF_FORCES = ("fc3_matrix", "fc2_matrix", "unit_matrix", "heat_matrix", "fc_displacement")
NO_FORCES = "it has no forces of displaced supercells: give the output `forces` of a launch of conductivities"
_SYMPREC = 1e-5  # A, of phono3py and of the tasks


def reason_against_phonopy(table: StructureTable, index: int) -> str:
    """Return why a row cannot be written for phonopy; empty if it can."""
    if _has_force_constants(table, index) or _finite(table, _SUPERCELL, index) is not None:
        return ""
    return "it has neither force constants nor a supercell_matrix"


def reason_against_phono3py(table: StructureTable, index: int) -> str:
    """Return why a row cannot be written for phono3py; empty if it can."""
    if any(_finite(table, name, index) is None for name in _OF_FORCES):
        return NO_FORCES
    if any(
        name not in table.ragged or not len(table.ragged[name][index])
        for name in ("fc2_forces", "fc3_forces")
    ):
        return NO_FORCES
    try:
        _displaced(table, index)
    except ValueError as error:
        return str(error)
    return ""


def write_phonopy(table: StructureTable, index: int, handle: TextIO) -> None:
    """Write the row at ``index`` as phonopy loads it."""
    if _has_force_constants(table, index):
        handle.write(phonopy_yaml(phonopy_of_row(table, str(table.ids[index]))))
        return
    supercell, primitive = (_finite(table, name, index) for name in (_SUPERCELL, _PRIMITIVE))
    assert supercell is not None
    unit = np.eye(3) if primitive is None else primitive
    phonopy = Phonopy(
        _unit_cell(table, index),
        np.round(unit @ supercell).astype(np.int64),
        primitive_matrix=unit,
        is_symmetry=False,
    )
    displacements = _ragged(table, "displacements", index)
    if displacements is not None:
        forces = _ragged(table, "displacement_forces", index)
        phonopy.dataset = phonopy_dataset(displacements, forces, len(phonopy.supercell))
    charges = _charges(table, index, phonopy)
    if charges is not None:
        phonopy.nac_params = charges
    handle.write(str(phonopy.to_phonopy_yaml(settings={"force_sets": True})))


def write_phono3py(table: StructureTable, index: int, handle: TextIO) -> None:
    """Write the row at ``index`` as phono3py loads it, with the forces of both orders.

    :raises MissingPhono3pyError: if phono3py is not installed.
    """
    phono3py = _displaced(table, index)
    shapes = (-1, len(phono3py.phonon_supercell), 3), (-1, len(phono3py.supercell), 3)
    second, third = (
        table.ragged[name][index].astype(np.float64).reshape(shape)
        for name, shape in zip(("fc2_forces", "fc3_forces"), shapes, strict=True)
    )
    phono3py.phonon_forces, phono3py.forces = second, third
    charges = _charges(table, index, phono3py, table.ragged["unit_atoms"][index])
    if charges is not None:
        phono3py.nac_params = charges
    handle.write(str(phono3py.to_phono3py_yaml(settings={"force_sets": True})))


def _displaced(table: StructureTable, index: int) -> Any:
    """Return the phono3py of a row, displaced as its forces are.

    :raises ValueError: if its displacements are those of no rule that a table can tell.
    """
    cell, positions, numbers = _cell(table, index)
    kept = table.ragged["unit_atoms"][index]
    matrices = {name: table.columns[name][index] for name in _OF_FORCES}
    cells = ThirdOrderCells(
        matrices["unit_matrix"].T @ cell,
        positions[kept],
        numbers[kept],
        fc3_matrix=np.round(matrices["fc3_matrix"]).astype(np.int64),
        fc2_matrix=np.round(matrices["fc2_matrix"]).astype(np.int64),
        primitive_matrix=matrices["heat_matrix"],
        symprec=_SYMPREC,
    )
    counts = tuple(int(table.columns[f"n_fc{order}_displacements"][index]) for order in (2, 3))
    for opposites in (True, "auto"):
        phono3py = make_phono3py(cells)  # one that was displaced before keeps some of it
        found = displaced_supercells(
            phono3py,
            distance=float(matrices["fc_displacement"]),
            plus_minus=opposites,  # type: ignore[arg-type]
        )
        if (len(found.fc2_positions), len(found.fc3_positions)) == counts:
            return phono3py
    raise ValueError(
        "its displacements were made with pair_cutoff or another symprec, which the table does not contain"
    )


def _has_force_constants(table: StructureTable, index: int) -> bool:
    return _ragged(table, "force_constants", index) is not None and "primitive_atoms" in table.ragged


def _ragged(table: StructureTable, name: str, index: int) -> Array | None:
    if name not in table.ragged or not len(table.ragged[name][index]):
        return None
    return table.ragged[name][index]


def _finite(table: StructureTable, name: str, index: int) -> Array | None:
    """Return the value of a row in a column of numbers, None where it has none."""
    if name not in table.columns:
        return None
    value = np.asarray(table.columns[name][index], dtype=np.float64)
    return value if np.isfinite(value).all() and value.any() else None


def _cell(table: StructureTable, index: int) -> tuple[Array, Array, Array]:
    atoms = table.atoms_of(index)
    return table.cells[index], table.positions[atoms], table.numbers[atoms]


def _unit_cell(table: StructureTable, index: int) -> PhonopyAtoms:
    cell, positions, numbers = _cell(table, index)
    return PhonopyAtoms(numbers=numbers.astype(int), cell=cell, positions=positions)


def _charges(
    table: StructureTable, index: int, phonons: Any, kept: Array | None = None
) -> dict[str, Any] | None:
    """Return the correction for dipoles of a row, None if it has none.

    :param kept: atoms of the row that make the unit cell of ``phonons``; None for all.
    """
    dielectric = _finite(table, "dielectric_tensor", index)
    borns = table.atom_columns.get("born_charges")
    if dielectric is None or borns is None:
        return None
    charges = borns[table.atoms_of(index)].astype(np.float64)
    charges = charges if kept is None else charges[kept]
    if not np.isfinite(charges).all():
        return None
    primitive, supercell = phonons.primitive, phonons.supercell
    places = [supercell.u2u_map[supercell.s2u_map[atom]] for atom in primitive.p2s_map]
    return nac_parameters(charges[places], dielectric, len(primitive))

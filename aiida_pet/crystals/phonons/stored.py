"""Phonons of a row of results, taken up again: what :mod:`~aiida_pet.engine.tasks.phonons` stored, as a phonopy object.

For bands, projected densities of states, single modes and ``phonopy_params.yaml`` wherever there is no torch.
"""

from __future__ import annotations

import numpy as np
from phonopy import Phonopy

from aiida_pet.crystals.phonons.harmonic import nac_parameters, restore_phonopy
from aiida_pet.tables.crystals import StructureTable

__all__ = ["phonopy_of_row"]

_COLUMNS = ("supercell_matrix", "primitive_matrix")
_RAGGED = ("force_constants", "primitive_atoms")


def phonopy_of_row(table: StructureTable, row_id: str, *, symprec: float = 1e-5) -> Phonopy:
    """Return the ``Phonopy`` of a row, with its force constants and its correction if it has one.

    :param table: results of the task ``phonons``.
    :param row_id: id of the row.
    :param symprec: ``phonon_symprec`` of the task, A.
    :raises KeyError: if there is no such row.
    :raises ValueError: if the row has no phonons, with its status and message.
    """
    row = table.index(row_id)
    missing = [name for name in _COLUMNS if name not in table.columns]
    missing += [name for name in _RAGGED if name not in table.ragged]
    if missing:
        raise ValueError(f"these are not results of phonons: they have no column {', '.join(missing)}")
    constants = table.ragged["force_constants"][row]
    if not len(constants):
        status, message = (
            table.columns[name][row] if name in table.columns else "" for name in ("status", "message")
        )
        raise ValueError(
            f"row {row_id!r} has no force constants: it ended as {status}, {message or 'no message'}"
        )
    atoms = np.arange(table.offsets[row], table.offsets[row + 1])[table.ragged["primitive_atoms"][row]]
    borns = table.ragged.get("primitive_born_charges")
    nac = None
    if borns is not None and len(borns[row]):
        nac = nac_parameters(borns[row], table.columns["dielectric_tensor"][row], len(atoms))
    return restore_phonopy(
        table.columns["primitive_matrix"][row].T @ table.cells[row],
        table.positions[atoms],
        table.numbers[atoms],
        np.round(table.columns["supercell_matrix"][row]).astype(np.int64),
        constants,
        symprec=symprec,
        nac=nac,
    )

"""Displacements and forces in yaml files of phonopy and phono3py, as arrays, and back. No AiiDA.

A data set is two arrays, whatever its kind: (M, 5), a line for each displaced atom, with the number of its supercell,
its own number in the supercell and the vector; and (D S, 3), the forces on the S atoms of D supercells, one supercell
after another. Both count from 0. Atoms of a supercell are in phonopy's order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from aiida_pet.tables.arrays import Array, Floats

__all__ = ["dataset_of", "pairs_of", "phonopy_dataset"]

Found = tuple[Floats, Floats | None]
"""Displacements (M, 5), and forces (D S, 3) if the file has those of all supercells."""


def dataset_of(document: Mapping[str, Any], prefix: str = "") -> Found | None:
    """Return the data set of a file of phonopy, or the data set of second order of phono3py; None if there is none.

    :param prefix: prefix of its keys, ``phonon_`` in files of phono3py.
    :raises KeyError, TypeError, ValueError: if it is not as phonopy writes it.
    """
    listed, block = document.get(f"{prefix}displacements"), document.get(f"{prefix}dataset")
    if listed:
        if isinstance(listed[0], Mapping):
            return _of_single_atoms(listed)
        moved = [[atom["displacement"] for atom in one] for one in listed]  # before phonopy 2.24
        pushed = [[atom["force"] for atom in one] for one in listed] if "force" in listed[0][0] else None
        return _of_all_atoms(moved, pushed)
    if block and "displacements" in block:
        return _of_all_atoms(block["displacements"], block.get("forces"))
    return None


def pairs_of(document: Mapping[str, Any]) -> Found | None:
    """Return the data set of third order of a file of phono3py; None if there is none.

    Supercells with one displaced atom come first, then those with two, as phono3py numbers them. What a cutoff leaves
    out is left out.

    :raises KeyError, TypeError, ValueError: if it is not as phono3py writes it.
    """
    firsts = document.get("displacement_pairs")
    if not firsts:
        return dataset_of(document)
    moves: list[list[tuple[int, Any]]] = []
    forces: list[Any] = []
    for first in firsts:
        moves.append([(first["atom"], first["displacement"])])
        forces.append(first.get("forces"))
    for first, (alone,) in zip(firsts, list(moves), strict=True):
        for second in first.get("paired_with", first.get("second_atoms")) or ():
            if not second.get("included", True):
                continue
            many = second["displacements"] if "displacements" in second else [second["displacement"]]
            moves += [[alone, (second["atom"], vector)] for vector in many]
            forces += [second.get("forces")] * len(many)
    lines = [
        (number, atom - 1, *map(float, vector)) for number, cell in enumerate(moves) for atom, vector in cell
    ]
    return _lines(lines), _all_of(forces)


def phonopy_dataset(displacements: Array, forces: Array | None, n_atoms: int) -> dict[str, Any]:
    """Return a data set as phonopy takes it.

    :param displacements: (M, 5).
    :param forces: (D S, 3), or None.
    :param n_atoms: S.
    :raises ValueError: if the forces do not belong to so many supercells, or a supercell has no such atom.
    """
    cells, atoms = displacements[:, 0].astype(np.int64), displacements[:, 1].astype(np.int64)
    count = int(cells.max()) + 1
    if atoms.min() < 0 or atoms.max() >= n_atoms:
        raise ValueError(f"atom {atoms.max()} is displaced, but a supercell has atoms 0 to {n_atoms - 1}")
    if forces is not None and forces.shape != (count * n_atoms, 3):
        raise ValueError(
            f"there are forces on {len(forces)} atoms, but {count} supercells of {n_atoms} atoms each"
        )
    by_cell = None if forces is None else forces.reshape(count, n_atoms, 3)
    if len(cells) == count and (cells == np.arange(count)).all():
        entries: list[dict[str, Any]] = [
            {"number": int(atom), "displacement": vector}
            for atom, vector in zip(atoms, displacements[:, 2:], strict=True)
        ]
        for place, entry in enumerate(entries if by_cell is not None else ()):
            entry["forces"] = by_cell[place]  # type: ignore[index]
        return {"natom": n_atoms, "first_atoms": entries}
    moved = np.zeros((count, n_atoms, 3))
    moved[cells, atoms] = displacements[:, 2:]
    return {"displacements": moved} | ({} if by_cell is None else {"forces": by_cell})


def _of_single_atoms(listed: Sequence[Mapping[str, Any]]) -> Found:
    lines = [
        (number, int(one["atom"]) - 1, *map(float, one["displacement"])) for number, one in enumerate(listed)
    ]
    return _lines(lines), _all_of([one.get("forces") for one in listed])


def _of_all_atoms(displacements: Any, forces: Any) -> Found:
    moved = np.array(displacements, dtype=np.float64)
    if moved.ndim != 3 or moved.shape[2] != 3:
        raise ValueError(f"displacements have shape {moved.shape}: expected (supercells, atoms, 3)")
    kept = moved.any(axis=2)
    kept[:, 0] |= ~kept.any(axis=1)  # a supercell as it is counts too
    cells, atoms = np.nonzero(kept)
    return np.column_stack([cells, atoms, moved[kept]]), _all_of(forces)


def _lines(lines: list[Any]) -> Floats:
    return np.array(lines, dtype=np.float64).reshape(-1, 5)


def _all_of(forces: Sequence[Any] | None) -> Floats | None:
    """Return forces (D S, 3), None where some are missing."""
    if forces is None or any(one is None for one in forces):
        return None
    found = np.array(forces, dtype=np.float64)
    if found.ndim != 3 or found.shape[2] != 3:
        raise ValueError(f"forces have shape {found.shape}: expected (supercells, atoms, 3)")
    return found.reshape(-1, 3)

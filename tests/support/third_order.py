"""Crystals whose forces of second and third order are those of smooth pairs: small, quick, and by phono3py's hand."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from aiida_pet.crystals.conductivity.cells import (
    Displaced,
    ThirdOrderCells,
    displaced_supercells,
    make_phono3py,
)
from support.pair_forces import pair_forces


def copper(a: float = 3.55) -> ThirdOrderCells:
    """Return fcc in cells of 27 atoms: its pairs attract each other at 2.6 A."""
    return cells_of(bulk("Cu", "fcc", a=a), 3 * np.eye(3, dtype=int), 3 * np.eye(3, dtype=int))


def cells_of(atoms: Atoms, fc3: Any, fc2: Any) -> ThirdOrderCells:
    """Return the cells of ``atoms``."""
    return ThirdOrderCells(atoms.cell[:], atoms.positions, atoms.numbers, np.asarray(fc3), np.asarray(fc2))


def forces_of(displaced: Displaced) -> tuple[np.ndarray, np.ndarray]:
    """Return the forces of second and third order, eV/A."""

    def forces(numbers: Any, cell: Any, positions: Any) -> np.ndarray:
        return np.array([pair_forces(Atoms(numbers, one, cell=cell, pbc=True)) for one in positions])

    return (
        forces(displaced.fc2_numbers, displaced.fc2_cell, displaced.fc2_positions),
        forces(displaced.fc3_numbers, displaced.fc3_cell, displaced.fc3_positions),
    )


@dataclass(frozen=True)
class Solved:
    """A crystal with forces: ``phono3py`` displaced, forces of both orders."""

    phono3py: Any
    displaced: Displaced
    fc2: np.ndarray
    fc3: np.ndarray


def solve(cells: ThirdOrderCells, **further: Any) -> Solved:
    """Return ``cells`` displaced by 0.03 A, with forces."""
    masses = further.pop("masses", None)
    phono3py = make_phono3py(cells, masses=masses)
    displaced = displaced_supercells(phono3py, distance=0.03, **further)
    return Solved(phono3py, displaced, *forces_of(displaced))


# -- the published run of the kappa_SRME benchmark ----------------------------------------------------------------


def phonondb(shared_data: Path) -> dict[str, Atoms]:
    """Return the 103 crystals by id; skips where they are absent."""
    path = shared_data / "phonondb" / "structures.extxyz"
    if not path.is_file():
        pytest.skip(f"no {path.name} of PhononDB in the shared data")
    return {atoms.info["mp_id"]: atoms for atoms in ase.io.iread(path, index=":")}


def cells_of_phonondb(atoms: Atoms) -> ThirdOrderCells:
    """Return the cells that PhononDB's entry asks for."""
    return cells_of(atoms, atoms.info["fc3_supercell"], atoms.info["fc2_supercell"])


def published(shared_data: Path, name: str) -> dict[str, Any]:
    """Return what was published of the crystal ``name``; skips where it is absent."""
    path = shared_data / "phonondb" / f"mace-0b-{name}.json.gz"
    if not path.is_file():
        pytest.skip(f"no {path.name} in the shared data")
    with gzip.open(path) as handle:
        return json.load(handle)

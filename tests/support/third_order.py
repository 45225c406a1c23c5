"""Crystals whose forces of second and third order are those of smooth pairs: small, quick, and by phono3py's hand."""

from __future__ import annotations

import gzip
import json
import os
import signal
from dataclasses import dataclass, replace
from itertools import product
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
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.ragged import Ragged


def copper(a: float = 3.55) -> ThirdOrderCells:
    """Return fcc in cells of 27 atoms: its pairs attract each other at 2.6 A."""
    return cells_of(bulk("Cu", "fcc", a=a), 3 * np.eye(3, dtype=int), 3 * np.eye(3, dtype=int))


def cells_of(atoms: Atoms, fc3: Any, fc2: Any) -> ThirdOrderCells:
    """Return the cells of ``atoms``."""
    return ThirdOrderCells(atoms.cell[:], atoms.positions, atoms.numbers, np.asarray(fc3), np.asarray(fc2))


def quick_forces(numbers: Any, cell: Any, positions: Any, *, scale: float = 2.6, cutoff: float = 5.0) -> Any:
    """Return what ``pair_forces`` does, of cells thicker than the cutoff, in a tenth of its time."""
    shifts = np.array(list(product((-1, 0, 1), repeat=3))) @ cell
    vectors = positions[None, :, None] - positions[:, None, None] + shifts  # from i to j
    distances = np.linalg.norm(vectors, axis=-1)
    i, j, k = np.nonzero((distances < cutoff) & (distances > 1e-8))
    r = distances[i, j, k]
    depth = 0.01 * np.sqrt(numbers[i] * numbers[j]) ** 0.5
    decay, window = np.exp(-1.4 * (r - scale)), 1 - (r / cutoff) ** 2
    slope = 2.8 * depth * (decay - decay**2) * window**3
    slope -= depth * (decay**2 - 2 * decay) * 6 * r / cutoff**2 * window**2
    forces = np.zeros(positions.shape)
    np.add.at(forces, i, (slope / r)[:, None] * vectors[i, j, k])
    return forces


def forces_of(displaced: Displaced) -> tuple[np.ndarray, np.ndarray]:
    """Return the forces of second and third order, eV/A."""

    def forces(numbers: Any, cell: Any, positions: Any) -> np.ndarray:
        return np.array([quick_forces(numbers, cell, one) for one in positions])

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


# -- rows of forces, as the engine leaves them -----------------------------------------------------------------------


def forces_rows(crystals: dict[str, Atoms], *, size: int = 3, **parameters: Any) -> StructureTable:
    """Return results of the task ``conductivity`` without the engine: forces are those of smooth pairs."""
    from aiida_pet.engine.tasks.conductivity import ThirdOrderForces
    from aiida_pet.job.parameters import parse_parameters
    from aiida_pet.job.tasks import Task

    cells = {"fc2_supercell": (size,) * 3, "fc3_supercell": (size,) * 3}
    given = cells | {"opposites": "auto", "symprecs": ()} | parameters
    table = StructureTable.from_ase(crystals.items())
    driver = ThirdOrderForces(
        table, None, parse_parameters(Task.CONDUCTIVITY, given), finished=lambda _: None
    )
    finished = []
    for row in range(len(table)):
        crystal = table.take([row])
        crystal.set_column("status", np.array(["converged"]))
        crystal.set_column("message", np.array([""]))
        children, plan = driver.expand(crystal)
        forces = np.concatenate(
            [quick_forces(one.numbers, one.cell[:], one.positions) for one in children.iter_ase()]
        )
        children.atom_columns["forces"] = forces
        reduced = driver.reduce(crystal, plan, children)
        columns = {name: np.asarray(value)[None] for name, value in reduced.columns.items()}
        ragged = {name: Ragged.of([values]) for name, values in reduced.ragged.items()}
        finished.append(replace(crystal, columns=crystal.columns | columns, ragged=ragged))
    return StructureTable.concatenate(finished)


def killing(row: StructureTable, parameters: Any) -> Any:
    """Run the transport of a row; of the row ``killer`` the process kills itself."""
    from aiida_pet.transport.rows import transport_of_row

    if row.ids[0] == "killer":
        os.kill(os.getpid(), signal.SIGKILL)
    return transport_of_row(row, parameters)

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator

from aiida_pet.tables.crystals import StructureTable


@pytest.fixture
def crystals() -> list[Atoms]:
    """Five small crystals of different shapes, the first with energy, forces and stress, all with a material_id."""
    rng = np.random.default_rng(7)
    made = [
        bulk("Mo", "bcc", a=3.16),
        bulk("TaW", "cesiumchloride", a=3.25),
        bulk("Ti", "hcp", a=2.95, c=4.68),
        bulk("NaCl", "rocksalt", a=5.64, cubic=True),
        bulk("Si", "diamond", a=5.43),
    ]
    for index, atoms in enumerate(made):
        atoms.rattle(0.05, seed=index)
        atoms.info["material_id"] = f"wbm-1-{index}"
        atoms.info["e_form"] = float(rng.normal())
    results = {"energy": -10.9, "forces": rng.normal(size=(1, 3)), "stress": rng.normal(size=6)}
    made[0].calc = SinglePointCalculator(made[0], **results)
    return made


@pytest.fixture
def structure_table(crystals: list[Atoms]) -> StructureTable:
    """A table like those of results: a status, scalars, a vector per row and one per atom, some of them NaN."""
    table = StructureTable.from_ase((atoms.info["material_id"], atoms) for atoms in crystals)
    n_atoms = int(table.offsets[-1])
    table.set_column("status", ["converged", "converged", "max_steps", "converged", "diverged"])
    table.set_column("energy", [-10.9, -24.5, -15.5, -27.0, np.nan], "eV")
    table.set_column("n_steps", [1, 2, 3, 4, 5])
    table.set_column("symmetry_kept_0_01", [True, False, True, True, False])
    table.set_column("stress", np.linspace(-1, 1, 30).reshape(5, 6), "eV/A^3")
    table.atom_columns["forces"] = np.linspace(0, 1, 3 * n_atoms).reshape(n_atoms, 3)
    table.units["forces"] = "eV/A"
    return table


@pytest.fixture
def same_crystal() -> Callable[..., bool]:
    """Whether cell, species, positions (A) and periodicity agree; the tolerance is that of the text in a file."""

    def same(one: Atoms, other: Atoms, tolerance: float = 1e-10) -> bool:
        return bool(
            np.array_equal(one.numbers, other.numbers)
            and np.allclose(one.cell.array, other.cell.array, rtol=0, atol=tolerance)
            and np.allclose(one.positions, other.positions, rtol=0, atol=tolerance)
            and np.array_equal(one.pbc, other.pbc)
        )

    return same

"""Fixtures that need neither AiiDA nor torch: crystals of several folders of tests, and data beside the project."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator

from aiida_pet.tables.crystals import StructureTable
from support.prototype_crystals import make_prototypes


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data that is not part of the project; tests that need it skip where it is absent."""
    default = Path(__file__).parents[3] / "shared" / "data"
    folder = Path(os.environ.get("AIIDA_PET_SHARED_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}: set AIIDA_PET_SHARED_DATA")
    return folder


@pytest.fixture(scope="session")
def wbm(shared_data: Path) -> StructureTable:
    """The 972 crystals of WBM; skips where they are absent."""
    path = shared_data / "wbm-sample.json.gz"
    if not path.is_file():
        pytest.skip(f"no {path.name} in the shared data")

    def atoms_of(structure: dict) -> Atoms:
        return Atoms(
            [site["species"][0]["element"] for site in structure["sites"]],
            scaled_positions=np.array([site["abc"] for site in structure["sites"]]),
            cell=structure["lattice"]["matrix"],
            pbc=True,
        )

    with gzip.open(path) as handle:
        records = json.load(handle)
    return StructureTable.from_ase((row["material_id"], atoms_of(row["structure"])) for row in records)


@pytest.fixture(scope="session")
def prototypes() -> dict[str, Atoms]:
    """58 exact crystals of 42 space groups of all systems, primitive and conventional cells and supercells."""
    return make_prototypes()


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

"""Crystals and models for the engine's tests; no AiiDA."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.build
import numpy as np
import pytest
from ase import Atoms
from prototype_crystals import make_prototypes

from aiida_pet.tables.crystals import StructureTable

ELEMENTS = (41, 42, 73, 74)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data that is not part of the project; tests that need it skip where it is absent."""
    default = Path(__file__).parents[3] / "shared" / "data"
    folder = Path(os.environ.get("AIIDA_PET_SHARED_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}: set AIIDA_PET_SHARED_DATA")
    return folder


@pytest.fixture(scope="session")
def model_file() -> tuple[Path, str]:
    """Path and sha256 of the model that ships."""
    from aiida_pet.models import embedded_card, embedded_path

    return embedded_path(), embedded_card()["sha256"]


@pytest.fixture
def load_pet(model_file: tuple[Path, str]) -> Callable[..., Any]:
    """Make a BatchedPet of the model that ships; keyword arguments are its own."""
    from aiida_pet.engine.model.pet import BatchedPet, load_model

    def load(**options: Any) -> Any:
        return BatchedPet(load_model(*model_file), **options)

    return load


@pytest.fixture
def ase_calculator(model_file: tuple[Path, str]) -> Callable[..., Any]:
    """Make metatomic's ASE calculator of the same checkpoint: the independent road."""
    import torch
    from metatomic_ase import MetatomicCalculator

    from aiida_pet.engine.model.pet import load_model

    def make(**options: Any) -> Any:
        return MetatomicCalculator(
            load_model(*model_file).to(torch.float64).export(), device="cpu", **options
        )

    return make


def random_alloy(
    rng: np.random.Generator, n_cells: tuple[int, int, int], *, strain: float, rattle: float
) -> Atoms:
    """Return a random decoration of a bcc supercell, sheared and rattled."""
    atoms = ase.build.bulk("Mo", a=3.2, cubic=bool(rng.integers(2))) * n_cells
    atoms.numbers = rng.choice(ELEMENTS, len(atoms))
    atoms.set_cell(atoms.cell @ (np.eye(3) + rng.normal(scale=strain, size=(3, 3))), scale_atoms=True)
    atoms.rattle(rattle, rng=rng)
    return atoms


@pytest.fixture
def alloys() -> Callable[..., StructureTable]:
    """Make a table of random alloys of 1 to 16 atoms."""

    def make(n_rows: int, *, seed: int = 0, strain: float = 0.02, rattle: float = 0.05) -> StructureTable:
        rng = np.random.default_rng(seed)
        sizes = [tuple(int(n) for n in rng.integers(1, 3, 3)) for _ in range(n_rows)]
        return StructureTable.from_ase(
            (f"alloy-{i:03d}", random_alloy(rng, size, strain=strain, rattle=rattle))
            for i, size in enumerate(sizes)
        )

    return make


@pytest.fixture(scope="session")
def prototypes() -> dict[str, Atoms]:
    """58 exact crystals of 42 space groups of all systems, primitive and conventional cells and supercells."""
    return make_prototypes()


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

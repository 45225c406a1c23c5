"""Alloys and models for the engine's tests; no AiiDA."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aiida_pet.tables.crystals import StructureTable
from aiida_pet.testing.crystals import random_alloys
from support.small_model import small_model


@pytest.fixture(scope="session")
def model_file() -> tuple[Path, str]:
    """Path and sha256 of the small model of the tests."""
    return small_model()


@pytest.fixture
def load_pet(model_file: tuple[Path, str]) -> Callable[..., Any]:
    """Make a BatchedPet of the small model; keyword arguments are its own."""
    from aiida_pet.engine.model.pet import BatchedPet, load_plain

    def load(**options: Any) -> Any:
        return BatchedPet(load_plain(*model_file), **options)

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


@pytest.fixture
def alloys() -> Callable[..., StructureTable]:
    """Return :func:`aiida_pet.testing.crystals.random_alloys`: a table of random alloys of 1 to 16 atoms."""
    return random_alloys

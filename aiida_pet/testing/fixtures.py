"""Fixtures for pytest: ``pytest_plugins = ["aiida.tools.pytest_fixtures", "aiida_pet.testing.fixtures"]``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def job_options(**environment: Any) -> dict[str, Any]:
    """Return ``metadata.options`` of a job on this machine, with environment variables for the engine."""
    options: dict[str, Any] = {"resources": {"num_machines": 1, "num_mpiprocs_per_machine": 1}}
    if environment:
        options["environment_variables"] = {name: str(value) for name, value in environment.items()}
    return options


@pytest.fixture
def make_structures(aiida_profile: Any) -> Callable[..., Any]:
    """Return :func:`aiida_pet.testing.nodes.build_structures`."""
    from aiida_pet.testing.nodes import build_structures  # noqa: PLC0415

    return build_structures


@pytest.fixture
def pet_model(aiida_profile: Any, tmp_path: Path) -> Any:
    """A stored model for the engine that stands in."""
    from aiida_pet.testing.nodes import build_model  # noqa: PLC0415

    return build_model(tmp_path)


@pytest.fixture
def pet_computer(aiida_profile: Any, tmp_path: Path) -> Any:
    """A configured computer of its own for each test."""
    from aiida_pet.testing.nodes import build_computer  # noqa: PLC0415

    return build_computer(tmp_path)


@pytest.fixture
def pet_code(pet_computer: Any, tmp_path: Path) -> Any:
    """A code that runs the engine that stands in."""
    from aiida_pet.testing.nodes import build_code  # noqa: PLC0415

    return build_code(pet_computer, tmp_path)


@pytest.fixture
def job_inputs(
    pet_code: Any, pet_model: Any, make_structures: Callable[..., Any]
) -> Callable[..., dict[str, Any]]:
    """Return a factory of the inputs of a CalcJob: of ``ids`` or their number, and variables for the engine."""

    def make(ids: list[str] | int = 5, **environment: Any) -> dict[str, Any]:
        return {
            "code": pet_code,
            "model": pet_model,
            "structures": make_structures(ids),
            "metadata": {"options": job_options(**environment)},
        }

    return make


@pytest.fixture
def batch_inputs(job_inputs: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Return a factory of the inputs of a lane or batch: as ``job_inputs``, the options in their own port."""

    def make(ids: list[str] | int = 5, **environment: Any) -> dict[str, Any]:
        inputs = job_inputs(ids, **environment)
        inputs["options"] = inputs.pop("metadata")["options"]
        return {"task": "relax", **inputs}

    return make


@pytest.fixture(scope="module")
def module_inputs(
    aiida_profile: Any, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., dict[str, Any]]:
    """Return a factory as ``batch_inputs`` whose code, computer and model live as long as the module of tests."""
    from aiida_pet.testing.nodes import (  # noqa: PLC0415
        build_code,
        build_computer,
        build_model,
        build_structures,
    )

    folder = tmp_path_factory.mktemp("module")
    model = build_model(folder)
    code = build_code(build_computer(folder), folder)

    def make(ids: list[str] | int = 5, sizes: list[int] | None = None, **environment: Any) -> dict[str, Any]:
        return {
            "code": code,
            "model": model,
            "structures": build_structures(ids, sizes),
            "options": job_options(**environment),
            "task": "relax",
        }

    return make

"""Fixtures of all tests that need AiiDA: crystals, a model, a code that stands in for the engine, processes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

# AiiDA looks for `verdi` on the PATH, once, at import: the daemon of tests is this environment's.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])

pytest_plugins = ["aiida.tools.pytest_fixtures", "support.fixtures"]

HERE = Path(__file__).parent
STAND_IN = HERE / "support" / "stand_in_engine.py"
OPTIONS = {"resources": {"num_machines": 1, "num_mpiprocs_per_machine": 1}}


def make_crystal(index: int, repeat: int = 1) -> Atoms:
    """A bcc cell of two atoms, or of `repeat` times as many, slightly different for each index."""
    cell = bulk("W", "bcc", a=3.16 + 0.001 * index, cubic=True)
    cell.numbers[1] = (41, 42, 73, 74)[index % 4]
    return cell.repeat((repeat, 1, 1))


def build_structures(ids: list[str] | int, sizes: list[int] | None = None) -> Any:
    """A stored set: by ids, or of so many crystals; `sizes` repeats the cell."""
    from aiida_pet.data.structures import StructureSetData

    names = [f"alloy-{i:04d}" for i in range(ids)] if isinstance(ids, int) else ids
    repeats = sizes or [1] * len(names)
    crystals = ((name, make_crystal(i, repeats[i])) for i, name in enumerate(names))
    return StructureSetData.from_iterator(crystals).store()


def build_model(folder: Path) -> Any:
    """A stored model whose checkpoint is no checkpoint: the engine that stands in only checks its hash."""
    from aiida_pet.data.model import PetModelData

    path = folder / "stand-in.ckpt"
    path.write_bytes(b"not a checkpoint, but 40 bytes of content")
    card = {"name": "stand-in", "version": "1", "elements": ["Nb", "Mo", "Ta", "W"], "outputs": ["energy"]}
    return PetModelData.get_or_create(path, card)


def build_computer(folder: Path) -> Any:
    """A configured computer of its own: this machine, without a queue and without waiting."""
    from aiida import orm

    computer = orm.Computer(
        label=f"local-{folder.name}-{os.urandom(3).hex()}",
        hostname="localhost",
        workdir=str(folder / "work"),
        transport_type="core.local",
        scheduler_type="core.direct",
    ).store()
    computer.set_minimum_job_poll_interval(0)
    computer.set_default_mpiprocs_per_machine(1)
    computer.configure(safe_interval=0, use_login_shell=False)
    return computer


@pytest.fixture(scope="session")
def build_cluster() -> Callable[..., Any]:
    """Return a function: a SLURM cluster that works in a folder, with the resources of its jobs by default."""

    def build(folder: Path, **resources: Any) -> Any:
        from aiida import orm

        from aiida_pet.computers.resources import SITE_PROPERTY

        computer = orm.Computer(
            label=f"cluster-{folder.name}",
            hostname="localhost",
            transport_type="core.local",
            scheduler_type="core.slurm",
            workdir=str(folder),
        ).store()
        computer.configure(safe_interval=0)
        computer.set_property(SITE_PROPERTY, {"resources": resources})
        return computer

    return build


def build_code(computer: Any, folder: Path) -> Any:
    """A code that runs tests/support/stand_in_engine.py."""
    from aiida import orm

    executable = folder / "pet-engine"
    executable.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{STAND_IN}" "$@"\n')
    executable.chmod(0o755)
    return orm.InstalledCode(label="stand-in", computer=computer, filepath_executable=str(executable)).store()


@pytest.fixture
def make_structures(aiida_profile: Any) -> Callable[..., Any]:
    """Return :func:`build_structures`."""
    return build_structures


@pytest.fixture
def pet_model(aiida_profile: Any, tmp_path: Path) -> Any:
    """A stored model for the engine that stands in."""
    return build_model(tmp_path)


@pytest.fixture
def pet_computer(aiida_profile: Any, tmp_path: Path) -> Any:
    """A configured computer of its own for each test."""
    return build_computer(tmp_path)


@pytest.fixture
def pet_code(pet_computer: Any, tmp_path: Path) -> Any:
    """A code that runs tests/support/stand_in_engine.py."""
    return build_code(pet_computer, tmp_path)


@pytest.fixture(scope="module")
def module_inputs(
    aiida_profile: Any, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., dict[str, Any]]:
    """Return a factory of the inputs of a batch whose code, computer and model live as long as the module."""
    folder = tmp_path_factory.mktemp("module")
    model = build_model(folder)
    code = build_code(build_computer(folder), folder)

    def make(ids: list[str] | int = 5, sizes: list[int] | None = None, **environment: Any) -> dict[str, Any]:
        options: dict[str, Any] = {key: dict(value) for key, value in OPTIONS.items()}
        if environment:
            options["environment_variables"] = {name: str(value) for name, value in environment.items()}
        return {
            "code": code,
            "model": model,
            "structures": build_structures(ids, sizes),
            "options": options,
            "task": "relax",
        }

    return make


@pytest.fixture
def options() -> dict[str, Any]:
    """`metadata.options` of a job; a test adds what it needs."""
    return {key: dict(value) for key, value in OPTIONS.items()}


@pytest.fixture
def generate_calc_job(aiida_profile: Any) -> Callable[..., Any]:
    """Return a factory of (CalcInfo, folder): what `prepare_for_submission` makes of the inputs."""
    from aiida.common.folders import SandboxFolder
    from aiida.engine.utils import instantiate_process
    from aiida.manage import get_manager

    folders = []

    def generate(process_class: type, inputs: dict[str, Any]) -> tuple[Any, Path]:
        folder = SandboxFolder()
        folders.append(folder)
        process = instantiate_process(get_manager().get_runner(), process_class, **inputs)
        return process.prepare_for_submission(folder), Path(folder.abspath)

    yield generate
    for folder in folders:
        folder.erase()


@pytest.fixture
def generate_workchain(aiida_profile: Any) -> Callable[..., Any]:
    """Return a factory of WorkChain instances whose steps can be called one by one."""
    from aiida.engine.utils import instantiate_process
    from aiida.manage import get_manager

    def generate(process_class: type, inputs: dict[str, Any]) -> Any:
        return instantiate_process(get_manager().get_runner(), process_class, **inputs)

    return generate


@pytest.fixture
def job_inputs(
    pet_code: Any, pet_model: Any, make_structures: Callable[..., Any], options: dict[str, Any]
) -> Callable[..., dict[str, Any]]:
    """Return a factory of the inputs of a job: of `ids` or their number, with environment variables for the engine."""

    def make(ids: list[str] | int = 5, **environment: Any) -> dict[str, Any]:
        if environment:
            options["environment_variables"] = {name: str(value) for name, value in environment.items()}
        return {
            "code": pet_code,
            "model": pet_model,
            "structures": make_structures(ids),
            "metadata": {"options": options},
        }

    return make


@pytest.fixture
def batch_inputs(job_inputs: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Return a factory of the inputs of a lane or batch: as `job_inputs`, the options in their own port."""

    def make(ids: list[str] | int = 5, **environment: Any) -> dict[str, Any]:
        inputs = job_inputs(ids, **environment)
        inputs["options"] = inputs.pop("metadata")["options"]
        return {"task": "relax", **inputs}

    return make


@pytest.fixture
def caching(aiida_profile: Any) -> Iterator[None]:
    """AiiDA's caching, on."""
    from aiida.manage.caching import enable_caching

    with enable_caching():
        yield


def energies(results: Any) -> dict[str, float]:
    """Energy in eV of each row."""
    return dict(zip(results.ids.tolist(), np.asarray(results.column("energy")).tolist(), strict=True))

"""Fixtures of all tests that need AiiDA: crystals, a model, a code that stands in for the engine, processes."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# AiiDA looks for `verdi` on the PATH, once, at import: the daemon of tests is this environment's.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])

pytest_plugins = ["aiida.tools.pytest_fixtures", "aiida_pet.testing.fixtures", "support.fixtures"]


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """Take back what commands set in this process: `verdi` sends logs to standard output, ours says few.

    Before a test too, since fixtures of modules run commands.
    """
    ours = logging.getLogger("aiida_pet")
    _take_back_verdi()
    ours.setLevel(logging.NOTSET)
    yield
    _take_back_verdi()
    ours.setLevel(logging.NOTSET)


def _take_back_verdi() -> None:
    from aiida.common import log
    from aiida.manage import get_manager

    if log.CLI_ACTIVE or log.CLI_LOG_LEVEL:
        log.CLI_ACTIVE = log.CLI_LOG_LEVEL = None
        log.configure_logging(with_orm=get_manager().profile_storage_loaded)


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
def caching(aiida_profile: Any) -> Iterator[None]:
    """AiiDA's caching, on."""
    from aiida.manage.caching import enable_caching

    with enable_caching():
        yield


@pytest.fixture
def make_campaign(make_structures: Callable[..., Any], pet_code: Any, pet_model: Any) -> Callable[..., Any]:
    """Return a factory of campaigns over crystals with these ids, put together by hand."""
    from support.campaign_by_hand import Campaign

    def make(ids: list[str]) -> Campaign:
        return Campaign(make_structures(ids), pet_code, pet_model)

    return make

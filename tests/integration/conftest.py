"""Services for the tests of this folder; a test skips, with the reason, where its services cannot run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from support.services.postgres import Postgres, postgres_server
from support.services.profile import Row, isolated_profile
from support.services.programs import ServiceMissingError
from support.services.rabbitmq import RabbitMQ, rabbitmq_broker
from support.services.slurm import Slurm, slurm_cluster
from support.services.ssh import OtherMachine, other_machine

ROOT = Path(__file__).parents[2]
N_ALLOYS = 16  # of the demo's: the elements and binaries of two and three atoms


@contextmanager
def or_skip[T](service: AbstractContextManager[T]) -> Iterator[T]:
    """Give ``service``, or skip the test with what it lacks."""
    try:
        running = service.__enter__()
    except ServiceMissingError as error:
        pytest.skip(str(error))
    try:
        yield running
    finally:
        service.__exit__(None, None, None)


@pytest.fixture
def slurm() -> Iterator[Slurm]:
    """A SLURM cluster with two GPUs."""
    with or_skip(slurm_cluster()) as cluster:
        yield cluster


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server with an empty database."""
    with or_skip(postgres_server()) as server:
        yield server


@pytest.fixture
def rabbitmq() -> Iterator[RabbitMQ]:
    """A RabbitMQ broker."""
    with or_skip(rabbitmq_broker()) as broker:
        yield broker


@pytest.fixture
def machine() -> Iterator[OtherMachine]:
    """Another machine behind SSH."""
    with or_skip(other_machine()) as found:
        yield found


@pytest.fixture(scope="session")
def crystals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with some of the demo's alloys."""
    pytest.importorskip("torch")
    pytest.importorskip("icet")
    sys.path.append(str(ROOT / "examples"))
    from alloys import write_alloys

    path = tmp_path_factory.mktemp("crystals") / "alloys.xyz"
    assert write_alloys(path, limit=N_ALLOYS) == N_ALLOYS
    return path


@pytest.fixture(scope="session")
def embedded_rows(crystals: Path) -> dict[str, Row]:
    """The rows of the alloys, relaxed through the embedded default: SQLite, ZeroMQ, no queue."""
    with isolated_profile() as profile:
        profile.set_up()
        _, rows = profile.relax(crystals, "pet-engine@localhost")
    return rows

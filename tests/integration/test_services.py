"""The services of this folder's tests leave nothing behind, and say what they lack."""

from __future__ import annotations

import pwd
from pathlib import Path

import pytest

from support.services import programs
from support.services.postgres import postgres_server
from support.services.programs import (
    Program,
    ServiceFailedError,
    ServiceMissingError,
    find_program,
    listens,
    processes_of,
)
from support.services.rabbitmq import rabbitmq_broker
from support.services.slurm import slurm_cluster
from support.services.ssh import other_machine

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

SERVICES = {
    "slurm": slurm_cluster,
    "postgres": postgres_server,
    "rabbitmq": rabbitmq_broker,
    "ssh": other_machine,
}


@pytest.mark.parametrize("name", SERVICES)
def test_service_leaves_nothing_behind(name: str) -> None:
    try:
        with SERVICES[name]() as service:
            folder = service.folder
            assert processes_of(folder)
    except ServiceMissingError as error:
        pytest.skip(str(error))
    assert processes_of(folder) == []
    assert not folder.exists()
    if name == "ssh":
        assert service.user not in {entry.pw_name for entry in pwd.getpwall()}
        assert not listens(service.port)


def test_missing_program_is_told_with_the_remedy() -> None:
    with pytest.raises(
        ServiceMissingError, match="no-such-program is not installed: scripts/install-services"
    ):
        find_program("no-such-program")


def test_without_root_services_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs.os, "geteuid", lambda: 1000)
    for service in SERVICES.values():
        with pytest.raises(ServiceMissingError, match="only root"), service():
            pass


def test_program_that_ends_at_once_is_told_with_its_log(tmp_path: Path) -> None:
    program = Program(["sh", "-c", "echo no such port; exit 1"], tmp_path / "log")
    with pytest.raises(ServiceFailedError, match=r"ended at once:\nno such port"):
        program.start(lambda: False)

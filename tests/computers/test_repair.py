"""What a repair finds, says and does, with a daemon and a broker that stand in; integration tests have real ones."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aiida.engine.daemon.client import DaemonException

from aiida_pet.computers import repair as module
from aiida_pet.computers.repair import Findings, RepairError, find_lost, plan_repair, reachable_daemon, repair


class Daemon:
    """Stands in for the client of a daemon."""

    profile = SimpleNamespace(process_control_backend="core.zeromq", name="tests")

    def __init__(self, workers: int = 3, obeys: bool = True) -> None:
        self.workers, self.obeys = workers, obeys
        self.calls: list[tuple[str, int]] = []

    def get_number_of_workers(self) -> int:
        return self.workers

    def get_daemon_pid(self) -> int:
        return 1

    def stop_daemon(self, wait: bool) -> None:
        if not self.obeys:
            raise DaemonException("it does not listen")
        self.calls.append(("stop", 0))

    def start_daemon(self, number_workers: int) -> None:
        self.calls.append(("start", number_workers))


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes 1 to 4 go on, of which the broker knows 2 and 4, and 9 that has ended."""
    monkeypatch.setattr(module, "get_active_processes", lambda project: [4, 1, 3, 2])
    monkeypatch.setattr(module, "get_process_tasks", lambda _: [2, 4, 9])
    monkeypatch.setattr(module, "_broker", lambda: None)


@pytest.mark.usefixtures("queue")
def test_lost_are_those_of_which_the_broker_knows_nothing() -> None:
    assert find_lost(None) == Findings(active=[1, 2, 3, 4], lost=[1, 3], ended=[9])


@pytest.mark.usefixtures("queue")
def test_repair_stops_mends_and_starts_as_many_workers_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    mended: list[Findings] = []
    monkeypatch.setattr(module, "mend", lambda _, findings: mended.append(findings))
    monkeypatch.setattr(module, "daemon_runs", lambda _: True)
    daemon: Any = Daemon()
    said: list[str] = []
    findings = repair(daemon, said.append)
    assert daemon.calls == [("stop", 0), ("start", 3)]
    assert mended == [findings]
    assert said == [
        "stopped the daemon (3 workers)",
        "2 processes that the queue had lost: put back into it (<1> <3>)",
        "1 process in the queue that had ended: removed (<9>)",
        "started the daemon with 3 workers, and its broker with it",
    ]


@pytest.mark.usefixtures("queue")
def test_plan_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    daemon: Any = Daemon()
    said: list[str] = []
    monkeypatch.setattr(module, "daemon_runs", lambda _: True)
    assert plan_repair(daemon, said.append) is None  # what workers hold cannot be seen
    monkeypatch.setattr(module, "daemon_runs", lambda _: False)
    findings = plan_repair(daemon, said.append)
    assert findings is not None
    assert findings.lost == [1, 3]
    assert daemon.calls == []
    assert "2 processes that the queue had lost: would be put back into it (<1> <3>)" in said


@pytest.mark.usefixtures("queue")
def test_daemon_that_does_not_obey_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "daemon_runs", lambda _: True)
    daemon: Any = Daemon(obeys=False)
    with pytest.raises(
        RepairError, match=r"could not be stopped: it does not listen; end the daemon by hand"
    ):
        repair(daemon, print)


def test_profile_without_a_broker_cannot_be_repaired(aiida_profile: Any) -> None:
    with pytest.raises(RepairError, match="verdi profile configure-broker"):
        reachable_daemon()

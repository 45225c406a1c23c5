"""What a lost worker, broker or database left behind, found and put right."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiida.brokers.zeromq.broker import ZeromqBroker
from aiida.brokers.zeromq.queue import PersistentQueue
from aiida.engine.daemon.client import DaemonClient, DaemonException
from aiida.engine.processes.control import get_active_processes, get_process_tasks, iterate_process_tasks
from aiida.manage import get_config_option, get_manager
from plumpy.process_comms import create_continue_body

from aiida_pet.computers.daemon import daemon_client, daemon_problem, daemon_runs
from aiida_pet.computers.services import broker_problem
from aiida_pet.words import plural

_MOST_PKS = 10


class RepairError(RuntimeError):
    """Raised if nothing can be repaired: there is no broker, it does not answer, or the daemon does not obey."""


@dataclass(frozen=True)
class Findings:
    """What database and broker say of each other.

    :ivar active: pks of processes that have not ended.
    :ivar lost: processes of which the broker knows nothing, so that no worker would ever take them up.
    :ivar ended: pks of processes that have ended, or are gone, and still are to be taken up.
    """

    active: list[int]
    lost: list[int]
    ended: list[int]


def reachable_daemon() -> DaemonClient:
    """Return the client of the daemon.

    :raises RepairError: if there is no broker, or it does not answer.
    """
    client = daemon_client()
    if client is None:
        raise RepairError(str(daemon_problem()))
    problem = broker_problem(client.profile)
    if problem:
        raise RepairError(problem)
    return client


def plan_repair(client: DaemonClient, say: Callable[[str], None]) -> Findings | None:
    """Say what :func:`repair` would do.

    :param say: is told each thing, in a sentence.
    :return: None where workers hold messages, so that what is lost cannot be seen.
    """
    if daemon_runs(client):
        workers = _workers(client)
        say(f"the daemon, which runs with {plural(workers, 'worker')}, would be stopped")
        say(
            f"{plural(len(_active()), 'process')} that have not ended would be compared with the queue of the broker, "
            "and lost processes would be put back into it"
        )
        say(f"the daemon would be started with {plural(workers, 'worker')}")
        return None
    findings = find_lost(_broker())
    _say_findings(findings, say, would=True)
    say(f"the daemon would be started with {plural(_default_workers(), 'worker')}")
    return findings


def repair(client: DaemonClient, say: Callable[[str], None]) -> Findings:
    """Stop the daemon, put right what was lost, and start the daemon with as many workers as before.

    :param say: is told each thing that was done, in a sentence.
    :raises RepairError: if the daemon cannot be stopped or started.
    """
    workers = _default_workers()
    if daemon_runs(client):
        workers = _workers(client)
        try:
            client.stop_daemon(wait=True)
        except DaemonException as error:
            raise RepairError(
                f"the daemon could not be stopped: {error}; end the daemon by hand (its PID is "
                f"{client.get_daemon_pid()}), then run `aiida-pet repair` again"
            ) from error
        say(f"stopped the daemon ({plural(workers, 'worker')})")
    elif client.get_daemon_pid() is not None:
        say("removed the files of a killed daemon")
    else:
        say("the daemon was not running")
    broker = _broker()
    findings = find_lost(broker)
    mend(broker, findings)
    _say_findings(findings, say, would=False)
    try:
        client.start_daemon(number_workers=workers)
    except DaemonException as error:
        raise RepairError(f"the daemon could not be started: {error}: `verdi daemon start`") from error
    say(f"started the daemon with {plural(workers, 'worker')}{_and_its_broker(client)}")
    return findings


def _say_findings(findings: Findings, say: Callable[[str], None], *, would: bool) -> None:
    if findings.lost:
        again = "would be put back into it" if would else "put back into it"
        say(
            f"{plural(len(findings.lost), 'process')} that the queue had lost: {again} ({_pks(findings.lost)})"
        )
    if findings.ended:
        removed = "would be removed" if would else "removed"
        say(
            f"{plural(len(findings.ended), 'process')} in the queue that had ended: {removed} ({_pks(findings.ended)})"
        )
    if not findings.lost and not findings.ended:
        say(
            f"nothing was lost: {plural(len(findings.active), 'process')} have not ended, and all of them are in the "
            "queue"
        )


def _pks(pks: list[int]) -> str:
    more = f" and {len(pks) - _MOST_PKS} more" if len(pks) > _MOST_PKS else ""
    return " ".join(f"<{pk}>" for pk in pks[:_MOST_PKS]) + more


def find_lost(broker: Any) -> Findings:
    """Return what database and broker say of each other; the daemon must not run.

    :param broker: broker of the loaded profile.
    """
    active = sorted(_active())
    tasks = Counter(get_process_tasks(broker))
    return Findings(active, [pk for pk in active if pk not in tasks], sorted(set(tasks) - set(active)))


def mend(broker: Any, findings: Findings) -> None:
    """Give lost processes to the queue again, and take those that have ended out of it, as `verdi process repair` does.

    Connections to the database that others have are left alone.
    """
    if findings.ended:
        for task in iterate_process_tasks(broker):
            if task.body.get("args", {}).get("pid") not in findings.active:
                with task.processing() as outcome:
                    outcome.set_result(False)
    if not findings.lost:
        return
    if not isinstance(broker, ZeromqBroker) or broker.check_service_reachable():
        controller = get_manager().get_process_controller()
        for pk in findings.lost:
            controller.continue_process(pk)
        return
    # the broker, which is the daemon's, does not run: it reads its queue from the disk when it starts
    queue = PersistentQueue(broker._storage_path / "tasks")
    for pk in findings.lost:
        queue.push(uuid.uuid4().hex, {"body": create_continue_body(pid=pk, nowait=True), "no_reply": True})


def _active() -> list[int]:
    """Return the pks of all processes that have not ended, those that are paused too."""
    found: list[Any] = get_active_processes(project="id")
    return [int(pk) for pk in found]


def _broker() -> Any:
    return get_manager().get_broker()


def _workers(client: DaemonClient) -> int:
    try:
        return max(1, int(client.get_number_of_workers()))
    except Exception:  # a daemon that does not answer is stopped all the same
        return _default_workers()


def _default_workers() -> int:
    return int(get_config_option("daemon.default_workers") or 1)


def _and_its_broker(client: DaemonClient) -> str:
    return ", and its broker with it" if client.profile.process_control_backend == "core.zeromq" else ""

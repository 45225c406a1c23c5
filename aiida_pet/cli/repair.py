"""``aiida-pet repair``: what a lost worker, broker or database left behind is put right in one step."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from aiida_pet.cli.output import echo_json, json_option
from aiida_pet.cli.session import Session, daemon_client, daemon_runs, pass_session
from aiida_pet.words import plural

if TYPE_CHECKING:
    from aiida.engine.daemon.client import DaemonClient

_MOST_PKS = 10


@dataclass(frozen=True)
class Findings:
    """What database and broker say of each other.

    :ivar active: pks of processes that have not ended.
    :ivar lost: those of them of which the broker knows nothing: no worker would ever take them up.
    :ivar ended: pks of processes that have ended, or are gone, and still are to be taken up.
    """

    active: list[int]
    lost: list[int]
    ended: list[int]


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what it would do, and do nothing.")
@json_option
@pass_session
def repair(session: Session, *, dry_run: bool, as_json: bool) -> None:
    """Put right what a lost worker, broker or database left behind, and say each thing that is done.

    It stops the daemon, gives processes that the broker lost to the queue again, and starts the daemon with as many
    workers as before. Jobs in their queues go on meanwhile. Where nothing was lost, nothing but that happens.
    """
    session.load()
    client = _client()
    told: list[str] = []

    def say(sentence: str) -> None:
        told.append(sentence)
        if not as_json:
            click.echo(f"* {sentence}")

    findings = _plan(client, say) if dry_run else _repair(client, say)
    if as_json:
        lost = {} if findings is None else {"lost": findings.lost, "ended": findings.ended}
        echo_json({"dry_run": dry_run, "done": told, **lost})
    elif dry_run:
        click.echo("nothing was done")


def _client() -> DaemonClient:
    """Return the client of the daemon.

    :raises click.ClickException: if there is no broker, or it does not answer.
    """
    from aiida_pet.cli.services import broker_problem
    from aiida_pet.cli.session import daemon_problem

    client = daemon_client()
    if client is None:
        raise click.ClickException(str(daemon_problem()))
    problem = broker_problem(client.profile)
    if problem:
        raise click.ClickException(problem)
    return client


def _plan(client: DaemonClient, say: Callable[[str], None]) -> Findings | None:
    """Say what would be done; what is lost can be seen only where no worker holds messages."""
    if daemon_runs(client):
        workers = _workers(client)
        say(f"the daemon, which runs with {plural(workers, 'worker')}, would be stopped")
        say(
            f"{_processes(len(_active()))} to go on with would be looked for in the queue of the broker, and given to "
            "it again if they are lost"
        )
        say(f"the daemon would be started with {plural(workers, 'worker')}")
        return None
    findings = find(_broker())
    _say_findings(findings, say, would=True)
    say(f"the daemon would be started with {plural(_default_workers(), 'worker')}")
    return findings


def _repair(client: DaemonClient, say: Callable[[str], None]) -> Findings:
    from aiida.engine.daemon.client import DaemonException

    workers = _default_workers()
    if daemon_runs(client):
        workers = _workers(client)
        try:
            client.stop_daemon(wait=True)
        except DaemonException as error:
            raise click.ClickException(
                f"the daemon could not be stopped: {error}; end it by hand (its PID is {client.get_daemon_pid()}), "
                "then `aiida-pet repair` again"
            ) from error
        say(f"stopped the daemon ({plural(workers, 'worker')})")
    elif client.get_daemon_pid() is not None:
        say("cleared up after the daemon, which had been killed")
    else:
        say("the daemon was not running")
    broker = _broker()
    findings = find(broker)
    mend(broker, findings)
    _say_findings(findings, say, would=False)
    try:
        client.start_daemon(number_workers=workers)
    except DaemonException as error:
        raise click.ClickException(
            f"the daemon could not be started: {error}: `verdi daemon start`"
        ) from error
    say(f"started the daemon with {plural(workers, 'worker')}{_and_its_broker(client)}")
    return findings


def _say_findings(findings: Findings, say: Callable[[str], None], *, would: bool) -> None:
    if findings.lost:
        again = "would be given to it again" if would else "given to it again"
        say(f"{_processes(len(findings.lost))} lost to the queue: {again} ({_pks(findings.lost)})")
    if findings.ended:
        removed = "would be removed" if would else "removed"
        say(
            f"{_processes(len(findings.ended))} in the queue that had ended: {removed} ({_pks(findings.ended)})"
        )
    if not findings.lost and not findings.ended:
        say(f"nothing was lost: {_processes(len(findings.active))} to go on with, all of them in the queue")


def _processes(count: int) -> str:
    return f"{count:,} process{'' if count == 1 else 'es'}"


def _pks(pks: list[int]) -> str:
    more = f" and {len(pks) - _MOST_PKS} more" if len(pks) > _MOST_PKS else ""
    return " ".join(f"<{pk}>" for pk in pks[:_MOST_PKS]) + more


def find(broker: Any) -> Findings:
    """Return what database and broker say of each other; the daemon must not run.

    :param broker: of the loaded profile.
    """
    from aiida.engine.processes.control import get_process_tasks

    active = sorted(_active())
    tasks = Counter(get_process_tasks(broker))
    return Findings(active, [pk for pk in active if pk not in tasks], sorted(set(tasks) - set(active)))


def mend(broker: Any, findings: Findings) -> None:
    """Give lost processes to the queue again, and take those that have ended out of it, as `verdi process repair` does.

    Connections to the database that others have are left alone.
    """
    from aiida.brokers.zeromq.broker import ZeromqBroker
    from aiida.engine.processes.control import iterate_process_tasks
    from aiida.manage import get_manager

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
    from aiida.brokers.zeromq.queue import PersistentQueue
    from plumpy.process_comms import create_continue_body

    # the broker, which is the daemon's, does not run: it reads its queue from the disk when it starts
    queue = PersistentQueue(broker._storage_path / "tasks")
    for pk in findings.lost:
        queue.push(uuid.uuid4().hex, {"body": create_continue_body(pid=pk, nowait=True), "no_reply": True})


def _active() -> list[int]:
    """Return the pks of all processes that have not ended, those that are paused too."""
    from aiida.engine.processes.control import get_active_processes

    found: list[Any] = get_active_processes(project="id")
    return [int(pk) for pk in found]


def _broker() -> Any:
    from aiida.manage import get_manager

    return get_manager().get_broker()


def _workers(client: DaemonClient) -> int:
    try:
        return max(1, int(client.get_number_of_workers()))
    except Exception:  # a daemon that does not answer is stopped all the same
        return _default_workers()


def _default_workers() -> int:
    from aiida.manage import get_config_option

    return int(get_config_option("daemon.default_workers") or 1)


def _and_its_broker(client: DaemonClient) -> str:
    return ", and its broker with it" if client.profile.process_control_backend == "core.zeromq" else ""

"""``aiida-pet doctor``: what is wrong between here and the GPU, and how to mend it."""

from __future__ import annotations

import resource
import shlex
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aiida_pet.cli.codes import CODE, load_code
from aiida_pet.cli.errors import without_codes
from aiida_pet.cli.output import echo_json, json_option
from aiida_pet.cli.services import repository_folder
from aiida_pet.cli.session import Session, daemon_client, daemon_problem, pass_session
from aiida_pet.cli.setup_computer import echo_check
from aiida_pet.computers.checks import LEAST_FREE_KIB, Check, check_computer
from aiida_pet.words import plural

if TYPE_CHECKING:
    from aiida.engine.daemon.client import DaemonClient
    from aiida.orm import InstalledCode

LEAST_OPEN_FILES = 1024
SLOTS_SHARE = 0.9  # of the daemon's slots: AiiDA warns at the same
PROBE_WALLTIME_S = 600
POLL_S = 1.0
ACTIVE = ("created", "waiting", "running")


@click.command()
@click.option("--code", default=CODE, show_default=True, help="The engine, by label or pk.")
@click.option("--model", metavar="NAME|PK", help="Model to look for; the one that ships if not given.")
@click.option("--job", is_flag=True, help="Send a job through the queue that says what its node has.")
@click.option(
    "--patience",
    type=click.IntRange(min=1),
    default=600,
    show_default=True,
    help="Seconds to wait for that job.",
)
@json_option
@pass_session
def doctor(
    session: Session, *, code: str, model: str | None, job: bool, patience: int, as_json: bool
) -> None:
    """Say what is wrong with profile, daemon, computer and engine, and how to mend it.

    Exit status 1 if anything is.

    \b
    aiida-pet doctor --code pet-engine@cluster --job
    """
    session.load()
    checks = []
    for check in _checks(code, model, patience if job else None):
        checks.append(check)
        if not as_json:
            echo_check(check)
    ill = [check for check in checks if not check.ok]
    if as_json:
        echo_json({"ok": not ill, "checks": [asdict(check) for check in checks]})
    else:
        click.echo(f"{plural(len(ill), 'problem')} found" if ill else "all is well")
    if ill:
        raise click.exceptions.Exit(1)


def _checks(identifier: str, model: str | None, patience: int | None) -> Iterator[Check]:
    """Look at everything, in the order in which one thing needs the other.

    :param patience: seconds to wait for a probe job, None for no job.
    """
    storage = check_storage()
    yield storage
    yield from check_repository_disk()
    yield check_broker()
    yield from check_daemon(with_slots=storage.ok)
    yield check_open_files("open files here", resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    if not storage.ok:
        yield Check(
            "not looked at",
            False,
            "slots, code, computer, model and job, which need the storage",
            "mend the storage, then `aiida-pet doctor` again",
        )
        return
    try:
        code: Any = load_code(identifier)
    except click.ClickException as error:
        yield Check("code", False, error.message, "`aiida-pet setup computer FILE.yaml` makes one")
        return
    if code.computer is None:
        yield Check("code", False, f"{code.label} belongs to no computer", "name an installed code")
        return
    yield Check("code", True, f"{code.full_label} <{code.pk}>")
    found = list(check_computer(code.computer, code))
    yield from found
    if not found[0].ok:
        return
    yield check_model(code, model)
    if patience is not None:
        yield from check_job(code, patience)


def check_storage() -> Check:
    """Ask the database for something; AiiDA, when it opens the storage, looks for the repository of files too."""
    from aiida.manage import get_manager
    from aiida.orm import Node, QueryBuilder

    profile = get_manager().get_profile()
    if profile is None:
        return Check("storage", False, "no profile", "`aiida-pet setup`")
    remedy = (
        f"see that the disk of {repository_folder(profile)} is there, and `verdi status --print-traceback`"
    )
    if "psql" in profile.storage_backend:
        remedy = f"start the database (`service postgresql start`), or {remedy}"
    try:
        count = QueryBuilder().append(Node).count()
    except Exception as error:  # each backend has errors of its own
        # the first line: what follows in those of SQLAlchemy is the query and a link
        reason = next(iter(without_codes(error).splitlines()), type(error).__name__)
        return Check("storage", False, f"{profile.storage_backend} of {profile.name}: {reason}", remedy)
    limits = ""
    if "sqlite" in profile.storage_backend:
        limits = (
            "; SQLite has one writer at a time and one machine: one or two daemon workers, else PostgreSQL"
        )
    return Check(
        "storage", True, f"{profile.name}, {profile.storage_backend}, {plural(count, 'node')}{limits}"
    )


def check_repository_disk() -> Iterator[Check]:
    """Compare the space left where the profile keeps its files with the limit that computers have."""
    from aiida.manage import get_manager

    profile = get_manager().get_profile()
    folder = repository_folder(profile) if profile is not None else None
    if folder is None:
        return
    try:
        usage = shutil.disk_usage(folder)
    except OSError as error:
        yield Check("disk here", False, f"{folder}: {error.strerror}", "see that its disk is there")
        return
    detail = f"{usage.free / 1024**3:,.1f} GB free for the files of the profile in {folder}"
    if usage.free < LEAST_FREE_KIB * 1024:
        remedy = "free space: `verdi node delete`, then `verdi storage maintain`; or move the profile to another disk"
        yield Check("disk here", False, detail, remedy)
        return
    yield Check("disk here", True, detail)


def check_broker() -> Check:
    """Ask whether messages can be passed on."""
    from aiida.brokers.rabbitmq.broker import RabbitmqBroker
    from aiida.brokers.zeromq.broker import ZeromqBroker
    from aiida.manage import get_manager

    broker: Any = get_manager().get_broker()
    if broker is None:
        return Check("broker", False, "the profile has none", "`verdi profile configure-broker core.zeromq`")
    if isinstance(broker, ZeromqBroker):
        connected = bool(broker.probe_service_status().get("connected", False))
        if connected:
            return Check("broker", True, "ZeroMQ, runs with the daemon")
        return Check("broker", False, "ZeroMQ's broker does not run", "`verdi daemon restart`")
    try:
        broker.get_communicator()
    except Exception as error:  # of kiwipy, aiormq and the system alike
        reason = without_codes(error) or type(error).__name__
        return Check("broker", False, f"{broker}: {reason}", "start it (`service rabbitmq-server start`)")
    told = str(broker)
    if isinstance(broker, RabbitmqBroker):
        told += (
            "; AiiDA cannot read its consumer_timeout, which must be longer than the longest process: "
            "/etc/rabbitmq/rabbitmq.conf on its machine sets it, in ms, and without it is 30 min"
        )
    return Check("broker", True, told)


def check_daemon(*, with_slots: bool = True) -> Iterator[Check]:
    """Ask the daemon whether it runs, as what, and whether it has slots left.

    :param with_slots: False where the storage, by which those taken are counted, does not answer.
    """
    from aiida.cmdline.utils.daemon import validate_daemon_env

    problem = daemon_problem()
    client = daemon_client()
    if problem or client is None:
        what, _, remedy = (problem or "").rpartition(": ")
        yield Check("daemon", False, what, remedy)
        return
    try:
        workers = client.get_number_of_workers()
    except Exception as error:  # a daemon that does not answer in time, or of another version
        yield Check(
            "daemon", False, f"it runs but does not answer: {without_codes(error)}", "`verdi daemon restart`"
        )
        return
    drift = validate_daemon_env(client)
    if drift:
        told = " ".join(str(drift).split())
        yield Check(
            "daemon", False, f"runs with other packages than are here: {told}", "`verdi daemon restart`"
        )
    else:
        yield Check("daemon", True, f"runs with {plural(workers, 'worker')}, packages as here")
    if with_slots:
        yield _check_slots(workers)
    limit = _open_files_of(client)
    if limit is not None:
        yield check_open_files("open files", limit)


def _check_slots(workers: int) -> Check:
    """Compare the processes that have not ended with the slots, which those that wait occupy too."""
    from aiida.manage import get_config_option
    from aiida.orm import ProcessNode, QueryBuilder

    slots = workers * int(get_config_option("daemon.worker_process_slots"))
    query = QueryBuilder().append(
        ProcessNode,
        filters={"attributes.process_state": {"in": list(ACTIVE)}, "attributes.sealed": {"!==": True}},
    )
    active = query.count()
    detail = f"{active} of {slots} slots are taken"
    if active > SLOTS_SHARE * slots:
        remedy = (
            "`verdi daemon incr`, or `verdi config set daemon.worker_process_slots N` and restart the daemon"
        )
        return Check("slots", False, detail, remedy)
    return Check("slots", True, detail)


def _open_files_of(client: DaemonClient) -> int | None:
    """Return the daemon's own limit of open files, None where the system does not tell."""
    try:
        lines = Path(f"/proc/{client.get_daemon_pid()}/limits").read_text().splitlines()
    except OSError:
        return None
    words = next((line.split() for line in lines if line.startswith("Max open files")), [])
    return int(words[3]) if len(words) > 3 and words[3].isdecimal() else None


def check_open_files(what: str, limit: int) -> Check:
    """Compare a limit of open files with what a daemon over many jobs needs."""
    if limit < 0:
        return Check(what, True, "no limit")
    if limit < LEAST_OPEN_FILES:
        remedy = "`ulimit -n 4096` in the shell that starts the daemon, then `verdi daemon restart`"
        return Check(what, False, f"at most {limit}", remedy)
    return Check(what, True, f"at most {limit}")


def check_model(code: InstalledCode, identifier: str | None) -> Check:
    """Look whether the model is on the computer already."""
    from aiida_pet.cli.model import resolve
    from aiida_pet.computers.model_store import ModelStoreError, find_place

    try:
        model = resolve(identifier)
    except click.ClickException as error:
        return Check("model", False, error.message, "`aiida-pet model list` shows those there are")
    try:
        place = find_place(model, code.computer)
    except ModelStoreError as error:
        return Check("model", False, str(error), f"`verdi computer test {shlex.quote(code.computer.label)}`")
    if not place.is_whole:
        return Check(
            "model", True, f"{model.name} is not staged yet: the first launch uploads it to {place.folder}"
        )
    return Check("model", True, f"{model.name} is staged in {place.folder}")


def check_job(code: InstalledCode, patience: float) -> Iterator[Check]:
    """Send a job through the queue and say what its node has."""
    from aiida.engine import submit

    from aiida_pet.calculations.probe import ProbeCalculation, read_answer
    from aiida_pet.computers.resources import ResourceError, asked_resources, resource_options

    problem = daemon_problem()
    if problem:
        yield Check("job", False, "not sent", problem)
        return
    try:
        options = resource_options(code.computer)
        gpus = asked_resources(code.computer).gpus or 0
    except ResourceError as error:
        yield Check("job", False, f"not sent: {error}", "set the computer up anew under another label")
        return
    options["max_wallclock_seconds"] = min(
        options.get("max_wallclock_seconds", PROBE_WALLTIME_S), PROBE_WALLTIME_S
    )
    started = time.monotonic()
    node: Any = submit(ProbeCalculation, code=code, metadata={"options": options, "disable_cache": True})
    refused = ""
    while not node.is_terminated and not refused and time.monotonic() - started < patience:
        time.sleep(POLL_S)
        refused = "" if node.get_job_id() else _last_error(node)
    if not node.is_terminated:
        state = node.get_scheduler_state()
        if refused:
            what = f"the job of <{node.pk}> could not be submitted, which AiiDA goes on trying: {refused}"
        else:
            queued = state.value if state else "not in the queue yet"
            what = f"<{node.pk}> has not ended after {patience:g} s ({queued})"
        remedy = f"look at the queue there; `verdi process report {node.pk}`, `verdi process kill {node.pk}`"
        yield Check("job", False, what, remedy)
        return
    answer = read_answer(node)
    if answer is None:
        reason = node.exit_message or node.exception or "it gave no answer"
        remedy = (
            f"`verdi calcjob outputcat {node.pk} _scheduler-stderr.txt`, `verdi process report {node.pk}`"
        )
        yield Check("job", False, f"<{node.pk}>: {reason}", remedy)
        return
    yield Check("job", True, f"<{node.pk}> ran on {answer['host']} with {plural(answer['cores'], 'core')}")
    yield from read_probe(answer, gpus)


def _last_error(node: Any) -> str:
    """Return the last line of what AiiDA logged of ``node`` as an error, empty if it logged none."""
    from aiida.orm import Log

    errors = [log for log in Log.collection.get_logs_for(node) if log.levelname == "ERROR"]
    lines = errors[-1].message.strip().splitlines() if errors else []
    return str(lines[-1]).strip() if lines else ""


def read_probe(answer: dict[str, Any], gpus: int) -> Iterator[Check]:
    """Say what is wrong with a compute node.

    :param answer: of :func:`aiida_pet.engine.probe.probe`.
    :param gpus: that the job asked for.
    """
    from aiida_pet import __version__

    if answer["version"] != __version__:
        remedy = f"install aiida-pet {__version__} where the node finds it"
        yield Check("node's engine", False, f"aiida-pet {answer['version']}, here {__version__}", remedy)
    else:
        packages = ", ".join(f"{name} {found}" for name, found in answer["packages"].items() if found)
        yield Check("node's engine", True, f"aiida-pet {answer['version']}, {packages}")
    devices, visible = answer["devices"], answer["visible_devices"]
    seen = f"CUDA_VISIBLE_DEVICES={visible}" if visible is not None else "CUDA_VISIBLE_DEVICES not set"
    if answer["problem"]:
        remedy = "mend the installation of torch there; `pet-engine --probe` on the node tells more"
        yield Check("node's GPU", False, f"{answer['problem']} ({seen})", remedy)
    elif devices:
        names = ", ".join(f"{device['name']} ({device['memory_mb'] / 1024:.0f} GB)" for device in devices)
        yield Check("node's GPU", True, f"{names}, CUDA {answer['cuda']}, {seen}")
    elif gpus:
        reason = (
            "torch was built without CUDA"
            if answer["cuda"] is None
            else f"torch for CUDA {answer['cuda']} sees none"
        )
        yield Check(
            "node's GPU",
            False,
            f"the job asked for {plural(gpus, 'GPU')}, but {reason} ({seen})",
            "install torch with CUDA there, load the driver's module, or correct the GPU syntax of the computer",
        )
    else:
        yield Check("node's GPU", True, "none, and none was asked for: jobs run on the CPU")
    yield check_open_files("node's files", int(answer["open_files"]))

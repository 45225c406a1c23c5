"""What is wrong with profile, broker, daemon and model, each with its remedy; for `aiida-pet doctor`.

The computer itself is looked at in :mod:`aiida_pet.computers.checks`.
"""

from __future__ import annotations

import logging
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiida.brokers.rabbitmq.broker import RabbitmqBroker
from aiida.brokers.zeromq.broker import ZeromqBroker
from aiida.cmdline.utils.daemon import validate_daemon_env
from aiida.engine.daemon.client import DaemonClient
from aiida.manage import get_config_option, get_manager
from aiida.orm import InstalledCode, Node, ProcessNode, QueryBuilder

from aiida_pet.computers.checks import LEAST_FREE_KIB, Check
from aiida_pet.computers.daemon import daemon_client, daemon_problem
from aiida_pet.computers.model_store import ModelStoreError, find_place
from aiida_pet.computers.services import LOCKED, is_locked, repository_folder
from aiida_pet.data.model_nodes import ModelNotFoundError, model_to_use
from aiida_pet.words import plural, without_codes

LEAST_OPEN_FILES = 1024
SLOTS_SHARE = 0.9  # of the daemon's slots: AiiDA warns at the same
ACTIVE = ("created", "waiting", "running")


def check_storage() -> Check:
    """Ask the database for something; AiiDA, when it opens the storage, looks for the repository of files too."""
    profile = get_manager().get_profile()
    if profile is None:
        return Check("storage", False, "no profile", "`aiida-pet setup`")
    remedy = f"check that the disk of {repository_folder(profile)} is there; `verdi status --print-traceback` says more"
    if "psql" in profile.storage_backend:
        remedy = f"start the database (`service postgresql start`), or {remedy}"
    try:
        count = QueryBuilder().append(Node).count()
    except Exception as error:  # each backend has errors of its own
        # the first line: what follows in those of SQLAlchemy is the query and a link
        reason = next(iter(without_codes(error).splitlines()), type(error).__name__)
        if is_locked(error):
            remedy = LOCKED
        return Check("storage", False, f"{profile.storage_backend} of {profile.name}: {reason}", remedy)
    limits = ""
    if "sqlite" in profile.storage_backend:
        limits = "; SQLite allows one writer at a time, on one machine: run at most two workers, or take PostgreSQL"
    return Check(
        "storage", True, f"{profile.name}, {profile.storage_backend}, {plural(count, 'node')}{limits}"
    )


def check_repository_disk() -> Iterator[Check]:
    """Compare the space left where the profile keeps its files with the limit that computers have."""
    profile = get_manager().get_profile()
    folder = repository_folder(profile) if profile is not None else None
    if folder is None:
        return
    try:
        usage = shutil.disk_usage(folder)
    except OSError as error:
        yield Check(
            "disk here", False, f"{folder}: {error.strerror}", "check that the disk of the profile is there"
        )
        return
    detail = f"{usage.free / 1024**3:,.1f} GB free for the files of the profile in {folder}"
    if usage.free < LEAST_FREE_KIB * 1024:
        remedy = "free space: `verdi node delete`, then `verdi storage maintain`; or move the profile to another disk"
        yield Check("disk here", False, detail, remedy)
        return
    yield Check("disk here", True, detail)


@contextmanager
def _quiet(logger: str) -> Iterator[None]:
    """Let ``logger`` say nothing for a while."""
    found = logging.getLogger(logger)
    before, found.disabled = found.disabled, True
    try:
        yield
    finally:
        found.disabled = before


def check_broker() -> Check:
    """Ask whether messages can be passed on."""
    broker: Any = get_manager().get_broker()
    if broker is None:
        return Check("broker", False, "the profile has none", "`verdi profile configure-broker core.zeromq`")
    if isinstance(broker, ZeromqBroker):
        with _quiet("aiida.broker.zeromq"):  # this check says the same in its own words
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
            "; AiiDA cannot read the consumer_timeout of RabbitMQ, which must be longer than the longest process. The "
            "file /etc/rabbitmq/rabbitmq.conf on its machine sets the timeout in ms; the default is 30 min"
        )
    return Check("broker", True, told)


def check_daemon(*, with_slots: bool = True) -> Iterator[Check]:
    """Ask the daemon whether it runs, as what, and whether it has slots left.

    :param with_slots: False where the storage, by which those taken are counted, does not answer.
    """
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
            "daemon",
            False,
            f"the daemon runs but does not answer: {without_codes(error)}",
            "`verdi daemon restart`",
        )
        return
    drift = validate_daemon_env(client)
    if drift:
        told = " ".join(str(drift).split())
        yield Check(
            "daemon",
            False,
            f"the daemon runs with other packages than this environment: {told}",
            "`verdi daemon restart`",
        )
    else:
        yield Check(
            "daemon", True, f"runs with {plural(workers, 'worker')} and the packages of this environment"
        )
    if with_slots:
        yield _check_slots(workers)
    limit = _open_files_of(client)
    if limit is not None:
        yield check_open_files("open files", limit)


def _check_slots(workers: int) -> Check:
    """Compare the processes that have not ended with the slots, which those that wait occupy too."""
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
    try:
        model = model_to_use(identifier)
    except ModelNotFoundError as error:
        return Check("model", False, str(error), "`aiida-pet model list` shows the models")
    try:
        place = find_place(model, code.computer)
    except ModelStoreError as error:
        return Check("model", False, str(error), f"`verdi computer test {shlex.quote(code.computer.label)}`")
    if not place.is_whole:
        return Check(
            "model", True, f"{model.name} is not staged yet: the first launch uploads it to {place.folder}"
        )
    return Check("model", True, f"{model.name} is staged in {place.folder}")

"""What a first calculation needs on this machine, made where it is missing and left alone otherwise.

Profile (SQLite and the ZeroMQ broker: no service to install, as ``verdi presto`` makes it), computer, code, the model
that ships, daemon. A second run says what is there and changes nothing. See :func:`set_up`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aiida.common.exceptions import NotExistent
from aiida.manage import get_manager
from aiida.manage.configuration import Profile, create_profile, get_config, load_profile
from aiida.orm import Computer, InstalledCode, load_code
from aiida.plugins import BrokerFactory

from aiida_pet.computers.checks import check_access, make_closed, work_dir_of
from aiida_pet.computers.daemon import broker_answers, daemon_client, daemon_runs
from aiida_pet.computers.interpreter import scripts_folder
from aiida_pet.computers.kinds import CODE, COMPUTER, PROFILE
from aiida_pet.computers.steps import CREATED, PRESENT, SKIPPED, Step
from aiida_pet.data.model import PetModelData
from aiida_pet.data.model_nodes import element_names, find_model
from aiida_pet.models.cards import embedded_card, embedded_path

EMAIL = "aiida@localhost"
DAEMON_TIMEOUT_S = 30
LOCAL_POLL_S = 0.5  # a look at the processes takes 0.02 s of CPU
BROKER_TIMEOUT_S = 60


def set_up(name: str | None, work_dir: Path | None, workers: int | None) -> Iterator[Step]:
    """Do the set-up and yield each step as it is done.

    :param name: name of the profile; None for the default one, or a new one.
    :param work_dir: where jobs run, if the computer is made; None for a folder beside the profile.
    :param workers: daemon workers to start, None to leave the daemon alone.
    """
    profile, step = ensure_profile(name)
    yield step
    computer, step = ensure_computer(profile, work_dir)
    yield step
    _, step = ensure_code(computer)
    yield step
    yield ensure_model()
    yield ensure_daemon(workers)


def ensure_profile(name: str | None) -> tuple[Profile, Step]:
    """Load profile ``name``, or the default profile, or a new profile with SQLite and the ZeroMQ broker."""
    loaded = get_manager().get_profile()
    config = get_config(create=True)
    wanted = name or (loaded.name if loaded else None) or config.default_profile_name or PROFILE
    state = PRESENT
    if wanted not in config.profile_names:
        state = CREATED
        broker = "core.zeromq"
        create_profile(
            config,
            name=wanted,
            email=EMAIL,
            storage_backend="core.sqlite_dos",
            storage_config={},
            broker_backend=broker,
            broker_config=BrokerFactory(broker).get_default_config(),
        )
        config.set_option("runner.poll.interval", 1, scope=wanted)
        # 2 s by default: too short for a daemon to answer on a busy machine
        config.set_option("daemon.timeout", DAEMON_TIMEOUT_S, scope=wanted)
        if config.default_profile_name is None:
            config.set_default_profile(wanted)
        config.store()
    profile = load_profile(wanted, allow_switch=True)
    backend = profile.process_control_backend
    problem = (
        ""
        if backend
        else f"profile {wanted!r} has no message broker, so nothing can be submitted: "
        "`verdi profile configure-broker core.zeromq` adds a broker"
    )
    detail = f"{profile.storage_backend}, {backend or 'no broker'}, in {config.dirpath}"
    return profile, Step("profile", state, wanted, detail, problem=problem)


def ensure_computer(profile: Profile, work_dir: Path | None) -> tuple[Computer, Step]:
    """Return the computer ``localhost``: this machine, without a scheduler."""
    state = PRESENT
    try:
        computer = Computer.collection.get(label=COMPUTER)
    except NotExistent:
        state = CREATED
        folder = work_dir or Path(get_config().dirpath) / "scratch" / profile.name
        computer = Computer(
            label=COMPUTER,
            hostname="localhost",
            description="this machine, without a scheduler",
            transport_type="core.local",
            scheduler_type="core.direct",
            workdir=str(folder.expanduser().resolve()),
        ).store()
        computer.set_minimum_job_poll_interval(LOCAL_POLL_S)
        computer.set_default_mpiprocs_per_machine(1)
    if not computer.is_configured:
        # the daemon has the environment already; some profiles take a second for every shell
        computer.configure(safe_interval=0, use_login_shell=False)
    detail = f"{computer.transport_type}, {computer.scheduler_type}, jobs run in {computer.get_workdir()}"
    problems = []
    if state == PRESENT and work_dir and str(work_dir.expanduser().resolve()) != computer.get_workdir():
        problems.append(
            f"computer {COMPUTER!r} runs its jobs in {computer.get_workdir()}, not in {work_dir}: the computer is "
            "left as it is (`verdi computer duplicate localhost` makes another computer)"
        )
    problems += _folder_problems(computer)
    return computer, Step("computer", state, COMPUTER, detail, computer.pk, "; ".join(problems))


def _folder_problems(computer: Computer) -> Iterator[str]:
    """Make the work directory unless it is there, closed to other users; yield what is wrong with it."""
    if computer.transport_type != "core.local":
        return  # one that somebody else made: `aiida-pet doctor` connects to it
    with computer.get_transport() as transport:
        folder = work_dir_of(computer, transport)
        try:
            make_closed(transport, folder)
        except OSError as error:
            yield f"work directory {folder} cannot be made: {error}"
            return
        access = check_access(transport, folder)
    if not access.ok:
        yield f"{access.detail}: {access.remedy}"


def engine_executable() -> Path:
    """Return the ``pet-engine`` that belongs to the running interpreter."""
    return scripts_folder() / CODE


def ensure_code(computer: Computer) -> tuple[InstalledCode, Step]:
    """Return the code ``pet-engine@localhost``, the engine next to the running interpreter.

    A code whose file is gone (the environment was moved or removed) gives its label to a new one.
    """
    executable = engine_executable()
    try:
        code: Any = load_code(f"{CODE}@{COMPUTER}")
    except NotExistent:
        code = None
    replaced = ""
    if code is not None and not Path(str(code.filepath_executable)).exists():
        code.label = f"{CODE}-{code.pk}"
        code.is_hidden = True
        replaced = f"; the executable of the earlier code is gone, so that code is now called {code.label} <{code.pk}>"
        code = None
    state = PRESENT
    if code is None:
        state = CREATED
        code = InstalledCode(
            label=CODE,
            description="PET engine of aiida-pet",
            computer=computer,
            filepath_executable=str(executable),
            default_calc_job_plugin="pet.relax",
            with_mpi=False,
        ).store()
    return code, Step(
        "code",
        state,
        f"{CODE}@{COMPUTER}",
        f"{code.filepath_executable}{replaced}",
        code.pk,
        _code_problem(code, executable),
    )


def _code_problem(code: InstalledCode, executable: Path) -> str:
    found = Path(str(code.filepath_executable))
    if not found.exists():
        return f"{found} does not exist: install aiida-pet into the environment of this interpreter"
    if found != executable:
        return (
            f"code {CODE}@{COMPUTER} is {found}, which belongs to another environment than this one ({executable}); "
            "use this code as it is, or make another code with `verdi code create core.code.installed` and give its "
            "label with --code"
        )
    if importlib.util.find_spec("torch") is None:
        return "the engine needs torch, which this environment lacks: pip install 'aiida-pet[engine]'"
    return ""


def ensure_model() -> Step:
    """Make the node of the model that ships, unless it is there."""
    card = embedded_card()
    node = find_model(str(card["sha256"]))
    state = PRESENT
    if node is None:
        state = CREATED
        node = PetModelData.get_or_create(embedded_path(), card)
    detail = (
        f"{element_names(card['elements'])}, {card['level_of_theory']}, sha256 {str(card['sha256'])[:12]}"
    )
    return Step("model", state, str(card["name"]), detail, node.pk)


def ensure_daemon(workers: int | None) -> Step:
    """Start the daemon with ``workers`` workers unless it runs; None leaves it alone."""
    client = daemon_client()
    if client is None:
        return Step("daemon", SKIPPED, "-", "the profile has no message broker")
    name = client.profile.name
    if daemon_runs(client):
        return Step("daemon", PRESENT, name, f"running, log in {client.daemon_log_file}")
    if workers is None:
        return Step("daemon", SKIPPED, name, "not running; `verdi daemon start` starts it")
    client.start_daemon(number_workers=workers, timeout=DAEMON_TIMEOUT_S)
    problem = ""
    if not broker_answers(BROKER_TIMEOUT_S):
        problem = (
            f"the broker does not answer {BROKER_TIMEOUT_S} s after the daemon was started: nothing can be submitted; "
            f"`verdi status` says more, and so does {client.daemon_log_file}"
        )
    detail = f"started, {workers} worker(s), log in {client.daemon_log_file}"
    return Step("daemon", CREATED, name, detail, problem=problem)

"""What all launches share: where and how jobs run, what they run on, and how a launch starts and is followed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aiida_pet.cli.choices import ProtocolName
from aiida_pet.cli.errors import in_options
from aiida_pet.cli.options import WALLTIME, parse_settings
from aiida_pet.cli.output import echo_json, json_option, note
from aiida_pet.cli.session import Session, pass_session
from aiida_pet.computers.kinds import ENGINE_HERE
from aiida_pet.words import plural

if TYPE_CHECKING:
    from aiida.orm import AbstractCode, StructureData

    from aiida_pet.campaigns.estimates import Estimate
    from aiida_pet.campaigns.plans import Site
    from aiida_pet.data.structures import StructureSetData

PROTOCOLS = ("fast", "moderate", "precise")
ALIASES = ("balanced", "stringent")  # what aiida-quantumespresso calls moderate and precise
POLL_S = 2.0


@dataclass(frozen=True)
class Request:
    """What the options that all launches have say, as they came; see :func:`launch_options`."""

    model: str | None
    code: str
    lanes: int
    job_size: int | None
    job_duration: int | None
    gpus: int | None
    gpu_type: str | None
    cpus_per_gpu: int | None
    cpus: int | None
    memory: str | None
    walltime: int | None
    account: str | None
    partition: str | None
    qos: str | None
    option: tuple[str, ...]
    setting: tuple[str, ...]
    clean_workdir: bool | None
    label: str
    wait: bool
    dry_run: bool
    as_json: bool


def launch_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that all launches have; the command gets the session and a :class:`Request` as ``request``."""

    @wraps(function)
    def command(session: Session, **options: Any) -> Any:
        own = {field.name: options.pop(field.name) for field in fields(Request)}
        return function(session, request=Request(**own), **options)

    wrapped: Callable[..., Any] = command
    for decorator in (  # the last one comes first in the help
        pass_session,
        click.option(
            "--clean-workdir/--keep-workdir",
            default=None,
            help="Remove or keep the folder of a job after its results are stored. Folders of failed jobs are always "
            "kept.  [default: keep]",
        ),
        click.option(
            "--setting",
            multiple=True,
            metavar="NAME=VALUE",
            help="Setting of the engine, such as device=cuda or threads=2. May be repeated.",
        ),
        click.option(
            "--option",
            multiple=True,
            metavar="NAME=VALUE",
            help="Option of the scheduler, such as queue_name=gpu. May be repeated.",
        ),
        click.option("--qos", help="Quality of service (SLURM)."),
        click.option("--partition", metavar="NAME", help="Partition or queue of the cluster."),
        click.option("--account", metavar="NAME", help="Account to which the jobs are charged."),
        click.option(
            "--walltime",
            type=WALLTIME,
            help="Time limit of a job, such as 2h. A job stops before its limit, and the next job goes on "
            "with its rows.",
        ),
        click.option("--memory", metavar="AMOUNT", help="Main memory of a job, such as 64GB."),
        click.option("--cpus", type=click.IntRange(min=1), help="Number of cores of a job."),
        click.option(
            "--cpus-per-gpu",
            type=click.IntRange(min=1),
            help="Number of cores of a job for each of its GPUs.",
        ),
        click.option(
            "--gpu-type",
            metavar="NAME",
            help="Kind of GPU, by the name that the cluster uses, such as a100.",
        ),
        click.option(
            "--gpus", type=click.IntRange(min=0), help="Number of GPUs of a job. The engine uses one GPU."
        ),
        click.option(
            "--job-duration",
            type=WALLTIME,
            help="Time that a job should take, such as 30m. A small job comes first, and its speed sets the "
            "size of the next jobs.",
        ),
        click.option(
            "--job-size",
            type=click.IntRange(min=1),
            help="Largest number of rows in a job. Without this option there are few large jobs.",
        ),
        click.option(
            "--lanes",
            type=click.IntRange(min=1),
            default=1,
            show_default=True,
            help="Number of jobs that run at once.",
        ),
        click.option(
            "--code", default=ENGINE_HERE, show_default=True, help="Code of the engine, by label or pk."
        ),
        json_option,
        click.option(
            "--label",
            default="",
            help="Label of the launch. Without this option the launch gets a label such as 'relax 64 of alloys'.",
        ),
        click.option(
            "--wait",
            is_flag=True,
            help="Follow the launch to its end. The exit status is 1 if the launch fails.",
        ),
        click.option(
            "--dry-run",
            is_flag=True,
            help="Print the jobs, time and memory that the launch would need, and start nothing.",
        ),
        click.option("--model", metavar="NAME|PK", help="Model to use. Default: the included model."),
    ):
        wrapped = decorator(wrapped)
    return wrapped


def protocol_option_of(further: Sequence[str] = (), or_file: bool = False) -> Callable[[Any], Any]:
    """Return the option ``--protocol`` with ``further`` names beside those that all tasks have.

    :param or_file: whether a file may be named too.
    """
    return click.option(
        "--protocol",
        type=ProtocolName((*PROTOCOLS, *ALIASES, *further), or_file=or_file),
        help="Protocol, a named set of parameters; `aiida-pet params TASK` says what each protocol is for."
        + (" FILE.yaml is a file with your own protocol." if or_file else "")
        + "  [default: moderate]",
    )


protocol_option = protocol_option_of()
script_option = click.option(
    "--script", is_flag=True, help="With --dry-run: print the script that the scheduler would get for a job."
)


def check_script(script: bool, request: Request) -> None:
    """Check that ``--script`` stands beside ``--dry-run``.

    :raises click.UsageError: if it does not.
    """
    if script and not request.dry_run:
        raise click.UsageError(
            "--script needs --dry-run; `verdi calcjob inputcat PK` shows the script of a job"
        )


def echo_script(script: str, as_json: bool) -> None:
    """Print the script of a job."""
    if as_json:
        echo_json({"script": script})
    else:
        click.echo(script, nl=not script.endswith("\n"))


targets_argument = click.argument("targets", nargs=-1, required=True, metavar="SET|FILE...")


def check_request(request: Request) -> None:
    """Check that what is to be launched could run, before anything is made.

    :raises click.ClickException: if it could not, with the remedy.
    """
    if request.dry_run and request.wait:
        raise click.UsageError("--dry-run starts nothing, so there is nothing to --wait for")
    if request.dry_run:
        return
    from aiida_pet.computers.daemon import daemon_problem, disk_problem

    problem = daemon_problem() or disk_problem()
    if problem:
        raise click.ClickException(f"{problem}; nothing was started")


def read_site(request: Request) -> Site:
    """Return code, model and where to run, checked.

    :raises click.ClickException: for what is not there or does not fit, with the remedy.
    """
    from aiida_pet.campaigns.plans import Site
    from aiida_pet.data.model_nodes import model_to_use

    model = model_to_use(request.model)
    code, inputs, rendered = read_place(request)
    return Site(code, model, inputs | {"job_size": request.job_size}, rendered)


def read_place(request: Request) -> tuple[AbstractCode, dict[str, Any], dict[str, Any]]:
    """Return the code, arguments of ``get_builder_from_protocol`` and the options of each job, checked.

    :raises click.ClickException: for what is not there or does not fit, with the remedy.
    """
    from aiida_pet.campaigns.plans import inputs_of_jobs
    from aiida_pet.computers.codes import find_code
    from aiida_pet.computers.resources import ResourceError

    options = parse_settings(request.option, "--option")
    resources = read_resources(request, options)
    settings = parse_settings(request.setting, "--setting")
    check_options(options, settings)
    code = find_code(request.code)
    check_sendable(code)
    try:
        return code, *inputs_of_jobs(code, request.lanes, resources, options, settings)
    except ResourceError as error:
        raise click.UsageError(str(error)) from error


def check_sendable(code: AbstractCode) -> None:
    """Check that jobs of ``code`` can be sent.

    :raises click.ClickException: if they cannot, with the remedy.
    """
    from aiida_pet.computers.codes import CodeError, check_configured

    try:
        check_configured(code)
    except CodeError as error:
        raise click.ClickException(f"{error} (option --code); nothing was started") from error


def read_resources(request: Request, options: dict[str, Any]) -> dict[str, Any]:
    """Return what each job asks for.

    :param options: given with --option, none of which may say the same a second time.
    :raises click.UsageError: if one does.
    """
    from aiida_pet.computers.resources import OPTION_OF_RESOURCE, Resources

    names = Resources.model_fields
    given = {name: getattr(request, name) for name in names if getattr(request, name) is not None}
    for name in given:
        option = OPTION_OF_RESOURCE.get(name)
        if option in options:
            raise click.UsageError(
                f"{flag_of(name)} and --option {option} set the same thing: give one of them"
            )
    return given


def flag_of(name: str) -> str:
    """Return the option of the command line for a resource."""
    return f"--{name.replace('_', '-')}"


def check_options(options: dict[str, Any], settings: dict[str, Any]) -> None:
    """Check what ``--option`` and ``--setting`` say.

    :raises click.BadParameter: for what jobs or the engine do not know.
    """
    from aiida_pet.calculations.validation import validate_settings
    from aiida_pet.workchains.inputs import validate_options

    for problem, hint in (
        (validate_options(options, None), "--option"),
        (validate_settings(settings, None), "--setting"),
    ):
        if problem:
            raise click.BadParameter(problem.replace("settings.", ""), param_hint=hint)


def load_targets(targets: Sequence[str], store: bool) -> StructureSetData | StructureData:
    """Return the crystals named by a pk or label, or those of files, which are imported.

    :param store: whether a set that is imported is stored.
    :raises click.ClickException: if they are not there.
    """
    from aiida.orm import StructureData

    from aiida_pet.campaigns.nodes import load
    from aiida_pet.cli.data import import_files
    from aiida_pet.data.labels import labelled
    from aiida_pet.data.structures import StructureSetData

    paths = [Path(target) for target in targets]
    are_files = [path.exists() and not str(path).isdecimal() for path in paths]
    if all(are_files):
        summary: list[str] = []
        node, _ = import_files(paths, store=store, summary=summary)
        if store:
            note(f"imported {plural(len(node), 'crystal')} as <{node.pk}>")
        for line in summary:
            note(in_options(line))
        return node
    if len(targets) > 1:
        missing = [target for target, is_file in zip(targets, are_files, strict=True) if not is_file]
        raise click.ClickException(f"give one set, or files: there is no file {', '.join(missing)}")
    if paths[0].suffix and not labelled(targets[0]):
        raise click.ClickException(f"there is no file {targets[0]}, and no set has this label")
    found: StructureSetData | StructureData = load(targets[0], StructureSetData, StructureData)
    return found


def note_elsewhere(expected: Iterable[Estimate], site: Site) -> None:
    """Say if times were measured on another device or computer than that of the jobs."""
    places = dict.fromkeys(one.elsewhere for one in expected if one.elsewhere)
    if places:
        here = f"{site.device or 'jobs'} of {site.computer.label}"
        note(
            f"Warning: the time was measured on {' and '.join(places)}, not on {here}: take it as a rough "
            "guess"
        )


def _refusal(error: ValueError) -> str:
    """Return why AiiDA refused inputs, without its words about ports."""
    return re.sub(r"\AError occurred validating port '[\w.]*': ", "", str(error)).strip()


def start(
    builder: Any, what: str, request: Request, record: dict[str, Any], *, jobs: Any | None = None
) -> None:
    """Submit ``builder``, say so, and follow it if that is asked for.

    :param what: is launched, in a word.
    :param record: what else the JSON says of it.
    :param jobs: the part of ``builder`` that has the inputs of jobs, if it is not the whole.
    :raises click.exceptions.Exit: with status 1 if it was followed and did not end well.
    """
    from aiida.engine import submit
    from aiida.orm import Bool, Int

    from aiida_pet.calculations.hashing import restore_hashes
    from aiida_pet.campaigns.labels import description_of, label_of

    task = what.removesuffix("WorkChain").lower()
    builder.metadata.label = request.label or label_of(builder, task)
    builder.metadata.description = description_of(builder, task, record.get("resumed"))
    jobs = builder if jobs is None else jobs
    if request.job_duration is not None:
        jobs.job_duration = Int(request.job_duration)
    if request.clean_workdir is not None:
        jobs.clean_workdir = Bool(request.clean_workdir)
    restore_hashes()
    try:
        node = submit(builder)
    except ValueError as error:
        raise click.ClickException(_refusal(error)) from error
    if not request.wait:
        if request.as_json:
            echo_json({"pk": node.pk, "uuid": node.uuid, **record})
        else:
            click.echo(f"{what} <{node.pk}> started")
            click.echo(f"  aiida-pet status {node.pk} --watch\n  aiida-pet results {node.pk}")
        return
    from aiida_pet.campaigns import status
    from aiida_pet.cli.status import echo_status, follow

    note(f"{what} <{node.pk}> started; Ctrl-C does not stop it. `aiida-pet status {node.pk}` shows it again.")
    follow(node, POLL_S)
    found = status(node)
    if request.as_json:
        echo_json(found.to_dict())
    else:
        echo_status(found, most_jobs=0)
    if not node.is_finished_ok:
        raise click.exceptions.Exit(1)

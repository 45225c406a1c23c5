"""``aiida-pet launch``: start a task over a set of crystals, or say beforehand what it would take."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aiida_pet.cli.options import WALLTIME, parse_settings
from aiida_pet.cli.output import cell, duration, echo_json, echo_pairs, json_option, note, plural, shortened
from aiida_pet.cli.session import Session, daemon_problem, load_as, pass_session

if TYPE_CHECKING:
    from aiida.orm import AbstractCode, StructureData

    from aiida_pet.cli.estimate import Estimate
    from aiida_pet.data.model import PetModelData
    from aiida_pet.data.structures import StructureSetData
    from aiida_pet.engine.table import StructureTable

CODE = "pet-engine@localhost"
PROTOCOLS = ("fast", "moderate", "precise")
POLL_S = 2.0


@click.group()
def launch() -> None:
    """Start a task over a set of crystals."""


@dataclass(frozen=True)
class Request:
    """What the options of a launch say, as they came; see :func:`_options`."""

    targets: tuple[str, ...]
    protocol: str | None
    set_: tuple[str, ...]
    model: str | None
    code: str
    lanes: int
    job_size: int | None
    walltime: int | None
    option: tuple[str, ...]
    setting: tuple[str, ...]
    where: str | None
    label: str
    wait: bool
    dry_run: bool
    as_json: bool


@dataclass
class Plan:
    """A launch that is ready: everything checked, nothing started.

    :ivar structures: the crystals: a set, not stored if it was read for a dry run, or a single structure.
    :ivar ids: of the rows to do, None for all.
    :ivar parameters: of the task, defaults filled in.
    :ivar inputs: further arguments of ``get_builder_from_protocol``.
    """

    task: str
    structures: StructureSetData | StructureData
    ids: list[str] | None
    code: AbstractCode
    model: PetModelData
    parameters: dict[str, Any]
    inputs: dict[str, Any] = field(default_factory=dict)


def _options(function: Callable[..., Any]) -> Callable[..., Any]:
    for decorator in (
        pass_session,
        json_option,
        click.option("--dry-run", is_flag=True, help="Say what it would take, and start nothing."),
        click.option("--wait", is_flag=True, help="Follow it to its end; exit status 1 if it fails."),
        click.option("--label", default="", help="Label of the launch."),
        click.option("--where", metavar="CONDITION", help="Only crystals that fulfil it: 'n_atoms < 10'."),
        click.option(
            "--setting",
            multiple=True,
            metavar="NAME=VALUE",
            help="How the engine works: device=cuda, threads=2.",
        ),
        click.option(
            "--option",
            multiple=True,
            metavar="NAME=VALUE",
            help="Of the scheduler: queue_name=gpu, account=x.",
        ),
        click.option(
            "--walltime", type=WALLTIME, help="Of a job; it stops in time and the next goes on: 2h."
        ),
        click.option(
            "--job-size", type=click.IntRange(min=1), help="Rows of a job at most; else few large jobs."
        ),
        click.option(
            "--lanes", type=click.IntRange(min=1), default=1, show_default=True, help="Jobs that run at once."
        ),
        click.option("--code", default=CODE, show_default=True, help="The engine, by label or pk."),
        click.option("--model", metavar="NAME|PK", help="Model to use; the one that ships if not given."),
        click.option(
            "--set",
            "set_",
            multiple=True,
            metavar="NAME=VALUE",
            help="A parameter, over those of the protocol; `aiida-pet params` lists them.",
        ),
        click.option(
            "--protocol", type=click.Choice(PROTOCOLS), help="Set of parameters.  [default: moderate]"
        ),
        click.argument("targets", nargs=-1, required=True, metavar="SET|FILE..."),
    ):
        function = decorator(function)
    return function


@launch.command()
@_options
def relax(session: Session, **options: Any) -> None:
    """Relax the crystals of a set (by pk or label) or of FILES, which are imported first.

    Prints the pk of the launch and returns: `aiida-pet status PK` follows it, `aiida-pet results PK` shows rows.

    \b
    aiida-pet launch relax alloys.xyz --set fmax=0.01 --wait
    aiida-pet launch relax 12 --protocol precise --lanes 4 --where 'n_atoms <= 20' --dry-run
    """
    _launch(session, "relax", Request(**options))


@launch.command()
@_options
def static(session: Session, **options: Any) -> None:
    """Compute energy, forces and stress of the crystals of a set or of FILES as they are.

    Prints the pk of the launch and returns: `aiida-pet status PK` follows it, `aiida-pet results PK` shows rows.
    """
    _launch(session, "static", Request(**options))


def _launch(session: Session, task: str, request: Request) -> None:
    if request.dry_run and request.wait:
        raise click.UsageError("--dry-run starts nothing that --wait could wait for")
    session.load()
    problem = None if request.dry_run else daemon_problem()
    if problem:
        raise click.ClickException(f"{problem}; nothing was started")
    plan = _plan(task, request)
    if request.dry_run:
        _tell_plan(plan, request)
        return
    node = _submit(plan, request.label)
    if not request.wait:
        _tell_start(plan, node, request.as_json)
        return
    from aiida_pet.cli.status import echo_report, follow

    note(f"<{node.pk}> started; it goes on if you leave (Ctrl-C), `aiida-pet status {node.pk}` looks again")
    document = follow(node, POLL_S)
    if request.as_json:
        echo_json(document)
    else:
        echo_report(document, most_jobs=0)
    if not node.is_finished_ok:
        raise click.exceptions.Exit(1)


def _plan(task: str, request: Request) -> Plan:
    """Return what to start, with everything checked that can be checked before.

    :raises click.ClickException: for what is not there or does not fit, with the remedy.
    """
    from aiida_pet.cli.model import resolve
    from aiida_pet.engine.job import Task
    from aiida_pet.engine.parameters import ParameterError, parse_parameters
    from aiida_pet.workchains.protocols import protocol_inputs

    changes = {"parameters": parse_settings(request.set_)}
    try:
        chosen = protocol_inputs(Task(task), request.protocol, changes)
    except ParameterError as error:
        known = f"`aiida-pet params {task}` prints the known ones with units and defaults"
        raise click.ClickException(f"{error}\n{known}") from error
    parameters = parse_parameters(Task(task), chosen.parameters).model_dump(mode="json")
    options = parse_settings(request.option, "--option")
    if request.walltime is not None:
        options["max_wallclock_seconds"] = request.walltime
    settings = parse_settings(request.setting, "--setting")
    _check_site(options, settings)
    model = resolve(request.model)
    code = _load_code(request.code)
    if "threads" not in settings:
        settings |= _share_of_cores(code, request.lanes)
    structures = _load_targets(request.targets, store=not request.dry_run)
    return Plan(
        task=task,
        structures=structures,
        ids=_select(structures, request.where),
        code=code,
        model=model,
        parameters=parameters,
        inputs={
            "protocol": request.protocol,
            "overrides": changes,
            "options": options,
            "settings": settings,
            "lanes": request.lanes,
            "job_size": request.job_size,
        },
    )


def _check_site(options: dict[str, Any], settings: dict[str, Any]) -> None:
    from aiida_pet.calculations.validation import validate_settings
    from aiida_pet.workchains.inputs import validate_options

    for problem, hint in (
        (validate_options(options, None), "--option"),
        (validate_settings(settings, None), "--setting"),
    ):
        if problem:
            raise click.BadParameter(problem, param_hint=hint)


def _load_code(identifier: str) -> AbstractCode:
    from aiida.common.exceptions import MultipleObjectsError, NotExistent
    from aiida.orm import load_code

    try:
        code: AbstractCode = load_code(int(identifier) if identifier.isdecimal() else identifier)
    except NotExistent as error:
        made = (
            "`aiida-pet setup` makes it" if identifier == CODE else "`verdi code list` shows those there are"
        )
        raise click.ClickException(f"there is no code {identifier!r}: {made}") from error
    except MultipleObjectsError as error:
        raise click.ClickException(f"several codes are called {identifier!r}: name one by its pk") from error
    return code


def _share_of_cores(code: AbstractCode, lanes: int) -> dict[str, int]:
    """Return the threads of each job on this machine, where no scheduler keeps jobs off each other's cores."""
    computer = code.computer
    if (
        computer is None
        or computer.transport_type != "core.local"
        or computer.scheduler_type != "core.direct"
    ):
        return {}
    return {"threads": max(1, len(os.sched_getaffinity(0)) // lanes)}


def _load_targets(targets: Sequence[str], store: bool) -> StructureSetData | StructureData:
    from aiida.orm import StructureData

    from aiida_pet.cli.data import import_files
    from aiida_pet.data.structures import StructureSetData

    paths = [Path(target) for target in targets]
    are_files = [path.exists() and not str(path).isdecimal() for path in paths]
    if all(are_files):
        node, _ = import_files(paths, store=store)
        if store:
            note(f"imported {plural(len(node), 'crystal')} as <{node.pk}>")
        return node
    if len(targets) > 1:
        missing = [target for target, is_file in zip(targets, are_files, strict=True) if not is_file]
        raise click.ClickException(f"give one set, or files: there is no file {', '.join(missing)}")
    if paths[0].suffix:
        raise click.ClickException(f"there is no file {targets[0]}")
    found: StructureSetData | StructureData = load_as(
        targets[0], StructureSetData, StructureData, hint="`aiida-pet data import` makes a set of crystals"
    )
    return found


def _select(structures: StructureSetData | StructureData, where: str | None) -> list[str] | None:
    from aiida_pet.cli.rows import select_ids
    from aiida_pet.data.structures import StructureSetData

    if where is None:
        return None
    if not isinstance(structures, StructureSetData):
        raise click.UsageError("--where selects from a set, but this is a single structure")
    ids = select_ids(structures, where)
    if not ids:
        raise click.ClickException(f"none of the {plural(len(structures), 'crystal')} fulfils {where!r}")
    return ids


def _submit(plan: Plan, label: str) -> Any:
    from aiida.engine import submit
    from aiida.orm import StructureData

    from aiida_pet.calculations.functions import collect_structures
    from aiida_pet.data.table import TableData
    from aiida_pet.workchains.batch import BatchWorkChain
    from aiida_pet.workchains.relax import RelaxWorkChain

    rows = TableData.from_ids(plan.ids) if plan.ids is not None else None
    builder: Any
    if plan.task == "relax":
        builder = RelaxWorkChain.get_builder_from_protocol(
            plan.code, plan.model, plan.structures, rows=rows, **plan.inputs
        )
    else:
        structures: Any = plan.structures
        if isinstance(structures, StructureData):
            structures = collect_structures(structure=structures)
        builder = BatchWorkChain.get_builder_from_protocol(
            plan.code, plan.model, structures, task=plan.task, rows=rows, **plan.inputs
        )
    if label:
        builder.metadata.label = label
    return submit(builder)


def _tell_start(plan: Plan, node: Any, as_json: bool) -> None:
    if as_json:
        echo_json(
            {
                "pk": node.pk,
                "uuid": node.uuid,
                "structures": plan.structures.pk,
                "model": plan.model.pk,
                "parameters": plan.parameters,
            }
        )
        return
    click.echo(f"{plan.task} <{node.pk}> started")
    click.echo(f"  aiida-pet status {node.pk} --watch\n  aiida-pet results {node.pk}")


def _table(plan: Plan) -> StructureTable:
    """Return the rows to do."""
    from aiida_pet.data.structures import StructureSetData
    from aiida_pet.engine.table import StructureTable

    if not isinstance(plan.structures, StructureSetData):
        return StructureTable.from_ase([("structure", plan.structures.get_ase())])
    table = plan.structures.to_table()
    return table if plan.ids is None else table.select(plan.ids)


def _tell_plan(plan: Plan, request: Request) -> None:
    from aiida_pet.cli.estimate import estimate, past_rate
    from aiida_pet.engine.job import Task

    table = _table(plan)
    rate = past_rate(Task(plan.task), plan.model)
    expected = estimate(table.n_atoms, request.lanes, request.job_size, rate)
    unsupported = _unsupported(table, plan.model)
    if request.as_json:
        record = asdict(expected) | {"task": plan.task, "model": plan.model.pk, "parameters": plan.parameters}
        record |= {"unsupported_elements": unsupported}
        record["rate"]["basis"] = expected.rate.basis
        echo_json(record)
        return
    _echo_estimate(plan, expected)
    if unsupported:
        note(
            f"Warning: {plan.model.name} does not know {shortened(unsupported)}: crystals with them will end as "
            "unsupported_element"
        )
    click.echo("nothing was started")


def _echo_estimate(plan: Plan, expected: Estimate) -> None:
    parameters = ", ".join(f"{name}={cell(value)}" for name, value in plan.parameters.items())
    echo_pairs(
        {
            "task": plan.task,
            "crystals": f"{expected.rows:,} with {plural(expected.atoms, 'atom')}",
            "model": f"{plan.model.name} <{plan.model.pk}>",
            "code": plan.code.full_label,
            "parameters": parameters,
            "jobs": f"{expected.jobs} of at most {plural(expected.job_size, 'row')}",
            "lanes": expected.lanes,
            "time": f"about {duration(expected.wall_s)} if all lanes run side by side",
            "memory": f"about {expected.memory_mb:.0f} MB per job",
            "based on": expected.rate.basis,
        }
    )


def _unsupported(table: StructureTable, model: PetModelData) -> list[str]:
    """Return the symbols of elements among the crystals that the model does not know."""
    import numpy as np
    from ase.data import chemical_symbols

    return [chemical_symbols[number] for number in np.setdiff1d(table.numbers, model.elements)]

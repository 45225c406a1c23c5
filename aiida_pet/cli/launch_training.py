"""``aiida-pet launch train|finetune|distill|calibrate``: models made of labelled crystals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from aiida_pet.campaigns.lines import told_options
from aiida_pet.cli.groups import OptionsByUse
from aiida_pet.cli.launching import (
    Request,
    check_request,
    launch_options,
    load_targets,
    protocol_option,
    read_place,
    start,
    targets_argument,
)
from aiida_pet.cli.options import parse_settings
from aiida_pet.cli.output import echo_json, echo_pairs, note
from aiida_pet.cli.session import Session
from aiida_pet.cli.training_options import (
    check_fit,
    check_request_of_training,
    check_teacher,
    stages_of,
    used_parameters,
)
from aiida_pet.words import assigned, duration, plural, shortened

if TYPE_CHECKING:
    from aiida_pet.data.model import PetModelData
    from aiida_pet.data.structures import StructureSetData
    from aiida_pet.training.label_checks import LabelCheck
    from aiida_pet.training.prepare import Prepared


_REASONS = 5  # for which rows are refused, that are told
_NAMED = 5  # rows that are told of each


def _training_options(function: Callable[..., Any]) -> Callable[..., Any]:
    wrapped = launch_options(function)
    for decorator in (
        click.option(
            "--old",
            metavar="SET|FILE",
            help="Labelled crystals like the earlier training data of the model. Their errors before and after the "
            "training show how much the model forgot.",
        ),
        click.option(
            "--test",
            metavar="SET|FILE",
            help="Labelled crystals for tests: they are used only to measure errors. Default: a share of SET.",
        ),
        click.option(
            "--validation",
            metavar="SET|FILE",
            help="Labelled crystals for validation: their errors decide which epoch is best. Default: a share of SET.",
        ),
        click.option(
            "--set",
            "set_",
            multiple=True,
            metavar="NAME=VALUE",
            help="Set an option to another value than the protocol does; `aiida-pet params train` lists the options.",
        ),
        protocol_option,
        targets_argument,
    ):
        wrapped = decorator(wrapped)
    return wrapped


@click.command(cls=OptionsByUse)
@_training_options
def train(session: Session, **options: Any) -> None:
    """Train a new model on the labelled crystals of a set (by pk or label) or of FILES.

    Direct heads are trained first, then conservative forces and stress. Labels are read from the columns input_energy,
    input_forces and input_stress, which an import makes; --set energy=NAME reads another column.

    \b
    aiida-pet launch train alloys.xyz --set group=base --dry-run
    aiida-pet launch train 12 --gpus 1 --walltime 8h --set name=pet-alloys
    """
    _launch(session, "scratch", **options)


@click.command(cls=OptionsByUse)
@_training_options
def finetune(session: Session, **options: Any) -> None:
    """Continue the training of a model (--model) with the labelled crystals of a set or of FILES.

    All weights are trained by default. --set method=lora trains only low-rank additions, and --set method=heads trains
    only the heads. With --set variant=r2scan, the model gets additional outputs for labels of another level of theory.
    If the model has an uncertainty, it is removed first, and a new uncertainty is computed at the end.

    \b
    aiida-pet launch finetune new.xyz --model pet-mad-xs --old 12 --set epochs=20
    """
    _launch(session, "finetune", **options)


@click.command(cls=OptionsByUse)
@click.option("--teacher", metavar="NAME|PK", required=True, help="Large model that labels the crystals.")
@click.option("--student", metavar="NAME|PK", help="Train this model further, instead of a new model.")
@_training_options
def distill(session: Session, teacher: str, student: str | None, **options: Any) -> None:
    """Let a large model label the crystals of a set or of FILES, and train a small model on these labels.

    \b
    aiida-pet launch distill alloys.xyz --teacher pet-mad-s --set architecture=xxs
    """
    _launch(session, "distill", **options, teacher=teacher, student=student)


@click.command(cls=OptionsByUse)
@_training_options
def calibrate(session: Session, **options: Any) -> None:
    """Give a model (--model) an uncertainty. It needs the labelled crystals on which the model was trained,
    as a set or FILES.

    The errors of the validation rows set the scale of the uncertainty. --set ensemble=32 also makes an ensemble of 32
    energies.
    """
    _launch(session, "calibrate", **options)


def _launch(
    session: Session,
    mode: str,
    *,
    request: Request,
    targets: tuple[str, ...],
    protocol: str | None,
    set_: tuple[str, ...],
    validation: str | None,
    test: str | None,
    old: str | None,
    teacher: str | None = None,
    student: str | None = None,
) -> None:
    from aiida_pet.data.model_nodes import model_to_use
    from aiida_pet.data.structures import StructureSetData
    from aiida_pet.workchains.train import TrainWorkChain

    session.load()
    check_request(request)
    check_request_of_training(request, mode)
    overrides = {"parameters": parse_settings(set_)}
    parameters = _parameters(mode, protocol, overrides)
    code, inputs, rendered = read_place(request)
    model: PetModelData | None = model_to_use(request.model) if mode in ("finetune", "calibrate") else None
    if student is not None:
        model = model_to_use(student)
    of_teacher = None if teacher is None else model_to_use(teacher)
    check_fit(parameters, mode, overrides["parameters"], model, of_teacher)
    sets: dict[str, StructureSetData] = {}
    names: dict[str, str] = {}
    given = {"validation": validation, "test": test, "old": old}
    for name, which in {"structures": targets, **{k: (v,) for k, v in given.items() if v}}.items():
        found = load_targets(which, store=not request.dry_run)
        if not isinstance(found, StructureSetData):
            raise click.ClickException("a training takes a set or files, not a single structure")
        sets[name] = found
        names["training" if name == "structures" else name] = shortened(which, 3)
    prepared = _prepared(sets, parameters, model, of_teacher is None)
    without_label = 0 if of_teacher is None else check_teacher(parameters, of_teacher, sets["structures"])
    _note_charges(sets)
    if request.dry_run:
        _tell(
            mode,
            parameters,
            sets,
            prepared,
            asked=rendered,
            model=model,
            teacher=of_teacher,
            without_label=without_label,
            names=names,
            request=request,
        )
        return
    if prepared is not None:
        _note_odd(prepared, names)
        for sentence in prepared.unchecked.values():
            note(sentence)
    builder: Any = TrainWorkChain.get_builder_from_protocol(
        code,
        sets.pop("structures"),
        mode=mode,
        model=model,
        teacher=of_teacher,
        protocol=protocol,
        overrides=overrides,
        options=inputs["options"],
        resources=inputs["resources"],
        settings=inputs["settings"],
        validation=sets.get("validation"),
        test=sets.get("test"),
        old=sets.get("old"),
    )
    record = {"structures": builder.structures.pk, "model": None if model is None else model.pk, "mode": mode}
    start(builder, "train" if mode == "scratch" else mode, request, record)


def _parameters(mode: str, protocol: str | None, overrides: dict[str, Any]) -> Any:
    """Return the options, defaults filled in.

    :raises click.ClickException: for what is unknown or out of bounds.
    """
    from aiida_pet.training.parameters import Mode, TrainingError, parse_training
    from aiida_pet.workchains.protocols.train import training_inputs

    try:
        return parse_training(training_inputs(Mode(mode), protocol, overrides).parameters)
    except TrainingError as error:
        raise click.ClickException(
            f"{error}\n`aiida-pet params train` prints the known parameters with units and defaults"
        ) from error


def _prepared(sets: dict[str, Any], parameters: Any, model: PetModelData | None, labelled: bool) -> Any:
    """Return what would be trained on; None for rows that a teacher will label, of which only columns are checked.

    :raises click.ClickException: if the sets cannot be trained on.
    """
    from aiida_pet.calculations.train import check_sets, tables_of
    from aiida_pet.cli.errors import in_options
    from aiida_pet.training.energy_zero import check_zero
    from aiida_pet.training.labels import told_with_all_columns
    from aiida_pet.training.parameters import TrainingError
    from aiida_pet.training.prepare import check_columns

    try:
        if not labelled:
            check_columns(tables_of(sets, parameters), parameters)
            return None
        prepared = check_sets(sets, parameters, model)
        if model is not None:
            with model.as_path() as path:
                check_zero(prepared, parameters, path, model.sha256)
    except TrainingError as error:
        tables = (one.to_table() for one in sets.values() if labelled)
        sentence = told_with_all_columns(error, tables, parameters)
        raise click.ClickException(in_options(sentence)) from error
    return prepared


def _note_charges(sets: dict[str, Any]) -> None:
    """Print which sets have rows with a charge or a spin."""
    from aiida_pet.calculations.train import SETS
    from aiida_pet.training.label_notes import charged_rows

    for sentence in charged_rows({SETS[port]: one.to_table() for port, one in sets.items()}):
        note(sentence)


def _note_odd(prepared: Prepared, names: dict[str, str]) -> None:
    """Print which rows are refused, the worst first, and what else is odd.

    :param names: name of a set -> what was given for it.
    """
    refused = prepared.refused_rows
    for one in refused[:_REASONS]:
        told = [f"{row} ({value})" if value else row for row, value in one.rows[:_NAMED]]
        more = f" and {len(one.rows) - _NAMED:,} more" if len(one.rows) > _NAMED else ""
        note(
            f"{plural(len(one.rows), 'row')} of the {one.name} set ({names[one.name]}) will not be used: "
            f"{one.why}: {', '.join(told)}{more}"
        )
    if len(refused) > _REASONS:
        rest = sum(len(one.rows) for one in refused[_REASONS:])
        note(
            f"{plural(rest, 'row')} will not be used for other reasons; the output `rows` of the training tells them"
        )
    for odd in prepared.notes:
        note(odd)


def _tell(
    mode: str,
    parameters: Any,
    sets: dict[str, Any],
    prepared: Prepared | None,
    *,
    asked: dict[str, Any],
    model: PetModelData | None,
    teacher: PetModelData | None,
    without_label: int,
    names: dict[str, str],
    request: Request,
) -> None:
    """Print what would be trained on, in which units, and what it would take."""
    from aiida_pet.training.cost import START_S, cost_of
    from aiida_pet.training.split import Split

    stages = stages_of(parameters, mode, model, teacher)
    used = used_parameters(parameters, mode, stages, model)
    if prepared is None:
        total = sets["structures"].base.attributes.get("n_atoms")
        atoms = {"training": total, "validation": 0}
        rows: dict[str, int] = {"to label": len(sets["structures"]) - without_label}
        rows |= {Split.REFUSED.value: without_label} if without_label else {}
    else:
        rows = {split.value: prepared.count(split) for split in Split}
        atoms = {split.value: prepared.atoms(split) for split in Split}
    known = None if model is None else model.base.attributes.get("n_parameters", None)
    cost = cost_of(parameters, stages, atoms, known)
    if request.as_json:
        echo_json(
            {
                "mode": mode,
                "stages": [stage.value for stage in stages],
                "rows": rows,
                "atoms": atoms,
                "refused": {} if prepared is None else prepared.refused,
                "columns": {} if prepared is None else prepared.parts["training"].labels.columns,
                "refused_rows": [] if prepared is None else [asdict(one) for one in prepared.refused_rows],
                "notes": [] if prepared is None else list(prepared.notes),
                "stress_ratio": None if prepared is None else prepared.stress_check.ratio,
                "force_ratio": None if prepared is None else prepared.force_check.ratio,
                "unchecked": [] if prepared is None else list(prepared.unchecked.values()),
                "parameters": used,
                "core_s": cost.core_s,
                "weights": cost.weights,
                "disk_mb": cost.disk_mb,
                "options": asked,
            }
        )
        return
    pairs: dict[str, Any] = {
        "mode": f"{mode}, in the stages {', '.join(stage.value for stage in stages)}",
        "rows": ", ".join(f"{name} {count:,}" for name, count in rows.items()),
        "atoms": ", ".join(f"{name} {count:,}" for name, count in atoms.items() if count),
    }
    if prepared is not None:
        pairs |= _told_data(prepared)
    for role, one in (("teacher", teacher), ("begins from", model)):
        if one is not None:
            pairs[role] = f"{one.name} <{one.pk}>"
    told = ", ".join(f"{stage} {duration(seconds)}" for stage, seconds in cost.core_s.items())
    pairs |= {
        "weights": f"about {cost.weights:,.0f}",
        "parameters": assigned(used),
        "asks for": told_options(asked),
        "time": f"about {told} on one core that does nothing else (a GPU is tens of times faster), and "
        f"{START_S:.0f} s or more to start each job",
        "disk": f"about {cost.disk_mb:.0f} MB of checkpoints on the computer",
    }
    echo_pairs(pairs)
    if prepared is not None:
        _note_odd(prepared, names)
    click.echo("nothing was started")


def _told_data(prepared: Prepared) -> dict[str, str]:
    """Return elements, labels with their units, and what energies say of the other labels, in words."""
    from ase.data import chemical_symbols

    units = {"energy": "eV", "forces": "eV/A", "stress": "eV/A^3, tension positive"}
    labels = prepared.parts["training"].labels
    columns = (f"{name} from {column} ({units[name]})" for name, column in labels.columns.items())
    told = {
        "elements": shortened([chemical_symbols[z] for z in prepared.elements]),
        "labels": ", ".join(columns),
        "level of theory": prepared.level_of_theory or "not known: --set level_of_theory=NAME sets it",
    }
    unchecked = prepared.unchecked
    if "energy" in unchecked:
        told["energy check"] = unchecked["energy"]
    for name, title, what, check in (
        ("stress", "stress check", "stresses", prepared.stress_check),
        ("forces", "force check", "forces", prepared.force_check),
    ):
        if name in labels.columns:
            told[title] = unchecked.get(name) or _told_check(check, what)
    return told


def _told_check(check: LabelCheck, what: str) -> str:
    """Return what energies say of the sign and unit of ``what``, in words."""
    return (
        f"energies change {check.ratio:.2f} times as much as the {what} predict, over {check.pairs} pairs of "
        f"frames of one crystal (expected 1; correlation {check.correlation:.2f})"
    )

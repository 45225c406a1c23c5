"""The stages of a screening as plain data: their order, their options, and what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from functools import cache, partial
from importlib.resources import files
from typing import Any

import pandas as pd
import yaml

from aiida_pet import plugins
from aiida_pet.analysis.funnel import settle_names
from aiida_pet.calculations.validation import check_parameters
from aiida_pet.data.structures import StructureSetData
from aiida_pet.job.parameters import parse_parameters
from aiida_pet.job.stages import KEEP, PARAMETERS, STAGES, in_order, stage_entry, stage_names, task_of
from aiida_pet.job.tasks import Task
from aiida_pet.tables.columns import REPEATED, columns_of, scalar_names
from aiida_pet.tables.components import component_names
from aiida_pet.tables.condition_values import Kind, expected_kind, value_of_column
from aiida_pet.tables.condition_words import slips_in
from aiida_pet.tables.filter import FilterError, check_condition
from aiida_pet.tables.frame import flat_columns
from aiida_pet.tables.table import Array
from aiida_pet.words import did_you_mean, unknown_name
from aiida_pet.workchains.protocols import (
    ProtocolError,
    available_protocols,
    default_protocol,
    name_of,
    protocol_inputs,
)

PROTOCOL = (
    "protocol"  # of one stage, where it is not that of the screening; what it stands for is what is stored
)
# Inputs of a protocol that a screening has once, for the jobs of all its stages.
OF_ALL_STAGES = ("settings", "options", "resources", "max_failures")

_OF_ALL_CRYSTALS = ("id", "formula", "n_atoms")  # which every table of crystals has


@cache
def _protocols() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(
        (files("aiida_pet.workchains.protocols") / "screening.yaml").read_text()
    )
    return content


def screening_protocols() -> dict[str, str]:
    """Return name -> description of each protocol of a screening."""
    return {name: content["description"] for name, content in _protocols()["protocols"].items()}


def default_screening_protocol() -> str:
    """Return the name of the protocol of a screening that is taken if none is named."""
    return str(_protocols()["default_protocol"])


def stage_options(stage: str) -> tuple[str, ...]:
    """Return the names of the options of ``stage``: what else is set of it is a parameter of its task.

    :raises ValueError: if there is no such stage.
    """
    entry = stage_entry(stage)
    return (*entry.option_names(), PROTOCOL) if entry.task else entry.option_names()


def make_stages(
    names: Iterable[str] = STAGES,
    protocol: str | None = None,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, dict[str, Any]]:
    """Return the stages ``names``, in the order of a screening, with the options of ``protocol``.

    :param names: names of stages; the stages of this package if none are named.
    :param protocol: fast, moderate or precise; None for moderate.
    :param overrides: stage -> options to change, as ``{"relax": {"parameters": {"fmax": 0.01}}, "hull": {"keep":
        "e_above_hull <= 0.025"}, "phonons": {"protocol": "fast"}}``.
    :raises ProtocolError: for a stage, option or protocol that there is not, a value that it cannot have, or a protocol
        that sets more than parameters.
    """
    content, wanted = _protocols(), list(names)
    changes = overrides or {}
    problem = _unknown({*wanted, *changes}) if wanted else _unknown(())
    if problem:
        raise ProtocolError(problem)
    missing = sorted(set(changes) - set(wanted))
    if missing:
        raise ProtocolError(
            f"options are given for {', '.join(missing)}, which is not among the chosen stages"
        )
    name = name_of(protocol, content, "of a screening")
    stages = {}
    for stage in in_order(wanted):
        given = dict(changes.get(stage, {}))
        options = stage_entry(stage).defaults
        parameters = given.pop(PARAMETERS, None)
        task = task_of(stage)
        if task is not None:
            own = given.pop(PROTOCOL, None) or _protocol_of(task, content["protocols"][name].get(stage, name))
            chosen = protocol_inputs(task, own, {PARAMETERS: parameters or {}})
            # what jobs ask for would be lost here: a stage is given that of the screening
            lost = [one for one in OF_ALL_STAGES if getattr(chosen, one)]
            if lost:
                raise ProtocolError(f"stage {stage}: protocol {own!r}: {_same_for_all(lost)}")
            options[PARAMETERS] = chosen.parameters
        elif parameters is not None:
            given[PARAMETERS] = parameters
        stages[stage] = options | given
    problem = check_stages(stages)
    if problem:
        raise ProtocolError(problem)
    return stages


def _protocol_of(task: Task, name: str) -> str:
    """Return ``name``, or the default of a task that has no protocol of that name."""
    return name if name in available_protocols(task) else default_protocol(task)


def _unknown(stages: Iterable[str]) -> str | None:
    """Return which of ``stages`` there are not, None if there are some and all are known."""
    given = list(stages)
    unknown = sorted(set(given) - set(stage_names()))
    if given and not unknown:
        return None
    told = ", ".join(f"{name}{did_you_mean(name, stage_names())}" for name in unknown)
    what = f"unknown stages: {told}" if unknown else "no stages"
    return f"{what}; expected some of {', '.join(stage_names())}"


def check_stages(
    stages: Mapping[str, Any],
    columns: Iterable[str] | Mapping[str, tuple[int, ...]] | None = None,
    values: Callable[[str], Array] | None = None,
) -> str | None:
    """Return what is wrong with ``stages``, None if nothing is.

    :param columns: columns of the input set, with their shapes (:func:`columns_of_set`) if some are no single values;
        None leaves it open which there are, and conditions are only read.
    :param values: returns a column of the input set, (N, ...), by which conditions are checked that name it; None
        leaves it open what such columns hold.
    """
    unknown = _unknown(stages)
    if unknown:
        return unknown
    planned = in_order(stages)
    for stage in planned:
        problem = _check_options(stage, stages[stage])
        if problem:
            return f"stage {stage}: {problem}"
    shapes = columns if isinstance(columns, Mapping) else dict.fromkeys(columns or (), (0,))
    names = names_of_input(stages, shapes)
    words = {word for stage in planned for word in _names(str(stages[stage].get("keep") or ""))}
    so_far = {name: expected_kind(name) for name in _OF_ALL_CRYSTALS}
    made: set[str] = set()
    for name, shape in shapes.items():
        so_far |= _kinds_of_input(names[name], shape, words, values and partial(values, name))
    for stage in planned:
        options = stages[stage]
        so_far |= {name: expected_kind(name) for name in known_columns(stage, options)}
        made |= set(known_columns(stage, options))
        if options.get("keep"):
            problem = _check_keep(options["keep"], so_far, made, columns is not None)
            if problem:
                return f"stage {stage}: {problem}{_renamed(options['keep'], names, so_far)}"
    return None


def _kinds_of_input(
    name: str, shape: tuple[int, ...], words: AbstractSet[str], read: Callable[[], Array] | None
) -> dict[str, Kind]:
    """Return what a column of the input holds, by the names that it has in a data frame.

    :param words: that conditions name: other columns are not read.
    :param read: returns the column, (N, ...).
    """
    labels = component_names(name, shape)
    if read is None or words.isdisjoint(labels):
        return dict.fromkeys(labels, Kind.UNKNOWN)
    flat = flat_columns(name, read())
    return {label: value_of_column(label, pd.Series(values)).kind for label, values in flat.items()}


def columns_of_set(structures: StructureSetData) -> dict[str, tuple[int, ...]]:
    """Return the columns of a set with their shapes (N, ...)."""
    return structures.column_shapes(structures.base.attributes.all)


def names_of_input(stages: Mapping[str, Any], columns: Iterable[str]) -> dict[str, str]:
    """Return what the input's ``columns`` are called in a screening with ``stages``, from the first stage to the last.

    One whose name a planned stage makes is called ``input_<name>``, whether that stage has run or not.
    """
    made = {name for stage in in_order(stages) for name in made_columns(stage, stages[stage])}
    return settle_names(columns, made)


def made_columns(stage: str, options: Mapping[str, Any]) -> set[str]:
    """Return all names that ``stage`` may give the table; vectors have names in a table and in a data frame.

    :param options: options of the stage, valid ones.
    """
    task = task_of(stage)
    if task is None:
        return {*known_columns(stage, options), *(column.name for column in columns_of(stage))}
    parameters = parse_parameters(task, options.get(PARAMETERS, {}))
    sources = [task.value, *stage_entry(stage).may_write]
    found = [column for source in sources for column in columns_of(source, parameters)]
    names = {name for column in found for name in column.names(parameters.symprecs)}
    return names | set(known_columns(stage, options))


def _renamed(condition: Any, names: Mapping[str, str], so_far: Iterable[str]) -> str:
    """Return what to write for columns of the input in ``condition`` that make way for those of a stage."""
    hints = [
        f"{name!r} is computed by a later stage; the column of the input is called {names[name]!r} here"
        for name in (_names(condition) if isinstance(condition, str) else ())
        if name not in so_far and names.get(name, name) != name
    ]
    return f" ({'; '.join(hints)})" if hints else ""


def known_columns(stage: str, options: Mapping[str, Any]) -> list[str]:
    """Return the columns of one value per row that ``stage`` gives the table, so that a condition can be checked.

    :param options: options of the stage, valid ones.
    """
    task = task_of(stage)
    if task is None:
        return scalar_names(stage)
    parameters = parse_parameters(task, options.get(PARAMETERS, {}))
    sources = (task.value, *stage_entry(stage).writes(options))
    names = [name for source in sources for name in scalar_names(source, parameters, parameters.symprecs)]
    is_first = stage == STAGES[0]  # what a later one repeats, it says under its own name
    return names if is_first else [*names, *(f"{stage}_{name}" for name in REPEATED)]


def _check_options(stage: str, options: Mapping[str, Any]) -> str | None:
    entry = stage_entry(stage)
    known = entry.option_names()
    unknown = sorted(set(options) - set(known))
    shared = [name for name in OF_ALL_STAGES if name in unknown]
    if shared:
        return _same_for_all(shared)
    if unknown:
        return "; ".join(unknown_name(name, known) for name in unknown)
    task = task_of(stage)
    problem = None if task is None else check_parameters(task, options.get(PARAMETERS, {}))
    if problem or not entry.check:
        return problem
    own = {name: value for name, value in options.items() if name not in (KEEP, PARAMETERS)}
    found: str | None = plugins.load(entry.check)(own)
    return found


def _same_for_all(names: list[str]) -> str:
    return (
        f"{', '.join(names)}: the jobs of all stages of a screening have the same options. Choose options that are "
        "enough for every stage, or launch the most demanding stage separately for the rows that pass"
    )


def _check_keep(
    condition: Any, columns: Mapping[str, Kind], made: AbstractSet[str], all_known: bool
) -> str | None:
    """Return what is wrong with a condition, None if nothing is.

    :param columns: that there are by then.
    :param made: those of them that stages make: a text that none of them ever holds is a slip.
    """
    if not isinstance(condition, str):
        return f"keep = {condition!r}: expected a condition such as 'e_above_hull <= 0.025'"
    try:
        open_ones = {} if all_known else dict.fromkeys(_names(condition), Kind.UNKNOWN)
        check_condition(condition, {**open_ones, **columns})
    except FilterError as error:
        return f"keep: {error}"
    slips = slips_in(condition, made)
    return f"keep: {condition!r}: {'; '.join(slips)}" if slips else None


def _names(condition: str) -> list[str]:
    """Return whatever could be a column in ``condition``."""
    return re.findall(r"[A-Za-z_]\w*", condition)

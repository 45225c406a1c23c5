"""What was asked of a launch, for the head of the page: model, parameters in words, versions, dates, cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiida_pet import __version__
from aiida_pet.job.parameters import describe_parameters
from aiida_pet.job.tasks import Task
from aiida_pet.report.citations import works_to_cite
from aiida_pet.report.costs import Cost, cost_of
from aiida_pet.report.private import without_places
from aiida_pet.report.source import Source
from aiida_pet.words import cell, duration, plural
from aiida_pet.workchains.jobs import Calls, calls_of

_WORDS = {
    "screen": "Screening",
    "relax": "Relaxation",
    "static": "Energies and forces",
    "phonons": "Phonons",
    "elastic": "Elastic constants",
    "md": "Molecular dynamics",
    "hull": "Convex hull",
}
_MOST_ELEMENTS = 20


@dataclass(frozen=True)
class Fact:
    """A line of the head."""

    name: str
    value: str


@dataclass(frozen=True)
class Parameter:
    """A parameter of a stage."""

    stage: str
    name: str
    value: str
    meaning: str


@dataclass(frozen=True)
class Asked:
    """What was asked of a launch, in words.

    :ivar name: label and pk.
    :ivar state: how far it is.
    :ivar message: why it did not end well; empty otherwise.
    :ivar facts: lines of name and value.
    :ivar parameters: parameters of each stage.
    :ivar cite: works to cite.
    """

    name: str
    state: str
    message: str
    facts: list[Fact]
    parameters: list[Parameter] = field(default_factory=list)
    cite: list[str] = field(default_factory=list)


def asked_of(source: Source) -> Asked:
    """Return what was asked of a launch."""
    calls = calls_of(source.node)
    running = {job.pk: job.engine_s for job in source.status.progress.jobs if not job.has_ended}
    cost = cost_of(calls, running)
    progress = source.status.progress
    model = _model(source)
    return Asked(
        name=source.name,
        state=_state(source),
        message=without_places((progress.message or "").split("\n")[0]),
        facts=[
            Fact(
                "what",
                f"{_WORDS.get(source.task, source.task)}: {', '.join(source.stages)}"
                if len(source.stages) > 1
                else _WORDS.get(source.task, source.task),
            ),
            Fact("crystals", _crystals(source)),
            *_facts_of_model(model),
            Fact("code", _code(source, calls)),
            Fact("launched", _moment(source.node.ctime)),
            Fact("took" if progress.finished else "runs for", _took(source)),
            Fact("cost", cost.told()),
            Fact("jobs", f"{plural(cost.jobs, 'job')} in {plural(_lanes(source), 'lane')}"),
            Fact("uuid", str(source.node.uuid)),
        ],
        parameters=parameters_of(source),
        cite=works_to_cite(str(model.get("name", "")), frozenset([source.task, *source.stages])),
    )


def _state(source: Source) -> str:
    progress = source.status.progress
    done = f"{progress.rows_done:,} of {progress.rows_total:,} rows"
    if not progress.finished:
        seconds = source.status.left_s
        left = f", about {duration(seconds)} left" if seconds else ""
        return f"running: {done}{left}"
    if progress.exit_status == 0:
        return f"finished: {plural(len(source.frame), 'row')}"
    ended = (
        f"ended with exit status {progress.exit_status}"
        if progress.exit_status is not None
        else progress.state
    )
    return f"{ended}: {done}"


def _crystals(source: Source) -> str:
    given = source.given
    if given is None:
        return plural(len(source.frame), "row")
    symbols = given.elements
    named = " ".join(symbols[:_MOST_ELEMENTS]) + (
        f" ... ({len(symbols)} elements)" if len(symbols) > _MOST_ELEMENTS else ""
    )
    label = f" of {given.label!r}" if given.label else ""
    return f"{plural(len(given), 'crystal')}{label}: {named}"


def _model(source: Source) -> dict[str, Any]:
    from aiida_pet.campaigns.launches import models_of  # noqa: PLC0415 - one look for a launch without a model

    if "model" in source.node.inputs:
        return dict(source.node.inputs.model.base.attributes.all)
    found = models_of([source.node.pk]).get(source.node.pk, [])
    return {"name": found[0].name, "sha256": found[0].sha256} if found else {}


def _facts_of_model(model: dict[str, Any]) -> list[Fact]:
    if not model:
        return []
    version = f" {model['version']}" if model.get("version") else ""
    size = f", {model['n_parameters']:,} parameters" if model.get("n_parameters") else ""
    elements = f", {plural(len(model['elements']), 'element')}" if model.get("elements") else ""
    facts = [
        Fact("model", f"{model.get('name')}{version}{size}{elements}"),
        Fact("SHA-256", str(model.get("sha256"))),
        Fact("level of theory", str(model.get("level_of_theory") or "not known")),
    ]
    if model.get("licence"):
        facts.append(Fact("licence of the model", str(model["licence"])))
    return facts


def _code(source: Source, calls: Calls) -> str:
    """Return the code and the versions; the computer is left out."""
    label = str(source.node.inputs.code.label) if "code" in source.node.inputs else "no code"
    versions: dict[str, Any] = next((job.base.attributes.get("version", {}) for job in calls.jobs()), {})
    told = [f"aiida-pet {versions.get('plugin', __version__)}"]
    if versions.get("core"):
        told.append(f"AiiDA {versions['core']}")
    return f"{without_places(label)}, {', '.join(told)}"


def _moment(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def _lanes(source: Source) -> int:
    given = (
        source.node.inputs.lanes.value if "lanes" in source.node.inputs else len(source.status.progress.lanes)
    )
    return max(int(given), 1)


def _took(source: Source) -> str:
    """Return how long the launch took: to the time of its results, since a node may be touched later."""
    end = datetime.now(UTC)
    if source.status.progress.finished:
        end = source.node.outputs.results.ctime if "results" in source.node.outputs else source.node.mtime
    return duration((end - source.node.ctime).total_seconds())


def parameters_of(source: Source) -> list[Parameter]:
    """Return the parameters of each stage, with what they mean."""
    inputs = source.node.inputs
    if "stages" not in inputs:
        given = inputs.parameters.get_dict() if "parameters" in inputs else {}
        return _described(source.task, source.task, given)
    found: list[Parameter] = []
    asked = inputs.stages.get_dict()
    for stage in source.stages:
        options = dict(asked.get(stage, {}))
        keep = options.pop("keep", None)
        found.append(Parameter(stage, "keep", str(keep or "every row with an answer"), "Which rows go on."))
        given = options.pop("parameters", {})
        found += [Parameter(stage, name, cell(value), "") for name, value in options.items()]
        found += _described(stage, stage, given)
    return found


def _described(stage: str, task: str, given: dict[str, Any]) -> list[Parameter]:
    try:
        known = {name: (unit, text) for name, _, unit, text in describe_parameters(Task(task))}
    except ValueError:  # a stage without a task
        known = {}
    found = []
    for name, value in given.items():
        unit, text = known.get(name, ("", ""))
        found.append(Parameter(stage, name, without_places(f"{cell(value)} {unit}".strip()), text))
    return found


__all__ = ["Asked", "Cost", "Fact", "Parameter", "asked_of", "parameters_of"]

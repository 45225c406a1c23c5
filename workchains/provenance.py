"""Where a row comes from: (node, id) names it, and this walks back from there to the file it was imported from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from aiida import orm

from aiida_pet.data.structures import StructureSetData
from aiida_pet.workchains.jobs import is_job

# Inputs of a job that say how a row came to be, in the order in which they are told.
_ROLES = {
    "model": "model",
    "code": "code",
    "parameters": "parameters",
    "remote_model": "staged model",
    "remote_state": "job before",
}
_BOOKKEEPING = ("_aiida_hash", "_aiida_cached_from", "_aiida_valid_cache")
_MAX_STEPS = 100  # a chain of sets longer than this is a mistake


@dataclass(frozen=True)
class TraceStep:
    """One node on the way back.

    :ivar node: the node.
    :ivar role: what it is on this way: result, merge, job, model, code, parameters, input, import, ...
    :ivar row: scalar values of the row there, empty where the node has no rows.
    :ivar note: what else there is to know, in words.
    """

    node: orm.Node
    role: str
    row: dict[str, Any] = field(default_factory=dict)
    note: str = ""


def trace(node: orm.Node, row_id: str) -> list[TraceStep]:
    """Return the way from row ``row_id`` of ``node`` back to its import, the row itself first.

    :param node: a set of crystals, or a process that has one as output ``results``.
    :raises KeyError: if there is no such row.
    :raises ValueError: if ``node`` is neither.
    """
    current: StructureSetData | None = _results_of(node)
    steps: list[TraceStep] = []
    role = "result"
    while current is not None and len(steps) < _MAX_STEPS:
        steps.append(TraceStep(current, role, _scalars(current, row_id), _import_note(current)))
        creator = current.creator
        if creator is None:
            break
        if is_job(creator):
            steps += _job_steps(creator)
            current, role = creator.inputs.structures, "input"
        else:
            steps.append(TraceStep(creator, "function", note=creator.process_label or ""))
            current, role = _source_in(creator, row_id), "part"
            if current is None:
                steps += _crystals_in(creator, row_id)
    return steps


def _results_of(node: orm.Node) -> StructureSetData:
    if isinstance(node, StructureSetData):
        return node
    if isinstance(node, orm.ProcessNode):
        if "results" in node.outputs:
            results: StructureSetData = node.outputs.results
            return results
        raise ValueError(f"process <{node.pk}> has no results (yet): state {node.process_state}")
    raise ValueError(f"node <{node.pk}> is a {type(node).__name__}: expected a set of crystals or a process")


def _scalars(table: StructureSetData, row_id: str) -> dict[str, Any]:
    """Return the scalar columns of a row, as plain Python values."""
    return {
        name: value
        for name, value in table.row(row_id).items()
        if isinstance(value, str | int | float | bool)
    }


def _import_note(node: orm.Node) -> str:
    extras = {key: value for key, value in node.base.extras.all.items() if key not in _BOOKKEEPING}
    return ", ".join(f"{key}: {value}" for key, value in extras.items())


def _job_steps(job: Any) -> list[TraceStep]:
    source = job.base.caching.get_cache_source()
    where = f"{job.process_label} on {job.computer.label if job.computer else '?'}"
    cached = f", taken from the cache of {source}" if source else ""
    steps = [TraceStep(job, "job", note=f"{where}, exit status {job.exit_status}{cached}")]
    for name, role in _ROLES.items():
        if name in job.inputs:
            steps.append(TraceStep(job.inputs[name], role, note=_describe(job.inputs[name])))
    return steps


def _describe(node: Any) -> str:
    if isinstance(node, orm.Dict):
        return ", ".join(f"{key}={value}" for key, value in node.get_dict().items()) or "defaults"
    sha256 = node.base.attributes.get("sha256", None)
    if sha256:
        return f"{node.label or node.base.attributes.get('name', '')} sha256 {sha256}"
    if isinstance(node, orm.RemoteData):
        computer: Any = node.computer
        return f"{computer.label}:{node.get_remote_path()}"
    return str(node.label)


def _source_in(function: Any, row_id: str) -> StructureSetData | None:
    """Return the input of a merge that holds the row: a result before the structures it was computed from."""
    inputs = function.base.links.get_incoming(StructureSetData).all()
    for link in sorted(inputs, key=lambda link: link.link_label == "structures"):
        source: Any = link.node
        if row_id in set(source.ids.tolist()):
            return source  # type: ignore[no-any-return]
    return None


def _crystals_in(function: Any, row_id: str) -> list[TraceStep]:
    """Return the single crystals that a set was collected from: the one of this id, else all."""
    links = function.base.links.get_incoming(orm.StructureData).all()
    own = [link for link in links if link.link_label.rsplit("__", 1)[-1] == row_id]
    return [TraceStep(link.node, "crystal", note=link.node.get_formula()) for link in own or links]

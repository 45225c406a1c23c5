"""Where a row comes from: (node, id) names it, and this walks back from there to the file it was imported from."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from aiida import orm

from aiida_pet.calculations.screening import VERDICT
from aiida_pet.campaigns.errors import NoRowsError, NoSuchRowError
from aiida_pet.campaigns.model_origin import origins_of
from aiida_pet.campaigns.nodes import Named, load
from aiida_pet.campaigns.results import Rows
from aiida_pet.data.imports import IMPORTED_FROM, files_of
from aiida_pet.data.model import PetModelData
from aiida_pet.data.model_nodes import made_by
from aiida_pet.data.table import TableData
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
INPUT, ROWS = "structures", "rows"
MERGE, HULL = "merge_tables", "energies_above_hull"
_MAX_STEPS = 100  # a chain of sets longer than this is a mistake


@dataclass(frozen=True)
class TraceStep:
    """One node on the path back to the origin of a row.

    :ivar node: the node.
    :ivar role: role of the node: result, merge, job, model, code, parameters, input, import, ...
    :ivar row: scalar values of the row in this node; empty if the node has no rows.
    :ivar note: further facts, as a sentence.
    """

    node: orm.Node
    role: str
    row: dict[str, Any] = field(default_factory=dict)
    note: str = ""

    @property
    def imported_from(self) -> list[dict[str, str]]:
        """The files that a set was imported from: ``path`` and, of a file, ``sha256``."""
        return files_of(self.node)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values, without the row; files stand under ``imported_from`` and not in the note."""
        return {
            "role": self.role,
            "pk": self.node.pk,
            "uuid": self.node.uuid,
            "type": type(self.node).__name__,
            "label": self.node.label,
            "note": "" if IMPORTED_FROM in self.note else self.note,
            "imported_from": self.imported_from or None,
        }


def trace(named: Named, row_id: str) -> list[TraceStep]:
    """Return the steps from row ``row_id`` of a table or a launch back to its import; the row itself comes first.

    If several tables contain the row, such as the tables of the stages of a screening, all of them are followed. Common
    steps are returned only once.

    :param named: a table, a set of crystals, or a process with results, by pk, uuid, label or as a node.
    :raises NoSuchRowError: if there is no such row.
    :raises WrongNodeError: if the node is no table, set or process.
    :raises NoRowsError: for a process without results.

    .. code-block:: python

        from aiida_pet.campaigns import trace

        for step in trace("alloys", "MoTa-0013"):
            print(step.role, step.node.pk, step.note)
    """
    steps: list[TraceStep] = []
    try:
        _walk(_results_of(load(named, TableData, orm.ProcessNode)), "result", row_id, steps)
    except KeyError as error:
        raise NoSuchRowError(error.args[0]) from error
    return steps


def trace_model(named: Named) -> list[TraceStep]:
    """Return the steps from a model back to the trainings that made it and to their data; the model itself comes first.

    :param named: the model, by pk, uuid, label or as a node.
    :raises WrongNodeError: if the node is no model.
    """
    model: PetModelData = load(named, PetModelData)
    training = made_by(model)
    told = (
        "no training of this profile made it"
        if training is None
        else f"the {training['stage']} stage of launch <{training['launch']}> made it"
    )
    steps = [TraceStep(model, "result", note=f"{_describe(model)}, {told}")]
    return steps + [TraceStep(*origin[:2], note=origin.note) for origin in origins_of(model)]


def rows_with_origin(named: Named) -> Rows:
    """Return the rows that :func:`trace` follows: of a training those of its data, not those of its errors.

    :raises WrongNodeError: if the node is no table, set or process.
    :raises NoRowsError: for a process without results.
    """
    node = load(named, TableData, orm.ProcessNode)
    return Rows(node, _results_of(node))


def _walk(table: TableData, role: str, row_id: str, steps: list[TraceStep]) -> None:
    """Add to ``steps`` the way back from row ``row_id`` of ``table``, as far as it has not been told."""
    if len(steps) >= _MAX_STEPS or _is_told(table, steps):
        return
    steps.append(TraceStep(table, role, _scalars(table, row_id), _import_note(table)))
    creator = table.creator
    if creator is None:
        return
    if is_job(creator):
        steps += [step for step in _job_steps(creator) if not _is_told(step.node, steps)]
        if (creator.inputs.structures.ids == row_id).any():  # not for an epoch of a training
            _walk(creator.inputs.structures, "input", row_id, steps)
        return
    steps.append(TraceStep(creator, "function", note=creator.process_label or ""))
    sources = _sources_in(creator, row_id)
    for label, source in sources:
        _walk(source, label, row_id, steps)
    if not sources:
        steps += _crystals_in(creator, row_id)


def _is_told(node: orm.Node, steps: list[TraceStep]) -> bool:
    return any(step.node.uuid == node.uuid for step in steps)


def _results_of(node: Any) -> TableData:
    """Return the table of a node.

    :raises NoRowsError: for a process without results.
    """
    if isinstance(node, TableData):
        return node
    for name in ("results", "rows"):  # of a training, what each row was used for
        if name in node.outputs:
            results: TableData = node.outputs[name]
            return results
    raise NoRowsError(node.pk, node.process_state.value if node.process_state else "created")


def _scalars(table: TableData, row_id: str) -> dict[str, Any]:
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
            if name == "model":
                steps += [TraceStep(*origin[:2], note=origin.note) for origin in origins_of(job.inputs.model)]
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


def _sources_in(function: Any, row_id: str) -> list[tuple[str, TableData]]:
    """Return the inputs of a function that hold the row, each with what it is on the way."""
    links = [link for link in function.base.links.get_incoming().all() if isinstance(link.node, TableData)]
    # a choice of rows, and verdicts on them, say nothing of where their values come from
    links = [link for link in links if link.link_label != ROWS and not link.link_label.startswith(VERDICT)]
    # the order in which they came about, and what was asked for last
    links = sorted(links, key=lambda link: (link.link_label == INPUT, link.node.ctime, link.node.pk))
    if function.process_label == HULL:  # a reference may have the id of a row, and is another crystal
        links = [link for link in links if link.link_label == INPUT]
    found = ((link.link_label, link.node) for link in links if (link.node.ids == row_id).any())
    if function.process_label == MERGE:  # a result before the structures that it was computed from
        return [("part", source) for _, source in islice(found, 1)]
    return list(found)


def _crystals_in(function: Any, row_id: str) -> list[TraceStep]:
    """Return the single crystals that a set was collected from: the one of this id, else all."""
    links = function.base.links.get_incoming(orm.StructureData).all()
    own = [link for link in links if link.link_label.rsplit("__", 1)[-1] == row_id]
    return [TraceStep(link.node, "crystal", note=link.node.get_formula()) for link in own or links]

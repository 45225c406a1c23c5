"""Where a model comes from that was trained here: the jobs that made it, what they were given, and the model before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from aiida import orm

from aiida_pet.calculations.train import SETS, TrainCalculation

TRAINING, PARAMETERS, BEGUN_FROM, TEACHER = "training job", "training options", "begun from", "teacher"
_ROLES = {
    "structures": "training set",
    "validation": "validation set",
    "test": "test set",
    "old": "set of before",
}
ROLES = (TRAINING, PARAMETERS, BEGUN_FROM, TEACHER, *_ROLES.values())
_TAKE_LABELS = "take_labels"  # the function's label in the database
_MOST = 50  # models in a row; more is a mistake


class Origin(NamedTuple):
    """One node on the way back from a model."""

    node: Any
    role: str
    note: str


def origins_of(model: orm.Node) -> Iterator[Origin]:
    """Yield the nodes that ``model`` was made by and of, the nearest first; nothing for a model that was imported."""
    current: Any = model
    seen: set[str] = set()
    for _ in range(_MOST):
        job = current.creator
        if job is None or job.process_label != TrainCalculation.__name__ or job.uuid in seen:
            return
        seen.add(job.uuid)
        inputs = job.inputs
        computer = job.computer.label if job.computer else "?"
        yield Origin(
            job, TRAINING, f"{inputs.stage.value} stage on {computer}, exit status {job.exit_status}"
        )
        told = ", ".join(f"{key}={value}" for key, value in inputs.parameters.get_dict().items())
        yield Origin(inputs.parameters, PARAMETERS, told or "defaults")
        for name in SETS:
            if name in inputs:
                yield from _set(inputs[name], _ROLES[name])
        if "model" not in inputs:
            return
        current = inputs.model
        yield Origin(
            current, BEGUN_FROM, f"{current.label} sha256 {current.base.attributes.get('sha256', '')}"
        )


def _set(node: Any, role: str) -> Iterator[Origin]:
    """Yield a set, and where its labels are from if a teacher made them."""
    yield Origin(node, role, f"{len(node)} crystals")
    function = node.creator
    if function is None or function.process_label != _TAKE_LABELS:
        return
    for job in _jobs_of(function.inputs.results):
        yield Origin(job.inputs.model, TEACHER, f"its labels, by job <{job.pk}>")
        yield from origins_of(job.inputs.model)
        break
    yield Origin(function.inputs.structures, role, "before the teacher labelled it")


def _jobs_of(results: Any) -> list[Any]:
    """Return the jobs that computed ``results``, itself or through a merge."""
    creator = results.creator
    if creator is None:
        return []
    if isinstance(creator, orm.CalcJobNode):
        return [creator]
    parts = [link.node for link in creator.base.links.get_incoming().all()]
    made = [node.creator for node in parts if getattr(node, "creator", None) is not None]
    return [job for job in made if isinstance(job, orm.CalcJobNode)]

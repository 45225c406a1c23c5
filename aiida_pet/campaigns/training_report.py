"""How far a training is and what can be done, as :mod:`~aiida_pet.campaigns.report` has it of other launches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from aiida.orm import ProcessNode

from aiida_pet.campaigns.advice import obstacles
from aiida_pet.campaigns.progress import campaign_progress
from aiida_pet.campaigns.training import TrainingProgress, training_progress
from aiida_pet.training.split import Split
from aiida_pet.workchains.groups import group_of
from aiida_pet.workchains.jobs import calls_of
from aiida_pet.workchains.taking_up import latest_of

KIND = "training"
CURVE = "learning_curve"
"""Output of a training: the errors of each epoch, by stage."""
ROWS = "rows"
"""Output of a training: what each row was used for."""


@dataclass(frozen=True)
class TrainingStatus:
    """How far a training is.

    :ivar progress: stages, epochs and jobs.
    :ivar group: label of the group of its campaign, None if it has none.
    :ivar advice: what can be done now, each as a sentence with a command.
    """

    progress: TrainingProgress
    group: str | None
    advice: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain values, what is in ``progress`` beside the rest."""
        return {"kind": KIND} | asdict(self.progress) | {"group": self.group, "advice": self.advice}


def training_status(node: ProcessNode) -> TrainingStatus:
    """Return how far the training ``node`` is, live."""
    progress, group = training_progress(node), group_of(node)
    return TrainingStatus(progress, None if group is None else group.label, _advice(node, progress))


def _advice(node: ProcessNode, progress: TrainingProgress) -> list[str]:
    pk = progress.pk
    refused = unused_rows(node)
    if not progress.finished:
        calls = calls_of(node)
        return obstacles(calls, campaign_progress(node, calls))
    if progress.model is not None:
        return [
            f"`aiida-pet model show {progress.model}` shows the model, `aiida-pet launch relax SET --model "
            f"{progress.model}` uses it, `aiida-pet model export {progress.model} -o model.ckpt` writes it to a file",
            f"`aiida-pet results {pk}` shows its errors",
            *learning_curves(node),
            *refused,
        ]
    by = latest_of(node)
    if by is not None:
        return [f"launch <{by.pk}> resumed it: `aiida-pet status {by.pk}` shows its progress"]
    found = [f"`verdi process report {pk}` shows what happened"]
    if progress.label == "TrainWorkChain":
        found.append(f"`aiida-pet resume {pk}` goes on from the newest checkpoint")
    return [*found, *refused]


def learning_curves(node: ProcessNode) -> list[str]:
    """Return what shows the learning curve of each stage of the training ``node``; nothing if it has none."""
    found = node.base.links.get_outgoing().nested().get(CURVE, {})
    if not isinstance(found, Mapping):  # of a single job
        return [f"`aiida-pet results {found.pk}` shows the learning curve"]
    curves = sorted(found.items(), key=lambda stage: stage[1].pk)
    return [
        f"`aiida-pet results {curve.pk}` shows the learning curve of the {stage} stage"
        for stage, curve in curves
    ]


def unused_rows(node: ProcessNode) -> list[str]:
    """Return how many rows the training ``node`` did not use, and what shows why; nothing if it used all."""
    if ROWS not in node.outputs:
        return []
    table = node.outputs.rows
    splits = table.base.attributes.get("counts", {}).get("split", {})
    number = splits.get(Split.REFUSED.value, 0)
    if not number:
        return []
    return [
        f"{number:,} of {sum(splits.values()):,} rows were not used: `aiida-pet results {table.pk} --where "
        f"'split == {Split.REFUSED.value}'` shows why"
    ]

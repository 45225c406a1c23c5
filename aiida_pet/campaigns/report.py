"""How far a launch is and what can be done: progress, the stages of a screening, advice."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from aiida.orm import ProcessNode

from aiida_pet.campaigns.advice import advice
from aiida_pet.campaigns.live import Watched
from aiida_pet.campaigns.nodes import Named, load
from aiida_pet.campaigns.progress import CampaignProgress, campaign_progress
from aiida_pet.campaigns.stages import StageStatus, stages_of
from aiida_pet.campaigns.training import is_training
from aiida_pet.campaigns.training_report import TrainingStatus, training_status
from aiida_pet.workchains.groups import group_of
from aiida_pet.workchains.jobs import calls_of


@dataclass(frozen=True)
class Status:
    """How far a launch is.

    :ivar progress: rows, statuses, rate, time left, lanes and jobs.
    :ivar label: name of the WorkChain.
    :ivar group: label of the group of its campaign, None if it has none.
    :ivar stages: stages of a screening, in their order; empty for other launches.
    :ivar advice: sentences with commands that can be used now.
    :ivar left_s: seconds until the end of the launch, with all of its stages; None if it has ended.
    """

    progress: CampaignProgress
    label: str | None
    group: str | None
    stages: list[StageStatus]
    advice: list[str]
    left_s: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain values, what is in ``progress`` beside the rest."""
        return asdict(self.progress) | {
            "label": self.label,
            "group": self.group,
            "rows_left": self.progress.rows_left,
            "jobs_cached": self.progress.n_cached,
            "stages": [asdict(stage) for stage in self.stages],
            "advice": self.advice,
            "left_s": self.left_s,
        }


def status(named: Named) -> Status | TrainingStatus:
    """Return the progress of a launch. The progress of running jobs is read from the heartbeat files of their engines.

    :param named: the launch, or a lane or job of a launch, by pk, uuid, label or as a node.
    :raises NoSuchNodeError: if there is no such node, or several.
    :raises WrongNodeError: if the node is no process.

    .. code-block:: python

        from aiida_pet.campaigns import status

        found = status("last")
        print(f"{found.progress.rows_done} of {found.progress.rows_total} rows")
    """
    node: ProcessNode = load(named, ProcessNode)
    return training_status(node) if is_training(node) else _status(node)


def _status(node: ProcessNode) -> Status:
    calls = calls_of(node)
    progress = campaign_progress(node, calls)
    group = group_of(node)
    return Status(
        progress=progress,
        label=node.process_label,
        group=None if group is None else group.label,
        stages=stages_of(calls, progress),
        advice=advice(calls, progress),
        left_s=None if progress.finished else Watched(node).look(calls, progress).left_s,
    )

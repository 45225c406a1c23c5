"""A training as somebody who waits for it wants to see it: its stages in epochs, and the errors of the last epoch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from aiida.orm import ProcessNode

from aiida_pet.campaigns.advice import obstacles
from aiida_pet.campaigns.live import DOING, Look, StageLook, title_of, when_it_answers
from aiida_pet.campaigns.progress import Heartbeats, campaign_progress
from aiida_pet.campaigns.training import TrainingProgress, training_progress
from aiida_pet.training.parameters import Stage
from aiida_pet.workchains.jobs import calls_of

EPOCH_COST = {Stage.DIRECT: 1.0, Stage.CONSERVATIVE: 3.0, Stage.CALIBRATE: 1.0}
"""Time of an epoch beside one of direct forces: forces as derivatives take two more passes through the model."""


def training_looks(node: ProcessNode) -> Iterator[Look]:
    """Yield a look at a training each time it is asked for, until it has ended."""
    heartbeats = Heartbeats()
    while True:
        look = when_it_answers(lambda: _look(node, heartbeats))
        yield look
        if look.finished:
            return


def _look(node: Any, heartbeats: Heartbeats) -> Look:
    progress = training_progress(node, heartbeats)
    stages = _stages(progress)
    job = progress.running
    ended = node.mtime.timestamp() if progress.finished else time.time()
    calls = None if progress.finished else calls_of(node)
    return Look(
        title=title_of(node, progress.mode or "train"),
        elapsed_s=max(0.0, ended - node.ctime.timestamp()),
        left_s=sum(stage.left_s for stage in stages) or None,  # None where no epoch tells how long one takes
        stages=stages,
        lanes=(),
        obstacles=()
        if calls is None
        else tuple(obstacles(calls, campaign_progress(node, calls, heartbeats))),
        progress=progress,
        unit="epoch",
        note=_note(progress) if job is None else f"{DOING.get(job.step, job.step)}{_after(job.message)}",
    )


def _note(progress: TrainingProgress) -> str:
    if progress.finished:
        return progress.message or (progress.jobs[-1].message if progress.jobs else "")
    if progress.labelling is not None and not progress.jobs:
        return (
            f"the teacher labels the crystals: `aiida-pet status {progress.labelling}` shows how far they are"
        )
    return "preparing the next job"


def _after(message: str) -> str:
    return f"; {message}" if message else ""


def _stages(progress: TrainingProgress) -> tuple[StageLook, ...]:
    """Return the stages; what those to come take is told from the epochs of the last one that ran."""
    looks: list[StageLook] = []
    unit_s = 0.0  # an epoch of direct forces
    job = progress.running
    for told in progress.stages:
        name, done, epochs = told["name"], told["epochs_done"], told["epochs"]
        own = [one for one in progress.jobs if one.stage == name]
        state = "to come" if not own else "running" if job is not None and job.stage == name else "done"
        seconds = max((one.epoch_s for one in own), default=0.0)
        unit_s = seconds / EPOCH_COST[Stage(name)] or unit_s
        left = (epochs - done) * (seconds or unit_s * EPOCH_COST[Stage(name)])
        looks.append(
            StageLook(
                name=name,
                state=state,
                rows=epochs,
                is_expected=False,
                rows_done=done,
                rows_out=None,
                rows_in_flight=0,
                rate=1 / seconds if seconds and state == "running" else 0.0,
                left_s=0.0 if state == "done" or progress.finished else left,
                keep=None,
            )
        )
    if job is not None and job.eta_s:
        looks = [replace(one, left_s=job.eta_s) if one.state == "running" else one for one in looks]
    return tuple(looks)

"""The exit codes of a training, and what each says of the next job.

300-399: the job would end the same way again, but for 310. 400-499: it was left with epochs to go: the next job goes on
from its newest checkpoint. None of them is an answer, so all invalidate the cache.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from aiida.engine import CalcJobProcessSpec


class TrainFailure(StrEnum):
    """The exit codes, by label."""

    NO_RETRIEVED_TEMPORARY_FOLDER = "ERROR_NO_RETRIEVED_TEMPORARY_FOLDER"
    BAD_JOB = "ERROR_BAD_JOB"
    BAD_MODEL = "ERROR_BAD_MODEL"
    BAD_DEVICE = "ERROR_BAD_DEVICE"
    BAD_DATA = "ERROR_BAD_DATA"
    SHORT_WALLTIME = "ERROR_SHORT_WALLTIME"
    REPEATS = "ERROR_REPEATS"
    DAMAGED_RESULTS = "ERROR_DAMAGED_RESULTS"
    CRASHED = "ERROR_CRASHED"
    EPOCHS_LEFT = "ERROR_EPOCHS_LEFT"
    OUT_OF_MEMORY = "ERROR_OUT_OF_MEMORY"


class _Code(NamedTuple):
    status: int
    label: TrainFailure
    message: str


TRAIN_CODES = (
    _Code(
        300,
        TrainFailure.NO_RETRIEVED_TEMPORARY_FOLDER,
        "The results of the job were not fetched, since its folder on the computer or the connection may be gone. Run "
        "the job again.",
    ),
    _Code(
        302,
        TrainFailure.BAD_JOB,
        "The job folder was not understood: {reason}. Install the same version of aiida-pet on the computer as in the "
        "daemon's environment.",
    ),
    _Code(
        303,
        TrainFailure.BAD_MODEL,
        "The initial model was refused: {reason}. Import the checkpoint again with `aiida-pet model import`.",
    ),
    _Code(
        304,
        TrainFailure.BAD_DEVICE,
        "The device cannot be used: {reason}. Ask the queue for a GPU (`--gpus 1`), or train on CPU cores (`--setting "
        "device=cpu`).",
    ),
    _Code(305, TrainFailure.BAD_DATA, "The data cannot be used for training: {reason}."),
    _Code(306, TrainFailure.SHORT_WALLTIME, "The walltime is too short: {reason} (`--walltime`)."),
    _Code(
        307,
        TrainFailure.DAMAGED_RESULTS,
        "The training ended without an error, but its model is missing or incomplete: {reason}. Run the job again: it "
        "goes on from its last checkpoint.",
    ),
    _Code(
        308,
        TrainFailure.REPEATS,
        "metatrain cannot train with this set and these options, and another job would end the same way: {reason}. "
        "`verdi calcjob outputcat {pk} metatrain.log` shows its output.",
    ),
    _Code(
        310,
        TrainFailure.CRASHED,
        "The training broke down after {done} of {total} epochs: {reason}. `verdi calcjob outputcat {pk} "
        "metatrain.log` shows the output of metatrain.",
    ),
    _Code(
        400,
        TrainFailure.EPOCHS_LEFT,
        "The job stopped after {done} of {total} epochs: {reason}. The next job goes on from there.",
    ),
    _Code(
        410,
        TrainFailure.OUT_OF_MEMORY,
        "Memory ran out after {done} of {total} epochs: {reason}. Make batches smaller (`--set batch_atoms=N`), or ask "
        "for more memory (`--memory`, or a larger GPU).",
    ),
)


def define_train_codes(spec: CalcJobProcessSpec) -> None:
    """Add the exit codes to ``spec``."""
    for code in TRAIN_CODES:
        spec.exit_code(code.status, code.label.value, message=code.message, invalidates_cache=True)

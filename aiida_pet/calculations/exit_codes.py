"""The exit codes of jobs of the engine, by what can be done about them.

300-309: files, model, device: the same job would end the same way, something has to be put right first.
310-399: the job broke down: worth another try. 400-499: it stopped in order, with rows left: go on with them.
None of them is an answer, so all invalidate the cache.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from aiida.engine import CalcJobProcessSpec


class Failure(StrEnum):
    """The exit codes, by label."""

    NO_RETRIEVED_TEMPORARY_FOLDER = "ERROR_NO_RETRIEVED_TEMPORARY_FOLDER"
    NO_RESULTS = "ERROR_NO_RESULTS"
    BAD_JOB = "ERROR_BAD_JOB"
    BAD_MODEL = "ERROR_BAD_MODEL"
    BAD_DEVICE = "ERROR_BAD_DEVICE"
    DAMAGED_RESULTS = "ERROR_DAMAGED_RESULTS"
    CRASHED = "ERROR_CRASHED"
    NOT_STARTED = "ERROR_NOT_STARTED"
    ROWS_LEFT = "ERROR_ROWS_LEFT"
    OUT_OF_MEMORY = "ERROR_OUT_OF_MEMORY"


class _Code(NamedTuple):
    status: int
    label: Failure
    message: str


CODES = (
    _Code(
        300,
        Failure.NO_RETRIEVED_TEMPORARY_FOLDER,
        "The results of the job were not fetched. Its folder on the computer or the connection may be gone. Run the "
        "job again.",
    ),
    _Code(
        301,
        Failure.NO_RESULTS,
        "The engine ended without a single result: {reason}. `verdi calcjob outputcat {pk}` shows its log, `verdi "
        "calcjob outputcat {pk} _scheduler-stderr.txt` shows its other output.",
    ),
    _Code(
        302,
        Failure.BAD_JOB,
        "The engine did not understand its job folder: {reason}. Install the same version of aiida-pet on the "
        "computer as in the daemon's environment.",
    ),
    _Code(
        303,
        Failure.BAD_MODEL,
        "The model was refused: {reason}. A campaign uploads the model to the computer again and goes on; if that "
        "does not help, import the checkpoint again with `aiida-pet model import`.",
    ),
    _Code(
        304,
        Failure.BAD_DEVICE,
        "The device cannot be used: {reason}. Ask the queue for a GPU (`--gpus 1`), or compute on CPU cores "
        "(`--setting device=cpu`).",
    ),
    _Code(
        305,
        Failure.DAMAGED_RESULTS,
        "Rows are missing although the engine ended without an error: {reason}. The other rows are in `results`; run "
        "the missing rows again.",
    ),
    _Code(
        310,
        Failure.CRASHED,
        "The engine broke down after {done} of {total} rows: {reason}. The finished rows are in `results`; run the "
        "others again.",
    ),
    _Code(
        311,
        Failure.NOT_STARTED,
        "The engine ended before it computed any rows: {reason}. {remedy}.",
    ),
    _Code(
        400,
        Failure.ROWS_LEFT,
        "Time ran out after {done} of {total} rows. Run the others again, or ask for more time (`--walltime`).",
    ),
    _Code(
        410,
        Failure.OUT_OF_MEMORY,
        "Memory ran out after {done} of {total} rows: {reason}. Ask for more memory (`--memory`, or a larger GPU), "
        "give a job fewer rows (`--job-size`), or make its batches smaller (`--setting max_batch_cost=N`).",
    ),
)


def define_exit_codes(spec: CalcJobProcessSpec) -> None:
    """Add the exit codes to ``spec``."""
    for code in CODES:
        spec.exit_code(code.status, code.label.value, message=code.message, invalidates_cache=True)

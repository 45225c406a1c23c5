"""The job folder: the one contract between the engine and the AiiDA plugin. Free of torch and of AiiDA.

In: ``job.json``, ``structures.npz`` (only the rows of this job), the model (a link or a copy). Out:
``results-00000.npz``, ... shards of *finished* rows, ``state.npz`` of the rows being worked on (only while there are
any, see :mod:`aiida_pet.job.state_file`), ``progress.json`` as a heartbeat, ``engine.log``. Files are written under a
temporary name and renamed, so every shard there is is whole; a killed job leaves valid shards, and one started again in
the same folder goes on with the rows that are left, those of ``state.npz`` from the step they had.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from dataclasses import asdict, dataclass, field
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field

from aiida_pet.job.tasks import Task
from aiida_pet.schemas import told
from aiida_pet.tables.crystals import StructureTable

SCHEMA_VERSION = 1

JOB_FILE = "job.json"
TRANSPORT_FILE = "transport.json"  # beside it, empty, where forces become conductivities
TRAIN_FILE = "train.json"  # in its place where the folder is that of a training
STRUCTURES_FILE = "structures.npz"
MODEL_FILE = "model.ckpt"
PROGRESS_FILE = "progress.json"
STATE_FILE = "state.npz"
LOG_FILE = "engine.log"
SHARD_GLOB = "results-*.npz"


class JobFolderError(ValueError):
    """Raised when a job folder cannot be read; the message names the file, the value and what was expected."""


class RowStatus(StrEnum):
    """How a row ended. Row failures are data; only failures of a whole job are exit codes."""

    CONVERGED = "converged"  # the row has its answer
    MAX_STEPS = "max_steps"  # the relaxation did not converge within max_steps
    UNSUPPORTED_ELEMENT = "unsupported_element"  # the model does not know one of its elements
    INVALID_GEOMETRY = "invalid_geometry"  # overlapping atoms, zero volume, NaN or no atoms in the input
    DIVERGED = "diverged"  # NaN, exploding volume or force on the way
    EXPLODED = "exploded"  # NaN, atoms on top of each other, too hot or too wide in dynamics
    TOO_LARGE = "too_large"  # does not fit into memory even alone, or has too many neighbours
    FAILED = "failed"  # what was asked could not be made of it, or it ended its jobs; the message says why
    LEFT = "left"  # not finished: time ran out


class ExitStatus(IntEnum):
    """Exit status of ``pet-engine``, which the parsers map to exit codes of the CalcJob."""

    OK = 0
    CRASHED = 1  # an exception nobody foresaw; see engine.log
    BAD_JOB = 2  # job.json or structures.npz missing, damaged or not understood
    BAD_MODEL = 3  # model missing, its hash is not the expected one, or it cannot be loaded
    BAD_DEVICE = 4  # the device asked for is not there
    ROWS_LEFT = 10  # stopped before walltime, rows are left
    OUT_OF_MEMORY = 11  # not even the smallest batch fits


Device = Annotated[
    str,
    Field(
        pattern=r"\A(auto|cpu|cuda|cuda:[0-9]+)\z",
        json_schema_extra=told(expected="auto, cpu, cuda or cuda:N"),
    ),
]
NotNegative = Annotated[float, Field(strict=True, ge=0)]


THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Variables of the environment that say how many cores libraries use."""


@dataclass(frozen=True)
class EngineSettings:
    """How, not what, a job computes: nothing here may change a result beyond rounding, nor a calculation's hash.

    :ivar device: ``auto`` (CUDA if there is one), ``cpu``, ``cuda`` or ``cuda:N``.
    :ivar threads: CPU threads of torch; None takes the cores the job was given.
    :ivar walltime_s: seconds the scheduler gives the job; None is without end.
    :ivar walltime_margin_s: stop this many seconds before, to flush and leave.
    :ivar flush_interval_s: at most this many seconds of work are lost when the job is killed: finished rows go to
        a shard, the others to the file of states.
    :ivar max_batch_cost: upper bound of a batch in atoms x (largest neighbour count + 1); None lets the engine choose.
    """

    device: Device = "auto"
    threads: Annotated[int, Field(strict=True, ge=1)] | None = None
    walltime_s: NotNegative | None = None
    walltime_margin_s: NotNegative = 60.0
    flush_interval_s: NotNegative = 30.0
    max_batch_cost: NotNegative | None = None

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class JobSpec:
    """The content of ``job.json``.

    :ivar task: what to do.
    :ivar parameters: parameters of the task, see :mod:`aiida_pet.job.parameters`.
    :ivar model_sha256: sha256 of the checkpoint; the engine refuses any other file.
    :ivar model_path: path of the checkpoint, absolute or relative to the job folder.
    :ivar settings: settings of the site.
    """

    task: Task
    parameters: dict[str, Any]
    model_sha256: str
    model_path: str = MODEL_FILE
    settings: EngineSettings = field(default_factory=EngineSettings)
    schema_version: int = SCHEMA_VERSION

    def to_json(self) -> str:
        """Return the text of ``job.json``."""
        return json.dumps(asdict(self), indent=2, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> JobSpec:
        """Return the job that ``text`` describes.

        :raises JobFolderError: if it is not valid JSON, of another schema version, or has unknown or missing keys.
        """
        try:
            raw = json.loads(text)
        except json.JSONDecodeError as error:
            raise JobFolderError(f"{JOB_FILE} is not valid JSON: {error}") from error
        if not isinstance(raw, dict) or raw.get("schema_version") != SCHEMA_VERSION:
            found = raw.get("schema_version") if isinstance(raw, dict) else None
            raise JobFolderError(
                f"{JOB_FILE} has schema_version {found!r}, this pet-engine reads {SCHEMA_VERSION}: "
                "install the same version of aiida-pet on the compute node as in the daemon's environment"
            )
        try:
            raw["task"] = Task(raw["task"])
            raw["settings"] = EngineSettings(**raw.get("settings", {}))
            return cls(**raw)
        except (KeyError, TypeError, ValueError) as error:
            raise JobFolderError(f"{JOB_FILE} does not describe a job: {error}") from error


@dataclass(frozen=True)
class Progress:
    """The heartbeat of a job, ``progress.json``.

    :ivar rows_total: rows of the job.
    :ivar rows_done: rows in shards.
    :ivar rows_in_flight: rows being worked on.
    :ivar statuses: how the rows that are done ended, status -> count.
    :ivar rate: rows per second since this start of the job.
    :ivar eta_s: seconds to the end, by the evaluations that are left; None while unknown.
    :ivar engine_s: seconds since this start of the engine process, imports included.
    :ivar compute_s: of these, seconds after the model was loaded.
    :ivar evaluations: model evaluations of one crystal each, since this start.
    :ivar steps: batched steps since this start.
    :ivar memory_mb: peak memory of the device, or of the process on a CPU.
    :ivar device: where the model runs.
    :ivar step: what the engine does now: loading, running, done, stopped, failed.
    :ivar started: Unix time of this start.
    :ivar updated: Unix time of writing.
    :ivar starts: how many times the engine was started in this folder.
    :ivar message: the reason, where ``step`` is ``failed`` or ``stopped``.
    :ivar begun: whether it began with its rows, which from then on may be to blame for its end.
    """

    rows_total: int
    rows_done: int = 0
    rows_in_flight: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    rate: float = 0.0
    eta_s: float | None = None
    engine_s: float = 0.0
    compute_s: float = 0.0
    evaluations: int = 0
    steps: int = 0
    memory_mb: float = 0.0
    device: str = ""
    step: str = "loading"
    started: float = 0.0
    updated: float = 0.0
    starts: int = 1
    message: str = ""
    begun: bool = False

    def to_json(self) -> str:
        """Return the text of ``progress.json``."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Progress:
        """Return the heartbeat that ``text`` describes; keys of a newer version are ignored.

        :raises JobFolderError: if it is not one.
        """
        try:
            raw = json.loads(text)
            return cls(**{name: raw[name] for name in cls.__dataclass_fields__ if name in raw})
        except (json.JSONDecodeError, TypeError) as error:
            raise JobFolderError(f"{PROGRESS_FILE} is not a heartbeat: {error}") from error


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` under a temporary name, sync it to disk and rename it: readers see all of it or none."""
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
    part.replace(path)


class JobFolder:
    """The files of one job, by name.

    :param path: the folder; need not exist before :meth:`write_inputs`.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def write_inputs(self, spec: JobSpec, structures: StructureTable) -> None:
        """Write ``job.json`` and ``structures.npz``."""
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / JOB_FILE).write_text(spec.to_json())
        structures.save(self.path / STRUCTURES_FILE)

    def read_spec(self) -> JobSpec:
        """:raises JobFolderError: if ``job.json`` is missing or not understood."""
        try:
            return JobSpec.from_json((self.path / JOB_FILE).read_text())
        except OSError as error:
            raise JobFolderError(f"cannot read {self.path / JOB_FILE}: {error}") from error

    def read_structures(self) -> StructureTable:
        """:raises JobFolderError: if ``structures.npz`` is missing, damaged or empty."""
        try:
            table = StructureTable.load(self.path / STRUCTURES_FILE)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise JobFolderError(f"cannot read {self.path / STRUCTURES_FILE}: {error}") from error
        if not len(table):
            raise JobFolderError(f"{self.path / STRUCTURES_FILE} holds no structures")
        return table

    def model_path(self, spec: JobSpec) -> Path:
        """Return where the model of ``spec`` is."""
        return self.path / spec.model_path

    def shards(self) -> list[Path]:
        """Return the shards there are, in order of writing."""
        return sorted(self.path.glob(SHARD_GLOB))

    def write_shard(self, rows: StructureTable) -> Path:
        """Write ``rows`` as the next shard, whole or not at all."""
        shards = self.shards()
        number = int(shards[-1].stem.removeprefix("results-")) + 1 if shards else 0
        path = self.path / f"results-{number:05d}.npz"
        content = io.BytesIO()
        rows.save(content)
        write_atomically(path, content.getvalue())
        return path

    def read_results(self) -> tuple[StructureTable | None, list[str]]:
        """Return the finished rows of all shards, None if there are none, and the names of damaged shards.

        A row that stands in two shards is taken from the first.
        """
        return read_shards(self.shards())

    def write_progress(self, progress: Progress) -> None:
        """Write the heartbeat, whole or not at all."""
        write_atomically(self.path / PROGRESS_FILE, progress.to_json().encode())

    def read_progress(self) -> Progress | None:
        """Return the heartbeat, None if there is none.

        :raises JobFolderError: if the file is not one.
        """
        try:
            text = (self.path / PROGRESS_FILE).read_text()
        except FileNotFoundError:
            return None
        return Progress.from_json(text)


def read_shards(paths: list[Path]) -> tuple[StructureTable | None, list[str]]:
    """Return the rows of the shards ``paths``, None if there are none, and the names of damaged shards.

    A row that stands in two shards is taken from the first.
    """
    tables: list[StructureTable] = []
    damaged: list[str] = []
    seen: set[str] = set()
    for path in paths:
        try:
            table = StructureTable.load(path)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile, EOFError):
            damaged.append(path.name)
            continue
        fresh = [i for i, name in enumerate(table.ids.tolist()) if name not in seen]
        if len(fresh) < len(table):
            table = table.take(fresh)
        seen.update(table.ids.tolist())
        tables.append(table)
    return (StructureTable.concatenate(tables) if tables else None), damaged

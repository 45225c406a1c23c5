"""The engine over a table, as a job runs it, for one model."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiida_pet.engine.run import Job
from aiida_pet.job.folder import EngineSettings, ExitStatus, JobFolder, JobSpec
from aiida_pet.job.tasks import Task
from aiida_pet.tables.crystals import StructureTable


@dataclass(frozen=True)
class Model:
    """A checkpoint to judge.

    :ivar path: of the file.
    :ivar sha256: of its content.
    :ivar threads: CPU threads that an evaluation may use.
    :ivar device: ``cpu`` or ``cuda``.
    """

    path: Path
    sha256: str
    threads: int = 1
    device: str = "cpu"

    @property
    def settings(self) -> EngineSettings:
        """How the engine works."""
        return EngineSettings(device=self.device, threads=self.threads)


def run(model: Model, task: Task, table: StructureTable, **parameters: Any) -> StructureTable:
    """Return the results of ``table``, in its order.

    :raises RuntimeError: if the engine ended otherwise than well.
    """
    with tempfile.TemporaryDirectory(prefix="aiida-pet-check-") as folder:
        job = JobFolder(Path(folder))
        spec = JobSpec(
            task, parameters, model.sha256, model_path=str(model.path.resolve()), settings=model.settings
        )
        job.write_inputs(spec, table)
        status = Job(job).run()
        results, _ = job.read_results()
    if status is not ExitStatus.OK or results is None:
        raise RuntimeError(f"{task} over {len(table)} rows ended as {status.name}")
    return results.select(table.ids)

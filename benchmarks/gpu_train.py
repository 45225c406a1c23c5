"""The model that ships from its frames, on a machine that is lent for minutes: direct heads, then conservative forces.

``python -m benchmarks.gpu_train --data FOLDER --out OUT --budget 540`` times an epoch of each stage on a part of the
frames, chooses how many epochs the budget holds, trains, and writes ``OUT/model.ckpt``, its card, its learning curve
and its errors. It needs what ``make gpu-site`` gathers beside torch; the frames take 7 MiB (``common/*.xz`` and
``refractory/*.xz``). An interrupted run leaves the checkpoints of its epochs in ``OUT``.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from aiida_pet.job.checkpoint import sha256_of
from aiida_pet.job.folder import TRAIN_FILE, EngineSettings, ExitStatus, JobFolder
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.training import folder
from aiida_pet.training.folder import TrainingJob
from aiida_pet.training.parameters import Stage
from aiida_pet.training.run import Training
from benchmarks.recipe.frames import held_out_frames, training_frames

NAME = "pet-common-xs"
DIRECT_SHARE = 0.5  # of the time, for the direct heads: an epoch of them takes a third of a conservative one
PROBE_FRAMES = 2000
SPARE = 0.9  # of the budget: starts, errors at the end
PARAMETERS: dict[str, Any] = {
    "architecture": "xs",
    "cutoff": 6.0,
    "cutoff_width": 1.0,
    "neighbors": 20,
    "hypers": {"d_pet": 64, "d_head": 64, "d_node": 256, "d_feedforward": 128, "num_heads": 4},
    "group": "base",
    "report_by": "kind",
    "test_fraction": 0.0,
    "validation_fraction": 0.1,
    "seed": 20261128,
    "learning_rate": 5e-4,
    "learning_rate_direct": 1e-3,
    "level_of_theory": "PBE (Materials Project)",
    "name": NAME,
}


@dataclass(frozen=True)
class Plan:
    """Where and on what it trains.

    :ivar out: folder of all jobs.
    :ivar sets: name of a set -> its frames.
    :ivar device: as the engine calls it.
    :ivar batch_atoms: atoms of a batch.
    :ivar extra: parameters over :data:`PARAMETERS`.
    """

    out: Path
    sets: dict[str, StructureTable]
    device: str
    batch_atoms: int
    extra: dict[str, Any]

    def train(
        self, name: str, stage: Stage, epochs: int, model: Path | None, rows: int | None = None
    ) -> Path:
        """Run a stage in the folder ``name``, and return that folder.

        :param rows: of the training set, the first ones; all if None.
        :raises RuntimeError: if the training ended otherwise than well.
        """
        path = self.out / name
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)
        sha256 = ""
        if model is not None:
            shutil.copy(model, path / "model.ckpt")
            sha256 = sha256_of(model)
        parameters = PARAMETERS | {"epochs": epochs, "epochs_direct": epochs, "batch_atoms": self.batch_atoms}
        settings = EngineSettings(device=self.device, threads=1)
        job = TrainingJob(stage, parameters | self.extra, NAME, sha256, settings=settings)
        (path / TRAIN_FILE).write_text(job.to_json())
        for which, table in self.sets.items():
            chosen = table if rows is None else table.take(np.arange(min(rows, len(table))))
            chosen.save(path / folder.set_file(which))
        status = Training(path).run()
        if status is not ExitStatus.OK:
            progress = JobFolder(path).read_progress()
            raise RuntimeError(f"{name} ended as {status.name}: {progress and progress.message}")
        return path


def table_of(frames: list[Atoms]) -> StructureTable:
    """Return frames with the columns that an import makes of their labels."""
    labels = [
        (atoms.info.pop("energy"), atoms.info.pop("stress"), atoms.arrays.pop("forces")) for atoms in frames
    ]
    names = {name: [atoms.info.pop(name) for atoms in frames] for name in ("base", "kind")}
    for atoms in frames:
        atoms.info = {}
    table = StructureTable.from_ase([(f"frame-{i:06d}", atoms) for i, atoms in enumerate(frames)])
    table.set_column("input_energy", np.array([energy for energy, _, _ in labels]), "eV")
    voigt = np.array([np.reshape(stress, 9)[[0, 4, 8, 5, 2, 1]] for _, stress, _ in labels])
    table.set_column("input_stress", voigt, "eV/A^3")
    for name, values in names.items():
        table.set_column(name, np.array(values, dtype=str))
    table.atom_columns["input_forces"] = np.concatenate([forces for _, _, forces in labels])
    return table


def epochs_in(budget_s: float, probe_s: tuple[float, float], share: float) -> int:
    """Return how many epochs of all frames ``budget_s`` holds.

    :param probe_s: seconds of a job of one epoch and of one of three, over a ``share`` of the frames.
    """
    per_epoch = max((probe_s[1] - probe_s[0]) / 2, 1e-3) / share
    return max(3, int(budget_s / per_epoch))


def main() -> int:
    """Train both stages within the budget."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_train", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with common/ and refractory/")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--budget", type=float, default=540.0, help="seconds for all")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch-atoms", type=int, default=1024)
    parser.add_argument("--quick", action="store_true", help="forty frames, a tiny model: a rehearsal")
    arguments = parser.parse_args()
    began = time.monotonic()
    validation, _ = held_out_frames(arguments.data)
    frames = training_frames(arguments.data)
    extra: dict[str, Any] = {}
    if arguments.quick:
        frames, validation = frames[:40], validation[:12]
        extra = {"architecture": "tiny", "hypers": {}, "min_rows": 4}
    sets = {"training": table_of(frames), "validation": table_of(validation)}
    plan = Plan(arguments.out, sets, arguments.device, arguments.batch_atoms, extra)
    print(f"{len(frames)} frames to train on, {len(validation)} to validate with", flush=True)
    model: Path | None = None
    for stage, share in ((Stage.DIRECT, DIRECT_SHARE), (Stage.CONSERVATIVE, 1.0)):
        probes = []
        for epochs in (1, 3):
            start = time.monotonic()
            plan.train(f"probe-{stage}-{epochs}", stage, epochs, model, PROBE_FRAMES)
            probes.append(time.monotonic() - start)
        left = (SPARE * arguments.budget - (time.monotonic() - began)) * share
        epochs = epochs_in(left, (probes[0], probes[1]), min(1.0, PROBE_FRAMES / len(frames)))
        epochs = 3 if arguments.quick else epochs
        print(f"{stage}: {epochs} epochs in {left:.0f} s", flush=True)
        done = plan.train(str(stage), stage, epochs, model)
        model = done / folder.TRAINED_FILE
        outcome = json.loads((done / folder.OUTCOME_FILE).read_text())
        print(f"{stage}: {json.dumps(outcome)}", flush=True)
        shutil.copy(model, arguments.out / "model.ckpt")
    print(f"{time.monotonic() - began:.0f} s in all", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A training job with the real metatrain: killed, left by walltime, stopped early; each goes on or ends."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from aiida_pet.job.checkpoint import load_checkpoint, sha256_of
from aiida_pet.job.folder import TRAIN_FILE, EngineSettings, ExitStatus, JobFolder
from aiida_pet.tables.table import Table
from aiida_pet.training import checkpoints, folder
from aiida_pet.training.curve import CURVE_FILE
from aiida_pet.training.folder import TrainingJob
from aiida_pet.training.parameters import Stage
from aiida_pet.training.run import Training
from support.labelled_crystals import TINY, labelled

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(autouse=True, scope="module")
def _engine() -> None:
    for module in ("torch", "metatrain"):
        pytest.importorskip(module, reason="needs the extra `engine`")


def write_job(
    path: Path,
    stage: Stage = Stage.CONSERVATIVE,
    model: Path | None = None,
    walltime_s: float | None = None,
    margin_s: float = 1.0,
    **changes: Any,
) -> Path:
    path.mkdir(parents=True)
    sha256 = ""
    if model is not None:
        shutil.copy(model, path / "model.ckpt")
        sha256 = sha256_of(model)
    settings = EngineSettings(device="cpu", threads=1, walltime_s=walltime_s, walltime_margin_s=margin_s)
    job = TrainingJob(stage, TINY | changes, "tiny", sha256, settings=settings)
    (path / TRAIN_FILE).write_text(job.to_json())
    labelled().save(path / folder.set_file("training"))
    return path


def progress(path: Path) -> Any:
    found = JobFolder(path).read_progress()
    assert found is not None
    return found


def metatrain_runs_in(path: Path) -> bool:
    """Return whether a process works in a folder."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.cwd() == str(path.resolve()):
                return True
    return False


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model from scratch whose job was killed after its first epochs."""
    first = write_job(tmp_path_factory.mktemp("training") / "first", epochs=400, learning_rate=1e-9)
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-m", "aiida_pet.engine", str(first)])
    deadline = time.time() + 300
    while checkpoints.newest(first) is None:
        assert process.poll() is None, (first / "engine.log").read_text()
        assert time.time() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    while metatrain_runs_in(first):  # it ends with its parent
        assert time.time() < deadline
        time.sleep(0.2)
    epoch, path = checkpoints.newest(first) or (0, first)
    later = path.with_name(f"model_{epoch + 1}.ckpt")
    later.write_bytes(path.read_bytes()[:-100])  # one that was being written
    return first


def test_metatrain_ends_with_a_parent_that_is_killed(trained: Path) -> None:
    epoch = checkpoints.newest(trained)
    time.sleep(1.5)
    assert checkpoints.newest(trained) == epoch


@pytest.fixture(scope="module")
def patience(trained: Path) -> int:
    """Epochs without a better one that the next job waits for: more than the first job had before it was killed."""
    epoch, _ = checkpoints.newest(trained) or (0, None)
    return epoch + 4


@pytest.fixture(scope="module")
def gone_on(trained: Path, patience: int, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The job that took the training up, and was ended early by patience."""
    path = write_job(
        tmp_path_factory.mktemp("next") / "job", epochs=400, patience=patience, learning_rate=1e-9
    )
    (path / folder.BEFORE).symlink_to(trained)
    status = Training(path).run()
    assert status is ExitStatus.OK, progress(path).message
    return path


def test_next_job_goes_on_from_the_newest_checkpoint_that_is_whole(trained: Path, gone_on: Path) -> None:
    epoch, _ = checkpoints.newest(trained) or (None, None)
    assert f"Using latest model from epoch {epoch}" in (gone_on / "metatrain.log").read_text()
    assert len(checkpoints.checkpoints_in(gone_on)) <= checkpoints.KEPT + 1  # several times a model each


def test_training_that_gets_no_better_is_ended(gone_on: Path, patience: int) -> None:
    outcome = json.loads((gone_on / folder.OUTCOME_FILE).read_text())
    assert outcome["stopped_early"]
    assert outcome["epochs_done"] < 400
    rows = json.loads((gone_on / CURVE_FILE).read_text())
    # a job that was killed may have lost the figures of its epochs, but not their weights
    assert [row["epoch"] for row in rows][-1] == outcome["epochs_done"] - 1
    assert outcome["epochs_done"] - 1 - outcome["best_epoch"] >= patience
    assert progress(gone_on).step == "done"
    assert "meV/atom" in progress(gone_on).message


def test_walltime_ends_a_job_between_epochs_and_too_short_a_one_is_refused(
    gone_on: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = gone_on / folder.TRAINED_FILE
    began = time.time()
    short = write_job(tmp_path / "short", model=model, walltime_s=2.0, epochs=500)
    with monkeypatch.context() as patched:
        # an epoch takes so little that several may be done before anybody looks
        patched.setattr(folder, "LEAST_EPOCHS", 400)
        assert Training(short).run() is ExitStatus.BAD_JOB
    took = time.time() - began
    assert progress(short).message.startswith("SHORT_WALLTIME: an epoch takes")
    assert "ask for" in progress(short).message
    # beside other tests an epoch may take seconds longer than the epoch before
    walltime = 3 * took + 10
    long = write_job(tmp_path / "long", model=model, walltime_s=walltime, margin_s=6.0, epochs=5000)
    began = time.time()
    assert Training(long).run() is ExitStatus.ROWS_LEFT
    assert time.time() - began < walltime
    assert progress(long).step == "stopped"
    done = progress(long).rows_done
    assert 3 <= done < 5000
    assert checkpoints.newest(long)[0] == done - 1  # type: ignore[index]


def test_lora_becomes_weights_like_any_others(gone_on: Path, tmp_path: Path) -> None:
    model = gone_on / folder.TRAINED_FILE
    path = write_job(tmp_path / "lora", model=model, method="lora", epochs=2, learning_rate=0.05)
    assert Training(path).run() is ExitStatus.OK
    last = checkpoints.newest(path)[1]  # type: ignore[index]
    merged, plain = path / folder.TRAINED_FILE, load_checkpoint(model, sha256_of(model))
    names = set(load_checkpoint(merged, sha256_of(merged))["model_state_dict"])
    assert names == set(plain["model_state_dict"])
    # metatrain's own model with its LoRA layers against the merged one
    energies = [_energy_by_metatrain(file) for file in (last, merged, model)]
    assert energies[0] == pytest.approx(energies[1], abs=2e-5)
    assert abs(energies[0] - energies[2]) > 1e-4


def _energy_by_metatrain(path: Path) -> float:
    from metatomic_ase import MetatomicCalculator
    from metatrain.utils.io import model_from_checkpoint

    model = model_from_checkpoint(load_checkpoint(path, sha256_of(path)), context="export").eval()
    atoms = _first()
    atoms.calc = MetatomicCalculator(model.export(), device="cpu")
    return float(atoms.get_potential_energy())


def _first() -> Any:
    from ase import Atoms

    table = labelled(3)
    return Atoms(table.numbers[:4], positions=table.positions[:4], cell=table.cells[0], pbc=True)


def test_errors_equal_those_by_metatomic(gone_on: Path) -> None:
    errors = Table.load(gone_on / folder.ERRORS_FILE)
    rows = Table.load(gone_on / folder.ROWS_FILE)
    kept = rows.columns["row"][rows.columns["split"] == "test"]
    table = labelled()
    from ase import Atoms
    from metatomic_ase import MetatomicCalculator
    from metatrain.utils.io import model_from_checkpoint

    path = gone_on / folder.TRAINED_FILE
    model = model_from_checkpoint(load_checkpoint(path, sha256_of(path)), context="export").eval()
    calculator = MetatomicCalculator(model.export(), device="cpu")
    energy, forces = [], []
    for row in table.positions_of(kept).tolist():
        part = slice(int(table.offsets[row]), int(table.offsets[row + 1]))
        atoms = Atoms(table.numbers[part], positions=table.positions[part], cell=table.cells[row], pbc=True)
        atoms.calc = calculator
        energy.append((atoms.get_potential_energy() - table.columns["input_energy"][row]) / len(atoms))
        forces.append(atoms.get_forces() - table.atom_columns["input_forces"][part])
    place = errors.index("test")
    assert errors.columns["energy_mae"][place] == pytest.approx(np.abs(energy).mean(), abs=2e-6)
    assert errors.columns["forces_rmse"][place] == pytest.approx(
        np.sqrt((np.concatenate(forces) ** 2).mean()), abs=2e-6
    )


def test_bad_data_and_a_broken_metatrain_say_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = write_job(tmp_path / "few", min_rows=100)
    assert Training(few).run() is ExitStatus.BAD_JOB
    assert progress(few).message.startswith("BAD_DATA: 12 rows to train on, expected 100 or more")
    broken = write_job(tmp_path / "broken", hypers={"normalization": "none"})
    assert Training(broken).run() is ExitStatus.BAD_JOB
    told = progress(broken).message
    assert told.startswith(
        "REPEATS: metatrain ended with status 1: ValidationError: model.normalization: Input"
    )


def test_pairs_are_told_of_what_is_known_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from aiida_pet.training import finish
    from aiida_pet.training.parameters import parse_training
    from aiida_pet.training.prepare import prepare

    def pairs(before: frozenset[tuple[int, int]] | None, begun: bool = True, **changes: Any) -> set[Any]:
        monkeypatch.setattr(finish, "load_checkpoint", lambda *_: {})
        monkeypatch.setattr(finish, "trained_pairs", lambda _: before)
        parameters = parse_training(TINY | changes)
        job = TrainingJob(Stage.CONSERVATIVE, TINY, "tiny", "0" * 64 if begun else "")
        prepared = prepare({"training": labelled()}, parameters)
        return finish._pairs(finish.Work(tmp_path, job, parameters, prepared))

    own = {(29, 29), (29, 79), (79, 79)}
    assert pairs(None, begun=False) == own
    assert pairs(frozenset({(13, 29)})) == own | {(13, 29)}
    assert pairs(None) == set()
    assert pairs(None, whole_training_set=True) == own


@pytest.mark.parametrize("damage", [None, "cut", "middle", "no archive"])
def test_checkpoint_that_was_damaged_is_passed_over_for_the_one_before(
    tmp_path: Path, damage: str | None
) -> None:
    outputs = tmp_path / checkpoints.OUTPUTS / "day" / "hour"
    outputs.mkdir(parents=True)
    for epoch in (3, 4):
        torch.save({"epoch": epoch, "weights": torch.arange(5000.0)}, outputs / f"model_{epoch}.ckpt")
    last = outputs / "model_4.ckpt"
    assert checkpoints.newest(tmp_path) == (4, last)
    content = bytearray(last.read_bytes())
    half = len(content) // 2
    if damage == "cut":
        content = content[:-100]
    elif damage == "middle":  # its end is there, what stands before it is not
        content[half : half + 4000] = bytes(4000)
    elif damage == "no archive":
        content = bytearray(b"PK\x05\x06")
    last.write_bytes(bytes(content))
    found = checkpoints.newest(tmp_path)
    assert found == ((4, last) if damage is None else (3, outputs / "model_3.ckpt"))

"""A job that is killed goes on from the step it had: the same path as one that was left alone, at no step twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.build
import numpy as np
import pytest

from aiida_pet.engine.run import Job
from aiida_pet.job.folder import STATE_FILE, EngineSettings, ExitStatus, JobFolder, JobSpec, Task
from aiida_pet.tables.crystals import StructureTable
from support.interrupted import Interrupted

MakeJob = Callable[..., JobFolder]

TIGHT = {"fmax": 1e-3, "stress_max": 0.01, "symprecs": []}


@pytest.fixture
def make_job(tmp_path: Path, model_file: tuple[Path, str]) -> MakeJob:
    def make(
        table: StructureTable, name: str = "job", cost: float | None = None, **parameters: Any
    ) -> JobFolder:
        settings = EngineSettings(device="cpu", threads=1, flush_interval_s=0.0, max_batch_cost=cost)
        path, sha256 = model_file
        folder = JobFolder(tmp_path / name)
        folder.write_inputs(
            JobSpec(Task.RELAX, TIGHT | parameters, sha256, model_path=str(path), settings=settings), table
        )
        return folder

    return make


def interrupt(folder: JobFolder, steps: int) -> StructureTable:
    """Run ``folder`` for ``steps`` steps and return the state it leaves."""
    assert Interrupted(folder, steps).run() is ExitStatus.ROWS_LEFT
    return state_of(folder)


def state_of(folder: JobFolder) -> StructureTable:
    with np.load(folder.path / STATE_FILE) as arrays:
        return StructureTable.from_arrays({name: arrays[name] for name in arrays.files if name != "purpose"})


def results_of(folder: JobFolder, table: StructureTable) -> StructureTable:
    result, damaged = folder.read_results()
    assert not damaged
    assert sorted(result.ids.tolist()) == sorted(table.ids.tolist())
    return result.select(table.ids)


def assert_same_ends(ours: StructureTable, wanted: StructureTable) -> None:
    assert (ours.columns["status"] == wanted.columns["status"]).all()
    assert (ours.columns["n_steps"] == wanted.columns["n_steps"]).all()
    for name in ("energy", "initial_energy", "initial_volume"):
        np.testing.assert_allclose(ours.columns[name], wanted.columns[name], atol=1e-10, rtol=0, err_msg=name)
    # rounding depends on which pairs beyond the cutoff are in the list, and that on when it was made
    np.testing.assert_allclose(ours.positions, wanted.positions, atol=1e-8)


def ordered_and_rattled(n_rows: int) -> StructureTable:
    """Crystals with symmetry, off it by less than the tolerance at which it is held."""
    rng = np.random.default_rng(3)
    rows = []
    for i in range(n_rows):
        atoms = ase.build.bulk("Mo", a=3.0 + 0.05 * (i % 5), cubic=True) * (1, 1, 1 + i % 2)
        atoms.numbers = rng.choice([41, 42, 73, 74], len(atoms))
        atoms.rattle(0.002, rng=rng)
        rows.append((f"ordered-{i}", atoms))
    return StructureTable.from_ase(rows)


def kill_in_the_middle(folder: JobFolder, steps: int) -> None:
    """Run the engine in ``folder`` and kill it once a row is known to have taken ``steps`` steps."""
    process = subprocess.Popen(
        [sys.executable, "-m", "aiida_pet.engine", str(folder.path)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.time() + 300
    while not (folder.path / STATE_FILE).exists() or state_of(folder).columns["steps"].max() < steps:
        assert process.poll() is None, (folder.path / "engine.log").read_text()
        assert time.time() < deadline, "no state within 300 s"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize(
    "parameters",
    [{}, {"optimizer": "lbfgs"}, {"symmetry": "constrained", "symprec": 0.05}],
    ids=["fire", "lbfgs", "constrained"],
)
def test_killed_relaxation_goes_on_from_its_step(make_job, alloys, parameters):
    table = ordered_and_rattled(8) if "symmetry" in parameters else alloys(8)
    alone = make_job(table, "alone", **parameters)
    assert Job(alone).run() is ExitStatus.OK
    folder = make_job(table, **parameters)
    kill_in_the_middle(folder, steps=5)
    state = state_of(folder)
    done = folder.read_results()[0]
    going_on = [name for name in state.ids.tolist() if done is None or name not in done.ids]
    assert going_on, "nothing was in flight: the engine was killed too late"
    before = 0 if done is None else int((done.columns["n_steps"] + 1).sum())
    saved = int(state.select(going_on).columns["steps"].sum())
    assert saved > 0

    assert Job(folder).run() is ExitStatus.OK
    wanted = results_of(alone, table)
    assert_same_ends(results_of(folder, table), wanted)
    # a row of n steps is evaluated n + 1 times, and none of the steps before the kill a second time
    whole = int((wanted.columns["n_steps"] + 1).sum())
    assert alone.read_progress().evaluations == whole
    assert folder.read_progress().evaluations == whole - before - saved
    assert not (folder.path / STATE_FILE).exists()


def test_orderly_stop_leaves_the_state_of_the_last_step(make_job, alloys):
    folder = make_job(alloys(3))
    state = interrupt(folder, 4)
    assert state.columns["steps"].tolist() == [4, 4, 4]
    np.testing.assert_array_equal(
        np.sort(state.positions, axis=None), np.sort(alloys(3).positions, axis=None)
    )


def test_rows_that_wait_to_go_on_stay_in_the_state(make_job, alloys):
    table = alloys(6)
    alone = make_job(table, "alone")
    Job(alone).run()
    at_once = make_job(table)
    before = interrupt(at_once, 6)
    # the next start has room for few rows at once, and is stopped before it took a step
    folder = make_job(table, "narrow", cost=40.0)
    (folder.path / STATE_FILE).write_bytes((at_once.path / STATE_FILE).read_bytes())
    untouched = interrupt(folder, 0)
    assert set(untouched.ids.tolist()) == set(before.ids.tolist())
    some = interrupt(folder, 2).select(table.ids)
    assert sorted(some.columns["steps"].tolist())[0] == 6
    assert sorted(some.columns["steps"].tolist())[-1] == 8
    assert Job(folder).run() is ExitStatus.OK
    assert_same_ends(results_of(folder, table), results_of(alone, table))


def test_row_in_a_shard_and_in_the_state_is_done(make_job, alloys):
    table = alloys(4)
    folder = make_job(table)
    interrupt(folder, 5)
    old = (folder.path / STATE_FILE).read_bytes()
    while len(folder.read_results()[0] or ()) < 2:
        interrupt(folder, 10)
    (folder.path / STATE_FILE).write_bytes(old)
    assert Job(folder).run() is ExitStatus.OK
    shard_ids = [name for path in folder.shards() for name in StructureTable.load(path).ids.tolist()]
    assert sorted(shard_ids) == sorted(table.ids.tolist())
    (folder.path / STATE_FILE).write_bytes(old)
    assert Job(folder).run() is ExitStatus.OK
    assert not (folder.path / STATE_FILE).exists()


def changed(folder: JobFolder, **changes: Any) -> bytes:
    """Return the file of states of ``folder`` with other arrays."""
    path = folder.path / STATE_FILE
    with np.load(path) as arrays:
        content = {name: arrays[name] for name in arrays.files} | changes
    np.savez(path, **content)
    return path.read_bytes()


def purpose(folder: JobFolder, **changes: Any) -> np.ndarray:
    with np.load(folder.path / STATE_FILE) as arrays:
        found = json.loads(bytes(arrays["purpose"]))
    return np.frombuffer(json.dumps(found | changes).encode(), dtype=np.uint8)


def flipped(raw: bytes, place: int) -> bytes:
    """Return ``raw`` with all bits of the byte at ``place`` the other way."""
    return raw[:place] + bytes([raw[place] ^ 255]) + raw[place + 1 :]


SPOILED = {
    "empty": (lambda folder, raw: b"", "damaged"),
    "truncated": (lambda folder, raw: raw[:-300], "damaged"),
    "flipped": (
        lambda folder, raw: flipped(raw, raw.index(state_of(folder).positions.tobytes()[:16])),
        "damaged: BadZipFile",
    ),
    "no purpose": (lambda folder, raw: changed(folder, purpose=np.zeros(3)), "damaged"),
    "other version": (
        lambda folder, raw: changed(folder, purpose=purpose(folder, version=99)),
        "version = 99 and not 2",
    ),
    "other model": (
        lambda folder, raw: changed(folder, purpose=purpose(folder, model_sha256="0" * 64)),
        "model_sha256 = '000",
    ),
    "other parameters": (
        lambda folder, raw: changed(folder, purpose=purpose(folder, max_step=0.1)),
        "max_step = 0.1 and not 0.2",
    ),
    "other structures": (
        lambda folder, raw: changed(folder, positions=state_of(folder).positions + 0.1),
        "other structures with the same ids",
    ),
    "other optimiser": (
        lambda folder, raw: changed(folder, **{"column/optimizer.rho": state_of(folder).columns["steps"]}),
        "it holds",
    ),
    "other shape": (
        lambda folder, raw: changed(folder, **{"column/steps": state_of(folder).columns["cells0"]}),
        "steps is torch.float64 of shape (2, 3, 3)",
    ),
}


@pytest.mark.parametrize("kind", SPOILED)
def test_state_that_cannot_be_used_is_ignored_with_a_warning(make_job, alloys, caplog, kind):
    table = alloys(2)
    folder = make_job(table, fmax=0.1, stress_max=1.0)
    interrupt(folder, 2)
    spoil, reason = SPOILED[kind]
    path = folder.path / STATE_FILE
    path.write_bytes(spoil(folder, path.read_bytes()))
    caplog.clear()
    assert Job(folder).run() is ExitStatus.OK
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert str(path) in warning
    assert reason in warning
    # everything was done from the beginning
    steps = results_of(folder, table).columns["n_steps"]
    assert folder.read_progress().evaluations == (steps + 1).sum()


def test_state_that_cannot_be_written_does_not_stop_the_job(make_job, alloys, caplog):
    folder = make_job(alloys(1), fmax=0.1, stress_max=1.0)
    (folder.path / STATE_FILE).mkdir()
    assert Job(folder).run() is ExitStatus.OK
    assert "the state of unfinished rows could not be saved" in caplog.text

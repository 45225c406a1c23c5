"""Jobs from folder to shards: bad rows, bad models, kills, walltime, and going on where a job was left."""

from __future__ import annotations

import json
import os
import pickle
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
from ase import Atoms

from aiida_pet.engine.run import Job
from aiida_pet.job.folder import EngineSettings, ExitStatus, JobFolder, JobSpec, Task
from aiida_pet.tables.crystals import StructureTable

MakeJob = Callable[..., JobFolder]


@pytest.fixture
def make_job(tmp_path: Path, model_file: tuple[Path, str]) -> MakeJob:
    def make(table: StructureTable, task: Task = Task.STATIC, name: str = "job", **changes: Any) -> JobFolder:
        settings = EngineSettings(**{"device": "cpu", "flush_interval_s": 0.0} | changes.pop("settings", {}))
        spec = {"model_path": str(model_file[0]), "model_sha256": model_file[1], "parameters": {}} | changes
        folder = JobFolder(tmp_path / name)
        folder.write_inputs(JobSpec(task=task, settings=settings, **spec), table)
        return folder

    return make


def ill() -> StructureTable:
    good = ase.build.bulk("Mo", cubic=True)
    nan = good.copy()
    nan.positions[1, 2] = np.nan
    on_one_spot = good.copy()
    on_one_spot.positions[1] = on_one_spot.positions[0]
    flat = good.copy()
    flat.set_cell([[3, 0, 0], [0, 3, 0], [3, 3, 0]])
    copper = ase.build.bulk("Cu")
    rows = {
        "nan": nan,
        "one-spot": on_one_spot,
        "flat": flat,
        "copper": copper,
        "none": Atoms(cell=np.eye(3), pbc=True),
    }
    return StructureTable.from_ase(rows.items())


def test_bad_rows_end_with_their_own_status_and_others_are_untouched(make_job, alloys):
    good = alloys(6)
    alone = make_job(good, Task.RELAX, name="alone")
    assert Job(alone).run() is ExitStatus.OK
    mixed = make_job(
        StructureTable.concatenate([good.take([0, 1, 2]), ill(), good.take([3, 4, 5])]), Task.RELAX
    )
    assert Job(mixed).run() is ExitStatus.OK
    result, damaged = mixed.read_results()
    assert not damaged
    wanted = dict.fromkeys(("nan", "one-spot", "flat", "none"), "invalid_geometry") | {
        "copper": "unsupported_element"
    }
    for name, status in wanted.items():
        row = result.index(name)
        assert result.columns["status"][row] == status
        assert np.isnan(result.columns["energy"][row])
    copper = result.index("copper")
    assert "Cu" in result.columns["message"][copper]
    assert (
        result.columns["initial_spacegroup_0_01"][copper] == result.columns["spacegroup_0_01"][copper] == 225
    )
    undisturbed = alone.read_results()[0].select(good.ids)
    among_bad = result.select(good.ids)
    assert (among_bad.columns["status"] == undisturbed.columns["status"]).all()
    np.testing.assert_allclose(among_bad.columns["energy"], undisturbed.columns["energy"], atol=1e-10)
    np.testing.assert_allclose(among_bad.positions, undisturbed.positions, atol=1e-10)


def test_one_atom_and_many_atoms_in_one_batch(make_job):
    big = ase.build.bulk("W", cubic=True) * (10, 10, 10)
    table = StructureTable.from_ase([("one", ase.build.bulk("Mo")), ("many", big)])
    folder = make_job(table)
    assert Job(folder).run() is ExitStatus.OK
    result = folder.read_results()[0].select(["one", "many"])
    assert result.columns["status"].tolist() == ["converged", "converged"]
    assert result.columns["n_atoms"].tolist() == [1, 2000]
    one = StructureTable.from_ase([("cell", ase.build.bulk("W", cubic=True))])
    reference = make_job(one, name="reference")
    Job(reference).run()
    per_atom = reference.read_results()[0].columns["energy"][0] / 2
    assert result.columns["energy"][1] / 2000 == pytest.approx(per_atom, abs=1e-9)


def test_empty_job_is_refused(make_job):
    folder = make_job(StructureTable.from_ase([]))
    assert Job(folder).run() is ExitStatus.BAD_JOB
    assert "holds no structures" in folder.read_progress().message


def test_bad_parameters_are_refused_by_name(make_job, alloys):
    folder = make_job(alloys(1), parameters={"fmx": 1})
    assert Job(folder).run() is ExitStatus.BAD_JOB
    assert "fmx: unknown; known are forces" in folder.read_progress().message


def test_job_of_another_schema_version_is_refused(make_job, alloys):
    folder = make_job(alloys(1))
    raw = json.loads((folder.path / "job.json").read_text())
    (folder.path / "job.json").write_text(json.dumps(raw | {"schema_version": 99}))
    assert Job(folder).run() is ExitStatus.BAD_JOB
    assert "schema_version 99, this pet-engine reads 1" in folder.read_progress().message


def test_device_that_is_not_there_is_named(make_job, alloys):
    folder = make_job(alloys(1), settings={"device": "cuda:63"})
    assert Job(folder).run() is ExitStatus.BAD_DEVICE
    assert "'cuda:63' cannot be used" in folder.read_progress().message


class Bomb:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("kind", ["truncated", "other", "missing", "bomb"])
def test_model_that_is_not_the_expected_file_is_refused_unread(make_job, alloys, model_file, tmp_path, kind):
    path, exploded = tmp_path / "bad.ckpt", tmp_path / "exploded"
    content = {
        "truncated": model_file[0].read_bytes()[:100_000],
        "other": model_file[0].read_bytes() + b"x",
        "bomb": pickle.dumps(Bomb(exploded)),
    }
    if kind in content:
        path.write_bytes(content[kind])
    folder = make_job(alloys(1), model_path=str(path))
    assert Job(folder).run() is ExitStatus.BAD_MODEL
    assert folder.read_progress().message.startswith("BAD_MODEL: ")
    assert "bad.ckpt" in folder.read_progress().message
    assert not exploded.exists()


def engine(folder: JobFolder) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "aiida_pet.engine", str(folder.path)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def wait_for_shards(folder: JobFolder, process: subprocess.Popen[bytes], number: int) -> None:
    deadline = time.time() + 300
    while len(folder.shards()) < number:
        assert process.poll() is None, (folder.path / "engine.log").read_text()
        assert time.time() < deadline, "no shard within 300 s"
        time.sleep(0.02)


def test_killed_engine_goes_on_where_it_was_and_does_nothing_twice(make_job, alloys):
    table = alloys(40)
    settings = {"max_batch_cost": 900.0}
    folder = make_job(table, Task.RELAX, settings=settings)
    process = engine(folder)
    wait_for_shards(folder, process, 2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before, _ = folder.read_results()
    assert 0 < len(before) < len(table)
    process = engine(folder)
    assert process.wait() == ExitStatus.OK
    shard_ids = [name for path in folder.shards() for name in StructureTable.load(path).ids.tolist()]
    assert sorted(shard_ids) == sorted(table.ids.tolist())
    assert folder.read_progress().starts == 2
    undisturbed = make_job(table, Task.RELAX, name="undisturbed", settings=settings)
    Job(undisturbed).run()
    np.testing.assert_allclose(
        folder.read_results()[0].select(table.ids).columns["energy"],
        undisturbed.read_results()[0].select(table.ids).columns["energy"],
        atol=1e-6,
    )


def test_sigterm_flushes_and_leaves_in_order(make_job, alloys):
    folder = make_job(alloys(60), Task.RELAX, settings={"max_batch_cost": 900.0})
    process = engine(folder)
    wait_for_shards(folder, process, 1)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == ExitStatus.ROWS_LEFT
    progress = folder.read_progress()
    assert progress.step == "stopped"
    assert progress.message.startswith("ROWS_LEFT: signal SIGTERM")
    assert progress.rows_done == len(folder.read_results()[0]) < progress.rows_total


def test_walltime_leaves_rows_and_the_next_start_finishes_them(make_job, alloys):
    table = alloys(12)
    folder = make_job(table, Task.RELAX, settings={"walltime_s": 60.0, "walltime_margin_s": 60.0})
    assert Job(folder).run() is ExitStatus.ROWS_LEFT
    assert "walltime" in folder.read_progress().message
    assert "12 of 12 rows are left" in folder.read_progress().message
    spec = folder.read_spec()
    (folder.path / "job.json").write_text(
        JobSpec(spec.task, spec.parameters, spec.model_sha256, spec.model_path).to_json()
    )
    assert Job(folder).run() is ExitStatus.OK
    assert len(folder.read_results()[0]) == len(table)


def test_damaged_shard_is_set_aside_and_its_rows_done_again(make_job, alloys):
    table = alloys(8)
    folder = make_job(table)
    Job(folder).run()
    shard = folder.shards()[0]
    shard.write_bytes(shard.read_bytes()[:-200])
    assert folder.read_results()[1] == [shard.name]
    assert Job(folder).run() is ExitStatus.OK
    assert sorted(folder.read_results()[0].ids.tolist()) == sorted(table.ids.tolist())


def test_heartbeat_counts_rows_and_statuses(make_job, alloys):
    folder = make_job(StructureTable.concatenate([alloys(3), ill()]))
    Job(folder).run()
    progress = folder.read_progress()
    assert (progress.rows_total, progress.rows_done, progress.step) == (8, 8, "done")
    assert progress.statuses == {"converged": 3, "invalid_geometry": 4, "unsupported_element": 1}
    assert progress.engine_s >= progress.compute_s > 0
    assert progress.evaluations == 3
    assert progress.memory_mb > 1


def test_heartbeat_tells_the_time_left_between_two_flushes(make_job, alloys, monkeypatch):
    seen = []
    monkeypatch.setattr("aiida_pet.engine.run.BEAT_S", 0.0)
    monkeypatch.setattr(JobFolder, "write_progress", lambda _, progress: seen.append(progress))
    settings = {"flush_interval_s": 1e6}
    folder = make_job(alloys(6), task=Task.RELAX, parameters={"fmax": 1e-4}, settings=settings)
    assert Job(folder).run() is ExitStatus.OK
    told = [one for one in seen if one.step == "running" and one.evaluations]
    assert len(told) > 5
    assert all(one.rows_done == 0 and one.rows_in_flight > 0 for one in told)
    assert all(one.eta_s is not None and one.eta_s > 0 for one in told)
    assert (seen[-1].step, seen[-1].eta_s, seen[-1].rows_done) == ("done", 0, 6)


def test_static_columns_are_complete(make_job, alloys):
    folder = make_job(alloys(2), parameters={"symprecs": [0.05]})
    Job(folder).run()
    result = folder.read_results()[0]
    assert set(result.columns) == {
        "status", "message", "energy", "n_atoms", "volume", "stress", "fmax", "stress_max", "spacegroup_0_05",
        "symmetry_warning", "heads", "warnings",
    }  # fmt: skip
    assert result.units["energy"] == "eV"
    assert result.atom_columns["forces"].shape == (result.offsets[-1], 3)


def test_min_distance_decides_what_overlaps(make_job, alloys):
    folder = make_job(alloys(2), parameters={"min_distance": 2.9})
    Job(folder).run()
    assert set(folder.read_results()[0].columns["status"]) == {"invalid_geometry"}

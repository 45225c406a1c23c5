"""The CalcJobs of the engine: what they upload and what they refuse; what counts for their hash is in test_hash.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiida import orm
from aiida.engine import run_get_node

from aiida_pet.calculations.relax import RelaxCalculation
from aiida_pet.calculations.static import StaticCalculation
from aiida_pet.data.table import TableData
from aiida_pet.job.folder import MODEL_FILE, STRUCTURES_FILE, JobFolder, Task
from aiida_pet.job.parameters import RelaxParameters

Inputs = Callable[..., dict[str, Any]]


def test_job_folder_holds_the_rows_asked_for_and_all_parameters(
    generate_calc_job: Any, job_inputs: Inputs
) -> None:
    inputs = job_inputs(4) | {
        "rows": TableData.from_ids(["alloy-0003", "alloy-0001"]),
        "parameters": orm.Dict({"fmax": 0.01}),
    }
    _, path = generate_calc_job(RelaxCalculation, inputs)
    folder = JobFolder(path)
    spec = folder.read_spec()
    assert spec.task is Task.RELAX
    assert RelaxParameters(**spec.parameters) == RelaxParameters(fmax=0.01)
    assert spec.parameters["optimizer"] == "fire"  # defaults are written out
    assert spec.model_sha256 == inputs["model"].sha256
    structures = folder.read_structures()
    assert structures.ids.tolist() == ["alloy-0003", "alloy-0001"]
    assert not structures.columns


def test_model_is_uploaded_if_it_is_not_staged(generate_calc_job: Any, job_inputs: Inputs) -> None:
    inputs = job_inputs()
    calc_info, _ = generate_calc_job(StaticCalculation, inputs)
    assert calc_info.local_copy_list == [(inputs["model"].uuid, "model.ckpt", MODEL_FILE)]
    assert calc_info.remote_symlink_list == []


def test_staged_model_is_linked_and_not_uploaded(generate_calc_job: Any, job_inputs: Inputs) -> None:
    inputs = job_inputs()
    computer = inputs["code"].computer
    remote = orm.RemoteData(remote_path="/scratch/model", computer=computer).store()
    calc_info, _ = generate_calc_job(StaticCalculation, inputs | {"remote_model": remote})
    assert calc_info.local_copy_list == []
    assert calc_info.remote_symlink_list == [(computer.uuid, "/scratch/model/model.ckpt", MODEL_FILE)]


def test_state_of_the_job_before_is_linked(generate_calc_job: Any, job_inputs: Inputs) -> None:
    inputs = job_inputs()
    computer = inputs["code"].computer
    before = orm.RemoteData(remote_path="/scratch/before", computer=computer).store()
    calc_info, _ = generate_calc_job(RelaxCalculation, inputs | {"remote_state": before})
    assert calc_info.remote_symlink_list == [(computer.uuid, "/scratch/before/state.npz", "state.npz")]


def test_structures_are_not_stored_with_the_job_and_shards_are_not_kept(
    generate_calc_job: Any, job_inputs: Inputs
) -> None:
    calc_info, _ = generate_calc_job(StaticCalculation, job_inputs())
    assert calc_info.provenance_exclude_list == [STRUCTURES_FILE]
    assert calc_info.retrieve_list == ["progress.json", "engine.log"]
    assert calc_info.retrieve_temporary_list == ["results-*.npz"]


def test_walltime_and_cores_of_the_scheduler_reach_the_engine(
    generate_calc_job: Any, job_inputs: Inputs
) -> None:
    inputs = job_inputs()
    inputs["metadata"]["options"]["max_wallclock_seconds"] = 3600
    inputs["metadata"]["options"]["resources"]["num_cores_per_mpiproc"] = 4
    calc_info, path = generate_calc_job(RelaxCalculation, inputs | {"settings": {"walltime_margin_s": 90}})
    settings = JobFolder(path).read_spec().settings
    assert (settings.walltime_s, settings.walltime_margin_s, settings.threads) == (3600.0, 90, 4)
    assert calc_info.prepend_text == "export OMP_NUM_THREADS=4\nexport MKL_NUM_THREADS=4"


def test_settings_given_win_over_the_scheduler(generate_calc_job: Any, job_inputs: Inputs) -> None:
    inputs = job_inputs(OMP_NUM_THREADS=2)
    inputs["metadata"]["options"]["max_wallclock_seconds"] = 3600
    inputs["settings"] = {"walltime_s": 60.0, "threads": 3}
    calc_info, path = generate_calc_job(RelaxCalculation, inputs)
    settings = JobFolder(path).read_spec().settings
    assert (settings.walltime_s, settings.threads) == (60.0, 3)
    assert calc_info.prepend_text == "export MKL_NUM_THREADS=3"  # the other one is the user's own


@pytest.mark.parametrize(("walltime", "margin"), [(3600, 60.0), (100, 20.0)])
def test_short_walltime_keeps_a_short_margin(
    generate_calc_job: Any, job_inputs: Inputs, walltime: int, margin: float
) -> None:
    inputs = job_inputs()
    inputs["metadata"]["options"]["max_wallclock_seconds"] = walltime
    _, path = generate_calc_job(RelaxCalculation, inputs)
    assert JobFolder(path).read_spec().settings.walltime_margin_s == margin


def test_margin_that_leaves_no_time_is_refused(job_inputs: Inputs) -> None:
    inputs = job_inputs() | {"settings": {"walltime_margin_s": 60}}
    inputs["metadata"]["options"]["max_wallclock_seconds"] = 60
    with pytest.raises(ValueError, match="walltime_margin_s = 60 s leaves nothing of the walltime of 60 s"):
        run_get_node(RelaxCalculation, **inputs)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"fmaks": 0.1}, "fmaks: unknown; known are forces, stress, .*fmax"),
        ({"fmax": -1}, r"fmax = -1 eV/A: expected a number > 0"),
        ({"optimizer": "bfgs"}, "optimizer = 'bfgs': expected fire or lbfgs"),
    ],
)
def test_bad_parameters_are_refused_at_submission(
    job_inputs: Inputs, parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        run_get_node(RelaxCalculation, **job_inputs(), parameters=orm.Dict(parameters))


def test_parameters_of_another_task_are_refused(job_inputs: Inputs) -> None:
    with pytest.raises(ValueError, match="bad parameters of static:\n  fmax: unknown"):
        run_get_node(StaticCalculation, **job_inputs(), parameters=orm.Dict({"fmax": 0.1}))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gpu": True}, "settings.gpu: unknown; known are device, threads, walltime_s"),
        ({"threads": 0}, "settings.threads = 0: expected a whole number >= 1"),
        ({"max_batch_cost": "big"}, "settings.max_batch_cost = 'big': expected a number >= 0"),
        ({"device": "tpu"}, "settings.device = 'tpu': expected auto, cpu, cuda or cuda:N"),
    ],
)
def test_bad_settings_are_refused_at_submission(
    job_inputs: Inputs, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        run_get_node(RelaxCalculation, **job_inputs(), settings=settings)


def test_rows_that_are_not_in_the_set_are_named(job_inputs: Inputs) -> None:
    rows = TableData.from_ids(["alloy-0001", "nobody"])
    with pytest.raises(ValueError, match=r"1 of 2 ids in rows are not in structures .*: 'nobody'"):
        run_get_node(RelaxCalculation, **job_inputs(), rows=rows)


@pytest.mark.parametrize("name", ["remote_model", "remote_state"])
def test_folder_on_another_computer_is_refused(job_inputs: Inputs, tmp_path: Path, name: str) -> None:
    label = f"other-{name}"
    other = orm.Computer(label, "other.host", "", "core.local", "core.direct", str(tmp_path)).store()
    remote = orm.RemoteData(remote_path="/scratch", computer=other).store()
    with pytest.raises(ValueError, match=f"{name} lies on computer '{label}' but the job runs on 'local-"):
        run_get_node(RelaxCalculation, **job_inputs(), **{name: remote})


def test_every_exit_code_invalidates_the_cache() -> None:
    for process_class in (StaticCalculation, RelaxCalculation):
        codes = [code for code in process_class.spec().exit_codes.values() if code.status >= 100]
        assert len(codes) >= 9
        assert all(code.invalidates_cache for code in codes)


def test_default_parameters_have_not_changed_without_a_new_cache_version() -> None:
    """A stored job keeps the parameters as given: if a default changes, raise CACHE_VERSION, then this."""
    assert RelaxCalculation.CACHE_VERSION == 5
    assert RelaxParameters().model_dump(mode="json") == {
        "forces": "conservative",
        "stress": "conservative",
        "dtype": "float64",
        "variant": None,
        "outputs": [],
        "symprecs": [0.001, 0.01, 0.1],
        "averaging": "none",
        "average_from_fmax": None,
        "min_distance": 0.5,
        "seed": 0,
        "fmax": 0.02,
        "stress_max": 0.1,
        "max_steps": 500,
        "optimizer": "fire",
        "cell": "full",
        "pressure": 0.0,
        "symmetry": "none",
        "symprec": 0.01,
        "max_step": 0.2,
        "volume_ratio_max": 4.0,
        "force_cap": 1e4,
    }

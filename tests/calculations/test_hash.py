"""What counts for the hash of a job, so for AiiDA's cache: what it computes, and nothing of where and how fast.

The lists of this file are the promise. A port or option that is in neither makes a test fail until somebody decides.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiida import orm
from aiida.engine.utils import instantiate_process
from aiida.manage import get_manager

from aiida_pet.calculations.base import SITE_VARIABLES
from aiida_pet.calculations.elastic import ElasticCalculation
from aiida_pet.calculations.phonons import PhononCalculation
from aiida_pet.calculations.relax import RelaxCalculation
from aiida_pet.calculations.static import StaticCalculation
from aiida_pet.computers.resources import Site, lane_options, parse_resources, render
from aiida_pet.data.model import PetModelData
from aiida_pet.data.table import TableData

Inputs = Callable[..., dict[str, Any]]

SCIENCE = {"model", "structures", "rows", "parameters", "code"}
SITE_INPUTS = {"settings", "remote_model", "remote_state"}
# Of AiiDA, and of no calculation's result: names, links, the monitors of a job and the folder of an import.
NEITHER = {"metadata", "monitors", "remote_folder"}

# A value of each that differs from what the job has.
SITE_OPTIONS: dict[str, Any] = {
    "resources": {"num_machines": 1, "num_mpiprocs_per_machine": 1, "num_cores_per_mpiproc": 8},
    "custom_scheduler_commands": "#SBATCH --gres=gpu:1",
    "max_wallclock_seconds": 60,
    "max_memory_kb": 2048,
    "queue_name": "gpu",
    "account": "mat-01",
    "qos": "high",
    "priority": "10",
    "rerunnable": True,
    "import_sys_environment": False,
    "mpirun_extra_params": ["-v"],
}
HASHED_OPTIONS: dict[str, Any] = {
    "prepend_text": "export PET_SOMETHING=1",
    "append_text": "echo done",
    "environment_variables": {"PET_SOMETHING": "1"},
    "environment_variables_double_quotes": True,
    "parser_name": "pet.ase",
    "withmpi": True,
    "additional_retrieve_list": ["other.txt"],
}
# Names of files, and copies to other places: nobody sets them here, and AiiDA hashes them.
UNUSED_OPTIONS = {
    "input_filename",
    "output_filename",
    "submit_script_filename",
    "scheduler_stdout",
    "scheduler_stderr",
    "stash",
    "unstash",
}

SETTINGS = {
    "device": "cuda",
    "threads": 7,
    "walltime_s": 1000.0,
    "walltime_margin_s": 5.0,
    "flush_interval_s": 5.0,
    "max_batch_cost": 10.0,
}


def hash_of(process_class: type, inputs: dict[str, Any]) -> str:
    """The hash under which the job of `inputs` would be stored, and found in the cache."""
    process = instantiate_process(get_manager().get_runner(), process_class, **inputs)
    found: str = process.node.base.caching.get_hash()
    assert found
    return found


@pytest.fixture
def inputs(job_inputs: Inputs) -> dict[str, Any]:
    """Inputs of a relaxation."""
    return job_inputs()


@pytest.fixture
def relax_hash(inputs: dict[str, Any]) -> Callable[..., str]:
    """The hash of the relaxation with some of its options changed."""

    def compute(**options: Any) -> str:
        changed = inputs["metadata"]["options"] | options
        return hash_of(RelaxCalculation, inputs | {"metadata": {"options": changed}})

    return compute


@pytest.mark.parametrize(
    "process_class", [StaticCalculation, RelaxCalculation, PhononCalculation, ElasticCalculation]
)
def test_every_input_and_option_is_decided_upon(process_class: Any) -> None:
    assert set(process_class.spec().inputs) == SCIENCE | SITE_INPUTS | NEITHER
    assert set(process_class.spec_options) == {*SITE_OPTIONS, *HASHED_OPTIONS} | UNUSED_OPTIONS


@pytest.mark.parametrize("name", SITE_OPTIONS)
def test_option_of_the_queue_is_not_hashed(relax_hash: Callable[..., str], name: str) -> None:
    assert relax_hash(**{name: SITE_OPTIONS[name]}) == relax_hash()


@pytest.mark.parametrize("name", HASHED_OPTIONS)
def test_option_that_may_change_a_result_is_hashed(relax_hash: Callable[..., str], name: str) -> None:
    assert relax_hash(**{name: HASHED_OPTIONS[name]}) != relax_hash()


@pytest.mark.parametrize("name", SITE_VARIABLES)
def test_variable_of_gpu_or_threads_is_not_hashed(relax_hash: Callable[..., str], name: str) -> None:
    assert relax_hash(environment_variables={name: "1"}) == relax_hash()
    other = {"PET_SOMETHING": "1"}
    assert relax_hash(environment_variables={name: "1", **other}) == relax_hash(environment_variables=other)


def test_all_settings_of_the_engine_are_changed_here_and_not_hashed(inputs: dict[str, Any]) -> None:
    from dataclasses import asdict

    from aiida_pet.job.folder import EngineSettings

    defaults = asdict(EngineSettings())
    assert {name for name in defaults if SETTINGS[name] != defaults[name]} == set(SETTINGS)
    plain = hash_of(RelaxCalculation, inputs)
    assert hash_of(RelaxCalculation, inputs | {"settings": SETTINGS}) == plain


@pytest.mark.parametrize("name", ["remote_model", "remote_state"])
def test_folder_on_the_computer_is_not_hashed(inputs: dict[str, Any], name: str) -> None:
    folder = orm.RemoteData(remote_path="/scratch", computer=inputs["code"].computer).store()
    assert hash_of(RelaxCalculation, inputs | {name: folder}) == hash_of(RelaxCalculation, inputs)


@pytest.mark.parametrize("scheduler", ["core.slurm", "core.direct"])
def test_resources_of_a_job_are_not_hashed(relax_hash: Callable[..., str], scheduler: str) -> None:
    raw: dict[str, Any] = {"gpus": 1, "cpus_per_gpu": 4, "walltime": "2h"}
    if scheduler == "core.slurm":
        raw |= {"gpu_type": "a100", "memory": "8GB", "account": "a", "partition": "p", "qos": "q"}
    options = render(parse_resources(raw), scheduler, Site(gpus=2))
    assert relax_hash(**options) == relax_hash()


def test_jobs_of_lanes_on_different_gpus_have_one_hash(relax_hash: Callable[..., str]) -> None:
    options = render(parse_resources({"gpus": 1}), "core.direct", Site(gpus=2))
    lanes = [lane_options(options, "core.direct", lane) for lane in range(2)]
    assert lanes[0] != lanes[1]
    assert {relax_hash(**lane) for lane in lanes} == {relax_hash()}


def test_lanes_and_job_size_are_no_inputs_of_a_job() -> None:
    """They decide which rows go into one job, and these are hashed."""
    assert {"lanes", "job_size", "max_failures"}.isdisjoint(RelaxCalculation.spec().inputs)


def test_what_a_job_computes_is_hashed(inputs: dict[str, Any], make_structures: Any, tmp_path: Path) -> None:
    before = hash_of(RelaxCalculation, inputs)
    other = tmp_path / "other.ckpt"
    other.write_bytes(b"another")
    card = {"name": "other", "elements": ["W"], "outputs": ["energy"]}
    changes: list[dict[str, Any]] = [
        {"model": PetModelData.get_or_create(other, card)},
        {"rows": TableData.from_ids(["alloy-0001"])},
        {"rows": TableData.from_ids(["alloy-0001", "alloy-0002"])},
        {"structures": make_structures(4)},
        {"parameters": orm.Dict({"fmax": 0.01})},
        {"parameters": orm.Dict({"dtype": "float32"})},
        {"parameters": orm.Dict({"seed": 1})},
    ]
    hashes = [hash_of(RelaxCalculation, inputs | change) for change in changes]
    assert len({before, *hashes}) == 1 + len(changes)


def test_task_is_hashed(inputs: dict[str, Any]) -> None:
    classes = (StaticCalculation, RelaxCalculation, PhononCalculation, ElasticCalculation)
    assert len({hash_of(process_class, inputs) for process_class in classes}) == len(classes)


def test_same_rows_made_anew_give_the_same_hash(inputs: dict[str, Any]) -> None:
    hashes = {
        hash_of(RelaxCalculation, inputs | {"rows": TableData.from_ids(["alloy-0002", "alloy-0001"])})
        for _ in range(2)
    }
    assert len(hashes) == 1

"""Protocols are complete, ordered from loose to tight, and refuse what they do not know."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiida import orm
from aiida.engine import run_get_node

from aiida_pet.computers.resources import ResourceError
from aiida_pet.job.folder import Task
from aiida_pet.job.parameters import ParameterError, parse_parameters
from aiida_pet.job.tasks import entry_of
from aiida_pet.workchains.batch import BatchWorkChain
from aiida_pet.workchains.elastic import ElasticWorkChain
from aiida_pet.workchains.hull import HullWorkChain
from aiida_pet.workchains.jobs import jobs_of
from aiida_pet.workchains.phonons import PhononWorkChain
from aiida_pet.workchains.protocols import (
    ProtocolError,
    available_protocols,
    default_protocol,
    protocol_inputs,
)
from aiida_pet.workchains.relax import RelaxWorkChain
from aiida_pet.workchains.screening import ScreeningWorkChain
from aiida_pet.workchains.stages import make_stages


@pytest.mark.parametrize("task", list(Task))
def test_every_task_has_the_three_protocols_with_a_description(task: Task) -> None:
    protocols = available_protocols(task)
    assert list(protocols) == ["fast", "moderate", "precise", *entry_of(task).further_protocols]
    assert all(len(description) > 10 for description in protocols.values())
    assert default_protocol(task) == "moderate"
    for name in protocols:
        parse_parameters(task, protocol_inputs(task, name).parameters)


def test_relaxation_gets_tighter_from_fast_to_precise() -> None:
    found = [protocol_inputs(Task.RELAX, name).parameters for name in ("fast", "moderate", "precise")]
    assert [p["fmax"] for p in found] == sorted((p["fmax"] for p in found), reverse=True)
    assert [p["stress_max"] for p in found] == sorted((p["stress_max"] for p in found), reverse=True)
    assert [p["dtype"] for p in found] == ["float32", "mixed", "float64"]


@pytest.mark.parametrize("task", [Task.STATIC, Task.RELAX, Task.PHONONS, Task.ELASTIC])
def test_what_was_measured_runs_in_mixed_precision_by_default(task: Task) -> None:
    found = {name: protocol_inputs(task, name).parameters["dtype"] for name in ("moderate", "precise")}
    assert found == {"moderate": "mixed", "precise": "float64"}


@pytest.mark.parametrize("name", ["mdr", "mdr-fixed-cell"])
def test_protocols_of_benchmarks_run_in_double_precision(name: str) -> None:
    assert protocol_inputs(Task.PHONONS, name).parameters["dtype"] == "float64"


def test_override_changes_one_key_and_keeps_the_others() -> None:
    inputs = protocol_inputs(Task.RELAX, "fast", {"parameters": {"fmax": 0.3}, "max_failures": 2})
    assert inputs.parameters["fmax"] == 0.3
    assert inputs.parameters["stress_max"] == 0.5
    assert inputs.max_failures == 2


def test_default_protocol_is_taken_if_none_is_named() -> None:
    assert protocol_inputs(Task.RELAX) == protocol_inputs(Task.RELAX, "moderate")


def test_unknown_protocol_is_refused() -> None:
    with pytest.raises(
        ProtocolError, match="no protocol 'quick' for relax: there are fast, moderate, precise"
    ):
        protocol_inputs(Task.RELAX, "quick")


def test_unknown_override_is_refused() -> None:
    with pytest.raises(
        ProtocolError, match=r"unknown overrides \['optimizer'\]; known are parameters, settings"
    ):
        protocol_inputs(Task.RELAX, "fast", {"optimizer": "fire"})


def test_unknown_parameter_in_an_override_is_refused() -> None:
    with pytest.raises(ParameterError, match="fmaks: unknown; known are"):
        protocol_inputs(Task.RELAX, "fast", {"parameters": {"fmaks": 1}})


@pytest.fixture
def cluster_code(aiida_profile: Any, build_cluster: Callable[..., Any], tmp_path: Path) -> Any:
    """A code on a SLURM cluster that gives an account by default."""
    computer = build_cluster(tmp_path, account="mat")
    return orm.InstalledCode(label="engine", computer=computer, filepath_executable="/opt/pet-engine").store()


@pytest.mark.parametrize("kind", [BatchWorkChain, RelaxWorkChain, PhononWorkChain])
def test_resources_of_a_protocol_become_options_of_its_jobs(
    kind: type[BatchWorkChain], cluster_code: Any, pet_model: Any, make_structures: Callable[..., Any]
) -> None:
    def options(**given: Any) -> dict[str, Any]:
        builder = kind.get_builder_from_protocol(cluster_code, pet_model, make_structures(1), **given)
        return dict(builder.options)

    typed = {"gpus": 1, "gpu_type": "a100", "cpus_per_gpu": 8, "memory": "64GB", "walltime": "4h"}
    of_protocol = options(overrides={"resources": typed})
    assert of_protocol == {
        "resources": {"num_machines": 1, "num_mpiprocs_per_machine": 1, "num_cores_per_mpiproc": 8},
        "custom_scheduler_commands": "#SBATCH --gres=gpu:a100:1",
        "max_memory_kb": 64 * 1024**2,
        "max_wallclock_seconds": 14400,
        "account": "mat",
    }
    # what the launch says itself stands over it, key by key
    changed = options(overrides={"resources": typed}, resources={"gpu_type": "h100", "account": "other"})
    assert changed == of_protocol | {
        "custom_scheduler_commands": "#SBATCH --gres=gpu:h100:1",
        "account": "other",
    }
    with pytest.raises(ResourceError, match="gpu_typ: unknown; known are gpus, gpu_type"):
        options(overrides={"resources": {"gpu_typ": "a100"}})


def test_resources_of_a_protocol_do_not_count_for_the_hash_of_jobs(
    module_inputs: Callable[..., dict[str, Any]],
) -> None:
    given = module_inputs(2)
    jobs = []
    for resources in ({}, {"walltime": "1h", "cpus": 2}):
        builder = RelaxWorkChain.get_builder_from_protocol(
            given["code"], given["model"], given["structures"], overrides={"resources": resources}
        )
        jobs += jobs_of(run_get_node(builder)[1])
    assert [job.get_option("max_wallclock_seconds") for job in jobs] == [None, 3600]
    assert [job.get_option("resources").get("num_cores_per_mpiproc") for job in jobs] == [None, 2]
    assert len({job.base.caching.get_hash() for job in jobs}) == 1


@pytest.mark.parametrize("kind", [BatchWorkChain, RelaxWorkChain, PhononWorkChain, ScreeningWorkChain])
def test_duration_and_cleaning_of_jobs_reach_the_builder(
    kind: Any, pet_code: Any, pet_model: Any, make_structures: Callable[..., Any]
) -> None:
    def builder(**given: Any) -> dict[str, Any]:
        return dict(kind.get_builder_from_protocol(pet_code, pet_model, make_structures(1), **given))

    told = builder(job_duration=1800, clean_workdir=True, job_size=7)
    assert (told["job_duration"], told["clean_workdir"].value, told["job_size"]) == (1800, True, 7)
    assert builder(clean_workdir=False)["clean_workdir"].value is False
    assert not {"job_duration", "clean_workdir"} & set(builder())


@pytest.mark.parametrize(
    ("workchain", "task"),
    [
        (BatchWorkChain, Task.STATIC),
        (RelaxWorkChain, Task.RELAX),
        (PhononWorkChain, Task.PHONONS),
        (ElasticWorkChain, Task.ELASTIC),
        (HullWorkChain, Task.RELAX),
    ],
)
def test_workchains_tell_their_protocols_as_those_of_quantumespresso_do(workchain: Any, task: Task) -> None:
    """Names and forms are those of its `ProtocolMixin`, which AiiDAlab and common workflows call."""
    available = workchain.get_available_protocols()
    assert {name: entry["description"] for name, entry in available.items()} == available_protocols(task)
    assert workchain.get_default_protocol() in available
    for name in available:
        assert workchain.get_protocol_inputs(name)["parameters"] == protocol_inputs(task, name).parameters
    changed = workchain.get_protocol_inputs("precise", {"parameters": {"dtype": "float32"}})
    assert changed["parameters"]["dtype"] == "float32"
    assert workchain.get_protocol_inputs() == workchain.get_protocol_inputs(workchain.get_default_protocol())
    for alias, name in (("balanced", "moderate"), ("stringent", "precise")):
        assert workchain.get_protocol_inputs(alias) == workchain.get_protocol_inputs(name)
    with pytest.raises(
        ProtocolError, match=r"no protocol 'boil'.*fast, moderate, precise.*balanced \(moderate\)"
    ):
        workchain.get_protocol_inputs("boil")


def test_screenings_tell_their_protocols_too() -> None:
    assert list(ScreeningWorkChain.get_available_protocols()) == ["fast", "moderate", "precise"]
    assert ScreeningWorkChain.get_default_protocol() == "moderate"
    stages = ScreeningWorkChain.get_protocol_inputs("stringent")["stages"]
    assert stages == make_stages(protocol="precise")
    assert stages["relax"]["parameters"]["fmax"] == 1e-4


def test_protocol_of_a_file_stands_on_another(tmp_path: Path) -> None:
    path = tmp_path / "ours.yaml"
    path.write_text("description: of our group\nbase: precise\nparameters: {fmax: 0.0021}\nmax_failures: 3\n")
    ours, base = protocol_inputs(Task.RELAX, str(path)), protocol_inputs(Task.RELAX, "precise")
    assert ours.parameters == base.parameters | {"fmax": 0.0021}
    assert ours.max_failures == 3
    assert protocol_inputs(Task.RELAX, str(path), {"parameters": {"fmax": 0.5}}).parameters["fmax"] == 0.5
    path.write_text("parameters: {fmax: 0.0021}\n")
    default = protocol_inputs(Task.RELAX)
    assert protocol_inputs(Task.RELAX, str(path)).parameters == default.parameters | {"fmax": 0.0021}
    stages = make_stages(["relax"], overrides={"relax": {"protocol": str(path)}})
    assert stages["relax"]["parameters"]["fmax"] == 0.0021


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a", "expected keys such as `parameters:`"),
        ("a: [", "not YAML"),
        ("bas: precise", "bas: unknown \\(did you mean base\\?\\); known are description, base"),
        ("base: preciser", "base: no protocol 'preciser' for relax"),
        ("parameters: {fmx: 1}", "fmx"),
        ("max_failures: 0", "max_failures: input should be greater than or equal to 1, got 0"),
        ("resources: {gpus: 1}", "resources: unknown"),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_its_name(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "ours.yaml"
    path.write_text(text)
    with pytest.raises((ProtocolError, ParameterError), match=message) as caught:
        protocol_inputs(Task.RELAX, str(path))
    assert str(path) in str(caught.value)
    with pytest.raises(ProtocolError, match="cannot be read"):
        protocol_inputs(Task.RELAX, str(tmp_path / "none.yaml"))

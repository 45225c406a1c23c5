"""What a job asks for: read from what people write, refused where it is none, and found in AiiDA's own job scripts."""

from __future__ import annotations

from typing import Any

import pytest
from aiida import orm
from aiida.plugins import SchedulerFactory
from aiida.schedulers.datastructures import JobTemplate

from aiida_pet.computers.kinds import GpuSyntax
from aiida_pet.computers.quantities import parse_memory
from aiida_pet.computers.resources import (
    SCHEDULERS,
    SITE_PROPERTY,
    ResourceError,
    Resources,
    Site,
    cores_of,
    job_options,
    lane_options,
    least_resources,
    merge_options,
    parse_resources,
    render,
    resource_options,
)
from aiida_pet.schemas import read_as

ALL = {
    "gpus": 2,
    "gpu_type": "a100",
    "cpus_per_gpu": 4,
    "memory": "64GB",
    "walltime": "2h",
    "account": "mat-01",
    "partition": "gpu",
}


def script_of(options: dict[str, Any], scheduler: str) -> str:
    """The job script that AiiDA's scheduler plugin makes of ``options``, as `CalcJob.presubmit` fills the template."""
    plugin = SchedulerFactory(scheduler)()
    template = JobTemplate()
    template.shebang = "#!/bin/bash"
    template.codes_info = []
    template.job_environment = options.get("environment_variables", {})
    template.import_sys_environment = True
    for name in ("queue_name", "account", "qos", "max_wallclock_seconds", "max_memory_kb"):
        if name in options:
            setattr(template, name, options[name])
    if options.get("custom_scheduler_commands"):
        template.custom_scheduler_commands = options["custom_scheduler_commands"]
    resources = dict(options["resources"])
    plugin.preprocess_resources(resources)
    template.job_resource = plugin.create_job_resource(**resources)
    header = plugin._get_submit_script_header(template)
    return f"{header}\n{plugin._get_submit_script_environment_variables(template)}"


def directives(raw: dict[str, Any], scheduler: str, **site: Any) -> list[str]:
    """The directives of the scheduler in the script of a job that asks for ``raw``."""
    options = render(parse_resources(raw), scheduler, read_as(Site, site, "site", ResourceError))
    return [line for line in script_of(options, scheduler).splitlines() if line.startswith("#")]


def test_slurm_is_asked_by_gres() -> None:
    assert set(directives(ALL | {"qos": "high"}, "core.slurm")) >= {
        "#SBATCH --gres=gpu:a100:2",
        "#SBATCH --cpus-per-task=8",
        "#SBATCH --ntasks-per-node=1",
        "#SBATCH --nodes=1",
        "#SBATCH --mem=65536",
        "#SBATCH --time=02:00:00",
        "#SBATCH --account=mat-01",
        "#SBATCH --partition=gpu",
        "#SBATCH --qos=high",
    }


@pytest.mark.parametrize(
    ("site", "raw", "expected"),
    [
        ({"gpu_syntax": "gres"}, {"gpus": 1}, "--gres=gpu:1"),
        ({"gpu_resource": "nvidia"}, {"gpus": 1}, "--gres=nvidia:1"),
        ({"gpu_syntax": "gpus-per-node"}, {"gpus": 1, "gpu_type": "h100"}, "--gpus-per-node=h100:1"),
        ({"gpu_syntax": "gpus"}, {"gpus": 4}, "--gpus=4"),
    ],
)
def test_slurm_is_asked_as_the_cluster_wants_it(site: Any, raw: Any, expected: str) -> None:
    assert f"#SBATCH {expected}" in directives(raw, "core.slurm", **site)


@pytest.mark.parametrize("raw", [{}, {"gpus": 0}])
def test_no_gpu_is_asked_for_with_a_word(raw: dict[str, Any]) -> None:
    for scheduler in ("core.slurm", "pet.pbspro", "core.lsf", "core.sge"):
        assert not any("gpu" in line or "gres" in line for line in directives(raw, scheduler))


def test_pbs_gets_one_select_which_is_that_with_gpus() -> None:
    lines = directives(ALL, "pet.pbspro", gpu_type_resource="gpu_model")
    assert [line for line in lines if "select" in line] == [
        "#PBS -l select=1:mpiprocs=1:ncpus=8:ngpus=2:gpu_model=a100:mem=67108864kb"
    ]
    assert {"#PBS -l walltime=02:00:00", "#PBS -q gpu", "#PBS -A mat-01"} <= set(lines)


def test_pbs_script_ends_its_directives_in_the_folder_of_the_job() -> None:
    plain = script_of(render(parse_resources({"cpus": 4}), "pet.pbspro"), "pet.pbspro")
    assert plain == script_of(render(parse_resources({"cpus": 4}), "core.pbspro"), "core.pbspro")
    assert "#PBS -l select=1:mpiprocs=1:ncpus=4\n" in plain
    with_gpu = script_of(render(parse_resources({"gpus": 1}), "pet.pbspro"), "pet.pbspro")
    assert with_gpu.index("ngpus=1") < with_gpu.index('cd "$PBS_O_WORKDIR"')


def test_pbs_of_aiida_would_drop_the_gpus_and_is_refused() -> None:
    with pytest.raises(ResourceError, match=r"gpus = 1: core.pbspro writes .* scheduler pet.pbspro"):
        render(parse_resources({"gpus": 1}), "core.pbspro")


def test_lsf_is_asked_by_gpu() -> None:
    assert set(directives(ALL, "core.lsf")) >= {
        '#BSUB -gpu "num=2:gmodel=a100"',
        "#BSUB -n 8",
        "#BSUB -W 02:00",
        "#BSUB -M 67108864",
        "#BSUB -q gpu",
        "#BSUB -G mat-01",
    }


def test_sge_is_asked_by_a_resource() -> None:
    lines = directives(ALL, "core.sge", parallel_env="openmp", gpu_resource="ngpu")
    assert set(lines) >= {
        "#$ -l ngpu=2",
        "#$ -l gpu_type=a100",
        "#$ -l mem_free=65536M",
        "#$ -pe openmp 8",
        "#$ -l h_rt=02:00:00",
        "#$ -q gpu",
        "#$ -P mat-01",
    }


def test_workstation_gives_its_gpus_to_lanes_in_turn() -> None:
    options = render(parse_resources({"gpus": 1}), "core.direct", Site(gpus=2))
    found = [lane_options(options, "core.direct", lane) for lane in range(3)]
    assert ["export CUDA_VISIBLE_DEVICES='0'" in script_of(lane, "core.direct") for lane in found] == [
        True,
        False,
        True,
    ]
    assert "export CUDA_VISIBLE_DEVICES='1'" in script_of(found[1], "core.direct")
    assert options["environment_variables"] == {"CUDA_VISIBLE_DEVICES": "0,1"}  # as it was


def test_lanes_leave_a_queue_and_other_variables_alone() -> None:
    variables = {"CUDA_VISIBLE_DEVICES": "4, 6", "OTHER": "x"}
    assert lane_options({"environment_variables": variables}, "core.slurm", 1) == {
        "environment_variables": variables
    }
    found = lane_options({"environment_variables": variables, "account": "a"}, "core.direct", 1)
    assert found == {
        "environment_variables": {"CUDA_VISIBLE_DEVICES": "6", "OTHER": "x"},
        "account": "a",
    }
    assert lane_options({}, "core.direct", 1) == {}


def test_no_gpu_on_a_workstation_hides_them() -> None:
    options = render(parse_resources({"gpus": 0}), "core.direct", Site(gpus=2))
    assert "export CUDA_VISIBLE_DEVICES=''" in script_of(
        lane_options(options, "core.direct", 1), "core.direct"
    )


@pytest.fixture
def workstation(pet_computer: orm.Computer) -> orm.Computer:
    """A machine without a queue that has four GPUs."""
    pet_computer.set_property(SITE_PROPERTY, {"gpus": 4})
    return pet_computer


def devices_of_lanes(options: dict[str, Any], lanes: int) -> list[str]:
    """The GPUs that so many lanes work on, without a queue."""
    found = [lane_options(options, "core.direct", lane) for lane in range(lanes)]
    return [lane.get("environment_variables", {}).get("CUDA_VISIBLE_DEVICES", "not set") for lane in found]


def test_lanes_of_a_workstation_have_a_gpu_each_without_a_word(workstation: orm.Computer) -> None:
    assert devices_of_lanes(resource_options(workstation), 5) == ["0", "1", "2", "3", "0"]
    assert devices_of_lanes(resource_options(workstation, {"cpus": 2}), 2) == ["0", "1"]
    assert devices_of_lanes(resource_options(workstation, {"gpus": 0}), 2) == ["", ""]


def test_workstation_whose_jobs_want_no_gpu_gives_none(workstation: orm.Computer) -> None:
    workstation.set_property(SITE_PROPERTY, {"gpus": 4, "resources": {"gpus": 0}})
    assert devices_of_lanes(resource_options(workstation), 2) == ["", ""]
    assert devices_of_lanes(resource_options(workstation, {"gpus": 1}), 2) == ["0", "1"]


def test_machine_that_says_nothing_of_gpus_is_left_alone(pet_computer: orm.Computer) -> None:
    assert devices_of_lanes(resource_options(pet_computer), 2) == ["not set", "not set"]


def test_launches_at_the_same_time_can_be_given_gpus_of_their_own(workstation: orm.Computer) -> None:
    def option(devices: str) -> dict[str, Any]:
        return {"environment_variables": {"CUDA_VISIBLE_DEVICES": devices, "OTHER": "x"}}

    assert devices_of_lanes(job_options(workstation, {}, option("2")), 2) == ["2", "2"]
    options = job_options(workstation, {}, option("2,3"))
    assert devices_of_lanes(options, 3) == ["2", "3", "2"]
    assert options["environment_variables"]["OTHER"] == "x"


def test_what_is_rendered_alone_fills_no_gpu_in() -> None:
    """Else a launch that is taken up again would lose the GPUs it was given."""
    past = {"environment_variables": {"CUDA_VISIBLE_DEVICES": "2", "OTHER": "x"}}
    assert merge_options(past, render(parse_resources({}), "core.direct", Site(gpus=4)))[
        "environment_variables"
    ] == {"CUDA_VISIBLE_DEVICES": "2", "OTHER": "x"}


@pytest.mark.parametrize(
    ("raw", "scheduler", "message"),
    [
        ({"gpus": 1}, "core.direct", "its number of GPUs is not known: state it as `gpus: N`"),
        ({"gpus": 2}, "core.direct", "gpus = 2: without a queue a job has one GPU"),
        ({"partition": "gpu"}, "core.direct", "partition = 'gpu': the computer has no queue"),
        ({"memory": "1GB"}, "core.direct", "memory = 1048576: the computer has no queue"),
        ({"qos": "high"}, "core.lsf", "qos = 'high': only SLURM knows it"),
        ({"gpus": 1}, "core.torque", "aiida-pet cannot ask scheduler 'core.torque' for GPUs"),
    ],
)
def test_what_a_scheduler_has_not_is_refused_and_not_dropped(raw: Any, scheduler: str, message: str) -> None:
    with pytest.raises(ResourceError, match=message):
        render(parse_resources(raw), scheduler)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_cores_asked_for_are_those_the_engine_uses(scheduler: str) -> None:
    resources = render(parse_resources({"cpus": 6}), scheduler)["resources"]
    assert cores_of(resources) == 6
    SchedulerFactory(scheduler).create_job_resource(**resources)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_least_resources_are_one_process(scheduler: str) -> None:
    made = SchedulerFactory(scheduler).create_job_resource(**least_resources(scheduler))
    assert made.get_tot_num_mpiprocs() == 1


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (
            {"gpu": 1},
            r"gpu: unknown; known are gpus, gpu_type, cpus_per_gpu, cpus, memory, walltime, account",
        ),
        ({"gpus": -1}, "gpus = -1: expected a whole number >= 0 and <= 64"),
        ({"gpus": "1"}, "gpus = '1': expected a whole number"),
        ({"gpus": True}, "gpus = True: expected a whole number"),
        ({"memory": 64}, "memory = 64: 64 is not an amount of memory such as 64GB"),
        ({"memory": "64"}, "memory = '64': '64' is not an amount of memory"),
        ({"walltime": "soon"}, "walltime = 'soon': 'soon' is not a time such as 3600"),
        ({"cpus": 1, "gpus": 1, "cpus_per_gpu": 1}, "cpus and cpus_per_gpu both set the number of cores"),
        ({"gpu_type": "a100"}, "gpu_type = 'a100' needs gpus, which is None"),
        ({"queue": "a", "partition": "b"}, "partition and queue are two names for the same thing"),
    ],
)
def test_resources_that_are_none_are_refused(raw: dict[str, Any], message: str) -> None:
    with pytest.raises(ResourceError, match=message):
        parse_resources(raw)


HOSTILE = (
    "x\n#SBATCH --uid=0",
    "x\ntouch /tmp/owned",
    "x\n",
    "a b",
    "$(id)",
    "`id`",
    "a;id",
    "a|id",
    "a&id",
    'a"b',
    "a'b",
    "a\\b",
    "--wrap=id",
    "",
    "\x00",
    "a\u2028b",
    "é",
    "a" * 101,
)


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("name", ["gpu_type", "account", "partition", "queue", "qos", "memory", "walltime"])
def test_nothing_can_be_written_into_a_job_script(name: str, value: str) -> None:
    with pytest.raises(ResourceError, match="bad resources"):
        parse_resources({"gpus": 1, name: value})


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("name", ["gpu_syntax", "gpu_resource", "gpu_type_resource", "parallel_env"])
def test_nothing_can_be_written_into_a_job_script_by_a_computer(name: str, value: str) -> None:
    with pytest.raises(ResourceError, match="bad site"):
        read_as(Site, {name: value}, "site", ResourceError)


@pytest.mark.parametrize(
    ("text", "kib"),
    [("64GB", 64 * 1024**2), ("64G", 64 * 1024**2), ("64 GiB", 64 * 1024**2), ("1.5TB", 1536 * 1024**2)],
)
def test_memory_is_counted_as_schedulers_do(text: str, kib: int) -> None:
    assert parse_memory(text) == kib


def test_queue_is_another_word_for_partition() -> None:
    assert parse_resources({"queue": "gpu,gpu2"}) == Resources(partition="gpu,gpu2")


def test_what_was_given_reads_back_as_the_same() -> None:
    resources = parse_resources(ALL)
    assert parse_resources(resources.given()) == resources


@pytest.fixture
def cluster(pet_computer: orm.Computer) -> orm.Computer:
    """A SLURM cluster with defaults, as `aiida-pet setup computer` keeps them."""
    site = {
        "gpu_syntax": GpuSyntax.GPUS_PER_NODE.value,
        "resources": {"gpus": 1, "gpu_type": "a100", "cpus_per_gpu": 8, "queue": "gpu", "walltime": "12h"},
    }
    label = f"cluster-{pet_computer.label}"
    computer = orm.Computer(label, "host", "", "core.local", "core.slurm", "/scratch").store()
    computer.set_property(SITE_PROPERTY, site)
    return orm.load_computer(label)


def test_defaults_of_the_computer_are_taken_and_may_be_changed_one_by_one(cluster: orm.Computer) -> None:
    assert resource_options(cluster) == {
        "resources": {"num_machines": 1, "num_mpiprocs_per_machine": 1, "num_cores_per_mpiproc": 8},
        "max_wallclock_seconds": 43200,
        "queue_name": "gpu",
        "custom_scheduler_commands": "#SBATCH --gpus-per-node=a100:1",
    }
    changed = resource_options(cluster, {"partition": "long", "cpus": 2})
    assert changed["queue_name"] == "long"
    assert changed["resources"]["num_cores_per_mpiproc"] == 2
    assert "gpu" not in resource_options(cluster, {"gpus": 0}).get("custom_scheduler_commands", "")


def test_options_go_over_resources_and_scheduler_commands_of_both_stay(cluster: orm.Computer) -> None:
    commands = "#SBATCH --constraint=nvme"
    options = job_options(cluster, {}, {"queue_name": "test", "custom_scheduler_commands": commands})
    assert options["queue_name"] == "test"
    assert options["custom_scheduler_commands"] == f"#SBATCH --gpus-per-node=a100:1\n{commands}"
    assert job_options(None, {}, {"account": "a"}) == {"account": "a"}

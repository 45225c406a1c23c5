"""The GPUs of a workstation: each lane of a launch has one, by default or as it is told."""

import pytest
from aiida import orm

from aiida_pet.computers.resources import SITE_PROPERTY, lane_options

VARIABLE = "CUDA_VISIBLE_DEVICES"


@pytest.fixture(autouse=True)
def workstation(pet_computer):
    """This machine as a workstation with four GPUs, of which nothing else is said."""
    pet_computer.set_property(SITE_PROPERTY, {"gpus": 4})
    return pet_computer


@pytest.fixture
def alloys(read, alloys_file):
    """The pk of the imported alloys."""
    return read("data", "import", alloys_file)["pk"]


def devices_of(process):
    """The GPUs of the jobs of a launch, sorted."""
    jobs = [node for node in process.called_descendants if isinstance(node, orm.CalcJobNode)]
    relaxations = [job for job in jobs if job.process_label == "RelaxCalculation"]
    return sorted(job.get_option("environment_variables")[VARIABLE] for job in relaxations)


def test_lanes_have_a_gpu_each_without_a_word(launch, alloys):
    assert devices_of(launch("relax", alloys, "--lanes", 3, "--setting", "threads=1")) == ["0", "1", "2"]


def test_lanes_take_the_gpus_that_are_named_in_turn(launch, alloys):
    option = 'environment_variables={"CUDA_VISIBLE_DEVICES": "2,3"}'
    process = launch("relax", alloys, "--lanes", 3, "--option", option, "--setting", "threads=1")
    assert devices_of(process) == ["2", "2", "3"]


@pytest.mark.parametrize("task", ["relax", "static", "phonons", "elastic", "screen"])
def test_launch_of_any_task_has_the_gpus_of_the_computer(prepare, alloys, task):
    options = prepare(task, alloys).options
    lanes = [lane_options(options, "core.direct", lane)["environment_variables"] for lane in (0, 3)]
    assert [variables[VARIABLE] for variables in lanes] == ["0", "3"]


def test_jobs_that_want_no_gpu_see_none(prepare, alloys):
    assert prepare("relax", alloys, "--gpus", 0).options["environment_variables"] == {VARIABLE: ""}

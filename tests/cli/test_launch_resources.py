"""What `aiida-pet launch` asks the queue for: by its options, over the defaults of the computer."""

import json

import numpy as np
import pytest
from aiida import orm

from aiida_pet.computers.resources import SITE_PROPERTY

GRES = "#SBATCH --gres=gpu:a100:1"


@pytest.fixture
def site(cluster, own_model):
    """The options of a launch on the cluster."""
    code = orm.InstalledCode(label="engine", computer=cluster, filepath_executable="/opt/pet-engine").store()
    return ["--code", code.pk, "--model", own_model.pk]


@pytest.fixture
def alloys(read, alloys_file):
    """The pk of the imported alloys."""
    return read("data", "import", alloys_file)["pk"]


ASKED = ("--gpus", 1, "--gpu-type", "a100", "--cpus-per-gpu", 8, "--memory", "64GB", "--walltime", "2h")
EXPECTED = {
    "resources": {"num_machines": 1, "num_mpiprocs_per_machine": 1, "num_cores_per_mpiproc": 8},
    "max_wallclock_seconds": 7200,
    "max_memory_kb": 64 * 1024**2,
    "account": "mat",
    "queue_name": "long",
    "qos": "high",
    "custom_scheduler_commands": GRES,
}


@pytest.mark.parametrize("task", ["relax", "static", "phonons", "elastic", "screen"])
def test_resources_reach_the_jobs_of_every_task(prepare, alloys, task):
    builder = prepare(task, alloys, *ASKED, "--partition", "long", "--qos", "high")
    assert dict(builder.options) == EXPECTED
    assert "threads" not in builder.get("settings", {})


def test_resources_reach_the_relaxation_of_references(prepare, make_structures, alloys):
    from aiida_pet.data.structures import StructureSetData

    finished = make_structures(2).to_table()
    finished.columns["energy"] = finished.n_atoms * -8.0
    finished.columns["status"] = np.array(["converged"] * 2)
    node = StructureSetData.from_table(finished).store()
    builder = prepare(
        "hull", node.pk, "--relax-references", alloys, *ASKED, "--partition", "long", "--qos", "high"
    )
    assert dict(builder.relax["options"]) == EXPECTED
    assert "clean_workdir" not in dict(builder.relax)
    given = ["hull", node.pk, "--clean-workdir"]
    assert prepare(*given, "--relax-references", alloys).relax.clean_workdir.value is True
    prepare(*given, status=2)
    assert "for launches that run jobs, that is with --relax-references" in " ".join(
        prepare.result.output.split()
    )


def test_dry_run_says_what_jobs_ask_for(invoke, read, alloys, site):
    document = read("launch", "relax", alloys, *site, *ASKED, "--dry-run")
    assert document["options"]["custom_scheduler_commands"] == GRES
    text = invoke("launch", "relax", alloys, *site, *ASKED, "--dry-run").stdout
    told = next(line for line in text.splitlines() if line.startswith("asks for:"))
    for part in ("cores=8", "max_wallclock_seconds=7200", "account=mat", "queue_name=gpu", GRES):
        assert part in told
    assert (
        "each job asks for cores=8" in invoke("launch", "screen", alloys, *site, *ASKED, "--dry-run").stdout
    )


def test_option_of_the_scheduler_stands_beside_resources(prepare, alloys):
    extra = "#SBATCH --constraint=nvme"
    builder = prepare(
        "relax", alloys, "--gpus", 2, "--option", f"custom_scheduler_commands={json.dumps(extra)}"
    )
    assert builder.options["custom_scheduler_commands"] == f"#SBATCH --gres=gpu:2\n{extra}"
    assert prepare("relax", alloys, "--option", "queue_name=test").options["queue_name"] == "test"


@pytest.mark.parametrize(
    ("flag", "option"),
    [
        (("--walltime", "2h"), "max_wallclock_seconds=60"),
        (("--memory", "1GB"), "max_memory_kb=2048"),
        (("--partition", "a"), "queue_name=b"),
        (("--account", "a"), "account=b"),
        (("--qos", "a"), "qos=b"),
        (("--cpus", 2), "resources={num_machines: 1}"),
    ],
)
def test_saying_one_thing_twice_is_refused_by_name(prepare, alloys, flag, option):
    assert prepare("relax", alloys, *flag, "--option", option, status=2) is None
    name = option.partition("=")[0]
    assert f"{flag[0]} and --option {name} set the same thing: give one of them" in prepare.result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--gpu-type", "a100"), "gpu_type = 'a100' needs gpus"),
        (("--gpus", 1, "--gpu-type", "a\nb"), "gpu_type = 'a\\nb': expected letters, digits"),
        (("--memory", "much"), "memory = 'much': 'much' is not an amount of memory"),
        (("--account", "x; rm -rf"), "account = 'x; rm -rf': expected letters, digits"),
    ],
)
def test_what_is_no_resource_is_refused(prepare, alloys, arguments, message):
    assert prepare("relax", alloys, *arguments, status=2) is None
    assert message in prepare.result.output


@pytest.fixture
def workstation(pet_computer, pet_code):
    """This machine as a workstation with two GPUs."""
    pet_computer.set_property(SITE_PROPERTY, {"gpus": 2})
    return pet_code


def test_lanes_of_a_workstation_work_on_gpus_of_their_own(
    invoke, alloys, workstation, own_model, monkeypatch
):
    from aiida.engine import run_get_node

    nodes = []
    monkeypatch.setattr(
        "aiida.engine.submit", lambda builder: nodes.append(run_get_node(builder).node) or nodes[-1]
    )
    monkeypatch.setattr("aiida_pet.computers.daemon.daemon_problem", lambda: None)
    site = ["--code", workstation.pk, "--model", own_model.pk]
    invoke("launch", "relax", alloys, *site, "--gpus", 1, "--lanes", 3, "--setting", "threads=1")
    jobs = [node for node in nodes[0].called_descendants if node.process_label == "RelaxCalculation"]
    seen = [job.get_option("environment_variables")["CUDA_VISIBLE_DEVICES"] for job in jobs]
    assert sorted(seen) == ["0", "0", "1"]
    scripts = [job.base.repository.get_object_content("_aiidasubmit.sh") for job in jobs]
    for device, script in zip(seen, scripts, strict=True):
        assert f"export CUDA_VISIBLE_DEVICES='{device}'" in script

"""`aiida-pet setup computer`: what the file may say, what is made of it, and what the tests of a computer find."""

import json
import os
import stat

import pytest
import yaml
from aiida import orm
from aiida.common.exceptions import NotExistent
from click.testing import CliRunner

from aiida_pet import __version__
from aiida_pet.cli import main
from aiida_pet.computers.checks import check_computer
from aiida_pet.computers.computer_file import SCHEDULERS, TRANSPORTS, parse_computer, read_computer
from aiida_pet.computers.kinds import SchedulerName, TransportName
from aiida_pet.computers.resources import (
    SITE_PROPERTY,
    ResourceError,
    asked_resources,
    resource_options,
)

LEAST = {"label": "cluster", "scheduler": "slurm", "work_dir": "/scratch", "engine": "/opt/pet-engine"}


@pytest.fixture
def engine(tmp_path):
    """An engine that knows its version, unless the variable of `setup_lines` says otherwise."""
    path = tmp_path / "pet-engine"
    path.write_text(f'#!/bin/sh\necho "pet-engine ${{ENGINE_VERSION:-{__version__}}}"\n')
    path.chmod(0o755)
    return path


@pytest.fixture
def loose_umask():
    """The umask of most machines, and afterwards what it was."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def content(tmp_path, engine):
    """The file of a workstation, which is this machine."""
    return {
        "label": f"workstation-{tmp_path.name}",
        "scheduler": "direct",
        "work_dir": str(tmp_path / "work"),
        "engine": str(engine),
        "gpus": 2,
        "environment": {"PET_GREETING": "it's; $(echo hostile)"},
        "resources": {"gpus": 1, "walltime": "2h"},
    }


@pytest.fixture
def write(tmp_path):
    """Write a file and return its path."""

    def to_yaml(content):
        path = tmp_path / "computer.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    return to_yaml


def mode_of(folder):
    return stat.S_IMODE(folder.stat().st_mode)


def test_every_scheduler_and_transport_that_can_be_named_has_a_plugin():
    assert set(SCHEDULERS) == set(SchedulerName)
    assert set(TRANSPORTS) == set(TransportName)


@pytest.mark.usefixtures("loose_umask")
def test_computer_and_code_are_made_and_tested_once(read, content, write, tmp_path):
    path = write(content)
    first = read("setup", "computer", path)
    assert [step["state"] for step in first["steps"]] == ["created", "created"]
    assert {check["what"]: check["ok"] for check in first["checks"]} == dict.fromkeys(
        ("connection", "work directory", "access", "disk", "queue", "engine"), True
    )
    assert first["problems"] == []
    assert list((tmp_path / "work").iterdir()) == []
    assert mode_of(tmp_path / "work") == 0o700

    computer = orm.load_computer(content["label"])
    assert (computer.transport_type, computer.scheduler_type) == ("core.local", "core.direct")
    assert computer.get_property(SITE_PROPERTY)["gpus"] == 2
    assert computer.get_prepend_text() == "export PET_GREETING='it'\"'\"'s; $(echo hostile)'"
    code = orm.load_code(f"pet-engine@{content['label']}")
    assert (str(code.filepath_executable), code.with_mpi) == (content["engine"], False)

    second = read("setup", "computer", path)
    assert [step["state"] for step in second["steps"]] == ["present", "present"]
    assert [step["pk"] for step in second["steps"]] == [step["pk"] for step in first["steps"]]
    assert second["problems"] == []


def test_what_differs_is_told_and_left(read, invoke, content, write):
    read("setup", "computer", write(content))
    changed = content | {"work_dir": "/elsewhere", "gpus": 4, "engine": "/opt/other", "modules": ["cuda/12"]}
    changed |= {"description": "under the desk", "mpiprocs": 3, "login_shell": False}
    document = read("setup", "computer", write(changed), "--no-test", status=1)
    assert document["checks"] == []
    told = document["steps"][0]["problem"]
    assert f"work_dir is '{content['work_dir']}', not '/elsewhere'" in told
    assert "gpus is 2, not 4" in told
    assert "description is '', not 'under the desk'" in told
    assert "mpiprocs is 1, not 3" in told
    assert "use_login_shell is True, not False" in told
    assert "shell lines before the engine is " in told
    assert f"is {content['engine']}, not /opt/other: it is left as it is" in document["steps"][1]["problem"]
    computer = orm.load_computer(content["label"])
    assert computer.get_workdir() == content["work_dir"]
    assert computer.get_property(SITE_PROPERTY)["gpus"] == 2
    result = invoke("setup", "computer", write(changed), "--no-test", status=1)
    assert "Warning: computer" in result.stderr


def test_cluster_of_a_file_is_that_of_aiida(aiida_profile, invoke, write, tmp_path):
    content = LEAST | {
        "label": f"ssh-{tmp_path.name}",
        "hostname": "login.example.org",
        "transport": "ssh_async",
        "scheduler": "pbspro",
        "work_dir": "/scratch/{username}/aiida",
        "modules": ["cuda/12.4", "python/3.12"],
        "prepend_text": "source /opt/venv/bin/activate\n",
        "poll_interval": 45,
        "connection_interval": 20,
        "ssh_backend": "openssh",
        "resources": {"gpus": 1, "queue": "gpu"},
    }
    invoke("setup", "computer", write(content), "--no-test")
    computer = orm.load_computer(content["label"])
    assert (computer.hostname, computer.transport_type, computer.scheduler_type) == (
        "login.example.org",
        "core.ssh_async",
        "pet.pbspro",
    )
    assert computer.get_prepend_text().splitlines() == [
        "module load cuda/12.4",
        "module load python/3.12",
        "source /opt/venv/bin/activate",
    ]
    assert computer.get_minimum_job_poll_interval() == 45
    configuration = computer.get_configuration()
    assert (configuration["host"], configuration["backend"], configuration["safe_interval"]) == (
        "login.example.org",
        "openssh",
        20.0,
    )
    again = invoke("setup", "computer", write(content), "--no-test")
    assert again.stderr == ""


@pytest.mark.parametrize("scheduler", ["lsf", "sge"])
def test_scheduler_without_processes_per_machine_gets_none(aiida_profile, invoke, write, tmp_path, scheduler):
    content = LEAST | {"label": f"{scheduler}-{tmp_path.name}", "scheduler": scheduler}
    invoke("setup", "computer", write(content), "--no-test")
    assert orm.load_computer(content["label"]).get_default_mpiprocs_per_machine() is None


def test_questions_make_the_same_computer(aiida_profile, content):
    answers = [content["label"], "local", "direct", content["work_dir"], content["engine"], "", "", "2", "y"]
    result = CliRunner().invoke(main, ["setup", "computer"], input="\n".join(answers) + "\n")
    assert result.exit_code == 0, result.output
    computer = orm.load_computer(content["label"])
    assert computer.get_property(SITE_PROPERTY)["gpus"] == 2
    assert resource_options(computer)["environment_variables"] == {"CUDA_VISIBLE_DEVICES": "0,1"}
    assert computer.get_prepend_text() == ""
    assert "engine          ok" in result.output


def test_questions_of_a_cluster_ask_for_its_resources(aiida_profile, tmp_path):
    answers = [
        f"asked-{tmp_path.name}",
        "ssh_async",
        "login",
        "slurm",
        "/scratch/{username}",
        "/opt/pet-engine",
    ]
    # the second word of the first answer is no variable: it is asked for again
    answers += ["cuda/12 python", "A=1 B", "A=1 B='two words'", "gpus-per-node", "1", "gpu", "", "2h", ""]
    result = CliRunner().invoke(main, ["setup", "computer", "--no-test"], input="\n".join(answers) + "\n")
    assert result.exit_code == 0, result.output
    computer = orm.load_computer(answers[0])
    assert computer.get_property(SITE_PROPERTY) == {
        "gpu_syntax": "gpus-per-node",
        "gpu_type_resource": "gpu_type",
        "parallel_env": "smp",
        "gpus": 0,
        "resources": {"gpus": 1, "partition": "gpu", "walltime": "2h"},
    }
    assert computer.get_prepend_text().splitlines() == [
        "module load cuda/12",
        "module load python",
        "export A=1",
        "export B='two words'",
    ]
    assert "Error: B: expected NAME=VALUE" in result.output
    assert "kind of GPU, cores, memory" in result.output


def test_answers_are_shown_as_a_file_that_can_be_added_to_before_anything_is_made(
    aiida_profile, content, tmp_path
):
    answers = [content["label"], "local", "direct", content["work_dir"], content["engine"], "", "A=1", "2"]
    result = CliRunner().invoke(main, ["setup", "computer"], input="\n".join([*answers, "n"]) + "\n")
    assert result.exit_code == 0, result.output
    assert "nothing was made" in result.output
    assert orm.QueryBuilder().append(orm.Computer, filters={"label": content["label"]}).count() == 0
    assert not (tmp_path / "work").exists()
    shown = result.output.partition("The answers as a file:\n\n")[2].partition(
        "\nThese questions do not cover"
    )[0]
    raw = yaml.safe_load(shown)
    found = parse_computer(raw | {"resources": {"cpus": 4}}, "shown")
    assert (found.label, found.engine, found.gpus) == (content["label"], content["engine"], 2)
    assert found.environment == {"A": "1"}


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (
            {"scheduler": "slurm", "gpu_resource": "nvidia"},
            {"custom_scheduler_commands": "#SBATCH --gres=nvidia:a100:1"},
        ),
        (
            {"scheduler": "pbspro", "gpu_resource": "naccelerators", "gpu_type_resource": "accelerator_type"},
            {
                "custom_scheduler_commands": "#PBS -l "
                "select=1:mpiprocs=1:ncpus=1:naccelerators=1:accelerator_type=a100"
            },
        ),
        (
            {
                "scheduler": "sge",
                "gpu_resource": "cards",
                "gpu_type_resource": "card",
                "parallel_env": "openmp",
            },
            {
                "custom_scheduler_commands": "#$ -l cards=1\n#$ -l card=a100",
                "resources": {"parallel_env": "openmp", "tot_num_mpiprocs": 1},
            },
        ),
    ],
)
def test_names_of_the_cluster_in_the_file_are_those_jobs_ask_by(invoke, write, tmp_path, keys, expected):
    resources = {"gpus": 1, "gpu_type": "a100"}
    content = LEAST | {"label": f"named-{tmp_path.name}", "resources": resources} | keys
    invoke("setup", "computer", write(content), "--no-test")
    options = resource_options(orm.load_computer(content["label"]))
    assert {name: options.get(name) for name in expected} == expected


def test_code_has_the_label_of_the_file(read, content, write):
    path = write(content | {"code": "pet-nightly"})
    states = [read("setup", "computer", path, "--no-test")["steps"][1]["state"] for _ in range(2)]
    assert states == ["created", "present"]
    code = orm.load_code(f"pet-nightly@{content['label']}")
    assert str(code.filepath_executable) == content["engine"]
    with pytest.raises(NotExistent):
        orm.load_code(f"pet-engine@{content['label']}")


@pytest.mark.parametrize("login_shell", [True, False])
def test_commands_run_in_a_login_shell_as_the_file_says(invoke, content, write, login_shell):
    invoke("setup", "computer", write(content | {"login_shell": login_shell}), "--no-test")
    with orm.load_computer(content["label"]).get_transport() as transport:
        status, _, _ = transport.exec_command_wait("shopt -q login_shell")
    assert (status == 0) is login_shell


def test_processes_of_a_machine_are_those_of_the_file(aiida_profile, invoke, write, tmp_path):
    content = LEAST | {"label": f"procs-{tmp_path.name}", "mpiprocs": 4}
    invoke("setup", "computer", write(content), "--no-test")
    assert orm.load_computer(content["label"]).get_default_mpiprocs_per_machine() == 4
    # those of a scheduler that takes no such number are no difference
    content = LEAST | {"label": f"none-{tmp_path.name}", "mpiprocs": 4, "scheduler": "lsf"}
    invoke("setup", "computer", write(content), "--no-test")
    assert invoke("setup", "computer", write(content), "--no-test").stderr == ""


def test_work_directory_that_is_there_is_left_as_open_as_it_is_and_told(read, content, write, tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    folder.chmod(0o710)
    access = {check["what"]: check for check in read("setup", "computer", write(content), status=1)["checks"]}
    assert f"{folder} has mode 0710: other users can enter it" in access["access"]["detail"]
    assert f"`chmod 700 {folder}`" in access["access"]["remedy"]
    assert mode_of(folder) == 0o710
    folder.chmod(0o700)
    assert read("setup", "computer", write(content))["problems"] == []


def test_access_of_a_work_directory_behind_a_link_is_that_of_the_folder(pet_computer, tmp_path):
    (tmp_path / "disk").mkdir(mode=0o700)
    (tmp_path / "work").symlink_to(tmp_path / "disk")
    assert {check.what: check.ok for check in check_computer(pet_computer, None)}["access"]
    (tmp_path / "disk").chmod(0o755)
    assert not {check.what: check.ok for check in check_computer(pet_computer, None)}["access"]


@pytest.mark.usefixtures("loose_umask")
def test_user_stands_in_the_work_directory_that_is_made(pet_computer, tmp_path):
    pet_computer.set_workdir(f"{tmp_path}/{{username}}/jobs")
    list(check_computer(pet_computer, None))
    with pet_computer.get_transport() as transport:
        user = transport.whoami()
    assert mode_of(tmp_path / user / "jobs") == 0o700


def test_without_tests_no_work_directory_is_made(invoke, content, write, tmp_path):
    invoke("setup", "computer", write(content), "--no-test")
    assert not (tmp_path / "work").exists()


def test_workstation_without_a_word_gives_each_lane_one_gpu(invoke, content, write):
    invoke("setup", "computer", write(content | {"resources": {}}), "--no-test")
    assert asked_resources(orm.load_computer(content["label"])).gpus == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"walltime": "2h"}, "walltime: unknown; known are label, hostname"),
        (
            {"scheduler": "moab"},
            "scheduler = 'moab': expected slurm, pbspro, lsf, sge or direct",
        ),
        ({"transport": "ssh"}, "transport = 'ssh': expected local or ssh_async"),
        ({"work_dir": "scratch"}, "work_dir = 'scratch': expected an absolute path"),
        ({"work_dir": "/scratch/{user}"}, "expected no braces except in {username}"),
        (
            {"engine": "/opt/pet engine"},
            "engine = '/opt/pet engine': expected an absolute path without spaces",
        ),
        ({"engine": "/opt/$(id)"}, "expected an absolute path"),
        ({"hostname": "-oProxyCommand=id"}, "hostname = '-oProxyCommand=id': expected a host"),
        ({"label": "a b"}, "label = 'a b': expected letters"),
        ({"modules": ["cuda; id"]}, "modules.0 = 'cuda; id': expected the name of a module"),
        (
            {"modules": "cuda"},
            "modules = 'cuda': expected a list of values, each of them the name of a module",
        ),
        ({"environment": {"A B": "1"}}, "'A B' is no name of a variable"),
        ({"environment": {"A": "1\nid"}}, "expected one line"),
        ({"environment": {"A": True}}, "A = True: expected a text or a number"),
        ({"gpu_syntax": "GRES"}, "gpu_syntax = 'GRES': expected gres, gpus-per-node or gpus"),
        ({"scheduler": "lsf", "gpu_syntax": "gres"}, "gpu_syntax = 'gres': this key is for SLURM only"),
        ({"gpus": 2}, "gpus = 2: this key is for a workstation without a scheduler"),
        ({"resources": {"gpu": 1}}, "gpu: unknown; known are gpus"),
        ({"resources": {"walltime": "long"}}, "walltime = 'long'"),
        ({"scheduler": "lsf", "resources": {"qos": "high"}}, "qos = 'high': only SLURM knows it"),
        ({"scheduler": "direct", "resources": {"gpus": 1}}, "its number of GPUs is not known"),
        ({"mpiprocs": 0}, "mpiprocs = 0: expected a whole number >= 1"),
    ],
)
def test_file_that_does_not_fit_is_refused_by_key_value_and_what_was_expected(changes, message):
    with pytest.raises(ResourceError) as caught:
        parse_computer(LEAST | changes, "computer.yaml")
    assert "computer.yaml" in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.parametrize(("text", "message"), [("[1, 2", "is not YAML"), ("- a", "expected keys and values")])
def test_file_that_is_no_such_file_is_named(tmp_path, text, message):
    path = tmp_path / "computer.yaml"
    path.write_text(text)
    with pytest.raises(ResourceError, match=message) as caught:
        read_computer(path)
    assert str(path) in str(caught.value)


def test_bad_file_makes_nothing(invoke, write, content):
    result = invoke("setup", "computer", write(content | {"gpuss": 1}), status=1)
    assert "gpuss: unknown" in result.stderr
    assert orm.QueryBuilder().append(orm.Computer, filters={"label": content["label"]}).count() == 0


def test_engine_of_another_version_is_a_problem(invoke, content, write):
    content["environment"]["ENGINE_VERSION"] = "0.0.1"
    result = invoke("setup", "computer", write(content), status=1)
    assert (
        f"{content['engine']} belongs to aiida-pet 0.0.1, but this is aiida-pet {__version__}"
        in result.stdout
    )
    assert f"-> install aiida-pet {__version__} there" in result.stdout


def test_engine_that_is_not_there_is_a_problem(read, content, write, engine):
    engine.unlink()
    document = read("setup", "computer", write(content), status=1)
    assert "engine: " in document["problems"][0]
    assert "pip install 'aiida-pet[engine]'" in document["checks"][-1]["remedy"]


def test_work_directory_that_cannot_be_written_is_a_problem(pet_computer, tmp_path):
    (tmp_path / "file").touch()
    pet_computer.set_workdir(str(tmp_path / "file" / "work"))
    found = {check.what: check for check in check_computer(pet_computer, None)}
    assert not found["work directory"].ok
    assert "set up a computer with another work_dir" in found["work directory"].remedy
    assert "disk" not in found


def test_full_disk_is_a_problem(pet_computer, monkeypatch):
    monkeypatch.setattr("aiida_pet.computers.checks.LEAST_FREE_KIB", 10**15)
    found = {check.what: check for check in check_computer(pet_computer, None)}
    assert not found["disk"].ok
    assert "GB free in" in found["disk"].detail


def test_queue_that_does_not_answer_is_a_problem(pet_computer, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    computer = orm.Computer(
        f"noqueue-{tmp_path.name}", "localhost", "", "core.local", "core.lsf", str(tmp_path)
    ).store()
    computer.configure(safe_interval=0)
    found = {check.what: check for check in check_computer(computer, None)}
    assert not found["queue"].ok
    assert "on the PATH of a shell without a terminal" in found["queue"].remedy


def test_computer_that_cannot_be_reached_ends_the_tests(aiida_profile, tmp_path):
    computer = orm.Computer(
        f"far-{tmp_path.name}", "localhost", "", "core.local", "core.direct", str(tmp_path)
    ).store()
    assert [(check.ok, check.remedy) for check in check_computer(computer, None)] == [
        (False, f"`verdi computer configure core.local {computer.label}`")
    ]
    computer.configure(safe_interval=0)
    user = orm.User.collection.get_default()
    computer.get_authinfo(user).enabled = False
    assert [check.remedy for check in check_computer(computer, None)] == [
        f"`verdi computer enable {computer.label}`"
    ]


def test_setup_without_a_subcommand_is_the_one_of_before(invoke):
    assert json.loads(invoke("setup", "--no-daemon", "--json").stdout)["steps"][0]["what"] == "profile"


def test_update_changes_what_counts_for_no_result_and_nothing_else(read, content, write):
    first = read("setup", "computer", write(content))
    changed = content | {"gpus": 4, "modules": ["cuda/12"], "description": "under the desk", "mpiprocs": 3}
    changed |= {"login_shell": False, "poll_interval": 7.0}
    told = read("setup", "computer", write(changed), "--update", "--no-test")
    assert told["problems"] == []
    step = told["steps"][0]
    assert (step["state"], step["pk"]) == ("changed", first["steps"][0]["pk"])
    assert "gpus was 2, now 4" in step["detail"]
    computer = orm.load_computer(content["label"])
    assert computer.uuid == orm.load_computer(first["steps"][0]["pk"]).uuid
    assert computer.get_property(SITE_PROPERTY)["gpus"] == 4
    assert "module load cuda/12" in computer.get_prepend_text()
    assert (computer.description, computer.get_default_mpiprocs_per_machine()) == ("under the desk", 3)
    assert computer.get_configuration()["use_login_shell"] is False
    again = read("setup", "computer", write(changed), "--update", "--no-test")
    assert again["steps"][0]["state"] == "present"
    # where jobs run, and which engine, is left and told
    elsewhere = changed | {"work_dir": "/elsewhere", "engine": "/opt/other"}
    told = read("setup", "computer", write(elsewhere), "--update", "--no-test", status=1)
    assert "these values identify the machine" in told["steps"][0]["problem"]
    assert "it is left as it is" in told["steps"][1]["problem"]
    assert orm.load_computer(content["label"]).get_workdir() == content["work_dir"]


def test_update_leaves_jobs_in_the_cache(pet_code, pet_model, make_structures):
    """A computer that was changed as `--update` does gives the same hash to the same job."""
    from aiida.engine import run_get_node
    from aiida.plugins import CalculationFactory

    inputs = {"code": pet_code, "model": pet_model, "structures": make_structures(["a"])}
    inputs["metadata"] = {"options": {"resources": {"num_machines": 1, "num_mpiprocs_per_machine": 1}}}
    job = CalculationFactory("pet.static")
    node = run_get_node(job, **inputs).node
    before = orm.load_node(node.pk).base.caching.compute_hash()
    computer, text = pet_code.computer, pet_code.computer.get_prepend_text()
    try:
        computer.set_prepend_text("export OURS=1")
        computer.set_property(SITE_PROPERTY, {"gpus": 3})
        computer.store()
        assert orm.load_node(node.pk).base.caching.compute_hash() == before
    finally:
        computer.set_prepend_text(text)
        computer.set_property(SITE_PROPERTY, {})

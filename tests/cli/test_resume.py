"""`aiida-pet resume`: what is left of a launch, with the options of before and those that are given over them."""

import json
import os

import pytest
from aiida import orm

from aiida_pet.computers.resources import SITE_PROPERTY
from aiida_pet.workchains.groups import group_of
from aiida_pet.workchains.jobs import jobs_of

IDS = ["a", "b", "c", "d"]


@pytest.fixture
def running(make_campaign, tmp_path):
    campaign = make_campaign(IDS)
    campaign.add_job(["c", "d"], None, tmp_path / "job")
    return campaign


@pytest.fixture
def stopped(launch, read, alloys_file, monkeypatch):
    """A launch of six crystals that was stopped after two of them."""
    asked = []

    def requested(node):
        asked.append(node)
        return len(asked) > 1

    with monkeypatch.context() as patched:
        patched.setattr("aiida_pet.workchains.lane.is_stop_requested", requested)
        node = launch("relax", alloys_file, "--job-size", 2, "--walltime", "1h")
    assert node.exit_status == 400
    return node


def test_resume_computes_what_is_left_with_the_options_of_before_or_those_given(invoke, launch, stopped):
    told = invoke("status", stopped.pk).output
    assert f"`aiida-pet resume {stopped.pk}` goes on with the 4 rows left" in told
    result = invoke("resume", stopped.pk, "--lanes", 2, "--option", "account=x", "--label", "again")
    node = launch.node
    assert node.is_finished_ok, node.exit_message
    assert f"taking over 2 finished rows of <{stopped.pk}>" in result.output
    assert node.label == "again"
    assert len(node.outputs.results) == 6
    computed = [name for job in jobs_of(node) for name in job.outputs.results.ids.tolist()]
    (before,) = [job.outputs.results.ids.tolist() for job in jobs_of(stopped)]
    assert sorted(computed + before) == [f"alloy-{i}" for i in range(6)]
    (options, *_) = [job.get_metadata_inputs()["metadata"]["options"] for job in jobs_of(node)]
    assert (options["account"], options["max_wallclock_seconds"]) == ("x", 3600)
    assert node.inputs.job_size == 2
    assert "has ended well: nothing is left" in invoke("resume", node.pk, status=1).output
    # a third launch would compute the same rows again
    output = " ".join(invoke("resume", stopped.pk, status=1).output.split())
    assert (
        f"<{stopped.pk}> was resumed by launch <{node.pk}>, which ended well and has the whole table"
        in output
    )
    assert f"`aiida-pet results {node.pk}` shows its rows" in output
    # both are in the group of the campaign, with the rows that there were and those that there are
    group = group_of(stopped)
    assert group.label.startswith("aiida-pet/relax 6 of")
    assert {member.pk for member in group.nodes} == {
        stopped.pk,
        node.pk,
        stopped.outputs.results.pk,
        node.outputs.results.pk,
    }
    assert group_of(node).pk == group.pk
    assert f"goes on with <{stopped.pk}>" in node.description
    told = invoke("status", stopped.pk).output
    assert f"launch <{node.pk}> resumed it" in told
    assert f"aiida-pet resume {stopped.pk}" not in told


def test_a_computer_that_came_with_an_archive_is_told_before_anything_starts(invoke, stopped, monkeypatch):
    monkeypatch.setattr(orm.Computer, "is_configured", property(lambda _: False))
    before = orm.QueryBuilder().append(orm.WorkChainNode).count()
    code = stopped.inputs.code
    crystals, model = stopped.inputs.structures.pk, stopped.inputs.model.pk
    anew = ("launch", "relax", crystals, "--code", code.pk, "--model", model)
    for command in (("resume", stopped.pk), anew):
        output = " ".join(invoke(*command, status=1).output.split())
        told = (
            f"{code.computer.label!r} <{code.computer.pk}> of code <{code.pk}> is not set up in this profile"
        )
        assert told in output
        assert f"`verdi computer configure core.local {code.computer.pk}`" in output
        assert "(option --code); nothing was started" in output
    assert orm.QueryBuilder().append(orm.WorkChainNode).count() == before


def test_rows_that_ended_their_jobs_are_tried_again_only_if_asked_for(invoke, launch, read, make_structures):
    structures = make_structures(["killer", "b"]).store()
    node = launch("relax", structures.pk, "--job-size", 1)
    assert node.is_finished_ok, node.exit_message
    told = " ".join(invoke("resume", node.pk, status=1).output.split())
    assert "nothing is left to do, except 1 row that was given up, which --retry-given-up tries again" in told
    assert read("resume", node.pk, "--dry-run", "--retry-given-up")["rows_done"] == 1
    invoke("resume", node.pk, "--retry-given-up")
    assert len(jobs_of(launch.node)) == 2


def test_launch_that_is_being_taken_up_says_so_with_the_pk_and_what_can_be_done(
    invoke, launch, stopped, make_campaign
):
    campaign = make_campaign(IDS)
    campaign.node.backend_entity.set_attribute("metadata_inputs", {"resumes": stopped.uuid})
    pk = campaign.node.pk
    output = " ".join(invoke("resume", stopped.pk, status=1).output.split())
    assert (
        f"<{stopped.pk}> is already being resumed by launch <{pk}>, which is running: "
        f"`aiida-pet status {pk}` shows its progress" in output
    )


def test_dry_run_of_resume_starts_nothing(invoke, read, stopped):
    document = read("resume", stopped.pk, "--dry-run")
    assert (document["pk"], document["rows_done"], document["lanes"]) == (stopped.pk, 2, 1)
    assert document["options"]["max_wallclock_seconds"] == 3600
    assert read("resume", stopped.pk, "--dry-run", "--lanes", 3)["lanes"] == 3
    assert "nothing was started" in invoke("resume", stopped.pk, "--dry-run").output


def test_resume_of_what_goes_on_or_with_another_model_is_refused(invoke, running, stopped, own_model):
    output = invoke("resume", running.node.pk, "--dry-run", status=1).output
    assert f"has not ended (waiting): `aiida-pet stop {running.node.pk}` stops it" in output
    output = invoke("resume", stopped.pk, "--dry-run", "--model", own_model.pk, status=2).output
    assert "for another model start a new launch" in output


def test_resume_json_names_what_it_took_over(invoke, launch, stopped):
    document = json.loads(invoke("resume", stopped.pk, "--json").stdout)
    assert (document["resumed"], document["rows_done"]) == (stopped.pk, 2)
    assert document["pk"] == launch.node.pk


# -- what the jobs of a launch that is taken up ask for ----------------------------------------------------------------


class Past:
    """Launches that end before they start anything, and what would go on with them."""

    def __init__(self, invoke, monkeypatch, structures, model):
        self._invoke, self._monkeypatch = invoke, monkeypatch
        self._structures, self._model = structures, model

    def launch(self, code, *arguments, change=None):
        """Return a launch on ``code`` that was killed before its first step."""
        from aiida.engine import ProcessState
        from aiida.engine.utils import instantiate_process
        from aiida.manage import get_manager

        nodes = []

        def submit(builder):
            if change is not None:
                change(builder)
            node = instantiate_process(get_manager().get_runner(), builder).node
            node.set_process_state(ProcessState.KILLED)
            nodes.append(node)
            return node

        self._monkeypatch.setattr("aiida.engine.submit", submit)
        site = ("--code", code.pk, "--model", self._model.pk)
        self._invoke("launch", "relax", self._structures, *site, *arguments)
        return nodes[0]

    def resume(self, node, *arguments):
        """Return the builder of what goes on with ``node``."""
        builders = []

        def submit(builder):
            builders.append(builder)
            return orm.WorkChainNode().store()

        self._monkeypatch.setattr("aiida.engine.submit", submit)
        self._invoke("resume", node.pk, *arguments)
        return builders[0]


@pytest.fixture
def past(invoke, monkeypatch, read, alloys_file, own_model):
    monkeypatch.setattr("aiida_pet.computers.daemon.daemon_problem", lambda: None)
    return Past(invoke, monkeypatch, read("data", "import", alloys_file)["pk"], own_model)


@pytest.fixture
def engine(cluster):
    """The engine on a cluster."""
    return orm.InstalledCode(label="engine", computer=cluster, filepath_executable="/opt/pet-engine").store()


EXCLUSIVE = "#SBATCH --exclusive"
ASKED = (
    *("--gpus", 1, "--gpu-type", "a100", "--memory", "64GB", "--walltime", "2h"),
    *(
        "--option",
        f"custom_scheduler_commands='{EXCLUSIVE}'",
        "--option",
        "environment_variables={A: one, B: two}",
    ),
)


@pytest.mark.parametrize(
    ("arguments", "changed"),
    [
        ((), {}),
        (("--walltime", "24h"), {"max_wallclock_seconds": 86400}),
        (("--memory", "1GB"), {"max_memory_kb": 1024**2}),
        (("--partition", "long"), {"queue_name": "long"}),
        (("--option", "queue_name=long"), {"queue_name": "long"}),
        (("--account", "other"), {"account": "other"}),
        (("--qos", "high"), {"qos": "high"}),
        (
            ("--cpus", 4),
            {"resources": {"num_machines": 1, "num_mpiprocs_per_machine": 1, "num_cores_per_mpiproc": 4}},
        ),
        (("--gpu-type", "h100"), {"custom_scheduler_commands": f"#SBATCH --gres=gpu:h100:1\n{EXCLUSIVE}"}),
        (("--gpus", 2), {"custom_scheduler_commands": f"#SBATCH --gres=gpu:a100:2\n{EXCLUSIVE}"}),
        (("--gpus", 0), {"custom_scheduler_commands": EXCLUSIVE}),
        (
            ("--option", "environment_variables={B: other, C: three}"),
            {"environment_variables": {"A": "one", "B": "other", "C": "three"}},
        ),
    ],
)
def test_what_is_asked_for_on_resuming_changes_that_alone(past, engine, arguments, changed):
    node = past.launch(engine, *ASKED)
    before = node.get_metadata_inputs()["options"]
    assert before["custom_scheduler_commands"] == f"#SBATCH --gres=gpu:a100:1\n{EXCLUSIVE}"
    assert (before["account"], before["queue_name"]) == ("mat", "gpu")
    assert dict(past.resume(node, *arguments).options) == before | changed


def test_what_was_changed_is_kept_by_the_next_resume(past, engine):
    node = past.launch(engine, "--partition", "short", "--option", "account=mine")
    builder = past.resume(node, "--partition", "long")
    second = past.launch(
        engine, change=lambda fresh: fresh.update(options=builder.options, asked=builder.asked)
    )
    again = past.resume(second, "--qos", "high")
    assert (again.options["queue_name"], again.options["account"], again.options["qos"]) == (
        "long",
        "mine",
        "high",
    )


def test_option_that_says_the_same_as_a_resource_gives_way(past, engine):
    node = past.launch(engine, "--option", "queue_name=short")
    assert past.resume(node, "--partition", "long").options["queue_name"] == "long"


def test_options_set_by_hand_are_kept_but_for_those_given(past, engine):
    own = {
        "resources": {"num_machines": 1},
        "queue_name": "own",
        "custom_scheduler_commands": "#SBATCH --gres=gpu:4",
        "environment_variables": {"A": "one"},
    }
    node = past.launch(engine, change=lambda builder: setattr(builder, "options", own))
    changed = past.resume(node, "--walltime", 60, "--option", "environment_variables={B: two}").options
    variables = {"environment_variables": {"A": "one", "B": "two"}}
    assert dict(changed) == own | {"max_wallclock_seconds": 60} | variables


@pytest.mark.parametrize("arguments", [("--gpus", 0), ("--memory", "1GB"), ("--cpus", 2)])
def test_resources_in_lines_of_a_scheduler_that_somebody_wrote_are_not_guessed(
    past, engine, invoke, arguments
):
    own = {"resources": {"num_machines": 1}, "custom_scheduler_commands": "#SBATCH --gres=gpu:4"}
    node = past.launch(engine, change=lambda builder: setattr(builder, "options", own))
    told = " ".join(invoke("resume", node.pk, *arguments, status=2).output.split())
    assert f"{arguments[0]}: options of the jobs were set by hand" in told


def test_another_computer_is_asked_for_its_own_and_what_is_given(past, engine, pet_code):
    node = past.launch(pet_code, "--setting", "device=cpu", "--setting", "threads=3", "--option", "qos=old")
    builder = past.resume(node, "--code", engine.pk, "--walltime", 60, "--setting", "flush_interval_s=5")
    assert dict(builder.settings) == {"flush_interval_s": 5}
    assert dict(builder.options) == {
        "resources": {"num_machines": 1, "num_mpiprocs_per_machine": 1},
        "account": "mat",
        "queue_name": "gpu",
        "max_wallclock_seconds": 60,
    }
    assert builder.code.uuid == engine.uuid


def test_another_code_on_the_same_computer_has_the_options_of_before(past, engine, cluster):
    node = past.launch(engine, *ASKED, "--setting", "device=cuda")
    code = orm.InstalledCode(label="two", computer=cluster, filepath_executable="/opt/new/pet-engine").store()
    builder = past.resume(node, "--code", code.pk)
    assert builder.code.uuid == code.uuid
    assert dict(builder.options) == node.get_metadata_inputs()["options"]
    assert dict(builder.settings) == {"device": "cuda"}


@pytest.mark.parametrize("own", [None, 2])
def test_threads_follow_the_lanes_unless_they_were_asked_for(past, pet_code, own, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(12)))
    node = past.launch(pet_code, "--lanes", 2, *(("--setting", f"threads={own}") if own else ()))
    assert node.get_metadata_inputs()["settings"]["threads"] == (own or 6)
    assert past.resume(node, "--lanes", 4).settings["threads"] == (own or 3)
    assert past.resume(node).settings["threads"] == (own or 6)
    assert past.resume(node, "--lanes", 4, "--setting", "threads=1").settings["threads"] == 1


def test_gpus_of_a_workstation_are_kept(past, pet_computer, pet_code):
    pet_computer.set_property(SITE_PROPERTY, {"gpus": 4})
    variables = {"CUDA_VISIBLE_DEVICES": "2,3", "OTHER": "x"}
    node = past.launch(pet_code, "--option", f"environment_variables={json.dumps(variables)}")
    options = past.resume(node, "--walltime", 60, "--lanes", 2).options
    assert options["environment_variables"] == variables
    assert options["max_wallclock_seconds"] == 60


def test_sizes_and_durations_of_jobs_and_their_folders_are_changed(past, engine):
    node = past.launch(engine, "--job-size", 3, "--clean-workdir")
    kept = past.resume(node)
    assert (kept.job_size.value, kept.clean_workdir.value) == (3, True)
    assert "job_duration" not in kept
    changed = past.resume(node, "--job-size", 5, "--job-duration", "30m", "--keep-workdir")
    assert (changed.job_size.value, changed.job_duration.value, changed.clean_workdir.value) == (
        5,
        1800,
        False,
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--gpu-type", "a100"), "gpu_type = 'a100' needs gpus"),
        (("--setting", "colour=red"), "colour"),
        (("--option", "colour=red"), "unknown options: colour"),
        (
            ("--memory", "1GB", "--option", "max_memory_kb=1"),
            "--memory and --option max_memory_kb set the same thing",
        ),
    ],
)
def test_what_is_no_resource_option_or_setting_is_refused(past, engine, invoke, arguments, message):
    node = past.launch(engine)
    assert message in invoke("resume", node.pk, *arguments, status=2).output


def test_help_says_that_options_keep_what_the_earlier_launch_had(invoke):
    told = " ".join(invoke("resume", "--help").output.split())
    assert "Default: the code of the earlier launch." in told
    assert "Default: the number of the earlier launch." in told
    assert "[default:" not in told
    assert "included model" not in told  # --model is refused
    assert "jobs, time and memory" not in told
    other = " ".join(invoke("launch", "relax", "--help").output.split())
    assert "[default: pet-engine@localhost]" in other
    assert "Default: the included model." in other

"""`aiida-pet stop` and `resume`."""

import json

import pytest

from aiida_pet.workchains.jobs import jobs_of
from aiida_pet.workchains.stopping import is_stop_requested

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


def test_stop_after_current_jobs_marks_the_launch(invoke, read, running):
    lane = running.lanes[0]
    assert not is_stop_requested(lane)
    output = invoke("stop", running.node.pk, "--after-current-jobs").output
    assert f"<{running.node.pk}> stops after the 1 job of now" in output
    assert is_stop_requested(lane)
    assert read("stop", running.node.pk, "--after-current-jobs")["jobs"] == [running.jobs[0].pk]


def test_stop_kills_the_process_and_those_below_it(invoke, running, monkeypatch):
    killed = []

    def kill(processes, **options):
        killed.extend(processes)
        for process in processes:
            running.end(process, state="killed", exit_status=None)

    monkeypatch.setattr("aiida.engine.processes.control.kill_processes", kill)
    monkeypatch.setattr("aiida_pet.cli.stop.daemon_problem", lambda: None)
    output = invoke("stop", running.node.pk).output
    assert [node.pk for node in killed] == [running.node.pk]
    assert f"<{running.node.pk}> killed, with 1 job: `aiida-pet resume {running.node.pk}` goes on" in output
    assert "has ended already: killed" in invoke("stop", running.node.pk, status=1).output


def test_stop_that_is_not_heard_names_the_remedy(invoke, running, monkeypatch):
    monkeypatch.setattr("aiida.engine.processes.control.kill_processes", lambda processes, **_: None)
    monkeypatch.setattr("aiida_pet.cli.stop.daemon_problem", lambda: None)
    monkeypatch.setattr("aiida_pet.cli.stop.PATIENCE_S", 0.0)
    assert "verdi process kill --force" in invoke("stop", running.node.pk, status=1).output


def test_stop_without_a_daemon_marks_and_says_so(invoke, running):
    assert "it stops before its next job" in invoke("stop", running.node.pk, status=1).output
    assert is_stop_requested(running.node)


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


def test_dry_run_of_resume_starts_nothing(invoke, read, stopped):
    document = read("resume", stopped.pk, "--dry-run")
    assert document == {"pk": stopped.pk, "rows_done": 2, "lanes": 1}
    assert read("resume", stopped.pk, "--dry-run", "--lanes", 3)["lanes"] == 3
    assert "nothing was started" in invoke("resume", stopped.pk, "--dry-run").output


def test_resume_of_what_goes_on_or_with_another_model_is_refused(invoke, running, stopped, own_model):
    output = invoke("resume", running.node.pk, "--dry-run", status=1).output
    assert f"goes on (waiting): `aiida-pet stop {running.node.pk}` stops it" in output
    output = invoke("resume", stopped.pk, "--dry-run", "--model", own_model.pk, status=2).output
    assert "launch anew for another" in output


def test_resume_json_names_what_it_took_over(invoke, launch, stopped):
    document = json.loads(invoke("resume", stopped.pk, "--json").stdout)
    assert (document["resumed"], document["rows_done"]) == (stopped.pk, 2)
    assert document["pk"] == launch.node.pk

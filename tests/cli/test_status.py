"""`aiida-pet status`: live figures, lanes, jobs, and what to do about each way to be stuck or to fail."""

import re
import time
from types import SimpleNamespace

import numpy as np
import pytest

from aiida_pet.campaigns.stages import StageStatus, _stage
from aiida_pet.campaigns.training import TrainingJobProgress, TrainingProgress
from aiida_pet.campaigns.training_report import TrainingStatus
from aiida_pet.cli.training_status import echo_training
from aiida_pet.computers.daemon import daemon_problem
from aiida_pet.data.table import TableData
from aiida_pet.job.folder import Progress
from aiida_pet.tables.table import Table
from aiida_pet.workchains.stopping import request_stop

IDS = ["a", "b", "max_steps-c", "d"]


@pytest.fixture
def daemon_runs(monkeypatch):
    monkeypatch.setattr("aiida_pet.computers.daemon.daemon_problem", lambda: None)


def beat(**values):
    return Progress(**{"rows_total": 2, "step": "running", "updated": time.time()} | values)


@pytest.fixture
def running(make_campaign, tmp_path, daemon_runs):
    """Two lanes: one job has finished a, b; the other has done one of two rows, at 0.5 rows/s."""
    campaign = make_campaign(IDS)
    campaign.finish_job(["a", "b"])
    heartbeat = beat(rows_done=1, statuses={"max_steps": 1}, rate=0.5, engine_s=2.0)
    campaign.add_job(["max_steps-c", "d"], heartbeat, tmp_path / "job")
    return campaign


@pytest.fixture
def finished(make_campaign):
    """All rows done, one of them not converged."""
    campaign = make_campaign(IDS)
    campaign.finish_job(IDS)
    campaign.set_results(IDS)
    campaign.end(campaign.node)
    return campaign


def test_running_launch_shows_rows_rate_time_left_and_statuses(invoke, running):
    lines = invoke("status", running.node.pk).output.splitlines()
    assert lines[0] == f"{running.node.process_label} <{running.node.pk}> waiting"
    assert "rows      3 of 4 done (75 %), 1 left" in lines
    assert "statuses  converged 2, max_steps 1" in lines
    # 2 s of rows and 2 s of the final table, less what has gone by since the heartbeat
    assert any(re.fullmatch(r"speed     0\.5 rows/s, about [2-4](\.\d)? s left", line) for line in lines)
    assert "engines   1 min 02 s in 2 jobs" in lines


def test_json_holds_totals_lanes_jobs_and_advice(read, running):
    document = read("status", running.node.pk)
    assert (document["rows_total"], document["rows_done"], document["rows_left"]) == (4, 3, 1)
    assert document["eta_s"] == pytest.approx(2.0)
    assert document["left_s"] == pytest.approx(3.0, abs=1.0)  # with the final table
    assert [(lane["rows_done"], lane["rows_total"]) for lane in document["lanes"]] == [(2, 2), (1, 2)]
    assert [job["step"] for job in document["jobs"]] == ["done", "running"]
    assert [lane["jobs"] for lane in document["lanes"]] == [[job.pk] for job in running.jobs]
    assert document["advice"] == [
        f"`aiida-pet results {running.node.pk}` shows the rows of the jobs that have ended"
    ]


def test_finished_launch_points_to_its_rows_and_to_those_that_failed(read, finished):
    pk = finished.node.pk
    assert read("status", pk)["advice"] == [
        f"`aiida-pet results {pk}` shows the rows",
        f"`aiida-pet results {pk} --where 'status != converged'` shows the 1 row that failed",
    ]


def test_rows_that_are_left_can_be_launched_again(read, make_campaign):
    campaign = make_campaign(IDS)
    campaign.finish_job(["a", "b"])
    campaign.end(campaign.add_lane(["max_steps-c", "d"]), exit_status=400)
    campaign.set_results(IDS)
    campaign.end(campaign.node, exit_status=400, message="2 of 4 rows have no result")
    document = read("status", campaign.node.pk)
    assert document["message"] == "2 of 4 rows have no result"
    pk = campaign.node.pk
    assert document["advice"] == [
        f"it did not end well: `verdi process report {pk}` shows what happened",
        f"`aiida-pet results {pk}` shows the rows",
        f"`aiida-pet resume {pk}` goes on with the 2 rows left; you may give other --lanes or another --code",
    ]


def test_only_what_can_be_taken_up_is_advised_to_be(read, make_campaign):
    campaign = make_campaign(IDS)
    campaign.finish_job(IDS)
    for node in (campaign.lanes[0], campaign.node):
        campaign.end(node, exit_status=400)

    def told(node):
        return [line for line in read("status", node.pk)["advice"] if "aiida-pet resume" in line]

    pk = campaign.node.pk  # all of its rows are done, but there is no table of them
    assert told(campaign.node) == [
        f"`aiida-pet resume {pk}` goes on with what is left; you may give other --lanes or another --code"
    ]
    assert told(campaign.lanes[0]) == []


def test_launch_that_broke_down_shows_the_first_line_of_why(invoke, make_campaign):
    campaign = make_campaign(IDS)
    campaign.node.set_process_state("excepted")
    campaign.node.set_exception("TypeError: no such thing\n  in some file")
    output = invoke("status", campaign.node.pk).output
    assert "  TypeError: no such thing\n" in output
    assert "in some file" not in output
    assert f"it broke down: `verdi process report {campaign.node.pk}` shows where" in output


def test_paused_process_is_named_with_its_reason(read, running):
    job = running.jobs[1]
    job.pause()
    job.set_process_status("Pausing after failed transport task")
    advice = read("status", running.node.pk)["advice"]
    assert (
        f"process <{job.pk}> is paused (Pausing after failed transport task): `verdi process play {job.pk}` "
        "lets it go on"
    ) in advice


def test_process_that_no_worker_takes_up_is_named(read, running, monkeypatch):
    job = running.jobs[1]
    job.set_process_state("created")

    def told():
        advice = read("status", running.node.pk)["advice"]
        return [sentence for sentence in advice if "aiida-pet repair" in sentence]

    assert told() == []
    monkeypatch.setattr("aiida_pet.campaigns.advice.UNCLAIMED_S", 0.0)
    (sentence,) = told()
    assert f"process <{job.pk}>: " in sentence


def from_cache(job):
    job.base.extras.set(job.base.caching.CACHED_FROM_KEY, "of another campaign")


@pytest.mark.parametrize("step", ["done", "running"])
@pytest.mark.usefixtures("daemon_runs")
def test_job_from_the_cache_raises_no_alarm_over_the_heartbeat_of_another(
    read, make_campaign, tmp_path, step
):
    campaign = make_campaign(IDS)
    beat_of_then = beat(step=step, rows_done=4, updated=time.time() - 7200, rate=3.0, engine_s=9.0)
    job = campaign.add_job(IDS, beat_of_then, tmp_path / "job")
    alarmed = " ".join(read("status", campaign.node.pk)["advice"])
    assert ("aiida-pet repair" in alarmed) or ("no sign of life" in alarmed)
    from_cache(job)
    document = read("status", campaign.node.pk)
    assert document["advice"] == []
    assert (document["rate"], document["engine_s"], document["jobs_cached"]) == (0.0, 0.0, 1)
    assert [job["step"] for job in document["jobs"]] == ["cached"]


@pytest.mark.usefixtures("daemon_runs")
def test_lane_in_flight_with_a_cached_job_says_so_and_counts_its_rows(invoke, make_campaign, tmp_path):
    campaign = make_campaign(IDS)
    from_cache(campaign.finish_job(["a", "b"]))
    campaign.jobs[0].set_process_state(
        "waiting"
    )  # the worker has not come to it: its rows are there all the same
    running = beat(rows_done=1, statuses={"max_steps": 1}, rate=0.5, engine_s=2.0)
    campaign.add_job(["max_steps-c", "d"], running, tmp_path / "job")
    output = invoke("status", campaign.node.pk).output
    assert "rows      3 of 4 done (75 %), 1 left" in output
    assert "engines   2.0 s in 2 jobs, 1 of them from the cache" in output
    assert "aiida-pet repair" not in output
    assert f"`aiida-pet results {campaign.node.pk}` shows the rows" in output
    invoke("results", campaign.node.pk)


@pytest.mark.usefixtures("daemon_runs")
def test_results_are_not_advised_before_a_job_has_ended_and_following_advice_works(
    invoke, read, make_campaign, tmp_path
):
    campaign = make_campaign(IDS)
    campaign.add_job(IDS, beat(step="done", rows_done=4), tmp_path / "job")
    assert read("status", campaign.node.pk)["advice"] == []  # its engine is done, its rows are not stored yet
    invoke("results", campaign.node.pk, status=1)


@pytest.mark.parametrize(("minutes", "is_told"), [(1, False), (10, True)])
@pytest.mark.usefixtures("daemon_runs")
def test_end_of_an_engine_that_no_worker_notices_is_told(read, make_campaign, tmp_path, minutes, is_told):
    campaign = make_campaign(IDS)
    updated = time.time() - 60 * minutes
    job = campaign.add_job(IDS, beat(step="done", rows_done=4, updated=updated), tmp_path / "job")
    advice = " ".join(read("status", campaign.node.pk)["advice"])
    assert (f"no worker of the daemon seems to handle process <{job.pk}>" in advice) == is_told
    assert ("`aiida-pet repair`" in advice) == is_told


def test_silent_engine_is_named(read, make_campaign, tmp_path, daemon_runs):
    campaign = make_campaign(IDS)
    job = campaign.add_job(IDS, beat(updated=time.time() - 3600), tmp_path / "job")
    (advice,) = read("status", campaign.node.pk)["advice"]
    assert advice.startswith("no sign of life for 5 min 00 s or more")
    assert f"verdi calcjob gotocomputer {job.pk}" in advice


def test_daemon_that_does_not_run_is_told_with_its_remedy(read, running, monkeypatch):
    class Stopped:
        profile = SimpleNamespace(process_control_backend="core.zeromq")

        def get_daemon_pid(self):
            return None

    monkeypatch.setattr("aiida_pet.computers.daemon.daemon_client", Stopped)
    monkeypatch.setattr("aiida_pet.computers.daemon.daemon_problem", daemon_problem)
    assert "start it with `verdi daemon start`" in read("status", running.node.pk)["advice"][0]


@pytest.mark.parametrize(
    ("broker", "remedies"),
    [
        ("core.zeromq", ["aiida-pet repair"]),
        ("core.rabbitmq", ["verdi daemon start"]),  # which keeps what a worker did not end
    ],
)
def test_daemon_that_was_killed_is_told_with_what_its_broker_needs(monkeypatch, broker, remedies):
    class Killed:
        profile = SimpleNamespace(process_control_backend=broker, process_control_config={})

        def get_daemon_pid(self):
            return 2**22 + 1  # beyond the largest PID

    monkeypatch.setattr("aiida_pet.computers.daemon.daemon_client", Killed)
    monkeypatch.setattr("aiida_pet.computers.daemon.broker_problem", lambda _: None)
    assert re.findall(r"`((?:verdi|aiida-pet) [^`]+)`", daemon_problem()) == remedies


def test_job_without_a_heartbeat_is_queued(invoke, make_campaign, daemon_runs):
    campaign = make_campaign(IDS)
    campaign.add_job(IDS)
    output = invoke("status", campaign.node.pk).output
    assert "speed     no rate yet, about " in output
    (line,) = [line.split() for line in output.splitlines() if line.split()[:1] == [str(campaign.jobs[0].pk)]]
    assert line[1:4] == ["waiting", "queued", "0"]


def test_jobs_are_cut_short_unless_all_are_asked_for(invoke, make_campaign, monkeypatch):
    monkeypatch.setattr("aiida_pet.cli.status.SHOWN_JOBS", 1)
    campaign = make_campaign(IDS)
    first, second = campaign.finish_job(["a"]), campaign.finish_job(["b"])
    short = invoke("status", campaign.node.pk).output
    assert "(the last 1 of 2 jobs; --jobs shows all)" in short

    def listed(output):
        return {line.split()[0] for line in output.splitlines() if line.strip()}

    assert str(second.pk) in listed(short)
    assert str(first.pk) not in listed(short)
    assert str(first.pk) in listed(invoke("status", campaign.node.pk, "--jobs").output)


def test_watch_looks_again_until_the_end(invoke, running, monkeypatch, tmp_path):
    looks = []

    def look_away(seconds):
        looks.append(seconds)
        if len(looks) == 1:
            done = beat(rows_done=2, statuses={"max_steps": 1, "converged": 1}, rate=0.5)
            (tmp_path / "job" / "progress.json").write_text(done.to_json())
        else:
            running.end(running.node)

    monkeypatch.setattr("aiida_pet.cli.live.time.sleep", look_away)
    monkeypatch.setattr("aiida_pet.cli.live.time.process_time", lambda: 0.0)  # looks that cost nothing
    lines = invoke("status", running.node.pk, "--watch", "--interval", "0.25").stderr.splitlines()
    lines = [re.sub(r", about .* left$", "", line) for line in lines]
    name = f"pet.relax <{running.node.pk}>"
    assert lines == [
        f"{name}, 3/4 rows, 1 lane computing (converged 2, max_steps 1)",
        f"{name}, 4/4 rows, 1 lane computing (converged 3, max_steps 1)",
        f"{name}, finished [0], 4/4 rows (converged 3, max_steps 1)",
    ]
    assert looks == [0.25, 0.25]


def test_watch_tells_an_obstacle_once(invoke, running, monkeypatch):
    def look_away(_):
        if looks.pop():
            running.end(running.node)

    looks = [True, False, False]
    monkeypatch.setattr("aiida_pet.cli.live.time.sleep", look_away)
    monkeypatch.setattr("aiida_pet.computers.daemon.daemon_problem", lambda: "the daemon is not running")
    assert invoke("status", running.node.pk, "--watch").stderr.count("the daemon is not running") == 1


def test_status_of_a_set_says_what_it_expects(invoke, make_structures):
    structures = make_structures(2)
    output = invoke("status", structures.pk, status=1).output
    assert "is a StructureSetData, expected a ProcessNode" in output
    assert "`aiida-pet launch` prints the pk" in output


def test_codes_of_warnings_are_counted_and_their_rows_can_be_had(invoke, read, make_campaign):
    campaign = make_campaign(IDS)
    campaign.finish_job(["a", "b"], ["rough symmetry_changed", "rough"])
    campaign.finish_job(["max_steps-c", "d"], ["", ""])
    pk = campaign.node.pk
    assert read("status", pk)["warnings"] == {"rough": 2, "symmetry_changed": 1}  # of the jobs, while it runs
    campaign.set_results(IDS)
    campaign.end(campaign.node)
    told = invoke("status", pk).output
    assert "warnings  rough 2, symmetry_changed 1" in told
    assert f"`aiida-pet results {pk} --where 'rough in warnings'`" in told
    shown = invoke("results", pk)
    assert "warnings: rough 2, symmetry_changed 1" in shown.stderr
    assert "rough: The moduli are not reliable" in shown.stderr
    assert "rough symmetry_changed" in shown.stdout
    where = "rough in warnings and 'symmetry_changed' not in warnings"
    assert [row["id"] for row in read("results", pk, "--where", where)["rows"]] == ["b"]
    assert "rough: The moduli are not reliable" in invoke("show", pk, "a").output
    assert "rough" not in invoke("show", pk, "d").output
    found = read("find", "--campaign", pk, "--where", "rough in warnings")
    assert sorted((row["id"], row["warnings"]) for row in found["rows"]) == [
        ("a", "rough symmetry_changed"),
        ("b", "rough"),
    ]


def test_rows_without_a_value_are_counted_with_the_column_that_says_why(invoke, read, make_campaign):
    campaign = make_campaign(IDS)
    reasons = ["", "57 of 57 modes do not scatter", "imaginary modes", "imaginary modes"]
    campaign.finish_job(IDS, columns={"conductivity_skipped": reasons})
    assert read("status", campaign.node.pk)["missing"] == {"conductivity_skipped": 3}
    told = invoke("status", campaign.node.pk).output
    assert "missing   values in 3 rows (conductivity_skipped says why)" in told


def test_reasons_of_missing_values_are_told_below_a_table(invoke, aiida_profile):
    ids = [f"row-{i}" for i in range(9)]
    texts = ["", *(f"{i} of 57 modes do not scatter" for i in (1, 1, 2, 3, 4, 5, 6, 6))]
    columns = {
        "kappa_300": np.arange(9.0),
        "conductivity_skipped": np.array(texts),
        "status": np.array(["converged"] * 9),
    }
    pk = TableData.from_table(Table(np.array(ids), columns, {}, {})).store().pk
    told = invoke("results", pk, "--columns", "kappa_300").stderr
    assert "conductivity_skipped: 8 rows\n  row-1 row-2: 1 of 57 modes do not scatter\n" in told
    assert "  2 more rows: --where \"conductivity_skipped != ''\" --columns conductivity_skipped" in told
    for shown in ("status", "all", "kappa_300,conductivity_skipped"):  # nothing is missing, or all is shown
        assert "do not scatter" not in invoke("results", pk, "--columns", shown).stderr


def stage(name, state, *counts):
    return StageStatus(name, None, state, *counts, keep=None)


def test_launch_that_was_stopped_says_so_and_names_the_stage(read, make_campaign, monkeypatch):
    campaign = make_campaign(IDS)
    campaign.finish_job(["a", "b"])
    campaign.end(campaign.add_lane(["max_steps-c", "d"]), exit_status=302)
    campaign.set_results(IDS)
    request_stop(campaign.node)
    campaign.end(campaign.node, exit_status=400)
    pk = campaign.node.pk
    (end, _, resume) = read("status", pk)["advice"]
    assert end == "it was stopped as asked, with 2 rows left"
    assert resume.startswith(f"`aiida-pet resume {pk}` goes on with the 2 rows left")
    stages = [stage("relax", "finished [400]", 4, 2, 2), stage("hull", "to come", None, None, None)]
    monkeypatch.setattr("aiida_pet.campaigns.advice.stages_of", lambda *_: stages)
    assert read("status", pk)["advice"][0] == "it was stopped as asked in stage relax, with 2 rows left"
    stages[0] = stage("relax", "finished [0]", 4, 4, 4)
    assert "stopped as asked before stage hull began" in read("status", pk)["advice"][0]


def test_message_of_a_screening_that_was_stopped_claims_no_failure_of_the_stage_to_come(
    invoke, make_campaign
):
    campaign = make_campaign(IDS)
    message = (
        "Stage hull left rows without a result (status `left`), see <1>: Stopped as asked, before it began. "
        "`aiida-pet resume 1` goes on with them."
    )
    campaign.end(campaign.node, exit_status=400, message=message)
    assert invoke("status", campaign.node.pk).output.splitlines()[1] == (
        "  Stopped as asked, before stage hull began."
    )


def test_stage_has_no_more_rows_done_than_came_to_it(finished):
    record = {"rows_in": 17, "rows_out": 14}
    told = [_stage("hull", None, record, finished.node, done).rows_done for done in (22, 17, 3, None)]
    assert told == [17, 17, 3, None]  # the table of a hull also has the rows that did not come to it


def test_last_epoch_of_a_training_is_not_shortened_in_a_file(capsys):
    message = "validation: " + ", ".join(f"error {number} of the forces 0.1 eV/A" for number in range(9))
    job = TrainingJobProgress(7, "direct", "finished [0]", "done", 2, 2, message=message)
    progress = TrainingProgress(5, "TrainWorkChain", "scratch", "finished [0]", True, 0, "", jobs=[job])
    echo_training(TrainingStatus(progress, None, []), None)
    assert message in capsys.readouterr().out

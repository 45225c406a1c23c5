"""`aiida-pet stop`."""

import shlex
import signal
import subprocess
import sys
import time

import psutil
import pytest

from aiida_pet.workchains.stopping import is_stop_requested

IDS = ["a", "b", "c", "d"]
ENGINE = """
import signal, sys, time
told = []
signal.signal(signal.SIGTERM, lambda *_: told.append(1))
open(sys.argv[1] + ".ready", "w").close()
while not told:
    time.sleep(0.1)
for _ in range(10):  # a signal ends a sleep
    time.sleep(0.1)
open(sys.argv[1], "a").write("engine\\n")
"""


def wait_for(happened, limit=30.0):
    deadline = time.monotonic() + limit
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


ENDED = (-signal.SIGTERM, 128 + signal.SIGTERM)  # a shell whose child was ended, if it has one


@pytest.fixture
def running(make_campaign, tmp_path):
    campaign = make_campaign(IDS)
    campaign.add_job(["c", "d"], None, tmp_path / "job")
    return campaign


def test_stop_after_current_jobs_marks_the_launch(invoke, read, running):
    lane = running.lanes[0]
    assert not is_stop_requested(lane)
    output = invoke("stop", running.node.pk, "--after-current-jobs").output
    assert f"<{running.node.pk}> stops once its current jobs have ended (1 job)" in output
    assert is_stop_requested(lane)
    assert read("stop", running.node.pk, "--after-current-jobs")["jobs"] == [running.jobs[0].pk]


@pytest.fixture
def in_queue(running):
    """The launch with its job running for real, as a process of this machine."""
    process = subprocess.Popen(["/bin/sh", "-c", "sleep 300"], start_new_session=True)
    running.jobs[0].set_job_id(str(process.pid))
    yield running, process
    process.kill()
    process.wait()


@pytest.fixture
def with_daemon(monkeypatch):
    """A daemon that does nothing, and no patience with it."""
    monkeypatch.setattr("aiida_pet.computers.daemon.daemon_problem", lambda: None)
    monkeypatch.setattr("aiida_pet.campaigns.stopping.PATIENCE_S", 0.0)


@pytest.fixture
def killed(monkeypatch):
    """The processes that were killed, which so far are none."""
    processes = []
    monkeypatch.setattr(
        "aiida.engine.processes.control.kill_processes", lambda asked, **_: processes.extend(asked)
    )
    return processes


@pytest.mark.usefixtures("with_daemon")
def test_stop_cancels_jobs_in_their_queue_and_lets_their_processes_fetch_what_is_done(
    invoke, in_queue, killed
):
    campaign, process = in_queue
    output = invoke("stop", campaign.node.pk).output
    assert process.wait(timeout=30) in ENDED
    assert killed == []
    assert is_stop_requested(campaign.lanes[0])
    assert f"<{campaign.node.pk}> stops when the finished rows of 1 job are fetched" in output


@pytest.mark.usefixtures("in_queue", "killed")
def test_stop_tells_that_the_launch_has_ended(invoke, in_queue, monkeypatch):
    campaign, _ = in_queue
    monkeypatch.setattr("aiida_pet.computers.daemon.daemon_problem", lambda: None)

    def end(_):
        campaign.end(campaign.node, exit_status=400)

    monkeypatch.setattr("aiida_pet.campaigns.stopping.time.sleep", end)
    pk = campaign.node.pk
    assert (
        f"<{pk}> finished [400], with 1 job cancelled: `aiida-pet resume {pk}` goes on"
        in invoke("stop", pk).output
    )
    assert "has ended already: finished [400]" in invoke("stop", pk, status=1).output


@pytest.mark.usefixtures("with_daemon")
def test_job_from_the_cache_cancels_nothing_that_has_the_id_of_its_source(invoke, in_queue, killed):
    campaign, process = in_queue
    job = campaign.jobs[0]
    job.base.extras.set(job.base.caching.CACHED_FROM_KEY, "of another campaign")
    invoke("stop", campaign.node.pk)
    assert process.poll() is None
    assert killed == []


@pytest.mark.usefixtures("with_daemon")
def test_job_that_no_queue_has_is_killed(invoke, in_queue, killed):
    campaign, process = in_queue
    campaign.jobs[0].base.attributes.delete("job_id")
    invoke("stop", campaign.node.pk)
    assert [job.pk for job in killed] == [campaign.jobs[0].pk]
    assert process.poll() is None


@pytest.mark.usefixtures("with_daemon")
def test_paused_job_is_cancelled_and_goes_on_to_fetch(invoke, in_queue, killed, monkeypatch):
    campaign, process = in_queue
    campaign.jobs[0].pause()
    played = []
    monkeypatch.setattr(
        "aiida.engine.processes.control.play_processes", lambda asked, **_: played.extend(asked)
    )
    invoke("stop", campaign.node.pk)
    assert process.wait(timeout=30) in ENDED
    assert [job.pk for job in played] == [campaign.jobs[0].pk]
    assert killed == []


@pytest.mark.usefixtures("with_daemon", "killed")
def test_job_that_has_ended_already_keeps_no_other_from_being_cancelled(invoke, in_queue, tmp_path):
    campaign, process = in_queue
    ended = subprocess.Popen(["/bin/true"])
    ended.wait()
    other = campaign.add_job(["a", "b"], None, tmp_path / "other")
    other.set_job_id(campaign.jobs[0].get_job_id())
    campaign.jobs[0].base.attributes.set("job_id", str(ended.pid))
    invoke("stop", campaign.node.pk)
    assert process.wait(timeout=30) in ENDED


@pytest.mark.usefixtures("with_daemon", "killed")
def test_script_of_a_job_waits_for_what_its_engine_writes_at_the_end(invoke, running, tmp_path):
    """Without a queue a job is a shell, and AiiDA fetches the files when it is gone."""
    log = tmp_path / "log"
    engine = tmp_path / "engine.py"
    engine.write_text(ENGINE)
    wrapper = f"{sys.executable} {engine} {log}; true"  # as that of an environment
    script = f"bash -c {shlex.quote(wrapper)}; echo script >> {log}"
    shell = subprocess.Popen(["/bin/bash", "-c", script], start_new_session=True)
    running.jobs[0].set_job_id(str(shell.pid))
    wait_for(log.with_name("log.ready").exists)
    invoke("stop", running.node.pk)
    shell.wait(timeout=30)
    assert log.read_text() == "engine\nscript\n"


@pytest.mark.usefixtures("with_daemon", "killed")
def test_script_of_a_job_comes_to_no_engine_after_it_was_told_to_end(invoke, running):
    shell = subprocess.Popen(["/bin/bash", "-c", "sleep 300; sleep 300; true"], start_new_session=True)
    running.jobs[0].set_job_id(str(shell.pid))
    wait_for(psutil.Process(shell.pid).children)
    invoke("stop", running.node.pk)
    assert shell.wait(timeout=30) in (0, *ENDED)


@pytest.mark.usefixtures("with_daemon", "killed", "in_queue")
@pytest.mark.parametrize("scheduler", ["core.direct", "core.slurm"])
def test_computer_that_cannot_be_asked_is_named_with_what_can_be_done(
    invoke, in_queue, monkeypatch, scheduler
):
    campaign, _ = in_queue
    computer = campaign.jobs[0].computer
    if scheduler == "core.direct":
        message = f"jobs on {computer.label} could not be cancelled: no route to host."

        def refuse(self):
            raise OSError("no route to host\nand more")

        monkeypatch.setattr("aiida.transports.plugins.local.LocalTransport.open", refuse)
    else:
        # there is no cluster behind it
        monkeypatch.setattr(type(computer), "scheduler_type", scheduler)
        message = f"job <{campaign.jobs[0].pk}> on {computer.label} could not be cancelled: "
    output = " ".join(invoke("stop", campaign.node.pk, status=1).output.split())
    assert message in output
    assert f"<{campaign.node.pk}> stops when its jobs have ended" in output
    assert f"`verdi process kill --force {campaign.node.pk}`" in output


def test_stop_without_a_daemon_marks_and_says_so(invoke, running):
    assert "the launch stops before its next job" in invoke("stop", running.node.pk, status=1).output
    assert is_stop_requested(running.node)

"""`aiida-pet setup`: in a place of its own, from nothing, twice; and what it says of things that are otherwise."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from aiida_pet.computers.daemon import broker_answers, daemon_runs
from aiida_pet.computers.local_setup import ensure_code, ensure_computer
from aiida_pet.models.cards import embedded_card

AIIDA_PET = Path(sys.executable).parent / "aiida-pet"


@pytest.fixture
def run(tmp_path):
    """Run `aiida-pet` in an AIIDA_PATH of its own, without the environment's folder on the PATH."""

    def command(*arguments, check=True):
        environment = os.environ | {"AIIDA_PATH": str(tmp_path), "PATH": "/usr/bin:/bin"}
        words = [str(AIIDA_PET), *map(str, arguments)]
        return subprocess.run(
            words, env=environment, umask=0o022, capture_output=True, text=True, check=check
        )

    return command


def states(document):
    return {step["what"]: step["state"] for step in document["steps"]}


def test_setup_makes_everything_once_and_then_changes_nothing(run, tmp_path):
    first = json.loads(run("setup", "--no-daemon", "--json", "--work-dir", tmp_path / "jobs").stdout)
    assert states(first) == {
        "profile": "created",
        "computer": "created",
        "code": "created",
        "model": "created",
        "daemon": "skipped",
    }
    config = json.loads((tmp_path / ".aiida" / "config.json").read_text())
    profile = config["profiles"][config["default_profile"]]
    assert profile["storage"]["backend"] == "core.sqlite_dos"
    assert profile["process_control"]["backend"] == "core.zeromq"
    assert stat.S_IMODE((tmp_path / "jobs").stat().st_mode) == 0o700

    second = run("setup", "--no-daemon", "--work-dir", tmp_path / "jobs")
    assert second.stderr == ""
    lines = [line.split()[:3] for line in second.stdout.splitlines()]
    assert lines == [
        ["profile", "present", "pet:"],
        ["computer", "present", "localhost"],
        ["code", "present", "pet-engine@localhost"],
        ["model", "present", embedded_card()["name"]],
        ["daemon", "skipped", "pet:"],
    ]
    assert json.loads((tmp_path / ".aiida" / "config.json").read_text()) == config
    again = json.loads(run("setup", "--no-daemon", "--json").stdout)
    assert [step["pk"] for step in again["steps"]] == [step["pk"] for step in first["steps"]]
    assert str(tmp_path / "jobs") in again["steps"][1]["detail"]


def test_profile_option_makes_and_uses_a_profile_of_that_name(run, tmp_path):
    run("-p", "other", "setup", "--no-daemon")
    assert list(json.loads((tmp_path / ".aiida" / "config.json").read_text())["profiles"]) == ["other"]
    assert "known_hash" in run("-p", "other", "model", "list", "--wide").stdout
    missing = run("-p", "third", "model", "list", check=False)
    assert missing.returncode == 1
    assert "`aiida-pet setup`" in missing.stderr


def test_command_without_any_profile_says_what_to_do(run):
    outcome = run("model", "list", check=False)
    assert (outcome.returncode, outcome.stdout) == (1, "")
    assert outcome.stderr.startswith("Error: ")
    assert "run `aiida-pet setup` first" in outcome.stderr
    assert len(outcome.stderr.splitlines()) == 1


class Daemon:
    """Stands in for the client of a daemon, which takes long to start and to stop."""

    daemon_log_file = "daemon.log"

    def __init__(self, profile, running):
        self.profile, self.is_daemon_running = profile, running
        self.started = []

    def start_daemon(self, number_workers, timeout):
        self.started.append(number_workers)
        self.is_daemon_running = True


def test_setup_starts_the_daemon_unless_it_runs(read, aiida_profile, monkeypatch):
    daemon = Daemon(aiida_profile, running=False)
    monkeypatch.setattr("aiida_pet.computers.local_setup.daemon_client", lambda: daemon)
    monkeypatch.setattr(
        "aiida_pet.computers.local_setup.daemon_runs", lambda client: client.is_daemon_running
    )
    assert states(read("setup", "--no-daemon"))["daemon"] == "skipped"
    assert daemon.started == []
    assert states(read("setup", "--workers", "2"))["daemon"] == "created"
    assert states(read("setup", "--workers", "2"))["daemon"] == "present"
    assert daemon.started == [2]


def test_setup_tells_that_the_broker_does_not_come(read, aiida_profile, monkeypatch):
    monkeypatch.setattr(
        "aiida_pet.computers.local_setup.daemon_client", lambda: Daemon(aiida_profile, running=False)
    )
    monkeypatch.setattr(
        "aiida_pet.computers.local_setup.daemon_runs", lambda client: client.is_daemon_running
    )
    answers = iter([True, False])
    monkeypatch.setattr("aiida_pet.computers.local_setup.broker_answers", lambda _: next(answers))
    told = [
        any("the broker does not answer" in problem for problem in read("setup")["problems"]) for _ in "ab"
    ]
    assert told == [False, True]


def test_broker_is_waited_for(monkeypatch):
    class Broker:
        def __init__(self, deaf):
            self.deaf, self.looks = deaf, 0

        def check_service_reachable(self):
            self.looks += 1
            return self.looks > self.deaf

    def answers(broker, timeout_s):
        with monkeypatch.context() as patch:
            patch.setattr(
                "aiida_pet.computers.daemon.get_manager", lambda: SimpleNamespace(get_broker=lambda: broker)
            )
            return broker_answers(timeout_s)

    late = Broker(deaf=2)
    assert answers(late, 30)
    assert late.looks == 3
    assert not answers(Broker(deaf=10**9), 0.3)
    assert answers(None, 0)  # a profile without one


def test_daemon_runs_as_long_as_its_process_does(tmp_path):
    class Client:
        def get_daemon_pid(self):
            return process.pid

    def start(*words):
        code = "import time; print('begun', flush=True); time.sleep(60)"
        begun = subprocess.Popen([sys.executable, "-c", code, *words], stdout=subprocess.PIPE)
        begun.stdout.readline()  # before, it has the words of the process that starts it
        return begun

    process = start("start-circus")
    assert daemon_runs(Client())
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not daemon_runs(Client())  # dead and not waited for
    process.wait()
    assert not daemon_runs(Client())
    process = start("another")  # that got its PID
    assert not daemon_runs(Client())
    process.kill()
    process.wait()


@pytest.fixture
def computer(aiida_profile, tmp_path):
    """The computer `localhost` as the set-up makes it; made once per profile."""
    return ensure_computer(aiida_profile, tmp_path / "first")[0]


def test_setup_works_in_a_profile_that_is_there_and_tells_what_it_lacks(read, aiida_profile):
    document = read("setup", "--no-daemon")
    assert document["steps"][0]["name"] == aiida_profile.name
    assert states(document)["profile"] == "present"
    assert "no message broker" in document["problems"][0]
    assert states(document)["daemon"] == "skipped"


def test_computer_is_this_machine_without_waiting(computer):
    assert (computer.transport_type, computer.scheduler_type) == ("core.local", "core.direct")
    assert computer.get_minimum_job_poll_interval() == 0.5
    assert computer.get_default_mpiprocs_per_machine() == 1
    configuration = computer.get_configuration()
    assert (configuration["safe_interval"], configuration["use_login_shell"]) == (0, False)


def test_another_work_dir_than_that_of_the_computer_is_a_problem(computer, aiida_profile, tmp_path):
    same, step = ensure_computer(aiida_profile, tmp_path / "elsewhere")
    assert same.pk == computer.pk
    assert step.state == "present"
    assert "left as it is" in step.problem


def test_open_work_directory_is_told_and_left(computer, aiida_profile):
    folder = Path(computer.get_workdir())
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    told = ensure_computer(aiida_profile, None)[1].problem
    assert f"{folder} has mode 0755: other users can enter it" in told
    assert f"`chmod 700 {folder}`" in told
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    folder.chmod(0o700)
    assert ensure_computer(aiida_profile, None)[1].problem == ""


def test_work_directory_that_cannot_be_made_is_told(computer, aiida_profile, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError("read-only file system")

    monkeypatch.setattr("aiida_pet.computers.local_setup.make_closed", refuse)
    told = ensure_computer(aiida_profile, None)[1].problem
    assert "cannot be made: read-only file system" in told


@pytest.fixture
def engine(monkeypatch, tmp_path):
    """Let an executable of our own be the engine of this environment."""
    path = tmp_path / "pet-engine"
    path.touch(mode=0o755)
    monkeypatch.setattr("aiida_pet.computers.local_setup.engine_executable", lambda: path)
    return path


@pytest.fixture
def code(computer, engine, no_engine_code):
    """The code `pet-engine@localhost` of this environment."""
    return ensure_code(computer)[0]


def test_code_is_the_engine_beside_the_interpreter(code, computer, engine):
    assert str(code.filepath_executable) == str(engine)
    same, step = ensure_code(computer)
    assert (same.pk, step.state) == (code.pk, "present")


def test_code_whose_file_is_gone_gives_its_label_to_a_new_one(code, computer, engine, monkeypatch):
    moved = engine.rename(engine.with_name("moved"))
    monkeypatch.setattr("aiida_pet.computers.local_setup.engine_executable", lambda: moved)
    new, step = ensure_code(computer)
    assert step.state == "created"
    assert str(new.filepath_executable) == str(moved)
    assert code.label == f"pet-engine-{code.pk}"
    assert (
        f"the executable of the earlier code is gone, so that code is now called pet-engine-{code.pk} <{code.pk}>"
        in step.detail
    )


def test_code_of_another_environment_is_left_and_told(code, computer, engine, monkeypatch):
    monkeypatch.setattr(
        "aiida_pet.computers.local_setup.engine_executable", lambda: engine.with_name("another")
    )
    same, step = ensure_code(computer)
    assert (same.pk, step.state) == (code.pk, "present")
    assert "which belongs to another environment than this one" in step.problem


def test_missing_engine_and_missing_torch_are_told_with_the_remedy(code, computer, engine, monkeypatch):
    monkeypatch.setattr("aiida_pet.computers.local_setup.importlib.util.find_spec", lambda _: None)
    assert "pip install 'aiida-pet[engine]'" in ensure_code(computer)[1].problem
    engine.unlink()
    assert f"{engine} does not exist" in ensure_code(computer)[1].problem

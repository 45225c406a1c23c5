"""`aiida-pet doctor`: each thing that may be wrong is found, with its remedy, and a sound place has no problem."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiida import orm
from aiida.brokers.rabbitmq.broker import RabbitmqBroker

from aiida_pet import __version__
from aiida_pet.calculations import node_checks
from aiida_pet.calculations.node_checks import check_job, read_probe
from aiida_pet.computers import health
from aiida_pet.computers.checks import Check
from aiida_pet.computers.health import (
    check_broker,
    check_daemon,
    check_model,
    check_open_files,
    check_repository_disk,
    check_storage,
)
from aiida_pet.computers.resources import SITE_PROPERTY
from aiida_pet.engine.__main__ import main as engine_main
from aiida_pet.engine.probe import probe

SOUND = {
    "version": __version__,
    "host": "node01",
    "cores": 8,
    "open_files": 65536,
    "packages": {"torch": "2.9.0", "vesin": None},
    "visible_devices": "0",
    "cuda": "12.8",
    "devices": [{"name": "NVIDIA A100", "memory_mb": 40960}],
    "problem": "",
}


@pytest.fixture
def engine(pet_computer, tmp_path):
    """A code that is this engine."""
    path = tmp_path / "engine"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m aiida_pet.engine "$@"\n')
    path.chmod(0o755)
    return orm.InstalledCode(label="engine", computer=pet_computer, filepath_executable=str(path)).store()


class Daemon:
    """Stands in for the client of a daemon."""

    def __init__(self, workers=1):
        self.workers = workers

    def get_number_of_workers(self):
        if self.workers is None:
            raise TimeoutError("no answer")
        return self.workers

    def get_daemon_pid(self):
        return "self"


@pytest.fixture
def daemon(monkeypatch):
    """A daemon that runs and a broker that answers, of which the profile of tests has neither."""
    client = Daemon()
    monkeypatch.setattr(health, "daemon_client", lambda: client)
    monkeypatch.setattr(health, "daemon_problem", lambda: None)
    monkeypatch.setattr(node_checks, "daemon_problem", lambda: None)
    monkeypatch.setattr(health, "check_broker", lambda: Check("broker", True, "as if"))
    monkeypatch.setattr("aiida_pet.computers.health.validate_daemon_env", lambda _: None)
    return client


@pytest.fixture
def queue(monkeypatch, daemon):
    """Let what is submitted run at once."""
    from aiida.engine import run_get_node

    monkeypatch.setattr(
        "aiida_pet.calculations.node_checks.submit",
        lambda process, **inputs: run_get_node(process, **inputs).node,
    )


def test_sound_place_has_no_problem(read, invoke, engine, own_model, queue):
    document = read("doctor", "--code", engine.pk, "--model", own_model.pk, "--job")
    assert document["ok"]
    told = {check["what"]: check["detail"] for check in document["checks"]}
    assert list(told) == [
        "storage",
        "disk here",
        "broker",
        "daemon",
        "slots",
        "open files",
        "open files here",
        "code",
        "connection",
        "work directory",
        "access",
        "disk",
        "queue",
        "engine",
        "model",
        "job",
        "node's engine",
        "node's GPU",
        "node's files",
    ]
    assert "SQLite allows one writer at a time" in told["storage"]
    assert f"aiida-pet {__version__}, the same version as here" in told["engine"]
    assert "is not staged yet" in told["model"]
    assert invoke("doctor", "--code", engine.pk, "--model", own_model.pk).stdout.endswith("all is well\n")


def test_profile_without_broker_and_daemon_is_told_with_the_remedy(invoke, engine, own_model):
    result = invoke("doctor", "--code", engine.pk, "--model", own_model.pk, status=1)
    assert "broker          problem  the profile has none" in result.stdout
    assert "-> `verdi profile configure-broker core.zeromq`" in result.stdout
    assert result.stdout.endswith("2 problems found\n")


def test_code_that_is_not_there_is_told(read, daemon):
    document = read("doctor", "--code", "nothing@nowhere", status=1)
    assert document["checks"][-1]["what"] == "code"
    assert "`aiida-pet setup computer FILE.yaml`" in document["checks"][-1]["remedy"]


def test_job_is_not_sent_without_a_daemon(read, engine, own_model):
    document = read("doctor", "--code", engine.pk, "--model", own_model.pk, "--job", status=1)
    assert document["checks"][-1]["detail"] == "not sent"


def test_staged_model_is_found(engine, own_model):
    from aiida_pet.workchains.staging import stage_model

    folder = f"{engine.computer.get_workdir()}/aiida-pet-models/{own_model.sha256}"
    detail = check_model(engine, str(own_model.pk)).detail
    assert f"is not staged yet: the first launch uploads it to {folder}" in detail
    stage_model(own_model, engine.computer)
    assert f"is staged in {folder}" in check_model(engine, str(own_model.pk)).detail
    assert not check_model(engine, "no-such-model").ok


def test_job_that_waits_too_long_is_told(invoke, engine, own_model, daemon, monkeypatch):
    waiting = orm.CalcJobNode(
        computer=engine.computer, process_type="aiida_pet.calculations.probe.ProbeCalculation"
    )
    waiting.set_process_state("waiting")
    waiting.store()
    monkeypatch.setattr("aiida_pet.calculations.node_checks.submit", lambda *_, **__: waiting)
    arguments = ("--code", engine.pk, "--model", own_model.pk, "--job", "--patience", 1)
    result = invoke("doctor", *arguments, status=1)
    assert f"<{waiting.pk}> has not ended after 1 s (not in the queue yet)" in result.stdout
    assert f"`verdi process kill {waiting.pk}`" in result.stdout
    waiting.logger.error("Traceback\nSchedulerError: stderr=\nsbatch: error: Invalid partition")
    told = invoke("doctor", *arguments, status=1).stdout
    assert "could not be submitted; AiiDA keeps trying: sbatch: error: Invalid partition" in told
    waiting.set_process_state("killed")


def test_job_without_an_answer_is_told(read, pet_code, own_model, queue):
    """The stand-in takes no `--probe`."""
    document = read("doctor", "--code", pet_code.pk, "--model", own_model.pk, "--job", status=1)
    checks = {check["what"]: check for check in document["checks"]}
    assert not checks["job"]["ok"]
    assert "_scheduler-stderr.txt" in checks["job"]["remedy"]


def test_job_on_a_workstation_that_says_how_many_gpus_it_has_expects_one(engine, monkeypatch, daemon):
    engine.computer.set_property(SITE_PROPERTY, {"gpus": 2})
    node = SimpleNamespace(pk=1, is_terminated=True, get_job_id=lambda: "1")
    monkeypatch.setattr("aiida_pet.calculations.node_checks.submit", lambda *_, **__: node)
    monkeypatch.setattr("aiida_pet.calculations.node_checks.read_answer", lambda _: SOUND | {"devices": []})
    found = {check.what: check for check in check_job(engine, 1.0)}
    assert "the job asked for 1 GPU" in found["node's GPU"].detail


def test_job_asks_for_what_jobs_of_the_computer_ask_for(engine, monkeypatch, daemon):
    engine.computer.set_property(SITE_PROPERTY, {"gpus": 2, "resources": {"gpus": 1, "walltime": "2h"}})
    asked = []

    def submit(process, **inputs):
        asked.append(inputs["metadata"]["options"])
        return orm.CalcJobNode(computer=engine.computer).store()

    monkeypatch.setattr("aiida_pet.calculations.node_checks.submit", submit)
    list(check_job(engine, 0.0))
    assert asked[0]["environment_variables"] == {"CUDA_VISIBLE_DEVICES": "0,1"}
    assert asked[0]["max_wallclock_seconds"] == 600


@pytest.mark.parametrize(
    ("answer", "gpus", "what", "message"),
    [
        ({"version": "0.0.1"}, 1, "node's engine", "aiida-pet 0.0.1, here"),
        (
            {"problem": "OSError: libcuda.so.1"},
            1,
            "node's GPU",
            "OSError: libcuda.so.1 (CUDA_VISIBLE_DEVICES=0)",
        ),
        ({"devices": []}, 1, "node's GPU", "asked for 1 GPU, but torch for CUDA 12.8 sees none"),
        ({"devices": [], "cuda": None}, 1, "node's GPU", "but torch was built without CUDA"),
        ({"open_files": 256}, 1, "node's files", "at most 256"),
    ],
)
def test_ill_node_is_told(answer, gpus, what, message):
    ill = [check for check in read_probe(SOUND | answer, gpus) if not check.ok]
    assert [check.what for check in ill] == [what]
    assert message in ill[0].detail
    assert ill[0].remedy


def test_sound_node_is_told():
    told = {check.what: check.detail for check in read_probe(SOUND, 1) if check.ok}
    assert told["node's GPU"] == "NVIDIA A100 (40 GB), CUDA 12.8, CUDA_VISIBLE_DEVICES=0"
    assert told["node's engine"] == f"aiida-pet {__version__}, torch 2.9.0"
    cpu = {check.what: check for check in read_probe(SOUND | {"devices": [], "visible_devices": None}, 0)}
    assert cpu["node's GPU"].ok


def test_daemon_that_is_not_sound_is_told(aiida_profile, daemon, monkeypatch):
    assert {check.what: check.ok for check in check_daemon()} == {
        "daemon": True,
        "slots": True,
        "open files": True,
    }
    monkeypatch.setattr("aiida_pet.computers.health.validate_daemon_env", lambda _: "numpy 1\n -> 2")
    assert (
        next(check_daemon()).detail
        == "the daemon runs with other packages than this environment: numpy 1 -> 2"
    )
    monkeypatch.setattr(health, "SLOTS_SHARE", -1.0)
    assert not {check.what: check.ok for check in check_daemon()}["slots"]
    daemon.workers = None
    found = list(check_daemon())
    assert [check.remedy for check in found] == ["`verdi daemon restart`"]
    monkeypatch.setattr(health, "daemon_problem", lambda: "it is down: `verdi daemon start`")
    assert [(check.detail, check.remedy) for check in check_daemon()] == [
        ("it is down", "`verdi daemon start`")
    ]


def test_broker_that_is_not_reached_is_told(aiida_profile, monkeypatch):
    class Broker:
        def get_communicator(self):
            raise ConnectionError("[Errno 111] Connect call failed ('127.0.0.1', 5672)")

        def __str__(self):
            return "RabbitMQ @ host"

    class Manager:
        def get_broker(self):
            return Broker()

    monkeypatch.setattr("aiida_pet.computers.health.get_manager", Manager)
    found = check_broker()
    assert (found.ok, found.detail) == (False, "RabbitMQ @ host: Connect call failed ('127.0.0.1', 5672)")
    assert "rabbitmq-server" in found.remedy


def test_line_of_rabbitmq_tells_where_its_timeout_is_set(aiida_profile, monkeypatch):
    class Broker(RabbitmqBroker):
        def __init__(self):
            pass

        def get_communicator(self):
            return None

        def __str__(self):
            return "RabbitMQ @ host"

    monkeypatch.setattr("aiida_pet.computers.health.get_manager", lambda: SimpleNamespace(get_broker=Broker))
    found = check_broker()
    assert found.ok
    assert found.detail.startswith("RabbitMQ @ host; AiiDA cannot read the consumer_timeout")
    assert "/etc/rabbitmq/rabbitmq.conf" in found.detail


def test_database_that_does_not_answer_is_told_and_what_needs_it_is_left_out(
    read, engine, daemon, monkeypatch
):
    def refuse(_):
        raise ConnectionError(
            "(psycopg.OperationalError) connection refused\nIs it running?\n(Background ...)"
        )

    monkeypatch.setattr(orm.QueryBuilder, "count", refuse)
    document = read("doctor", "--code", engine.pk, "--job", status=1)
    assert not document["ok"]
    checks = {check["what"]: check for check in document["checks"]}
    assert list(checks) == [
        "storage",
        "disk here",
        "broker",
        "daemon",
        "open files",
        "open files here",
        "not looked at",
    ]
    assert checks["storage"]["detail"].endswith("(psycopg.OperationalError) connection refused")
    assert "`verdi status --print-traceback`" in checks["storage"]["remedy"]
    assert "slots, code, computer, model and job" in checks["not looked at"]["detail"]
    assert [what for what, check in checks.items() if not check["ok"]] == ["storage", "not looked at"]


def test_remedy_of_postgresql_begins_with_its_start(aiida_profile, monkeypatch):
    profile = SimpleNamespace(
        name="production",
        storage_backend="core.psql_dos",
        storage_config={"repository_uri": "file:///data/aiida/repository"},
    )
    monkeypatch.setattr(
        "aiida_pet.computers.health.get_manager", lambda: SimpleNamespace(get_profile=lambda: profile)
    )
    monkeypatch.setattr(orm.QueryBuilder, "count", lambda _: 1 / 0)
    remedy = check_storage().remedy
    assert remedy.startswith("start the database (`service postgresql start`)")
    assert "the disk of /data/aiida/repository is there" in remedy


def test_profile_whose_files_are_gone_and_whose_broker_is_down_is_told(tmp_path):
    """A profile as `aiida-pet setup` makes it, whose disk is not mounted."""
    environment = os.environ | {"AIIDA_PATH": str(tmp_path), "PATH": "/usr/bin:/bin"}

    def run(*words):
        command = [str(Path(sys.executable).parent / "aiida-pet"), *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert run("setup", "--no-daemon").returncode == 0
    config = json.loads((tmp_path / ".aiida" / "config.json").read_text())
    folder = Path(config["profiles"]["pet"]["storage"]["config"]["filepath"])
    folder.rename(tmp_path / "elsewhere")
    outcome = run("doctor", "--json")
    assert outcome.returncode == 1
    checks = {check["what"]: check for check in json.loads(outcome.stdout)["checks"]}
    assert str(folder) in checks["storage"]["remedy"]
    assert str(folder) in checks["disk here"]["detail"]
    assert checks["broker"]["detail"] == "ZeroMQ's broker does not run"
    assert checks["broker"]["remedy"] == "`verdi daemon restart`"
    ill = {what for what, check in checks.items() if not check["ok"]}
    assert ill == {"storage", "disk here", "broker", "daemon", "not looked at"}

    (tmp_path / "elsewhere").rename(folder)
    (folder / "container").rename(folder / "gone")
    checks = {check["what"]: check for check in json.loads(run("doctor", "--json").stdout)["checks"]}
    assert not checks["storage"]["ok"]
    assert checks["disk here"]["ok"]
    assert "not looked at" in checks


def test_full_disk_of_the_profile_is_told(aiida_profile, tmp_path, monkeypatch):
    profile = SimpleNamespace(storage_config={"filepath": str(tmp_path)})
    monkeypatch.setattr(
        "aiida_pet.computers.health.get_manager", lambda: SimpleNamespace(get_profile=lambda: profile)
    )
    asked = []

    def usage(gib):
        def tell(folder):
            asked.append(Path(folder))
            return SimpleNamespace(free=gib * 1024**3)

        return tell

    monkeypatch.setattr("shutil.disk_usage", usage(1.9))
    (full,) = check_repository_disk()
    assert (full.ok, full.detail) == (False, f"1.9 GB free for the files of the profile in {tmp_path}")
    assert "`verdi storage maintain`" in full.remedy
    monkeypatch.setattr("shutil.disk_usage", usage(2.1))
    assert [check.ok for check in check_repository_disk()] == [True]
    profile.storage_config = {"repository_uri": f"file://{tmp_path}/repository"}
    list(check_repository_disk())
    assert asked == [tmp_path, tmp_path, tmp_path / "repository"]
    profile.storage_config = {}
    assert list(check_repository_disk()) == []


def test_limit_of_open_files():
    assert not check_open_files("here", 1023).ok
    assert check_open_files("here", 1024).ok
    assert check_open_files("here", -1).ok


def test_engine_prints_what_it_would_run_on(capsys):
    assert engine_main(["--probe"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads(json.dumps(probe()))
    assert printed["version"] == __version__
    assert printed["cores"] >= 1


def test_engine_without_torch_says_so(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert "pip install 'aiida-pet[engine]'" in probe()["problem"]


def test_engine_wants_a_folder_or_probe(capsys):
    with pytest.raises(SystemExit):
        engine_main([])
    assert "a folder is needed" in capsys.readouterr().err

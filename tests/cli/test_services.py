"""Brokers that do not answer, disks that are full and workers that met one: each is named with its remedy."""

import errno
import os
import socket
import time
from types import SimpleNamespace

import pytest
from aiida import orm
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from aiida_pet.cli.errors import explanation
from aiida_pet.computers.health import check_storage
from aiida_pet.computers.services import broker_problem, disk_problems, worker_problem


def rabbitmq(port):
    config = {"broker_host": "127.0.0.1", "broker_port": port}
    return SimpleNamespace(process_control_backend="core.rabbitmq", process_control_config=config)


def test_rabbitmq_that_does_not_answer_is_named_in_words_with_what_starts_it():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        listening.listen()
        assert broker_problem(rabbitmq(port)) is None
    told = broker_problem(rabbitmq(port))
    assert f"RabbitMQ does not answer at 127.0.0.1:{port} (connection refused)" in told
    assert "service rabbitmq-server start" in told
    assert "`aiida-pet repair`" in told
    assert "Errno" not in told


def test_launch_and_status_ask_for_the_broker_first(monkeypatch):
    from aiida_pet.computers import daemon

    client = SimpleNamespace(profile=rabbitmq(1), get_daemon_pid=lambda: None)
    monkeypatch.setattr(daemon, "daemon_client", lambda: client)
    assert "RabbitMQ does not answer at 127.0.0.1:1" in daemon.daemon_problem()


@pytest.fixture
def profile(tmp_path):
    return SimpleNamespace(storage_config={"filepath": str(tmp_path)}, storage_backend="core.sqlite_dos")


def test_full_disks_are_named_with_what_is_on_them(profile, tmp_path, monkeypatch):
    computer = SimpleNamespace(transport_type="core.local", label="here")
    work = tmp_path / "work" / "12"
    jobs = [SimpleNamespace(computer=computer, get_remote_workdir=lambda: str(work))]
    assert disk_problems(profile, jobs) == []
    monkeypatch.setattr(
        "aiida_pet.computers.services.shutil.disk_usage", lambda _: SimpleNamespace(free=3 * 1024**2)
    )
    files, of_jobs = disk_problems(profile, jobs)
    assert f"the disk of the files and the database of the profile is full (3 MB free in {tmp_path})" in files
    assert f"the disk of the jobs on computer here is full (3 MB free in {work})" in of_jobs
    assert "`aiida-pet repair`" in files
    computer.transport_type = "core.ssh_async"  # of another machine this one knows nothing
    assert len(disk_problems(profile, jobs)) == 1


def test_launch_onto_a_full_disk_is_refused(prepare, alloys_file, monkeypatch):
    monkeypatch.setattr(
        "aiida_pet.computers.services.shutil.disk_usage", lambda _: SimpleNamespace(free=3 * 1024**2)
    )
    prepare("relax", alloys_file, status=1)
    assert "the disk of the files and the database of the profile is full" in prepare.result.output
    assert "nothing was started" in " ".join(prepare.result.output.split())


def record(text, pid=None, seconds_ago=0.0):
    at = time.strftime("%m/%d/%Y %I:%M:%S %p", time.localtime(time.time() - seconds_ago))
    return f"{at} <{pid or os.getpid()}> {text}\n"


FULL = (
    "aiida.orm: [ERROR] could not store\nTraceback (most recent call last):\n"
    "OSError: [Errno 28] No space left on device"
)
GONE = (
    "aiida.engine: [ERROR] failed\nsqlalchemy.exc.OperationalError: server closed the connection unexpectedly"
)


@pytest.mark.parametrize(
    ("log", "told"),
    [
        (record("aiida: [REPORT] job <12>") + record(FULL), "met a full disk"),
        (record(FULL) + record("aiida: [ERROR] something else"), "met a full disk"),
        (record(GONE), "lost its connection to the database"),
        (record(FULL) + record("aiida: [REPORT] job <13>"), None),  # it goes on
        (record(FULL, pid=2**22 + 1), None),  # it was replaced
        (record(FULL, seconds_ago=86400 * 400), None),  # another process had its PID
        ("no record at all: No space left on device", None),
    ],
    ids=["disk", "disk_then_error", "database", "goes_on", "other_worker", "reused_pid", "no_record"],
)
def test_worker_that_met_a_full_disk_or_lost_its_database_is_named(tmp_path, log, told):
    path = tmp_path / "daemon.log"
    path.write_text(log)
    found = worker_problem(SimpleNamespace(daemon_log_file=str(path)))
    if told is None:
        assert found is None
        return
    assert f"worker {os.getpid()} of the daemon {told}" in found
    assert "`aiida-pet repair`" in found


def test_log_that_is_not_there_says_nothing(tmp_path):
    assert worker_problem(SimpleNamespace(daemon_log_file=str(tmp_path / "none.log"))) is None


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/repo/a"), "the disk with /repo/a is full"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed"), "a service does not answer"),
        (ConnectionError("[Errno 111] Connect call failed ('127.0.0.1', 5672)"), "a service does not answer"),
        (
            OperationalError("SELECT 1", {}, Exception("could not connect")),
            "the database of the profile does not answer",
        ),
    ],
    ids=["disk", "refused", "broker", "database"],
)
def test_errors_of_services_are_told_in_words_with_what_looks_at_them(error, told):
    line = explanation(error)
    assert line.startswith(told)
    assert "Errno" not in line
    assert "`aiida-pet doctor`" in line
    assert "\n" not in line


def test_a_locked_database_is_busy_and_nothing_is_to_be_started(tmp_path):
    """SQLite itself says it, while another connection writes."""
    first, second = (
        create_engine(f"sqlite:///{tmp_path / 'a.db'}", connect_args={"timeout": 0}) for _ in "ab"
    )
    with first.connect() as writing, second.connect() as waiting:
        writing.execute(text("CREATE TABLE a (b INTEGER)"))
        writing.commit()
        writing.exec_driver_sql("BEGIN IMMEDIATE")
        with pytest.raises(OperationalError) as caught:
            waiting.execute(text("INSERT INTO a VALUES (1)"))
    line = explanation(caught.value)
    assert "another process is writing" in line
    assert "repeat the command" in line
    assert "doctor" not in line
    assert "\n" not in line


def test_the_look_at_a_locked_storage_names_no_disk_and_no_start(aiida_profile, monkeypatch):
    def refuse(_):
        raise OperationalError("SELECT 1", {}, Exception("database is locked"))

    monkeypatch.setattr(orm.QueryBuilder, "count", refuse)
    found = check_storage()
    assert not found.ok
    assert "another process is writing" in found.remedy
    assert "start the database" not in found.remedy

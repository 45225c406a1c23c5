"""A model has one address on a computer; what stands there is whole at every moment, whoever comes in what order."""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiida import orm

from aiida_pet.computers import model_store
from aiida_pet.computers.model_store import ModelStoreError, Publication, find_place, publish

WORK_DIRS = ("with space", 'it\'s "quoted"', "$(touch hostile)", "a;touch hostile;", "-rf", "`touch hostile`")


@pytest.fixture
def upload(pet_model: Any, pet_computer: orm.Computer) -> Callable[..., Path]:
    """Return a function that puts a file into a folder of its own below the work directory, as a job would."""
    work_dir = Path(pet_computer.get_workdir())

    def put(content: bytes | None = None) -> Path:
        folder = work_dir / os.urandom(4).hex()
        folder.mkdir(parents=True)
        path = folder / "model.ckpt"
        path.write_bytes(pet_model.get_content("rb") if content is None else content)
        return path

    return put


def address(model: Any, computer: orm.Computer) -> Path:
    return Path(computer.get_workdir(), "aiida-pet-models", model.sha256, "model.ckpt")


def damage(path: Path) -> None:
    """Change the content and not the size."""
    content = path.read_bytes()
    path.write_bytes(b"\0" * 8 + content[8:])


def test_upload_comes_to_an_address_that_the_content_names(
    pet_model: Any, pet_computer: orm.Computer, upload: Any
) -> None:
    path = upload()
    assert not find_place(pet_model, pet_computer).is_whole
    folder, outcome = publish(pet_model, pet_computer, str(path))
    there = address(pet_model, pet_computer)
    assert (Path(folder), outcome) == (there.parent, Publication.PUBLISHED)
    assert there.read_bytes() == pet_model.get_content("rb")
    assert not path.exists()
    assert list(there.parent.iterdir()) == [there]
    for by_hash in (False, True):
        assert find_place(pet_model, pet_computer, by_hash=by_hash) == model_store.Place(folder, True)


def test_models_are_closed_to_others(pet_model: Any, pet_computer: orm.Computer, upload: Any) -> None:
    path = upload()
    path.chmod(0o644)
    publish(pet_model, pet_computer, str(path))
    there = address(pet_model, pet_computer)
    assert [one.stat().st_mode & 0o777 for one in (there, there.parent, there.parents[1])] == [
        0o600,
        0o700,
        0o700,
    ]


@pytest.mark.parametrize("content", [b"short", b"not a checkpoint, but 40 bytes of CONTENT", b""])
def test_damaged_upload_is_never_published(
    pet_model: Any, pet_computer: orm.Computer, upload: Any, content: bytes
) -> None:
    path = upload(content)
    assert publish(pet_model, pet_computer, str(path))[1] is Publication.DAMAGED
    assert list(address(pet_model, pet_computer).parent.iterdir()) == []
    assert not path.exists()


def test_disk_that_fills_while_the_upload_is_moved_leaves_the_upload_whole(
    pet_model: Any, pet_computer: orm.Computer, upload: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To another file system `mv` copies: when its disk is full, a part is there and the source is, too."""
    stand_in = tmp_path / "bin" / "mv"
    stand_in.parent.mkdir()
    stand_in.write_text('#!/bin/sh\nhead -c 10 "$2" > "$3"\nexit 1\n')
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{stand_in.parent}:{os.environ['PATH']}")
    path = upload()
    with pytest.raises(ModelStoreError):
        publish(pet_model, pet_computer, str(path))
    assert path.read_bytes() == pet_model.get_content("rb")
    assert list(address(pet_model, pet_computer).parent.iterdir()) == []


def test_who_comes_second_keeps_what_is_there(
    pet_model: Any, pet_computer: orm.Computer, upload: Any
) -> None:
    first, second = upload(), upload()
    publish(pet_model, pet_computer, str(second))
    before = address(pet_model, pet_computer).stat().st_ino
    assert publish(pet_model, pet_computer, str(first))[1] is Publication.KEPT
    assert address(pet_model, pet_computer).stat().st_ino == before
    assert not first.exists()


@pytest.mark.parametrize("order", ["good first", "bad first"])
def test_damaged_upload_neither_stops_nor_replaces_a_good_one(
    pet_model: Any, pet_computer: orm.Computer, upload: Any, order: str
) -> None:
    uploads = [upload(), upload(b"not a checkpoint, but 40 bytes of CONTENT")]
    for path in uploads if order == "good first" else reversed(uploads):
        publish(pet_model, pet_computer, str(path))
    assert find_place(pet_model, pet_computer, by_hash=True).is_whole


@pytest.mark.parametrize("kind", ["same size", "short", "link to nothing"])
def test_damaged_file_at_the_address_is_replaced(
    pet_model: Any, pet_computer: orm.Computer, upload: Any, kind: str
) -> None:
    there = address(pet_model, pet_computer)
    publish(pet_model, pet_computer, str(upload()))
    if kind == "same size":
        damage(there)
    elif kind == "short":
        there.write_bytes(b"short")
    else:
        there.unlink()
        there.symlink_to("/nowhere/model.ckpt")
    assert find_place(pet_model, pet_computer).is_whole is (kind == "same size")
    assert not find_place(pet_model, pet_computer, by_hash=True).is_whole
    assert publish(pet_model, pet_computer, str(upload()))[1] is Publication.PUBLISHED
    assert there.read_bytes() == pet_model.get_content("rb")
    assert not there.is_symlink()


def test_link_to_a_whole_file_elsewhere_is_a_whole_file(
    pet_model: Any, pet_computer: orm.Computer, upload: Any
) -> None:
    there = address(pet_model, pet_computer)
    there.parent.mkdir(parents=True)
    there.symlink_to(upload())
    assert find_place(pet_model, pet_computer, by_hash=True).is_whole
    assert publish(pet_model, pet_computer, str(upload()))[1] is Publication.KEPT


@pytest.mark.parametrize("content", [None, b"not a checkpoint, but 40 bytes of CONTENT"])
def test_models_may_lie_on_another_disk(
    pet_model: Any, pet_computer: orm.Computer, upload: Any, tmp_path_factory: Any, content: bytes | None
) -> None:
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path_factory.getbasetemp().stat().st_dev:
        pytest.skip("no second file system")
    path = upload(content)
    with tempfile.TemporaryDirectory(dir=memory) as disk:
        Path(pet_computer.get_workdir(), "aiida-pet-models").symlink_to(disk)
        outcome = publish(pet_model, pet_computer, str(path))[1]
        assert outcome is (Publication.PUBLISHED if content is None else Publication.DAMAGED)
        assert find_place(pet_model, pet_computer, by_hash=True).is_whole is (content is None)
        assert len(list(Path(disk).rglob("model.ckpt*"))) == (content is None)


def test_folder_at_the_address_is_an_error_and_keeps_the_upload(
    pet_model: Any, pet_computer: orm.Computer, upload: Any
) -> None:
    address(pet_model, pet_computer).mkdir(parents=True)
    path = upload()
    with pytest.raises(ModelStoreError, match=r"model.ckpt: exit status 1: .*model.ckpt is a folder"):
        publish(pet_model, pet_computer, str(path))
    assert path.exists()


@pytest.mark.parametrize("name", WORK_DIRS)
def test_names_are_never_commands(aiida_profile: Any, pet_model: Any, tmp_path: Path, name: str) -> None:
    computer = orm.Computer(
        "hostile" + os.urandom(3).hex(), "localhost", "", "core.local", "core.direct", str(tmp_path / name)
    )
    computer.store().configure()
    path = tmp_path / name / "up load" / "model.ckpt"
    path.parent.mkdir(parents=True)
    path.write_bytes(pet_model.get_content("rb"))
    publish(pet_model, computer, str(path))
    assert find_place(pet_model, computer, by_hash=True).is_whole
    assert address(pet_model, computer).exists()
    assert not [*Path.cwd().glob("hostile"), *tmp_path.rglob("hostile")]


def test_user_name_in_the_work_directory_is_filled_in(
    pet_model: Any, pet_computer: orm.Computer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orm.Computer, "get_workdir", lambda _: "/scratch/{username}/aiida/")
    with pet_computer.get_transport() as transport:
        folder = model_store.model_folder(pet_computer, transport, "abc")
        assert folder == f"/scratch/{transport.whoami()}/aiida/aiida-pet-models/abc"


@pytest.fixture
def without_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    """A computer that has no command that takes a SHA-256."""
    script = model_store._SCRIPT.replace("command -v sha", "command -v no-sha")
    monkeypatch.setattr(model_store, "_SCRIPT", script)


@pytest.mark.usefixtures("without_hash")
def test_computer_without_sha256_relies_on_size_and_says_so(
    pet_model: Any, pet_computer: orm.Computer, upload: Any, caplog: Any
) -> None:
    assert publish(pet_model, pet_computer, str(upload(b"short")))[1] is Publication.DAMAGED
    assert publish(pet_model, pet_computer, str(upload()))[1] is Publication.UNVERIFIED
    assert "has neither sha256sum nor shasum" in caplog.text
    assert find_place(pet_model, pet_computer).is_whole
    # who asks for the hash was refused the copy that is there: it is replaced
    assert not find_place(pet_model, pet_computer, by_hash=True).is_whole
    damage(address(pet_model, pet_computer))
    publish(pet_model, pet_computer, str(upload()))
    assert address(pet_model, pet_computer).read_bytes() == pet_model.get_content("rb")


def test_shasum_does_where_sha256sum_is_not(
    pet_model: Any, pet_computer: orm.Computer, upload: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = model_store._SCRIPT.replace("command -v sha256sum", "command -v no-sha256sum")
    monkeypatch.setattr(model_store, "_SCRIPT", script)
    if subprocess.run(["sh", "-c", "command -v shasum"], capture_output=True, check=False).returncode:
        pytest.skip("no shasum on this machine")
    assert publish(pet_model, pet_computer, str(upload()))[1] is Publication.PUBLISHED


def test_answer_is_found_behind_the_greeting_of_a_login_shell(
    pet_model: Any, pet_computer: orm.Computer, upload: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_store, "_SCRIPT", "printf 'Welcome! absent'\n" + model_store._SCRIPT)
    publish(pet_model, pet_computer, str(upload()))
    assert find_place(pet_model, pet_computer).is_whole


def test_computer_that_cannot_be_asked_is_named(
    pet_model: Any, pet_computer: orm.Computer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: Any) -> Any:
        raise ConnectionError("connection refused")

    monkeypatch.setattr(orm.AuthInfo, "get_transport", unreachable)
    with pytest.raises(
        ModelStoreError, match=f"computer '{pet_computer.label}' cannot .* connection refused"
    ):
        find_place(pet_model, pet_computer)


def test_many_at_the_same_time_leave_one_whole_copy_at_every_moment(tmp_path: Path) -> None:
    """Processes publish good and damaged uploads at the same time, and a reader watches the address."""
    content = os.urandom(2**21)
    bad = bytes(2**21)
    sha256 = hashlib.sha256(content).hexdigest()
    place = tmp_path / "models" / sha256 / "model.ckpt"
    commands = []
    for number in range(12):
        path = tmp_path / f"job-{number}" / "model.ckpt"
        path.parent.mkdir()
        path.write_bytes(bad if number % 4 == 3 else content)
        arguments = [str(place), sha256, str(len(content)), str(path), f"{place}.{number}"]
        commands.append(shlex.join(["sh", "-c", model_store._SCRIPT, "sh", "publish", *arguments]))
    seen, done = set(), threading.Event()

    def watch() -> None:
        while not done.is_set():
            if place.exists():
                seen.add(hashlib.sha256(place.read_bytes()).hexdigest())

    watcher = threading.Thread(target=watch)
    watcher.start()
    running = [subprocess.Popen(["bash", "-c", command], stdout=subprocess.PIPE) for command in commands]
    answers = [process.communicate()[0].decode().split()[-1] for process in running]
    done.set()
    watcher.join()
    assert all(process.returncode == 0 for process in running)
    assert set(answers) <= {"published", "kept", "damaged"}
    assert answers.count("published") >= 1
    assert seen <= {sha256}
    assert list(place.parent.iterdir()) == [place]
    assert place.read_bytes() == content

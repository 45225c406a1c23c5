"""What the package must never do is looked for in its source; what it does is in tests of the parts."""

from __future__ import annotations

import ast
import logging
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted([*(ROOT / "aiida_pet").rglob("*.py"), *(ROOT / "workchains").rglob("*.py")])
# Opens checkpoints with all that is in them, and only after their hash is known: tests/job/test_checkpoint.py.
# Elsewhere `weights_only` has to say that nothing but tensors and plain values is made of a file.
OPENS_CHECKPOINTS = ROOT / "aiida_pet" / "job" / "checkpoint.py"
UNPICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
UNPACKS = {"extractall", "extract", "unpack_archive"}
SHELLS = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "commands.getoutput"}
# monty and what stands on it, as pymatgen does, import any module that a file names: tests/test_hostile_json.py.
DECODES = {"MontyDecoder", "process_decoded", "loadfn"}
CONSTRUCTS = {"from_dict", "from_str", "from_file"}


def own_classes() -> set[str]:
    """Return the names of the classes of the package: what they make of a text is told by their own source."""
    trees = (ast.parse(path.read_text()) for path in SOURCES)
    return {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)} | {
        "cls"
    }


OWN_CLASSES = own_classes()


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Yield each call of a module with the name of what is called: ``np.load``, ``open``."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def keyword(call: ast.Call, name: str) -> str | None:
    return next((ast.unparse(one.value) for one in call.keywords if one.arg == name), None)


def offences(path: Path) -> list[str]:
    """Return the calls of ``path`` that could run what is in a file or in a text."""
    found = []
    for name, call in calls(path):
        owner, _, last = name.rpartition(".")
        bad = (
            (name in ("np.load", "numpy.load") and keyword(call, "allow_pickle") != "False")
            or (last in ("savez", "savez_compressed") and keyword(call, "allow_pickle") != "False")
            or (last == "read_pickle")
            or (name.split(".")[0] in UNPICKLES and last in ("load", "loads", "Unpickler", "open"))
            or (
                name == "torch.load" and path != OPENS_CHECKPOINTS and keyword(call, "weights_only") != "True"
            )
            or (name == "yaml.load" and "SafeLoader" not in (keyword(call, "Loader") or ""))
            or (name in ("yaml.unsafe_load", "yaml.full_load"))
            or (last in DECODES)
            or (last in CONSTRUCTS and owner.rpartition(".")[2] not in OWN_CLASSES)
            or (last in ("load", "loads") and keyword(call, "cls") is not None)
            or (last in UNPACKS)
            or (name in ("eval", "exec", "compile"))
            or (name in SHELLS)
            or (keyword(call, "shell") not in (None, "False"))
        )
        if bad:
            found.append(f"{path.relative_to(ROOT)}:{call.lineno}: {ast.unparse(call)[:80]}")
    return found


def test_package_unpickles_unpacks_and_evaluates_nothing_foreign() -> None:
    assert len(SOURCES) > 100
    assert [offence for path in SOURCES for offence in offences(path)] == []


@pytest.mark.parametrize(
    "line",
    [
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "pickle.load(handle)",
        "pd.read_pickle(path)",
        "torch.load(path)",
        "yaml.load(text)",
        "yaml.load(text, Loader=yaml.FullLoader)",
        "MontyDecoder()",
        "decoder.process_decoded(raw)",
        "loadfn(path)",
        "json.loads(text, cls=MontyDecoder)",
        "Structure.from_dict(raw)",
        "pymatgen.core.Structure.from_file(path)",
        "ComputedEntry.from_dict(raw)",
        "archive.extractall(folder)",
        "subprocess.run(text, shell=True)",
        "os.system(text)",
        "eval(text)",
    ],
)
def test_each_of_these_would_be_found(tmp_path: Path, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    path = tmp_path / "module.py"
    path.write_text(f"x = {line}\n")
    assert len(offences(path)) == 1


@pytest.fixture
def loose_umask() -> Iterator[None]:
    """The umask of most machines, and afterwards what it was."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def test_job_folder_is_closed_to_others_before_anything_is_computed(
    tmp_path: Path, loose_umask: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aiida_pet.engine.__main__ import main

    modes = []

    def run_folder(folder: Path) -> int:
        modes.append(stat.S_IMODE(folder.stat().st_mode))
        (folder / "results-00000.npz").touch()
        return 0

    folder = tmp_path / "job"
    folder.mkdir(mode=0o755)
    monkeypatch.setitem(sys.modules, "aiida_pet.engine.run", SimpleNamespace(run_folder=run_folder))
    monkeypatch.setattr(logging, "captureWarnings", lambda capture: None)
    assert main([str(folder)]) == 0
    assert modes == [0o700]
    assert stat.S_IMODE((folder / "results-00000.npz").stat().st_mode) == 0o600


def test_folder_that_cannot_be_closed_is_told_and_used(
    tmp_path: Path, loose_umask: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from aiida_pet.engine.__main__ import main

    def refuse(self: Path, mode: int) -> None:
        raise PermissionError("not the owner")

    monkeypatch.setitem(sys.modules, "aiida_pet.engine.run", SimpleNamespace(run_folder=lambda folder: 0))
    monkeypatch.setattr(logging, "captureWarnings", lambda capture: None)
    monkeypatch.setattr(Path, "chmod", refuse)
    assert main([str(tmp_path)]) == 0
    assert f"others can read {tmp_path}: not the owner" in caplog.text

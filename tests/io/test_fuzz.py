"""A short sample of `scripts/fuzz_readers.py`: damaged files end in crystals or in an error that names the file."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "fuzz_readers.py"


def test_damaged_files_end_in_crystals_or_in_an_error_that_names_them(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--count", "30", "--seed", "3", "--keep", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines
    assert all("30 files: read " in line and "refused" in line for line in lines)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fuzz_readers", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_other_errors_and_hangs_are_faults(
    tmp_path: Path, script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise KeyError("lattice")

    def names_no_file(*_: object) -> None:
        raise script.StructureFileError("something is wrong")

    monkeypatch.setattr(script, "SECONDS", 0.1)
    for reader, end in (
        (fails, "KeyError"),
        (names_no_file, "not named"),
        (lambda *_: time.sleep(5), "more than"),
    ):
        monkeypatch.setattr(script, "read_structures", reader)
        outcome = script.outcome_of(tmp_path / "a.cif", False)
        assert outcome.startswith("fault")
        assert end in outcome

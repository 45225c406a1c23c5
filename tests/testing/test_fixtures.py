"""The page for authors of other plugins: its two files are a whole test suite, and its examples run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from aiida_pet.testing import fixtures

PAGE = (Path(__file__).parents[2] / "docs" / "dev" / "testing.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.mark.slow
def test_tests_of_the_page_pass_by_themselves(tmp_path: Path) -> None:
    conftest, tests, _ = BLOCKS
    (tmp_path / "conftest.py").write_text(conftest)
    (tmp_path / "test_my_workflow.py").write_text(tests)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    done = subprocess.run(
        [*command, str(tmp_path)], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_last_example_runs() -> None:
    exec(BLOCKS[-1], {})


def test_page_names_every_fixture() -> None:
    named = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| `.*$", PAGE, re.MULTILINE))))
    there = {name for name in dir(fixtures) if hasattr(getattr(fixtures, name), "_get_wrapped_function")}
    assert there
    assert there <= named

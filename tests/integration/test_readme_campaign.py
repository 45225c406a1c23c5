"""The README's campaign in ten lines and what follows on it, typed as it stands there, in a profile of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(1200)]

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
ROW = "TaW2-0063"  # the row that the README shows
SECTIONS = ("## A campaign in ten lines", "## More of the first campaign")
N_CRYSTALS = 64  # as the README says

Shell = Callable[[str], str]


def campaign_lines() -> list[str]:
    """Return the lines of the shell blocks of the two sections, without comments."""
    page = (ROOT / "README.md").read_text()
    section = "".join(page.split(heading)[1].split("\n## ")[0] for heading in SECTIONS)
    lines = "\n".join(re.findall(r"^```bash\n(.*?)^```", section, re.DOTALL | re.MULTILINE)).splitlines()
    return [line.split(" #")[0].rstrip() for line in lines if line.strip()]


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """Return a function that runs a line in a folder with the examples, and returns what it prints."""
    pytest.importorskip("torch")
    pytest.importorskip("icet")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    environment = os.environ | {
        "AIIDA_PATH": str(tmp_path / "aiida"),
        "PATH": os.pathsep.join([str(BIN), os.environ["PATH"]]),
        "OMP_NUM_THREADS": "1",
    }
    (tmp_path / "aiida").mkdir()

    def run(line: str) -> str:
        done = subprocess.run(
            line, shell=True, cwd=tmp_path, env=environment, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    yield run
    subprocess.run([BIN / "verdi", "daemon", "stop"], env=environment, check=False, capture_output=True)


def test_first_campaign_of_the_readme_runs_as_it_stands(shell: Shell) -> None:
    printed: dict[str, str] = {}
    names: dict[str, str] = {}
    for line in campaign_lines():
        typed = re.sub(r"\b(PK|JOB)\b", lambda match: names[match[0]], line)
        output = printed[line] = shell(typed)
        if started := re.search(r"relax <(\d+)> started", output):
            names["PK"] = started[1]
        if "--watch" in line:
            names["JOB"] = re.findall(r"^ *(\d+) +finished", output, re.MULTILINE)[-1]

    assert f"{N_CRYSTALS} ordered alloys" in printed["python examples/alloys.py alloys.xyz --atoms 3"]
    assert f"converged {N_CRYSTALS}" in printed["aiida-pet status last --watch"]
    assert "nothing was started" in next(text for line, text in printed.items() if "--dry-run" in line)
    assert ROW in printed["aiida-pet results last --sort energy"]
    assert "alloys.xyz" in printed[f"aiida-pet trace last {ROW}"]
    assert "RelaxWorkChain" in printed["verdi process list -a"]

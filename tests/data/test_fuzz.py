"""A short sample of `scripts/fuzz_readers.py`: damaged files end in crystals or in an error that names the file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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

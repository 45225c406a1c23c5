"""How long a newcomer waits for the first picture: from the end of the install to a drawing of phonon bands.

The commands are those that a newcomer types, each in a process of its own: set up a profile, import a POSCAR, launch
phonons of the crystal, draw its bands. A file that Python has not compiled yet, as after an install without compiled
files, is not part of the time.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ase.build import bulk
from ase.io import write

from benchmarks.harness import Measurement
from benchmarks.processes import kill_all

TARGET_S = 120.0
PICTURE = "bands.svg"
COMMANDS = {
    "setup": ("setup",),
    "import": ("data", "import", "Al.vasp", "--label", "mine"),
    "launch": ("launch", "phonons", "mine", "--wait"),
    "plot": ("plot", "bands", "last", "Al", "-o", PICTURE),
}


def run(quick: bool = False) -> Iterator[Measurement]:
    """Type the commands in an empty folder with an empty profile.

    :param quick: with smaller supercells.
    :raises RuntimeError: if a command failed, or there is no picture in the end.
    """
    folder = Path(tempfile.mkdtemp(prefix="aiida-pet-first-"))
    environment = os.environ | {"AIIDA_PATH": str(folder), "NO_COLOR": "1"}
    (folder / ".aiida").mkdir()
    write(folder / "Al.vasp", bulk("Al", a=4.05))
    spent = {}
    try:
        for name, words in COMMANDS.items():
            small = ("--set", "min_image=6") if quick and name == "launch" else ()
            start = time.perf_counter()
            _type(folder, environment, [*words, *small])
            spent[f"{name}_s"] = time.perf_counter() - start
        size = (folder / PICTURE).stat().st_size
    finally:
        daemon = [str(Path(sys.executable).with_name("verdi")), "daemon", "stop"]
        subprocess.run(daemon, env=environment, capture_output=True, check=False)
        kill_all(folder)
        shutil.rmtree(folder, ignore_errors=True)
    total = sum(spent.values())
    yield Measurement(
        "first_picture/total",
        total,
        "s",
        f"target {TARGET_S:g} s",
        TARGET_S / total,
        {**spent, "picture_bytes": size},
    )


def _type(folder: Path, environment: dict[str, str], words: list[str]) -> None:
    command = [str(Path(sys.executable).with_name("aiida-pet")), *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(
            f"aiida-pet {' '.join(words)} ended with {done.returncode}: {done.stdout}{done.stderr}"
        )

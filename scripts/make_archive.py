"""Makes an archive of a few launches with the aiida-pet of any environment, for tests/archives.

    python scripts/make_archive.py --environment ../old/.venv --output tests/archives/version-0.1.0.aiida

Four crystals of molybdenum and tantalum are screened (relaxation, symmetry, hull, phonons, elastic constants), relaxed
loosely, and relaxed and screened by launches that are stopped when two of their rows are done. All is run by commands,
in an AiiDA profile under :data:`WORK`, which is removed at the end. The archive holds these launches; beside it, as
``.json``, lies what the commands of that environment said of each. No path but :data:`WORK`, no name of a user
or of a machine gets into either, or the script fails.
"""

from __future__ import annotations

import argparse
import contextlib
import getpass
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ase import Atoms
from ase.build import bulk
from ase.io import write

WORK = Path("/tmp/aiida-pet-work")
# all that is on the hull, or near it, goes through all stages
SCREENING = (
    *("--keep", "hull: e_above_hull <= 0.2", "--keep", "phonons:"),
    *("--set", "relax.fmax=0.02", "--set", "phonons.min_image=5"),
)
TIGHT = ("--set", "fmax=0.01", "--set", "symmetry=constrained")
LAUNCHES: dict[str, tuple[str, ...]] = {
    "screening": ("screen", *SCREENING),
    "loose": ("relax", "--set", "fmax=0.3"),
    "stopped": ("relax", *TIGHT, "--job-size", "1"),
    "stopped screening": (
        "screen",
        "--stages",
        "relax,symmetry,hull",
        "--set",
        "relax.fmax=0.03",
        "--job-size",
        "2",
    ),
}
ROWS_BEFORE_STOP = 2
# what does not depend on how a version words it
FACTS = (
    *(
        "status",
        "formula",
        "energy",
        "volume",
        "initial_energy",
        "initial_spacegroup_0_01",
        "spacegroup_0_01",
    ),
    *(
        "stage",
        "passed",
        "formation_energy",
        "e_above_hull",
        "min_frequency",
        "bulk_modulus",
        "shear_modulus",
    ),
)
PATIENCE_S = 900
# AiiDA notes what `ps` says of a job, its owner among it
FORGET_OWNERS = """
from aiida import load_profile, orm
load_profile()
for job, in orm.QueryBuilder().append(orm.CalcJobNode).all():
    if "last_job_info" in job.base.attributes:
        job.backend_entity.delete_attribute("last_job_info")
"""


class Campaign:
    """The profile in :data:`WORK`, used through the commands of an environment.

    :param environment: the folder of a virtual environment.
    """

    def __init__(self, environment: Path) -> None:
        self.bin = WORK / "environment" / "bin"
        WORK.mkdir(mode=0o700)
        (WORK / "environment").symlink_to(environment.resolve(), target_is_directory=True)
        (WORK / "aiida").mkdir()
        self.environment = {
            "AIIDA_PATH": str(WORK / "aiida"),
            "HOME": str(WORK),
            "LANG": "C.UTF-8",
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
            "PATH": os.pathsep.join([str(self.bin), "/usr/bin", "/bin"]),
            "XDG_CACHE_HOME": str(WORK / "cache"),
        }

    def run(self, *command: str) -> str:
        """Run ``command`` and return what it prints.

        :raises SystemExit: if it fails, with what it said.
        """
        done = subprocess.run(
            command, env=self.environment, cwd=WORK, check=False, capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def pet(self, *arguments: str) -> Any:
        """Run ``aiida-pet ARGUMENTS --json`` and return the document.

        :raises SystemExit: if it fails.
        """
        if arguments[0] != "status":
            sys.stdout.write(f"$ aiida-pet {' '.join(arguments)}\n")
            sys.stdout.flush()
        # not the script, whose first line names the interpreter by another path: codes get their paths from it
        main = "from aiida_pet.cli import main; main(prog_name='aiida-pet')"
        return json.loads(self.run(str(self.bin / "python"), "-c", main, *arguments, "--json"))

    def verdi(self, *arguments: str) -> str:
        """Run ``verdi ARGUMENTS``."""
        return self.run(str(self.bin / "python"), str(self.bin / "verdi"), *arguments)

    def launch(self, name: str, arguments: tuple[str, ...]) -> str:
        """Launch, wait for the end, which of one is that it is stopped, and return the pk."""
        task, *options = arguments
        options += [
            "--protocol",
            "fast",
            "--label",
            name,
            "--setting",
            "threads=1",
            "--setting",
            "device=cpu",
        ]
        pk = str(self.pet("launch", task, "crystals", *options)["pk"])
        deadline = time.monotonic() + PATIENCE_S
        asked = False
        while not (status := self.pet("status", pk))["state"].startswith(("finished", "excepted", "killed")):
            if time.monotonic() > deadline:
                raise SystemExit(f"<{pk}> goes on after {PATIENCE_S} s")
            if name.startswith("stopped") and not asked and status["rows_done"] >= ROWS_BEFORE_STOP:
                self.pet("stop", pk)
                asked = True
            time.sleep(1)
        return pk

    def facts(self, pk: str) -> dict[str, Any]:
        """Return what the commands say of a launch: its state, and of each row the columns of :data:`FACTS`."""
        rows = self.pet("results", pk, "--columns", "all")["rows"]
        told = {row["id"]: {key: row[key] for key in FACTS if row.get(key) is not None} for row in rows}
        status = self.pet("status", pk)
        return {"state": status["state"], "statuses": status["statuses"], "rows": told}

    def end(self) -> None:
        """Stop the daemon."""
        self.verdi("daemon", "stop")


def crystals() -> Iterator[Atoms]:
    """Yield bcc Mo and Ta, MoTa as in CsCl, and fcc Mo, which is far above the hull; none at its minimum."""
    ordered = bulk("Mo", "bcc", a=3.25, cubic=True)
    ordered.numbers[1] = 73
    found = {
        "Mo": bulk("Mo", "bcc", a=3.18),
        "Ta": bulk("Ta", "bcc", a=3.34),
        "MoTa": ordered,
        "Mo-fcc": bulk("Mo", "fcc", a=4.05),
    }
    for name, atoms in found.items():
        atoms.info["id"] = name
        yield atoms


def run(campaign: Campaign, archive: Path, model: Path | None) -> dict[str, Any]:
    """Run the launches, write ``archive`` and return what is known of them, by name."""
    write(WORK / "crystals.xyz", list(crystals()), format="extxyz")
    campaign.pet("setup", "--work-dir", str(WORK / "jobs"))
    campaign.pet("data", "import", str(WORK / "crystals.xyz"), "--label", "crystals")
    options: tuple[str, ...] = ()
    if model is not None:
        shutil.copy(model, WORK / "model.ckpt")
        imported = campaign.pet("model", "import", str(WORK / "model.ckpt"), "--trust")
        options = ("--model", str(imported["pk"]))
    pks = {name: campaign.launch(name, (*arguments, *options)) for name, arguments in LAUNCHES.items()}
    facts = {name: {"arguments": LAUNCHES[name]} | campaign.facts(pk) for name, pk in pks.items()}
    campaign.end()
    campaign.run(str(campaign.bin / "python"), "-c", FORGET_OWNERS)
    nodes = [str(pk) for pk in pks.values()]
    campaign.verdi("archive", "create", "--nodes", *nodes, "--", str(archive))
    return facts


def leaks(archive: Path, environment: Path) -> list[str]:
    """Return which names of this machine, its user or its folders stand in a file of ``archive``.

    Neither models are searched, whose numbers look like any short name, nor the name root, which loggers have too.
    """
    folders = (Path.home(), Path(__file__).resolve().parents[1], environment.resolve().parent)
    names = {socket.gethostname(), getpass.getuser(), *map(str, folders)} - {"root"}
    pattern = re.compile("|".join(rf"(?<!\w){re.escape(name)}(?!\w)" for name in sorted(names)).encode())
    found = []
    with zipfile.ZipFile(archive) as members:
        for name in members.namelist():
            content = members.read(name)
            if content.startswith(b"PK"):
                continue
            found += [
                f"{name}: {content[max(0, hit.start() - 60) : hit.end() + 20]!r}"
                for hit in pattern.finditer(content)
            ]
    return found


def main() -> int:
    """Make the archive and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--environment", type=Path, required=True, help="virtual environment of aiida-pet")
    parser.add_argument("--output", type=Path, required=True, help="the archive")
    parser.add_argument("--model", type=Path, help="checkpoint to run with, in place of the model that ships")
    arguments = parser.parse_args()
    archive = arguments.output.resolve()
    campaign = Campaign(arguments.environment)
    try:
        facts = run(campaign, archive, arguments.model)
    finally:
        with contextlib.suppress(SystemExit):
            campaign.end()
        shutil.rmtree(WORK)
    found = leaks(archive, arguments.environment)
    if found:
        archive.unlink()
        raise SystemExit("the archive would tell of this machine:\n" + "\n".join(found))
    archive.with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

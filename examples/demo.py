"""``make demo``: crystals whose ground states everyone knows through the funnel, by AiiDA, from the command line.

Alloys, carbides, nitrides, oxides and halides with their competitors, as far as the model knows their elements. They
are relaxed and put on the convex hull; what lies within 25 meV/atom of it gets phonons and elastic constants. Then the
demo says which known phases the model found, and shows moduli beside published ones. Everything happens under
``.demo/``: an AiiDA profile of its own (SQLite and the ZeroMQ broker), the jobs, the tables. A run that ended keeps its
profile, and the next run takes the results of equal jobs from AiiDA's cache; what an interrupted run left is removed
first. At the end, or on Ctrl-C, the daemon is stopped and nothing keeps running.
``.demo/summary.json`` is written last; the exit status is 0 if every row has a status and at least 95 % of them
converged.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
from ase.data import chemical_symbols
from demo_report import (
    SYMPRECS,
    Row,
    Times,
    count_statuses,
    funnel_table,
    symmetry_table,
    verdict,
    warnings_table,
    write_csv,
)
from known_phases import Phase, known_phases, write_phases
from phases_report import OFF_BY, Judged, judged, moduli_table, phases_table, silent_errors, sums

from aiida_pet.models import embedded_card

ROOT = Path(__file__).resolve().parents[1]
LANES = 2
FUNNEL = (
    "--keep",
    "hull: e_above_hull <= 0.025",
    # crystals of molecules, such as O2, are soft and slow
    "--set",
    "relax.max_steps=1500",
    # 8 A between images instead of 12: for a look at stability in a minute, not for thermal properties
    "--set",
    "phonons.min_image=8",
    # a molecular crystal among the references must not keep everybody waiting
    "--set",
    "elastic.max_steps=300",
)
UNCERTAINTY = ("--set", "relax.outputs=[uncertainty,ensemble]")
"""For a model with an ensemble: how certain the hull is, and which crystals are unlike those of the training."""
REPORTED = ("id", "e_above_hull", "min_frequency", "bulk_modulus", "shear_modulus", "warnings")
CRYSTALS, RESULTS, SUMMARY, REPORT = "phases.xyz", "results.csv", "summary.json", "report.html"
LOCK = "lock"
TITLE = "Crystals whose ground states everyone knows"
PATIENCE_S = 30  # for a process to end when asked to


class Demo:
    """The folder of the demo, and commands that run in its own AiiDA profile."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.aiida_path = folder / "aiida"
        self.environment = os.environ | {
            "AIIDA_PATH": str(self.aiida_path),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        }

    def command(self, *arguments: str) -> list[str]:
        """Return ``aiida-pet ARGUMENTS``, of the environment that this script runs in."""
        return [str(Path(sys.executable).parent / "aiida-pet"), *arguments]

    def show(self, *arguments: str) -> None:
        """Run ``aiida-pet ARGUMENTS`` and let it print.

        :raises SystemExit: if it fails.
        """
        print(f"$ aiida-pet {' '.join(arguments)}", flush=True)
        status = subprocess.run(self.command(*arguments), env=self.environment, check=False).returncode
        if status:
            raise SystemExit(f"aiida-pet {' '.join(arguments)} failed with exit status {status}")

    def ask(self, *arguments: str) -> Any:
        """Run ``aiida-pet ARGUMENTS`` and return the JSON that it prints.

        :raises SystemExit: if it fails.
        """
        print(f"$ aiida-pet {' '.join(arguments)}", flush=True)
        outcome = subprocess.run(
            self.command(*arguments), env=self.environment, check=False, stdout=subprocess.PIPE, text=True
        )
        if outcome.returncode:
            raise SystemExit(f"aiida-pet {' '.join(arguments)} failed with exit status {outcome.returncode}")
        return json.loads(outcome.stdout)

    def summary_of(self, pk: str) -> tuple[dict[str, Any], str]:
        """Return the summary of the launch ``pk`` and the SHA-256 of its model, from the nodes themselves."""
        os.environ.update(self.environment)  # AiiDA reads AIIDA_PATH when it is imported
        from aiida import load_profile, orm  # noqa: PLC0415

        load_profile()
        launch = orm.load_node(int(pk))
        return launch.outputs.summary.get_dict(), launch.inputs.model.sha256

    def processes(self) -> list[psutil.Process]:
        """Return the processes that belong to the profile: daemon, broker, workers and engines."""
        homes = (
            str(self.aiida_path),
            str(self.aiida_path / ".aiida"),
        )  # as given here, and as AiiDA passes it on
        mine = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get("AIIDA_PATH") in homes:
                    mine.append(process)
        return mine

    def stop(self) -> None:
        """Stop the daemon and whatever else still runs in the profile."""
        if not self.processes():
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(
                [str(Path(sys.executable).parent / "verdi"), "daemon", "stop"],
                env=self.environment,
                check=False,
                capture_output=True,
                timeout=2 * PATIENCE_S,
            )
        left = self.processes()
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.terminate()
        for process in psutil.wait_procs(left, timeout=PATIENCE_S)[1]:
            with contextlib.suppress(psutil.Error):
                process.kill()

    def reset(self) -> None:
        """Remove what a former run left, but keep the profile of a run that ended."""
        self.stop()
        if not (self.folder / SUMMARY).exists():  # written last
            shutil.rmtree(self.aiida_path, ignore_errors=True)
        for name in (CRYSTALS, RESULTS, SUMMARY, REPORT):
            (self.folder / name).unlink(missing_ok=True)
        self.aiida_path.mkdir(parents=True, exist_ok=True)


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the folder's lock.

    :raises SystemExit: if another demo runs in the folder, or it holds anything that is not the demo's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / LOCK).exists() and any(folder.iterdir()):
        raise SystemExit(f"{folder} holds other things than a demo's: choose a folder that is new or empty")
    with (folder / LOCK).open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit(f"another demo is running in {folder}") from None
        yield


def title(text: str) -> None:
    print(f"\n== {text}", flush=True)


def chosen_phases(elements: Sequence[str] | None) -> list[Phase]:
    """Return the known phases of ``elements`` (all if None) that the model knows, and say what they are."""
    known = {chemical_symbols[number] for number in embedded_card()["elements"]}
    phases = known_phases(known if elements is None else known & set(elements))
    if not phases:
        raise SystemExit(f"no known phase consists of {elements}: the model knows {' '.join(sorted(known))}")
    compounds = [phase for phase in phases if len(phase.elements) > 1]
    print(
        f"{len(phases)} crystals, {len(compounds)} of them compounds, of "
        f"{len(frozenset().union(*(phase.elements for phase in phases)))} elements. "
        f"{sum(phase.is_known for phase in phases)} are\nthe phases that are found at low temperature, the others "
        "compete with them or are references."
    )
    return phases


def run(demo: Demo, elements: Sequence[str] | None) -> str | None:
    """Run the demo and return why it failed, None if it went well."""
    start = time.monotonic()
    title(TITLE)
    phases = chosen_phases(elements)
    crystals = demo.folder / CRYSTALS
    write_phases(crystals, phases)

    title(f"A profile of its own, in {demo.aiida_path}")
    demo.show("setup")

    title("Import")
    imported = demo.ask("data", "import", str(crystals), "--label", "phases", "--json")
    demo.show("data", "show", str(imported["pk"]))

    title(f"The funnel in {LANES} lanes, one thread each")
    launched = time.monotonic()
    options = ["--protocol", "moderate", "--lanes", str(LANES), "--setting", "threads=1", *FUNNEL]
    options += UNCERTAINTY if "energy_ensemble" in embedded_card()["outputs"] else ()
    campaign = demo.ask("launch", "screen", str(imported["pk"]), *options, "--wait", "--json")
    screen_s = time.monotonic() - launched
    pk = str(campaign["pk"])
    demo.show("status", pk)

    rows: list[Row] = demo.ask("results", pk, "--format", "json")["rows"]
    for row in rows:
        row["energy_per_atom"] = None if row["energy"] is None else row["energy"] / row["n_atoms"]
    summary, model_sha256 = demo.summary_of(pk)
    columns = write_csv(demo.folder / RESULTS, rows)
    statuses = count_statuses(rows)
    passed = [row for row in rows if row["passed"]]

    title("What each stage let through")
    print(funnel_table(summary))
    title(f"Space groups of {statuses.get('converged', 0)} relaxed crystals, held to those of their start")
    print(symmetry_table(rows))
    if passed:
        title("All that is known of one row, and where it comes from")
        compounds = {phase.id for phase in phases if len(phase.elements) > 1}
        shown = next((row["id"] for row in passed if row["id"] in compounds), passed[0]["id"])
        demo.show("show", pk, shown)
    title("All of it as one page")
    demo.show("report", pk, "-o", str(demo.folder / REPORT), "--title", TITLE)

    wall_s = time.monotonic() - start
    engine_s, compute_s = (
        sum(stage[key] for stage in summary["stages"]) for key in ("engine_s", "compute_s")
    )
    times = Times(screen_s, engine_s, compute_s, LANES, wall_s - screen_s)
    title("Where the time went")
    print(times.table(len(rows)))
    print(f"set-up, import, tables: {times.other:.1f} s; everything: {wall_s:.1f} s")

    found = judged(rows, phases)
    silent = silent_errors(rows, phases)
    say_what_was_found(rows, phases, found, silent)

    content = {
        **content_of(rows, phases, summary),
        "wall_s": wall_s,
        "screen_s": screen_s,
        "engine_s": times.engine,
        "compute_s": times.compute,
        "lanes": LANES,
        "model_sha256": model_sha256,
        "columns": columns,
        "known_phases": {one.phase.id: one.word for one in found},
        "silent_errors": silent,
    }
    if not times.engine:
        print(
            "All jobs came from AiiDA's cache: `make clean` removes the profile and lets the demo compute again."
        )
    (demo.folder / SUMMARY).write_text(json.dumps(content, indent=2) + "\n")
    return verdict(statuses, len(phases))


def content_of(rows: Sequence[Row], phases: Sequence[Phase], summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the summary says of the rows."""
    statuses = count_statuses(rows)
    converged = [row for row in rows if row["status"] == "converged"]
    return {
        "n_structures": len(phases),
        "n_converged": len(converged),
        "n_failed": len(phases) - len(converged),
        "statuses": statuses,
        "left_at": summary["left_at"],
        "stages": {stage["name"]: [stage["rows_in"], stage["rows_out"]] for stage in summary["stages"]},
        "symmetry_kept": {
            label: sum(bool(row[f"symmetry_kept_{label}"]) for row in converged) for label in SYMPRECS
        },
        "through": [{name: row[name] for name in REPORTED} for row in rows if row["passed"]],
    }


def say_what_was_found(
    rows: Sequence[Row], phases: Sequence[Phase], found: Sequence[Judged], silent: Sequence[str]
) -> None:
    title("Known phases beside their nearest competitors")
    print(phases_table(found))
    title("Moduli of the crystals that came through, beside those of the Materials Project")
    print(moduli_table(rows, phases))
    title("Warnings (docs/warnings.md)")
    print(warnings_table(rows))
    title("In short")
    print(sums(found))
    if silent:
        print(f"off by more than {OFF_BY:.0%} in a modulus without a warning: {', '.join(silent)}")


def interrupt(_signal: int, _frame: Any) -> None:
    raise KeyboardInterrupt


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, default=ROOT / ".demo", help="where everything goes")
    parser.add_argument(
        "--elements", nargs="+", metavar="SYMBOL", help="only phases of these, to see that it runs"
    )
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, interrupt)
    demo = Demo(arguments.folder.resolve())
    with only_one(demo.folder):
        try:
            demo.reset()
            problem = run(demo, arguments.elements)
        except KeyboardInterrupt:
            problem = "interrupted"
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            demo.stop()
    title("Left behind")
    print(f"{demo.folder / RESULTS}: all rows; {demo.folder / SUMMARY}")
    if (demo.folder / REPORT).exists():
        print(f"The campaign as a page, to be opened in a browser: {demo.folder / REPORT}")
    verdi = Path(sys.executable).parent / "verdi"
    print(f"The profile: AIIDA_PATH={demo.aiida_path} {verdi} process list -a")
    if problem is not None:
        print(f"the demo failed: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

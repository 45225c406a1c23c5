"""A campaign whose client and daemon are killed in the middle: what is done twice, and what a human has to do.

The same crystals twice. Once undisturbed, which gives the figures of ``campaign`` too; once launched by an
``aiida-pet launch static ... --wait`` of its own. When half of the rows are done, that client and all processes of the
daemon (supervisor, workers, ZeroMQ broker) are killed with SIGKILL. Engines are left alone, as on a cluster. After a
pause, what ``aiida-pet status`` says is done, and nothing else, until the campaign has ended; its rows are compared
with the undisturbed ones.

What engines did is read from the heartbeats in the folders of all jobs, so that jobs AiiDA lost sight of count too. The
environment variable AIIDA_PET_BENCH_CRYSTALS sets the number of crystals.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from aiida_pet.job.folder import PROGRESS_FILE, JobFolderError, Progress
from aiida_pet.tables.crystals import StructureTable
from benchmarks.campaign import N_LARGE, N_SMALL, campaign, decorations, waiting_times
from benchmarks.campaign import measurements as campaign_measurements
from benchmarks.faults.advice import STALL_S, follow, without_numbers
from benchmarks.harness import ROOT, Measurement, check_ended_well, isolated_profile, lanes
from benchmarks.processes import Role, kill_all, processes_of

COUNT_VARIABLE = "AIIDA_PET_BENCH_CRYSTALS"
JOBS = 5  # of each lane: half of the rows is in the middle of one
WHEN = 0.5  # of the rows
DOWN_S = 10.0  # between the kill and the first look
LOOK_S = 2.0
TARGET_PERCENT = 2.0
EQUAL = 1e-6  # eV, eV/A, eV/A^3: crystals meet in other batches, and with them the order of sums changes
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Work:
    """What engines did.

    :ivar n_jobs: folders in which an engine was started.
    :ivar restarts: times that one was started where another had been.
    :ivar rows: in shards; a row that two jobs did counts twice.
    :ivar evaluations: of a crystal by the model; where an engine was restarted, those since then.
    :ivar engine_s: lifetimes of the engines, summed.
    """

    n_jobs: int
    restarts: int
    rows: int
    evaluations: int
    engine_s: float


@dataclass(frozen=True)
class Comparison:
    """How the rows of two campaigns agree.

    :ivar missing: ids of one that the other lacks, and rows beyond one per id.
    :ivar different: rows of which a value differs by more than 1e-6, or a text or whole number at all.
    :ivar largest: largest difference of each column of numbers, in its unit.
    """

    missing: int
    different: int
    largest: dict[str, float]


@dataclass
class Interruption:
    """What was done to a campaign, and what it took to go on.

    :ivar pk: of the launch that ended; another one than at first if it was resumed.
    :ivar rows_at_kill: rows done by then.
    :ivar killed: processes by what they are.
    :ivar engines: that ran when the others were killed.
    :ivar commands: what was typed, as ``aiida-pet status`` said it, with the seconds since the kill.
    :ivar wall_s: from the launch to the end.
    :ivar left_behind: folders of sockets that nobody removed, outside the profile.
    """

    pk: int = 0
    rows_at_kill: int = 0
    killed: dict[str, int] = field(default_factory=dict)
    engines: int = 0
    commands: list[str] = field(default_factory=list)
    wall_s: float = 0.0
    left_behind: int = 0


def run(quick: bool = False) -> Iterator[Measurement]:
    """Measure a campaign of 256,963 crystals that is interrupted.

    :param quick: a fiftieth of the crystals.
    :raises RuntimeError: if a campaign failed, lost a row, or has other values than the undisturbed one.
    """
    count = int(os.environ.get(COUNT_VARIABLE, N_LARGE // 50 if quick else N_LARGE))
    # by number and not by duration: on a busy machine an engine starts for longer than a short job should take
    job_size = math.ceil(count / (JOBS * lanes()))
    with isolated_profile():
        from aiida import orm

        small = campaign(decorations(min(N_SMALL, count), 1))
        table = decorations(count, 3)
        began = time.time()
        calm = campaign(table, job_size)
        calm_work = work_since(began)
        yield from campaign_measurements(small, calm, waiting_times(calm["pk"]))
        expected = orm.load_node(calm["pk"])
        began = time.time()
        found = interrupt(expected.inputs.structures, job_size)
        work = work_since(began)
        rows = compare(
            expected.outputs.results.to_table(), orm.load_node(found.pk).outputs.results.to_table()
        )
    if rows.missing or rows.different:
        raise RuntimeError(f"the interrupted campaign is not the undisturbed one: {rows}; {found}")
    yield from measurements(count, (calm["wall_s"], calm_work), (found, work), rows)


def measurements(
    count: int, calm: tuple[float, Work], broken: tuple[Interruption, Work], rows: Comparison
) -> Iterator[Measurement]:
    """Yield what was repeated, and the times beside those of the undisturbed campaign.

    :param count: crystals.
    :param calm: wall time (s) and work of the undisturbed campaign.
    :param broken: of the interrupted one.
    """
    (calm_s, calm_work), (found, work) = calm, broken
    repeated = 100 * (work.evaluations - count) / count
    detail = {
        "n_crystals": count,
        "lanes": lanes(),
        **asdict(found),
        **asdict(work),
        "rows_done_twice": work.rows - count,
        "undisturbed": {"wall_s": calm_s, **asdict(calm_work)},
        "rows_missing": rows.missing,
        "rows_different": rows.different,
        "largest_difference": rows.largest,
    }
    yield Measurement(
        "interrupted/engine_work_repeated",
        repeated,
        "%",
        f"target {TARGET_PERCENT:g} %",
        TARGET_PERCENT / max(repeated, 100 / count),  # nothing repeated counts as one row
        detail,
    )
    yield Measurement(
        "interrupted/engine_time",
        work.engine_s,
        "s",
        f"undisturbed: {calm_work.engine_s:.4g} s",
        calm_work.engine_s / work.engine_s,
    )
    yield Measurement(
        "interrupted/wall", found.wall_s, "s", f"undisturbed: {calm_s:.4g} s", calm_s / found.wall_s
    )


def interrupt(structures: Any, job_size: int) -> Interruption:
    """Run ``static`` over ``structures``, kill client and daemon in the middle, and see it to its end.

    :param job_size: crystals of a job.
    :raises RuntimeError: if the campaign does not end well.
    """
    from aiida import orm

    home = os.environ["AIIDA_PATH"]
    found = Interruption()
    start = time.monotonic()
    with (Path(home) / "client.log").open("w+") as log:
        client = launch(structures.pk, job_size, log)
        try:
            found.pk = wait_for_pk(client, log)
            found.rows_at_kill = wait_for_rows(orm.load_node(found.pk), WHEN * len(structures))
            sockets = socket_folders(home)
            found.engines = len(processes_of(home, Role.ENGINE))
        finally:
            killed = Counter({"client": len(kill_all(home, Role.CLIENT))})
            client.wait()
    killed.update(name_of(line) for line in kill_all(home, Role.DAEMON))
    found.killed = dict(killed)
    killed_at = time.monotonic()
    time.sleep(DOWN_S)
    see_to_its_end(found, killed_at)
    found.wall_s = time.monotonic() - start
    check_ended_well(orm.load_node(found.pk), "the interrupted campaign")
    left = {folder for folder in sockets - socket_folders(home) if folder.is_dir()}
    found.left_behind = len(left)
    for folder in left:
        shutil.rmtree(folder)
    return found


def launch(pk: int, job_size: int, log: IO[str]) -> subprocess.Popen[str]:
    """Start a client that launches ``static`` over the set ``pk`` and waits for it; it tells ``log`` what it does."""
    words = [
        str(BIN / "aiida-pet"),
        *("launch", "static", str(pk)),
        *("--lanes", str(lanes()), "--setting", "threads=1", "--job-size", str(job_size), "--wait"),
    ]
    return subprocess.Popen(words, cwd=ROOT, stdout=log, stderr=log, stdin=subprocess.DEVNULL, text=True)


def wait_for_pk(client: subprocess.Popen[str], log: IO[str]) -> int:
    """Return the pk of what ``client`` launched, as soon as it says it.

    :raises RuntimeError: if it ends before.
    """
    while True:
        ended = client.poll() is not None
        text = Path(log.name).read_text()
        said = re.search(r"<(\d+)> started", text)
        if said:
            return int(said[1])
        if ended:
            raise RuntimeError(f"the client ended with {client.returncode} and launched nothing:\n{text}")
        time.sleep(0.2)


def wait_for_rows(node: Any, wanted: float) -> int:
    """Return the rows that are done as soon as they are ``wanted`` or more.

    :raises RuntimeError: if the campaign ends before, or no row is done for a long time.
    """
    from aiida_pet.campaigns.progress import campaign_progress

    done, moved = -1, time.monotonic()
    while True:
        progress = campaign_progress(node)
        if progress.finished:
            raise RuntimeError(
                f"the campaign ended before it was interrupted, at {progress.rows_done} of {progress.rows_total} rows: "
                f"{progress.state} {progress.message}"
            )
        if progress.rows_done >= wanted:
            return progress.rows_done
        if progress.rows_done > done:
            done, moved = progress.rows_done, time.monotonic()
        elif time.monotonic() > moved + STALL_S:
            raise RuntimeError(f"no row was done for {STALL_S:g} s: {progress}")
        time.sleep(0.5)


def see_to_its_end(found: Interruption, killed_at: float) -> None:
    """Do what ``aiida-pet status`` says, and write it down, until the campaign has ended.

    :param killed_at: monotonic time of the kill.
    """
    from aiida_pet.campaigns import status as status_of

    def type_and_tell(command: str, status: dict[str, Any]) -> int:
        after = time.monotonic() - killed_at
        outcome, pk = type_in(command, status["pk"])
        found.commands.append(f"{without_numbers(command)} ({after:.0f} s){outcome}")
        return pk

    status = follow(found.pk, lambda pk: status_of(pk).to_dict(), type_and_tell, LOOK_S)
    found.pk = status["pk"]


def type_in(command: str, pk: int) -> tuple[str, int]:
    """Run ``command``; return a remark, empty if it went well, and the pk of the launch to follow from now on."""
    words = command.split()
    resumes = words[:2] == ["aiida-pet", "resume"]
    done = subprocess.run(
        [str(BIN / words[0]), *words[1:], *(["--json"] if resumes else [])],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        return f", exit status {done.returncode}: {(done.stderr or done.stdout).strip()[-300:]}", pk
    return "", int(json.loads(done.stdout)["pk"]) if resumes else pk


def name_of(line: str) -> str:
    """Return what the daemon's process with the command line ``line`` is."""
    for word, name in (("start-circus", "supervisor"), ("circus", "statistics"), ("broker", "broker")):
        if word in line:
            return name
    return "worker" if "worker" in line else "other"


def socket_folders(home: str) -> set[Path]:
    """Return the folders of sockets that daemon and broker of the profile have made outside of it, if they exist."""
    found = set()
    for path in Path(home).rglob("*.sockets"):
        with contextlib.suppress(OSError):
            folder = Path(path.read_text().strip())
            if folder.is_dir():
                found.add(folder)
    return found


def work_since(began: float) -> Work:
    """Return what the engines did that were started after ``began`` (Unix time) on the profile's computer."""
    from aiida import orm

    beats = []
    for path in Path(orm.load_computer("localhost").get_workdir()).rglob(PROGRESS_FILE):
        with contextlib.suppress(OSError, JobFolderError):
            beats.append(Progress.from_json(path.read_text()))
    beats = [beat for beat in beats if beat.started >= began]
    return Work(
        n_jobs=len(beats),
        restarts=sum(beat.starts - 1 for beat in beats),
        rows=sum(beat.rows_done for beat in beats),
        evaluations=sum(beat.evaluations for beat in beats),
        engine_s=sum(beat.engine_s for beat in beats),
    )


def compare(expected: StructureTable, found: StructureTable) -> Comparison:
    """Return how ``found`` agrees with ``expected``: ids, columns and columns of atoms."""
    strangers = len(set(expected.ids.tolist()) ^ set(found.ids.tolist()))
    missing = strangers + abs(len(found) - len(expected))
    if missing:
        return Comparison(missing, 0, {})
    found = found.select(expected.ids)
    largest: dict[str, float] = {}
    differs = np.zeros(len(expected), dtype=bool)
    for name, values in expected.columns.items():
        apart = _apart(values, found.columns.get(name))
        largest[name] = float(apart.max(initial=0.0))
        differs |= apart.reshape(len(expected), -1).max(axis=1, initial=0.0) > EQUAL
    for name, values in expected.atom_columns.items():
        apart = _apart(values, found.atom_columns.get(name))
        largest[name] = float(apart.max(initial=0.0))
        of_atoms = apart.reshape(len(values), -1).max(axis=1, initial=0.0) > EQUAL
        np.logical_or.at(differs, np.repeat(np.arange(len(expected)), expected.n_atoms), of_atoms)
    return Comparison(0, int(differs.sum()), largest)


def _apart(values: NDArray[Any], others: NDArray[Any] | None) -> NDArray[np.float64]:
    """Return how far ``others`` are from ``values``: infinitely where texts differ, or a number is missing."""
    if others is None or others.shape != values.shape:
        return np.full(values.shape, np.inf)
    if values.dtype.kind != "f":
        return np.where(values == others, 0.0, np.inf)
    both_nan = np.isnan(values) & np.isnan(others)
    return np.where(both_nan, 0.0, np.nan_to_num(np.abs(values - others), nan=np.inf))

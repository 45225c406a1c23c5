"""A campaign of the size of WBM on one machine: 256,963 crystals, one energy each, and a tenth of a tenth beside it.

Decorations of bcc and fcc by the four elements that the model that ships knows, with the numbers of atoms of WBM. What
AiiDA adds per crystal, peak memory of client, daemon and engines, bytes, nodes, and how long people wait for answers.
"""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from ase.data import atomic_numbers, reference_states

from aiida_pet.tables.crystals import StructureTable
from benchmarks.harness import ROOT, Measurement, check_ended_well, isolated_profile, lanes, wait_for
from benchmarks.overhead import repository_and_database
from benchmarks.processes import Role, processes_of

N_LARGE = 256_963
N_SMALL = 10_000
SYMBOLS = ("Nb", "Mo", "Ta", "W")
# Share of WBM's crystals by their number of atoms, from 972 of them drawn at random.
SIZES = {
    2: 7,
    3: 22,
    4: 183,
    5: 80,
    6: 155,
    7: 29,
    8: 152,
    9: 79,
    10: 128,
    11: 33,
    12: 120,
    16: 1,
    20: 5,
    32: 1,
    40: 4,
}
JOB_DURATION_S = 600
TARGET_MS = 5.0
MEMORY_MB = 3 * 1024.0
ANSWER_S = 5.0
BARE = (
    "from aiida import load_profile, orm; load_profile(); print(orm.QueryBuilder().append(orm.Node).count())"
)


def decorations(count: int, seed: int) -> StructureTable:
    """Return ``count`` crystals: bcc or fcc cells with random elements, lattice constants by Vegard's law."""
    random = np.random.default_rng(seed)
    weights = np.array(list(SIZES.values()), dtype=float)
    sizes = random.choice(np.array(list(SIZES)), size=count, p=weights / weights.sum())
    numbers = random.choice([atomic_numbers[symbol] for symbol in SYMBOLS], size=int(sizes.sum()))
    constants = {atomic_numbers[symbol]: _bcc_constant(symbol) for symbol in SYMBOLS}
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    mean = np.add.reduceat(np.vectorize(constants.get)(numbers), offsets[:-1]) / sizes
    positions, cells = np.empty((len(numbers), 3)), np.empty((count, 3, 3))
    fcc = random.random(count) < 0.5
    for row in range(count):
        cell, shifts = _cell(int(sizes[row]), bool(fcc[row]))
        # the same volume per atom on both lattices
        length = mean[row] * (2 ** (1 / 3) if fcc[row] else 1.0)
        cells[row] = cell * length
        positions[offsets[row] : offsets[row + 1]] = shifts * length
    return StructureTable(
        ids=np.char.add("crystal-", np.char.zfill(np.arange(count).astype(str), 6)),
        numbers=numbers,
        positions=positions,
        cells=cells,
        pbc=np.ones((count, 3), dtype=bool),
        offsets=offsets,
    )


def _bcc_constant(symbol: str) -> float:
    reference = reference_states[atomic_numbers[symbol]]
    return float(reference["a"]) if reference else float("nan")


_CELLS: dict[tuple[int, bool], tuple[np.ndarray, np.ndarray]] = {}


def _cell(size: int, fcc: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return cell and positions of ``size`` primitive cells in a compact block, lattice constant 1."""
    if (size, fcc) not in _CELLS:
        primitive = (np.ones((3, 3)) - np.eye(3)) / 2 if fcc else np.ones((3, 3)) / 2 - np.eye(3)
        repeats = min(
            (
                (a, b, size // a // b)
                for a in range(1, size + 1)
                if size % a == 0
                for b in _divisors(size // a)
            ),
            key=lambda shape: (max(shape), shape),
        )
        grid = np.stack(np.meshgrid(*(np.arange(n) for n in repeats), indexing="ij"), axis=-1).reshape(-1, 3)
        _CELLS[size, fcc] = (np.diag(repeats) @ primitive, grid @ primitive)
    return _CELLS[size, fcc]


def _divisors(number: int) -> list[int]:
    return [divisor for divisor in range(1, number + 1) if number % divisor == 0]


def run(quick: bool = False) -> Iterator[Measurement]:
    """Measure a campaign of 10,000 and one of 256,963 crystals.

    :param quick: a fiftieth of the crystals.
    :raises RuntimeError: if a campaign failed or lost a row.
    """
    small, large = (N_SMALL // 50, N_LARGE // 50) if quick else (N_SMALL, N_LARGE)
    with isolated_profile():
        first = campaign(decorations(small, 1))
        found = campaign(decorations(large, 2))
        answers = waiting_times(found["pk"])
    yield from measurements(first, found, answers)


def measurements(
    first: dict[str, Any], found: dict[str, Any], answers: dict[str, float]
) -> Iterator[Measurement]:
    """Yield what a campaign took, beside a smaller one.

    :param first: of the smaller one, as :func:`campaign` returns it.
    :param found: of the campaign.
    :param answers: seconds of each command on it.
    """
    small, large = first["n_crystals"], found["n_crystals"]
    against = f"target {TARGET_MS:g} ms/crystal; {small} crystals: {first['overhead_ms']:.3g}"
    yield Measurement(
        "campaign/overhead",
        found["overhead_ms"],
        "ms/crystal",
        against,
        TARGET_MS / found["overhead_ms"],
        found,
    )
    for who in ("client", "daemon", "engine"):
        used = found[f"{who}_mb"]
        yield Measurement(f"campaign/memory_{who}", used, "MB", f"target {MEMORY_MB:g} MB", MEMORY_MB / used)
    bare = answers["bare"]
    for command, seconds in answers.items():
        if command != "bare":
            yield Measurement(
                f"campaign/{command}",
                seconds,
                "s",
                f"target {ANSWER_S:g} s; a query of AiiDA that counts nodes takes {bare:.2g} s",
                ANSWER_S / seconds,
                {"rows": large, "bare_s": bare},
            )


def campaign(table: StructureTable, job_size: int | None = None) -> dict[str, Any]:
    """Run ``static`` over ``table`` and return what it took.

    :param job_size: crystals of a job; None for jobs of ten minutes.
    :raises RuntimeError: if the WorkChain failed or lost a row.
    """
    from aiida import orm
    from aiida.engine import submit
    from aiida.manage import get_manager

    from aiida_pet import models
    from aiida_pet.data.model import PetModelData
    from aiida_pet.data.structures import StructureSetData
    from aiida_pet.workchains.batch import BatchWorkChain

    folder = Path(get_manager().get_profile_storage().profile.storage_config["filepath"])
    before, nodes = repository_and_database(folder), orm.QueryBuilder().append(orm.Node).count()
    count = len(table)
    with PeakMemory() as peak:
        start = time.perf_counter()
        structures = StructureSetData.from_table(table).store()
        builder = BatchWorkChain.get_builder_from_protocol(
            orm.load_code("pet-engine@localhost"),
            PetModelData.from_file(models.embedded_path()),
            structures,
            task="static",
            settings={"threads": 1},
            lanes=lanes(),
            job_size=job_size,
        )
        if job_size is None:
            builder.job_duration = orm.Int(JOB_DURATION_S)
        node = submit(builder)
        wait_for(node)
        wall = time.perf_counter() - start
    check_ended_well(node, f"static over {count} crystals")
    if len(node.outputs.results) != count:
        raise RuntimeError(f"{len(node.outputs.results)} rows came back of {count}")
    summary = node.outputs.summary.get_dict()
    after = repository_and_database(folder)
    engine = float(summary["engine_s"])
    return {
        "pk": node.pk,
        "n_crystals": count,
        "atoms_per_crystal": len(table.numbers) / count,
        "lanes": lanes(),
        "n_jobs": summary["n_jobs"],
        "wall_s": wall,
        "engine_s": engine,
        "compute_s": float(summary["compute_s"]),
        "overhead_ms": 1e3 * (wall - engine / lanes()) / count,
        "client_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "daemon_mb": peak.daemon_mb,
        "engine_mb": max(job["memory_mb"] or 0.0 for job in summary["jobs"]),
        "nodes": orm.QueryBuilder().append(orm.Node).count() - nodes,
        "bytes_per_crystal": (after[0] - before[0]) / count,
        "database_bytes_per_crystal": (after[1] - before[1]) / count,
        "statuses": summary["statuses"],
    }


class PeakMemory:
    """Watches the memory of the profile's daemon workers.

    :ivar daemon_mb: largest resident size of one of them, MB.
    """

    def __init__(self) -> None:
        self.daemon_mb = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.5):
            for process in processes_of(os.environ["AIIDA_PATH"], Role.DAEMON):
                with contextlib.suppress(psutil.Error):
                    if "worker" in process.cmdline():
                        self.daemon_mb = max(self.daemon_mb, process.memory_info().rss / 2**20)


def waiting_times(pk: int) -> dict[str, float]:
    """Return how long each command takes on the campaign, seconds, start of the interpreter included.

    ``bare`` counts the nodes of the profile and does nothing else: what AiiDA takes before a command can begin.
    """
    commands = {
        "status": ["status", str(pk)],
        "results": ["results", str(pk), "--where", "energy < -9 and n_atoms == 4", "--limit", "10"],
        "show": ["show", str(pk), "crystal-000007"],
        "trace": ["trace", str(pk), "crystal-000007"],
        "find": ["find", "--id", "crystal-000007"],
    }
    executable = str(Path(sys.executable).parent / "aiida-pet")
    run = {"bare": [sys.executable, "-c", BARE]} | {
        name: [executable, *words] for name, words in commands.items()
    }
    times = {}
    for name, words in run.items():
        start = time.perf_counter()
        subprocess.run(
            words,
            cwd=ROOT,
            check=True,
            capture_output=True,
        )
        times[name] = time.perf_counter() - start
    return times

"""What AiiDA adds to the engine, per crystal: time through a WorkChain minus that of its engine processes.

One lane and one job at a time, so that engine time is well defined: the sum over jobs of the seconds from the
start of the engine process to its end, imports included. Wall time runs from storing the set of crystals to
the finished WorkChain. Bytes are what the file repository grew by; the database is given beside it.
"""

from __future__ import annotations

import math
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT, Measurement, folder_bytes, isolated_profile, threads

N_SMALL = 2_000
N_LARGE = 20_000
MAX_ATOMS = 6  # of a cell: 4,993 orderings
STRETCH = 1e-4  # from one copy of the orderings to the next, so that no two have a file in common
LARGE_JOBS = 4  # in which the 20,000 are done
TARGET_MS = 10.0


def alloys(count: int, distinct: int, first_copy: int) -> list[tuple[str, Any]]:
    """Return (id, ASE atoms) of ``count`` crystals: ``distinct`` alloys as often as it takes, each time a bit larger.

    So campaigns of all sizes have the same mix of cells. They are in an order of their own, so that no campaign finds
    any of its arrays, the atomic numbers for one, in the repository already.

    :param first_copy: number of the first copy; campaigns must not share any.
    """
    sys.path.append(str(ROOT / "examples"))
    from alloys import ordered_alloys

    orderings = list(ordered_alloys(MAX_ATOMS, limit=distinct))
    found = []
    for place in range(count):
        copy, number = divmod(place, distinct)
        name, atoms = orderings[number]
        larger = atoms.copy()
        larger.set_cell(atoms.cell * (1 + STRETCH * (first_copy + copy)), scale_atoms=True)
        found.append((f"{name}-{first_copy + copy:02d}", larger))
    random.Random(first_copy).shuffle(found)
    return found


def run(quick: bool = False) -> Iterator[Measurement]:
    """Measure 2,000 crystals with ``relax``, and 2,000 and 20,000 with ``static``.

    A set that one job does is stored once; where several do it, their parts are stored and the whole. So the bytes of
    20,000 crystals are compared with those of 2,000 in as many jobs.

    :param quick: a twentieth of the crystals.
    """
    small, large = (N_SMALL // 20, N_LARGE // 20) if quick else (N_SMALL, N_LARGE)
    target = f"target {TARGET_MS:g} ms/crystal"
    with isolated_profile():
        relax = campaign("relax", alloys(small, small, 0))
        yield from measurements("overhead/relax", relax, (target, TARGET_MS))
        one = campaign("static", alloys(small, small, 1))
        yield from measurements("overhead/static", one, (target, TARGET_MS))
        several = campaign("static", alloys(small, small, 2), job_size=small // LARGE_JOBS)
        yield from measurements("overhead/static", several, (target, TARGET_MS))
        many = campaign("static", alloys(large, small, 3), job_size=large // LARGE_JOBS)
        beside = f"{small} crystals in {several['n_jobs']} jobs"
        yield from measurements(
            "overhead/static",
            many,
            (f"{beside}: {several['overhead_ms']:.3g} ms/crystal", several["overhead_ms"]),
            (f"{beside}: {several['bytes_per_crystal']:.4g} B/crystal", several["bytes_per_crystal"]),
        )


def measurements(
    name: str,
    found: dict[str, Any],
    time_against: tuple[str, float],
    bytes_against: tuple[str, float] | None = None,
) -> Iterator[Measurement]:
    """Yield the overhead and the bytes per crystal of one campaign.

    :param time_against: in words and in ms/crystal.
    :param bytes_against: in words and in bytes/crystal, None if there is nothing to compare with.
    """
    label = f"{name}-{found['n_crystals']}x{found['n_jobs']}"
    words, reference = time_against
    yield Measurement(
        label, found["overhead_ms"], "ms/crystal", words, reference / found["overhead_ms"], found
    )
    words, reference = bytes_against or ("none", math.nan)
    stored = found["bytes_per_crystal"]
    ratio = reference / stored if bytes_against else None
    yield Measurement(f"{label}/bytes", stored, "B/crystal", words, ratio)


def campaign(task: str, crystals: list[tuple[str, Any]], job_size: int | None = None) -> dict[str, Any]:
    """Run ``task`` over ``crystals`` in one lane and return what it took.

    :param job_size: crystals of a job; None for what a user gets who says nothing.
    :raises RuntimeError: if the WorkChain failed or lost a row.
    """
    from aiida.engine import submit
    from aiida.manage import get_manager

    from aiida_pet.data.structures import StructureSetData

    folder = Path(get_manager().get_profile_storage().profile.storage_config["filepath"])
    before = repository_and_database(folder)
    count = len(crystals)
    start = time.perf_counter()
    structures = StructureSetData.from_iterator(crystals).store()
    stored = time.perf_counter()
    node = submit(builder(task, structures, job_size))
    while not node.is_terminated:
        time.sleep(0.1)
    wall = time.perf_counter() - start
    if not node.is_finished_ok:
        raise RuntimeError(f"{task} over {count} crystals ended with {node.exit_status}: {node.exit_message}")
    summary = node.outputs.summary.get_dict()
    if len(node.outputs.results) != count:
        raise RuntimeError(f"{len(node.outputs.results)} rows came back of {count}")
    after = repository_and_database(folder)
    engine, compute = float(summary["engine_s"]), float(summary["compute_s"])
    return {
        "n_crystals": count,
        "n_jobs": summary["n_jobs"],
        "atoms_per_crystal": sum(len(atoms) for _, atoms in crystals) / count,
        "threads": threads(),
        "wall_s": wall,
        "store_s": stored - start,
        "engine_s": engine,
        "compute_s": compute,
        "overhead_ms": 1e3 * (wall - engine) / count,
        "overhead_to_compute_ms": 1e3 * (wall - compute) / count,
        "bytes_per_crystal": (after[0] - before[0]) / count,
        "database_bytes_per_crystal": (after[1] - before[1]) / count,
        "statuses": summary["statuses"],
    }


def builder(task: str, structures: Any, job_size: int | None) -> Any:
    """Return the builder of ``task`` over ``structures`` in one lane."""
    from aiida import orm

    from aiida_pet import models
    from aiida_pet.data.model import PetModelData
    from aiida_pet.workchains.batch import BatchWorkChain

    return BatchWorkChain.get_builder_from_protocol(
        orm.load_code("pet-engine@localhost"),
        PetModelData.from_file(models.embedded_path()),
        structures,
        task=task,
        settings={"threads": threads()},
        lanes=1,
        job_size=job_size,
    )


def repository_and_database(folder: Path) -> tuple[int, int]:
    """Return the bytes of the file repository and of the database under a profile's folder."""
    total, files = folder_bytes(folder), folder_bytes(folder / "container")
    return files, total - files

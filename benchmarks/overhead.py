"""What AiiDA adds to the engine, per crystal: time through a WorkChain minus that of its engine processes.

One lane and one job at a time, so that engine time is well defined: the sum over jobs of the seconds from the
start of the engine process to its end, imports included. Wall time runs from storing the set of crystals to
the finished WorkChain. Bytes are what the file repository grew by; the database is given beside it.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT, Measurement, folder_bytes, isolated_profile, threads

N_SMALL = 2_000
N_LARGE = 20_000
MAX_ATOMS = (
    8  # of a cell; up to 7 atoms there are 13,225 orderings, so the largest run reaches into cells of 8
)
TARGET_MS = 10.0
JOB_MS = 500.0  # one job per crystal, upstream's own figure for a trivial job


def crystals(count: int) -> Iterator[tuple[str, Any]]:
    """Yield (id, ASE atoms) of the first ``count`` ordered alloys."""
    sys.path.append(str(ROOT / "examples"))
    from alloys import ordered_alloys

    return itertools.islice(ordered_alloys(MAX_ATOMS), count)


def run(quick: bool = False) -> Iterator[Measurement]:
    """Measure 2,000 crystals with ``relax``, and 2,000 and 20,000 with ``static``.

    :param quick: a twentieth of the crystals.
    """
    small, large = (N_SMALL // 20, N_LARGE // 20) if quick else (N_SMALL, N_LARGE)
    with isolated_profile():
        relax = campaign("relax", small)
        yield from measurements("overhead/relax", relax, f"target {TARGET_MS:g} ms", TARGET_MS)
        few = campaign("static", small)
        yield from measurements("overhead/static", few, f"target {TARGET_MS:g} ms", TARGET_MS)
        many = campaign("static", large)
        beside = f"{small} crystals: {few['overhead_ms']:.3g} ms"
        yield from measurements("overhead/static", many, beside, few["overhead_ms"], few["bytes_per_crystal"])


def measurements(
    name: str, found: dict[str, Any], against: str, reference_ms: float, reference_bytes: float | None = None
) -> Iterator[Measurement]:
    """Yield the overhead and the bytes per crystal of one campaign.

    :param against: what ``reference_ms`` is, in words.
    :param reference_bytes: bytes per crystal of a smaller campaign, None if this is the first.
    """
    count = found["n_crystals"]
    yield Measurement(
        f"{name}-{count}",
        found["overhead_ms"],
        "ms/crystal",
        against,
        found["overhead_ms"] / reference_ms,
        found,
    )
    yield Measurement(
        f"{name}-{count}/bytes",
        found["bytes_per_crystal"],
        "B/crystal",
        "none" if reference_bytes is None else f"smaller campaign: {reference_bytes:.4g} B/crystal",
        None if reference_bytes is None else found["bytes_per_crystal"] / reference_bytes,
    )


def campaign(task: str, count: int) -> dict[str, Any]:
    """Run ``task`` over ``count`` crystals in one lane and return what it took.

    :raises RuntimeError: if the WorkChain failed or lost a row.
    """
    from aiida import orm
    from aiida.engine import submit
    from aiida.manage import get_manager

    from aiida_pet.data.structures import StructureSetData

    folder = Path(get_manager().get_profile_storage().profile.storage_config["filepath"])
    before = repository_and_database(folder)
    pairs = list(crystals(count))
    start = time.perf_counter()
    structures = StructureSetData.from_iterator(pairs).store()
    stored = time.perf_counter()
    node = submit(builder(task, structures))
    while not node.is_terminated:
        time.sleep(0.1)
    wall = time.perf_counter() - start
    if not node.is_finished_ok:
        raise RuntimeError(f"{task} over {count} crystals ended with {node.exit_status}: {node.exit_message}")
    summary = node.outputs.summary.get_dict()
    if node.outputs.results.n_rows != count:
        raise RuntimeError(f"{node.outputs.results.n_rows} rows came back of {count}")
    after = repository_and_database(folder)
    jobs = [child for child in node.called_descendants if isinstance(child, orm.CalcJobNode)]
    engine, compute = float(summary["engine_s"]), float(summary["compute_s"])
    return {
        "n_crystals": count,
        "n_jobs": len(jobs),
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


def builder(task: str, structures: Any) -> Any:
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
    )


def repository_and_database(folder: Path) -> tuple[int, int]:
    """Return the bytes of the file repository and of the database under a profile's folder."""
    total, files = folder_bytes(folder), folder_bytes(folder / "container")
    return files, total - files

"""A screening of 2,000 crystals through AiiDA: rows and time of each stage, the share of the engine, what is stored.

Two lanes of one thread each where there are two cores. The share is the seconds that engine processes lived, imports
included, over the seconds that the lanes had, from storing the set to the finished WorkChain; the hull and the tables
are in what is left.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.harness import Measurement, isolated_profile
from benchmarks.overhead import alloys, repository_and_database

N_CRYSTALS = 2_000
KEEP = "e_above_hull <= 0.002"  # eV/atom, which a fifth of the alloys fulfils
MIN_IMAGE = 8.0  # A
TARGET = 0.85


def run(quick: bool = False) -> Iterator[Measurement]:
    """Screen ordered alloys of up to six atoms per cell.

    :param quick: a twentieth of the crystals.
    :raises RuntimeError: if the screening failed or lost a row.
    """
    count = N_CRYSTALS // 20 if quick else N_CRYSTALS
    lanes = max(1, min(2, len(os.sched_getaffinity(0))))
    with isolated_profile():
        found = screening(alloys(count, count, 0), lanes)
    share = found["engine_share"]
    yield Measurement("funnel/engine_share", share, "", f"target {TARGET:g}", share / TARGET, found)
    stored = found["bytes_per_crystal"]
    yield Measurement("funnel/bytes", stored, "B/crystal", "nothing in the same run", None)


def screening(crystals: list[tuple[str, Any]], lanes: int) -> dict[str, Any]:
    """Run a screening and return what it took.

    :raises RuntimeError: if the WorkChain failed or lost a row.
    """
    from aiida import orm
    from aiida.engine import submit
    from aiida.manage import get_manager

    from aiida_pet import models
    from aiida_pet.data.model import PetModelData
    from aiida_pet.data.structures import StructureSetData
    from aiida_pet.workchains.screening import ScreeningWorkChain

    folder = Path(get_manager().get_profile_storage().profile.storage_config["filepath"])
    bytes_before, nodes_before = repository_and_database(folder), orm.QueryBuilder().append(orm.Node).count()
    start = time.perf_counter()
    structures = StructureSetData.from_iterator(crystals).store()
    builder = ScreeningWorkChain.get_builder_from_protocol(
        orm.load_code("pet-engine@localhost"),
        PetModelData.from_file(models.embedded_path()),
        structures,
        overrides={"hull": {"keep": KEEP}, "phonons": {"parameters": {"min_image": MIN_IMAGE}}},
        settings={"threads": 1},
        lanes=lanes,
    )
    node = submit(builder)
    while not node.is_terminated:
        time.sleep(0.5)
    wall = time.perf_counter() - start
    if not node.is_finished_ok or len(node.outputs.results) != len(crystals):
        raise RuntimeError(f"the screening ended with {node.exit_status}: {node.exit_message}")
    summary = node.outputs.summary.get_dict()
    engine, compute = (sum(stage[key] for stage in summary["stages"]) for key in ("engine_s", "compute_s"))
    bytes_after, nodes_after = repository_and_database(folder), orm.QueryBuilder().append(orm.Node).count()
    count = len(crystals)
    return {
        "n_crystals": count,
        "lanes": lanes,
        "wall_s": wall,
        "engine_share": engine / (lanes * wall),
        "compute_share": compute / (lanes * wall),
        "stages": [
            {key: stage[key] for key in ("name", "rows_in", "rows_out", "wall_s", "engine_s", "compute_s")}
            for stage in summary["stages"]
        ],
        "left_at": summary["left_at"],
        "nodes": nodes_after - nodes_before,
        "bytes_per_crystal": (bytes_after[0] - bytes_before[0]) / count,
        "database_bytes_per_crystal": (bytes_after[1] - bytes_before[1]) / count,
    }

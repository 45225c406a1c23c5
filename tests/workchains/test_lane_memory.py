"""What lanes, jobs and the funnel keep and need of large tables, measured at a small size and scaled by rows."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from aiida import orm

from aiida_pet.calculations.screening import bare, judge_stage
from aiida_pet.data.structures import StructureSetData
from aiida_pet.data.table import TableData
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.ragged import Ragged
from aiida_pet.workchains.lane import LaneWorkChain
from aiida_pet.workchains.walk import Walk

Inputs = Callable[..., dict[str, Any]]
WBM = 257_000
ROWS = 6_000
ATOMS = 8


def relaxed(rows: int, force_constants: int = 0) -> StructureSetData:
    """Return a stored set with about the columns of a relaxation, or of phonons with so many matrices in a row."""
    random = np.random.default_rng(0)
    table = StructureTable(
        ids=np.array([f"wbm-1-{row:06d}" for row in range(rows)]),
        numbers=np.full(rows * ATOMS, 74),
        positions=random.normal(size=(rows * ATOMS, 3)),
        cells=random.normal(size=(rows, 3, 3)),
        pbc=np.ones((rows, 3)),
        offsets=np.arange(0, rows * ATOMS + 1, ATOMS),
    )
    table.set_column("status", np.full(rows, "converged"))
    table.set_column("message", np.full(rows, "x" * 40))
    for number in range(12):
        table.set_column(f"value_{number}", random.normal(size=rows))
    table.atom_columns["forces"] = random.normal(size=(rows * ATOMS, 3))
    if force_constants:
        values = np.zeros((rows * force_constants, 3, 3))
        offsets = np.arange(0, rows * force_constants + 1, force_constants)
        table.ragged["force_constants"] = Ragged(values, offsets)
    return StructureSetData.from_table(table).store()


def kept_by(work: Callable[[], Any]) -> tuple[float, float]:
    """Return the bytes that ``work`` leaves in memory, and those that it needs at most."""
    gc.collect()
    tracemalloc.start()
    result = work()
    gc.collect()
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del result
    return kept, peak


def test_a_lane_keeps_little_of_a_large_set(module_inputs: Inputs, generate_workchain: Any) -> None:
    """Every array that it keeps has one entry per row, so that bytes per row hold at any size."""
    inputs = module_inputs(1)
    structures = relaxed(ROWS)
    rows = TableData.from_ids(structures.ids).store()
    inputs |= {"structures": structures.pk, "rows": rows.pk, "job_size": 1000, "job_duration": 60}

    def work() -> Any:
        # objects of its own, as a worker has
        given = inputs | {name: orm.load_node(inputs[name]) for name in ("structures", "rows")}
        lane = generate_workchain(LaneWorkChain, given)
        lane.setup()
        walk = Walk.from_dict(lane.ctx.walk)
        assert lane._most_rows(walk) > 0
        job = walk.next_job(1000)
        assert len(lane._in_order_of_structures(job)) == 1000
        assert lane._sizes().sum() == ROWS * ATOMS
        return lane

    work()  # what is loaded once
    kept, _ = kept_by(work)
    assert kept / ROWS * WBM < 60e6


def test_a_funnel_reads_only_what_it_has_columns_for() -> None:
    """10,000 rows of phonons with force constants: 300 MB at most, and what it needs does not grow with these."""
    rows, matrices = 500, 600
    small, large = relaxed(rows), relaxed(rows, force_constants=matrices)
    needs = []
    for node in (small, large):
        pk = node.pk

        def work(pk: int = pk) -> Any:
            loaded = orm.load_node(pk)
            plan = orm.Dict({"names": {}, "stages": ["relax"], "keep": "value_0 < 1", "known": []})
            return loaded, judge_stage(structures=loaded, plan=plan, relax=loaded)

        work()
        needs.append(kept_by(work)[1])
    assert large.ragged("force_constants").values.nbytes > 20e6
    assert needs[1] / rows * 10_000 < 300e6
    assert needs[1] == pytest.approx(needs[0], rel=0.2)
    assert bare(large).ragged == {}

"""What single and mixed precision change in the results, and how much faster they are, against float64.

Ordered alloys are relaxed tightly (1e-4 eV/A, held to their symmetry) from the same start in each precision; forces are
compared on strained and rattled alloys; phonons and elastic tensors on the crystals that float64 relaxed. Times are
seconds of CPU of the relaxation on one core.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from aiida_pet.crystals.phonons.stored import phonopy_of_row
from aiida_pet.engine.tasks.elastic import Elastic
from aiida_pet.engine.tasks.phonons import Phonons
from aiida_pet.engine.tasks.relax import Relax
from aiida_pet.engine.tasks.static import Static
from aiida_pet.job.parameters import Dtype, Task, parse_parameters
from aiida_pet.tables.crystals import StructureTable
from benchmarks.engine import batched, random_alloys
from benchmarks.harness import Measurement
from benchmarks.phonons import ordered_alloys

N_CRYSTALS, QUICK = 50, 4
RELAX = {"fmax": 1e-4, "stress_max": 1e-3, "max_steps": 2000, "symmetry": "constrained", "symprecs": []}
PHONONS = {"relax_first": False, "min_image": 8.0, "mesh": 20.0, "symprecs": []}
ELASTIC = {"relax_first": False, "symprecs": []}
RUNNERS: dict[Task, Any] = {
    Task.RELAX: Relax, Task.STATIC: Static, Task.PHONONS: Phonons, Task.ELASTIC: Elastic,
}  # fmt: skip


@dataclass(frozen=True)
class Found:
    """What one precision makes of the crystals.

    :ivar cpu: seconds of CPU by task.
    :ivar tables: results by task.
    """

    cpu: dict[Task, float]
    tables: dict[Task, StructureTable]


def run(quick: bool, n_crystals: int = N_CRYSTALS) -> Iterator[Measurement]:
    """Yield for each precision the CPU time of a relaxation against float64, and what it changes."""
    size = QUICK if quick else n_crystals
    start = ordered_alloys().take(list(range(3, 3 + size)))
    rattled = random_alloys(size)
    reference = found_with({"dtype": "float64"}, start, rattled, None)
    relaxed = reference.tables[Task.RELAX]
    for dtype in (Dtype.MIXED, Dtype.FLOAT32):
        found = found_with({"dtype": dtype.value}, start, rattled, relaxed)
        mine, theirs = found.cpu[Task.RELAX], reference.cpu[Task.RELAX]
        yield Measurement(
            f"precision/{dtype.value}",
            1e3 * mine / size,
            "ms/crystal",
            f"float64: {1e3 * theirs / size:.3g} ms/crystal",
            theirs / mine,
            {"crystals": size} | speedups(found, reference) | differences(found.tables, reference.tables),
        )


def found_with(
    changes: Mapping[str, Any],
    start: StructureTable,
    rattled: StructureTable,
    relaxed: StructureTable | None,
) -> Found:
    """Return what the parameters ``changes`` make of the crystals.

    :param relaxed: crystals for phonons and elastic constants, None for those that are relaxed here.
    """
    cpu, tables = {}, {}
    model = batched(Dtype(changes["dtype"]))

    def done(task: Task, table: StructureTable, parameters: dict[str, Any]) -> StructureTable:
        rows: list[StructureTable] = []
        parsed = parse_parameters(task, {**parameters, **changes})
        began = time.process_time()
        RUNNERS[task](table, model, parsed, finished=rows.append).run()
        cpu[task] = time.process_time() - began
        tables[task] = StructureTable.concatenate(rows).select(table.ids)
        return tables[task]

    if "optimizer" not in changes:  # an evaluation has none
        done(Task.STATIC, rattled, {"symprecs": []})
    own = done(Task.RELAX, start, RELAX)
    geometry = _bare(own if relaxed is None else relaxed)
    done(Task.PHONONS, geometry, PHONONS)
    done(Task.ELASTIC, geometry, ELASTIC)
    return Found(cpu, tables)


def _bare(table: StructureTable) -> StructureTable:
    """Return the crystals of ``table`` without results."""
    return StructureTable(
        table.ids,
        numbers=table.numbers,
        positions=table.positions,
        cells=table.cells,
        pbc=table.pbc,
        offsets=table.offsets,
    )


def speedups(found: Found, reference: Found) -> dict[str, float]:
    """Return how many times faster than ``reference`` each task was."""
    return {f"{task.value}_faster": reference.cpu[task] / found.cpu[task] for task in found.cpu}


def differences(found: dict[Task, StructureTable], reference: dict[Task, StructureTable]) -> dict[str, Any]:
    """Return the largest differences, and how relaxations ended."""

    def largest(values: np.ndarray) -> float:
        return float(np.nanmax(np.abs(values)))

    def both(task: Task, column: str) -> tuple[np.ndarray, np.ndarray]:
        return found[task].columns[column], reference[task].columns[column]

    n_atoms = reference[Task.RELAX].n_atoms
    mine, theirs = found[Task.RELAX], reference[Task.RELAX]
    forces = {}
    if Task.STATIC in found:
        apart = found[Task.STATIC].atom_columns["forces"] - reference[Task.STATIC].atom_columns["forces"]
        forces = {"forces_mev_per_a": 1e3 * largest(apart)}
    moduli = {}
    for name in ("bulk_modulus", "shear_modulus"):
        own, other = both(Task.ELASTIC, name)
        moduli[f"{name}_percent"] = largest(100 * (own - other) / other)
    messages = mine.columns["message"].tolist()
    return {
        "energy_mev_per_atom": 1e3 * largest((mine.columns["energy"] - theirs.columns["energy"]) / n_atoms),
        **forces,
        "volume_percent": 100 * largest(mine.columns["volume"] / theirs.columns["volume"] - 1),
        **moduli,
        "frequencies_thz": _frequencies_apart(found[Task.PHONONS], reference[Task.PHONONS]),
        "converged": int((mine.columns["status"] == "converged").sum()),
        "converged_in_reference": int((theirs.columns["status"] == "converged").sum()),
        "stagnant": sum(message.startswith("stagnant") for message in messages),
        "steps": float(mine.columns["n_steps"].mean()),
        "steps_in_reference": float(theirs.columns["n_steps"].mean()),
    }


def _frequencies_apart(mine: StructureTable, theirs: StructureTable) -> float:
    """Return the largest difference of a frequency at zone points of all crystals, THz."""
    points = np.array(
        [[0, 0, 0], [0.5, 0, 0], [0.5, 0.5, 0], [0.5, 0.5, 0.5], [0.25, 0.25, 0.25], [0.1, 0.2, 0.3]]
    )
    apart = 0.0
    for name in mine.ids.tolist():
        first, second = (
            phonopy_of_row(table, name).run_qpoints(points).frequencies for table in (mine, theirs)
        )
        apart = max(apart, float(np.abs(first - second).max()))
    return apart

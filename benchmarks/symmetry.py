"""What symmetry costs: holding relaxations to their space groups, and averaging the model over rotations.

Projection is measured by itself against ASE's FixSymmetry, and as the share it adds to a relaxation step. O(3)
averaging at l_max = 3, 84 rotations, is measured on cubic crystals along the axes of the laboratory, which their own
symmetry reduces, and on crystals without symmetry, which nothing reduces, against 84 evaluations of the same batch;
how much it helps is the scatter of the energy over randomly rotated crystals with and without it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import ase.build
import numpy as np
import torch

from aiida_pet.crystals.symmetry.operations import Operations
from aiida_pet.crystals.symmetry.rotation_sets import lebedev, random_rotations
from aiida_pet.crystals.symmetry.spacegroup import operations_of_row
from aiida_pet.engine.batch.batch import Batch
from aiida_pet.engine.batch.neighbors import NeighborList
from aiida_pet.engine.model.pet import BatchedPet
from aiida_pet.engine.symmetry.averaging import Rotations, RowRotations
from aiida_pet.engine.symmetry.projection import SymmetryProjector
from aiida_pet.engine.tasks.relax import Relax
from aiida_pet.job.parameters import Dtype, Task, parse_parameters
from aiida_pet.tables.crystals import StructureTable
from benchmarks.engine import batched, device, random_alloys, seconds, synchronize
from benchmarks.harness import Measurement, threads

N_CRYSTALS = 128
N_AVERAGED = 32
STEPS = 10
N_TURNS = 16


def run(quick: bool = False) -> Iterator[Measurement]:
    """Measure both.

    :param quick: an eighth of the crystals.
    """
    n_crystals, n_averaged = (N_CRYSTALS // 8, N_AVERAGED // 8) if quick else (N_CRYSTALS, N_AVERAGED)
    yield from projection(n_crystals)
    yield from averaging(n_averaged)


def cubic_crystals(count: int) -> StructureTable:
    """Return B2, bcc and L1_2-like crystals of the model's elements along the axes, 1 to 4 atoms."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(count):
        first, second = rng.permutation([41, 42, 73, 74])[:2]
        kind = i % 3
        if kind == 0:
            atoms = ase.build.bulk("Mo", a=3.1 + 0.002 * i)
            atoms.numbers = [first]
        elif kind == 1:
            atoms = ase.build.bulk("Mo", a=3.1 + 0.002 * i, cubic=True)
            atoms.numbers = [first, second]
        else:
            atoms = ase.build.bulk("Mo", "fcc", a=3.95 + 0.002 * i, cubic=True)
            atoms.numbers = [first, second, second, second]
        rows.append((f"cubic-{i:03d}", atoms))
    return StructureTable.from_ase(rows)


def operations_of(table: StructureTable) -> list[Operations]:
    """Return the space group of each row."""
    return [operations_of_row(table, row, 1e-4) for row in range(len(table))]


def projection(n_crystals: int) -> Iterator[Measurement]:
    """Measure the projection of forces and stress, alone and within a relaxation."""
    table = cubic_crystals(n_crystals)
    groups = operations_of(table)
    batch = Batch.from_table(table, device())
    projector = SymmetryProjector.build(groups, table.n_atoms, device())
    forces, stress = torch.randn_like(batch.positions), torch.randn_like(batch.cells)
    projector.forces(forces)
    mine = 1e3 * seconds(lambda: (projector.forces(forces), projector.stress(stress)), 100)
    peer = 1e3 * _fix_symmetry_seconds(table, forces, stress)
    words = f"ASE's FixSymmetry, crystal by crystal: {peer:.3g} ms/batch"
    detail = {
        "n_crystals": n_crystals,
        "n_atoms": len(table.numbers),
        "threads": threads(),
        "device": device(),
    }
    yield Measurement("symmetry/projection", mine, "ms/batch", words, peer / mine, detail)

    stretched = _stretched(table)
    steps: dict[str, list[float]] = {"none": [], "constrained": []}
    for _ in range(3):
        for symmetry, found in steps.items():
            found.extend(_step_seconds(stretched, symmetry))
    free, held = (1e3 * float(np.median(steps[symmetry])) for symmetry in ("none", "constrained"))
    detail |= {
        "added_percent": 100 * (held / free - 1.0),
        "ms_per_crystal_to_find_operations_once": 1e3 * seconds(lambda: operations_of(table)) / n_crystals,
    }
    words = f"without: {free:.3g} ms/step; 10 % more is the limit"
    yield Measurement("symmetry/projection/step", held, "ms/step", words, free / held, detail)


def _stretched(table: StructureTable) -> StructureTable:
    """Return ``table`` with cells a little too large, so that relaxations have something to do."""
    return StructureTable(
        table.ids, {}, {}, table.numbers, table.positions * 1.01, table.cells * 1.01, table.pbc, table.offsets
    )


def _fix_symmetry_seconds(table: StructureTable, forces: torch.Tensor, stress: torch.Tensor) -> float:
    from ase.constraints import FixSymmetry
    from ase.stress import full_3x3_to_voigt_6_stress

    parts = []
    for row, atoms in enumerate(table.iter_ase()):
        own = forces[torch.from_numpy(np.arange(*_span(table, row)))].cpu().numpy()
        tensor = stress[row].cpu().numpy()
        parts.append((FixSymmetry(atoms), atoms, own, full_3x3_to_voigt_6_stress(tensor + tensor.T)))

    def work() -> None:
        for constraint, atoms, own, tensor in parts:
            constraint.adjust_forces(atoms, own)
            constraint.adjust_stress(atoms, tensor)

    work()
    return seconds(work, 5)


def _span(table: StructureTable, row: int) -> tuple[int, int]:
    return int(table.offsets[row]), int(table.offsets[row + 1])


def _step_seconds(table: StructureTable, symmetry: str) -> list[float]:
    """Return the seconds of each step of a relaxation with all rows in flight, but for the first two."""
    parameters = {"fmax": 1e-9, "stress_max": 1e-9, "max_steps": STEPS, "symprecs": [], "symmetry": symmetry}
    times: list[float] = []

    def proceed() -> bool:
        synchronize()
        times.append(time.perf_counter())
        return True

    driver = Relax(
        table,
        batched(Dtype.FLOAT64, max_tokens=1e4),
        parse_parameters(Task.RELAX, parameters),
        finished=lambda rows: None,
        proceed=proceed,
    )
    driver.run()
    return np.diff(times)[2:].tolist()


def averaging(n_crystals: int) -> Iterator[Measurement]:
    """Measure O(3) averages of cubic crystals and of crystals without symmetry."""
    model, whole = batched(Dtype.FLOAT64), lebedev(3)
    cubic = cubic_crystals(n_crystals)
    reduced = [RowRotations.of(whole, group) for group in operations_of(cubic)]
    plain = random_alloys(n_crystals)
    for name, table, rows in (
        ("symmetry/o3", cubic, reduced),
        ("symmetry/o3/no_symmetry", plain, [RowRotations.of(whole)] * n_crystals),
    ):
        once = _evaluation_seconds(model, table, None, 3)
        averaged = _evaluation_seconds(model, table, Rotations(rows), 1)
        detail: dict[str, Any] = {
            "n_crystals": n_crystals,
            "n_atoms": len(table.numbers),
            "rotations_per_crystal": float(np.mean([len(row) for row in rows])),
            "scatter_smaller_by": _scatter_factor(model, random_alloys(4, seed=1)),
            "threads": threads(),
            "device": device(),
        }
        words = f"84 evaluations: {84e3 * once / n_crystals:.3g} ms/crystal"
        yield Measurement(
            name, 1e3 * averaged / n_crystals, "ms/crystal", words, 84 * once / averaged, detail
        )


def _evaluation_seconds(
    model: BatchedPet, table: StructureTable, rotations: Rotations | None, repeats: int
) -> float:
    batch = Batch.from_table(table, device())
    pairs = NeighborList(model.cutoff).update(batch)
    model.evaluate(batch, pairs, rotations)
    return seconds(lambda: model.evaluate(batch, pairs, rotations), repeats)


def _scatter_factor(model: BatchedPet, table: StructureTable) -> float:
    """Return how many times less the energies of randomly rotated crystals scatter if averaged, geometric mean."""
    energies: dict[bool, list[Any]] = {False: [], True: []}
    rotations = Rotations([RowRotations.of(lebedev(3))] * len(table))
    for turn in random_rotations(np.arange(N_TURNS), seed=0, step=0):
        rotated = StructureTable(
            table.ids,
            {},
            {},
            table.numbers,
            table.positions @ turn.T,
            table.cells @ turn.T,
            table.pbc,
            table.offsets,
        )
        batch = Batch.from_table(rotated, device())
        pairs = NeighborList(model.cutoff).update(batch)
        for averaged, found in energies.items():
            answer = model.evaluate(batch, pairs, rotations if averaged else None)
            found.append(answer.energy.cpu().numpy())
    plain, mean = (np.std(energies[averaged], axis=0) for averaged in (False, True))
    return float(np.exp(np.log(plain / mean).mean()))

"""Comparisons of the parts of the engine on the device with the CPU: evaluation, neighbours, averages, projections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from aiida_pet.crystals.symmetry.spacegroup import find_operations
from aiida_pet.engine.batch.evaluation import Evaluation
from aiida_pet.engine.batch.neighbors import NeighborList
from aiida_pet.engine.batch.pair_search import FoundPairs, search_with_vesin
from aiida_pet.engine.model.base import BatchModel
from aiida_pet.engine.symmetry.averaging import Rotations
from aiida_pet.engine.symmetry.rotations_of_rows import RotationsOfRows
from aiida_pet.job.parameters import Averaging, Derivation, Dtype, Output, Task, parse_parameters
from aiida_pet.tables.crystals import StructureTable
from benchmarks.engine import random_alloys
from benchmarks.gpu.checks import Check, compared, holds, on_host
from benchmarks.gpu.sides import Side, alloys_and_odd_ones, symmetric_crystals

#: Of two ways that add the same float64 numbers in another order: eV/atom, eV/A, eV/A^3.
EXACT = {"energy": 1e-9, "forces": 1e-8, "stress": 1e-9}
#: The least that float32 is granted, beyond three times what it costs on the CPU.
ROUGH = {"energy": 1e-5, "forces": 1e-4, "stress": 1e-5}
UNITS = {"energy": "eV/atom", "forces": "eV/A", "stress": "eV/A^3"}
HEADS: dict[str, dict[str, Any]] = {
    "conservative": {"outputs": (Output.ENERGIES, Output.FEATURES, Output.INVARIANCE)},
    "direct": {"forces": Derivation.DIRECT, "stress": Derivation.DIRECT},
    "direct forces": {"forces": Derivation.DIRECT},
}


def evaluation(tried: Side, reference: Side, quick: bool) -> Iterator[Check]:
    """Compare energies, forces, stresses and further outputs, of all heads, in float64 and float32."""
    table = alloys_and_odd_ones(4 if quick else 200)
    for heads, options in HEADS.items():
        known = evaluated(reference, reference.model(**options), table)
        yield from _all_of(
            f"evaluation/{heads}/float64",
            evaluated(tried, tried.model(**options), table),
            known,
            table,
            EXACT,
        )
        single = options | {"dtype": Dtype.FLOAT32}
        rounded = _main(evaluated(reference, reference.model(**single), table), table)
        granted = {
            name: max(ROUGH[name], 3.0 * float(np.nanmax(np.abs(values - _main(known, table)[name]))))
            for name, values in rounded.items()
        }
        said = evaluated(tried, tried.model(**single), table)
        yield from _main_of(f"evaluation/{heads}/float32", said, known, table, granted)
    if not quick:
        yield from _by_other_roads(tried, reference)


def _by_other_roads(tried: Side, reference: Side) -> Iterator[Check]:
    """Compare a batch with itself in pieces, and metatomic's road with the backend."""
    table = random_alloys(40)
    known = evaluated(reference, reference.model(), table)
    pieces = evaluated(tried, tried.model(max_tokens=900.0), table)
    yield from _main_of("evaluation/in pieces/float64", pieces, known, table, EXACT)
    wrapped = evaluated(tried, tried.wrapped(), table)
    yield from _main_of("evaluation/through metatomic/float64", wrapped, known, table, EXACT)


def neighbors(tried: Side, reference: Side, quick: bool) -> Iterator[Check]:
    """Compare the search of devices with vesin on the CPU, pair by pair, and lists that are kept with fresh ones."""
    table = alloys_and_odd_ones(4 if quick else 300)
    for cutoff in (4.5, 8.0):
        found = _sorted(tried.pairs(tried.batch(table), cutoff))
        known = _sorted(search_with_vesin(reference.batch(table), cutoff))
        for what, unit, tolerance in (("pairs", "different", 0.0), ("distances", "A", 1e-9)):
            yield compared(f"neighbors/{what} within {cutoff:g} A", found[what], known[what], tolerance, unit)
    batch = tried.batch(table)
    kept, rng = NeighborList(4.5), torch.Generator().manual_seed(1)
    counts, fresh = [], []
    for _ in range(4):  # some rows go stale at each move
        move = 0.12 * torch.randn(batch.positions.shape, generator=rng, dtype=torch.float64)
        batch = batch.moved(batch.positions + move.to(batch.device), batch.cells)
        pairs = kept.update(batch)
        apart = batch.positions[pairs.neighbors] - batch.positions[pairs.centers]
        cells = batch.cells[batch.row_of_atom[pairs.centers]]
        apart = apart + torch.einsum("pi,pij->pj", pairs.shifts.double(), cells)
        near = torch.linalg.vector_norm(apart, dim=1) < 4.5
        counts.append(torch.bincount(pairs.centers[near], minlength=len(batch.numbers)))
        centers = tried.pairs(batch, 4.5).centers
        fresh.append(torch.bincount(centers, minlength=len(batch.numbers)))
    yield compared("neighbors/of a list that is kept", torch.stack(counts), torch.stack(fresh), 0.0)
    yield holds(
        "neighbors/rows are rebuilt one by one",
        len(table) < kept.builds < 4 * len(table),
        f"{kept.builds} builds of {len(table)} rows in 4 moves",
    )


def averaging(tried: Side, reference: Side, quick: bool) -> Iterator[Check]:
    """Compare averages over rotations, of crystals with symmetry and without, and the deviations over them."""
    table = StructureTable.concatenate([symmetric_crystals(), random_alloys(1 if quick else 12)])
    kinds = ["octahedral", "spacegroup"] if quick else [*map(str, Averaging), "lebedev-3"]
    for kind in kinds:
        if kind == Averaging.NONE:
            continue
        parameters = parse_parameters(Task.STATIC, {"averaging": kind})
        chosen = RotationsOfRows(table, parameters)
        rows = list(range(len(table)))
        rotations = Rotations(
            chosen.random(rows, 3) if kind == Averaging.RANDOM else [chosen.still(row) for row in rows]
        )
        outputs = (Output.ENERGIES, Output.INVARIANCE)
        said, known = (
            evaluated(side, side.model(outputs=outputs), table, rotations) for side in (tried, reference)
        )
        yield from _all_of(f"averaging/{kind}", said, known, table, EXACT)


def projection(tried: Side, reference: Side, quick: bool) -> Iterator[Check]:
    """Compare random forces and stresses projected onto space groups."""
    table = StructureTable.concatenate([symmetric_crystals(), random_alloys(4 if quick else 200)])
    groups, sizes = [], table.n_atoms.tolist()
    for row in range(len(table)):
        atoms = table.atoms_of(row)
        groups.append(find_operations(table.cells[row], table.positions[atoms], table.numbers[atoms], 0.01))
    generator = torch.Generator().manual_seed(2)
    forces = torch.randn((len(table.numbers), 3), generator=generator, dtype=torch.float64)
    stress = torch.randn((len(table), 3, 3), generator=generator, dtype=torch.float64)
    stress = stress + stress.mT
    mine, known = (side.projector(groups, sizes) for side in (tried, reference))
    forces_known, stress_known = known.forces(forces), known.stress(stress)
    yield compared("projection/forces", mine.forces(forces.to(tried.device)), forces_known, 1e-12, "eV/A")
    yield compared("projection/stress", mine.stress(stress.to(tried.device)), stress_known, 1e-12, "eV/A^3")
    changed = float((forces_known - forces).abs().max()) > 0.1
    yield holds("projection/changes what is not symmetric", changed, "of random forces")


def evaluated(
    side: Side, model: BatchModel, table: StructureTable, rotations: Rotations | None = None
) -> Evaluation:
    """Return what ``model`` of ``side`` says of ``table``, in the memory of the host."""
    batch = side.batch(table)
    return model.evaluate(batch, NeighborList(model.cutoff).update(batch), rotations).cpu()


def _main(said: Evaluation, table: StructureTable) -> dict[str, np.ndarray]:
    return {
        "energy": on_host(said.energy) / table.n_atoms,
        "forces": on_host(said.forces),
        "stress": on_host(said.stress),
    }


def _main_of(
    name: str, said: Evaluation, known: Evaluation, table: StructureTable, tolerances: dict[str, float]
) -> Iterator[Check]:
    mine, its = _main(said, table), _main(known, table)
    for what, tolerance in tolerances.items():
        yield compared(f"{name}/{what}", mine[what], its[what], tolerance, UNITS[what])


def _all_of(
    name: str, said: Evaluation, known: Evaluation, table: StructureTable, tolerances: dict[str, float]
) -> Iterator[Check]:
    """Compare also further results, whose size is anyone's guess, relative to the largest of each."""
    yield from _main_of(name, said, known, table, tolerances)
    for mine, its in ((said.rows, known.rows), (said.atoms, known.atoms)):
        if mine.keys() != its.keys():
            yield holds(f"{name}/names", False, f"{sorted(mine)} instead of {sorted(its)}")
            continue
        for what in its:
            largest = float(np.nanmax(np.abs(on_host(its[what])), initial=0.0))
            if largest > 1e-6:  # less is rounding, of what should be zero
                yield compared(f"{name}/{what}", mine[what], its[what], 1e-7 * max(1.0, largest))


def _sorted(found: FoundPairs) -> dict[str, np.ndarray]:
    """Return pairs and distances in an order that does not depend on who found them."""
    columns = [found.centers[:, None], found.neighbors[:, None], found.shifts]
    pairs = on_host(torch.cat(columns, dim=1))
    order = np.lexsort(pairs.T[::-1])
    return {"pairs": pairs[order], "distances": on_host(found.distances)[order]}

"""What L-BFGS saves against FIRE near a minimum, and what it changes in the results.

Ordered alloys are relaxed tightly (1e-4 eV/A, held to their symmetry) from the same start with each; phonons and
elastic tensors, whose strained crystals relax, are those of the crystals that FIRE relaxed. Times are seconds of CPU on
one core.
"""

from __future__ import annotations

from collections.abc import Iterator

from aiida_pet.job.parameters import Dtype, Optimizer, Task
from benchmarks.engine import random_alloys
from benchmarks.harness import Measurement
from benchmarks.phonons import ordered_alloys
from benchmarks.precision import N_CRYSTALS, QUICK, differences, found_with, speedups


def run(quick: bool, n_crystals: int = N_CRYSTALS) -> Iterator[Measurement]:
    """Yield the CPU time of elastic constants with L-BFGS against FIRE, and what it changes."""
    size = QUICK if quick else n_crystals
    start = ordered_alloys().take(list(range(3, 3 + size)))
    rattled = random_alloys(size)
    dtype = Dtype.MIXED.value
    fire = found_with({"optimizer": Optimizer.FIRE.value, "dtype": dtype}, start, rattled, None)
    relaxed = fire.tables[Task.RELAX]
    found = found_with({"optimizer": Optimizer.LBFGS.value, "dtype": dtype}, start, rattled, relaxed)
    mine, theirs = found.cpu[Task.ELASTIC], fire.cpu[Task.ELASTIC]
    yield Measurement(
        "optimizers/lbfgs",
        1e3 * mine / size,
        "ms/crystal",
        f"FIRE: {1e3 * theirs / size:.3g} ms/crystal",
        theirs / mine,
        {"crystals": size} | speedups(found, fire) | differences(found.tables, fire.tables),
    )

"""Relaxations of 64 to 4,096 alloys: crystals per second, time of a step per atom, memory of the process.

Each size is a job of its own. Every crystal takes the same number of steps, so that rates compare; rows beyond those in
flight wait, and what waits should cost nothing but its place in the table.
"""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.engine import device, random_alloys
from benchmarks.harness import Measurement, threads
from benchmarks.relax import run_engine

SIZES = (64, 256, 1_024, 4_096)
STEPS = 4


def run(quick: bool = False) -> Iterator[Measurement]:
    """Measure each size against the smallest.

    :param quick: the two smallest, an eighth as many.
    """
    sizes = (8, 32) if quick else SIZES
    table = random_alloys(sizes[-1])
    run_engine(table.take(range(sizes[0])), _parameters())  # what is slow only once
    first_rate = None
    for size in sizes:
        part = table.take(range(size))
        progress, _ = run_engine(part, _parameters())
        rate = size / progress.compute_s
        first_rate = first_rate or rate
        yield Measurement(
            "scaling/rows",
            rate,
            "crystals/s",
            f"{sizes[0]} rows: {first_rate:.3g} crystals/s",
            rate / first_rate,
            {
                "n_crystals": size,
                "evaluations_per_crystal": progress.evaluations / size,
                "us_per_atom_and_evaluation": 1e6 * progress.compute_s / (len(part.numbers) * (STEPS + 1)),
                "peak_memory_mib": progress.memory_mb,
                "threads": threads(),
                "device": device(),
            },
        )


def _parameters() -> dict[str, object]:
    return {"fmax": 1e-6, "stress_max": 1e-6, "max_steps": STEPS, "symprecs": []}

"""The engine against pet-kokkos in float32: the same crystals and states, neighbour lists included, in turn.

pet-kokkos gets the crystals in batches of the size at which it is fastest. Both take turns, pair by pair, so that a
drift of the machine's speed meets both. On one thread the seconds of CPU count, which do not see that others keep the
machine busy; on several those of the wall, since threads that wait for work spin.
"""

from __future__ import annotations

import importlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aiida_pet.engine.batch.batch import Batch
from aiida_pet.engine.batch.neighbors import NeighborList
from aiida_pet.engine.model.kokkos_files import write_for_kokkos
from aiida_pet.job.parameters import Dtype
from aiida_pet.tables.crystals import StructureTable
from benchmarks.engine import batched, shipped_plain, states_of_relaxation
from benchmarks.harness import Measurement, threads

SIZES = (4, 8, 16, 32, 64, 128, 256)  # of a batch, crystals
PAIRS = 5
AGREE = 1e-5  # eV/atom


def against_kokkos(table: StructureTable, n_states: int, n_pairs: int = PAIRS) -> Iterator[Measurement]:
    """Yield ``evaluate/pet_kokkos``; nothing where pet-kokkos is not installed or built for a GPU."""
    try:
        package = importlib.import_module("pet_kokkos")
    except ImportError as error:
        print(f"without pet-kokkos: {error}")
        return
    model = batched(Dtype.FLOAT32)
    states = states_of_relaxation(table, model, n_states)
    with tempfile.TemporaryDirectory() as folder:
        write_for_kokkos(shipped_plain(), Path(folder) / "model")
        calculator = package.Calculator(str(Path(folder) / "model"))
    theirs = _Theirs(calculator, states)
    theirs.evaluate(0, len(table))  # it takes its memory at first
    sizes = [size for size in SIZES if size <= len(table)]
    size = min(sizes, key=lambda size: _seconds(lambda: theirs.evaluate(0, size)))
    mine = _Mine(model, states)
    apart = np.abs(mine.energies(states[0]) - theirs.energies(0, size)) / table.n_atoms
    if apart.max() > AGREE:
        raise RuntimeError(f"pet-kokkos differs by {apart.max():.3g} eV/atom: one of them is wrong")
    pairs = [(_seconds(mine.begun()), _seconds(lambda: theirs.evaluate_all(size))) for _ in range(n_pairs)]
    n_evaluated = len(table) * (n_states - 1)
    own, other = (1e3 * statistics.median(pair[place] for pair in pairs) / n_evaluated for place in (0, 1))
    ratios = [other / own for own, other in pairs]
    yield Measurement(
        "evaluate/pet_kokkos",
        own,
        "ms/crystal",
        f"pet-kokkos in batches of {size} crystals: {other:.3g} ms/crystal",
        statistics.median(ratios),
        {
            "dtype": "float32",
            "n_crystals": len(table),
            "n_atoms": len(table.numbers),
            "n_states": n_states,
            "threads": threads(),
            "clock": "CPU" if threads() == 1 else "wall",
            "ratios": ratios,
            "largest_difference_ev_per_atom": float(apart.max()),
            "backend": str(package.backend()),
        },
    )


def _seconds(work: Callable[[], Any]) -> float:
    clock = time.process_time if threads() == 1 else time.perf_counter
    start = clock()
    work()
    return clock() - start


class _Mine:
    """The engine, as the driver runs it: the neighbour list keeps its skin from state to state."""

    def __init__(self, model: Any, states: list[Batch]) -> None:
        self._model, self._states = model, states

    def energies(self, state: Batch) -> np.ndarray:
        pairs = NeighborList(self._model.cutoff).update(state)
        energies: np.ndarray = self._model.evaluate(state, pairs).energy.cpu().numpy()
        return energies

    def begun(self) -> Callable[[], None]:
        """Return what evaluates all states but the first, whose neighbours are found before."""
        torch.set_num_threads(1)  # the engine shares out its cores itself
        neighbors = NeighborList(self._model.cutoff)
        neighbors.update(self._states[0])

        def evaluate() -> None:
            for state in self._states[1:]:
                self._model.evaluate(state, neighbors.update(state))

        return evaluate


class _Theirs:
    """pet-kokkos's calculator; crystals become arrays of numpy before the time is taken."""

    def __init__(self, calculator: Any, states: list[Batch]) -> None:
        self._calculator = calculator
        ends = states[0].n_atoms.cumsum(0)[:-1].tolist()
        numbers = np.split(states[0].numbers.cpu().numpy(), ends)
        self._crystals = [
            list(
                zip(
                    numbers,
                    np.split(state.positions.cpu().numpy(), ends),
                    state.cells.cpu().numpy(),
                    [True] * len(state),
                    strict=True,
                )
            )
            for state in states
        ]

    def evaluate(self, place: int, size: int) -> list[dict[str, Any]]:
        crystals = self._crystals[place]
        said: list[dict[str, Any]] = []
        for start in range(0, len(crystals), size):
            said += self._calculator.compute_batch(crystals[start : start + size])
        return said

    def energies(self, place: int, size: int) -> np.ndarray:
        return np.array([one["energy"] for one in self.evaluate(place, size)])

    def evaluate_all(self, size: int) -> None:
        for place in range(1, len(self._crystals)):
            self.evaluate(place, size)

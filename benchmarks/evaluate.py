"""One evaluation, energy, forces and stress, of 256 cells of 1 to 8 atoms, as a relaxation asks for it.

Each way evaluates the same states, those of a relaxation: positions and shapes change from one to the next, and
neighbour lists are part of the time. The ways take turns, and the best of three rounds counts for each. metatomic's
torch-sim wrapper gets all crystals in one batch, metatomic-ase one after another. The ceiling is the model's own:
metatrain's backend, forward and backward, with neighbour list given and at the batch size at which it is fastest.
pet-kokkos is compared in :mod:`benchmarks.kokkos`, the machine's peak in :mod:`benchmarks.matrix_peak`.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from aiida_pet.engine.batch.batch import Batch
from aiida_pet.engine.batch.neighbors import NeighborList
from aiida_pet.engine.model.chunks import plan
from aiida_pet.engine.model.pet import BatchedPet
from aiida_pet.job.parameters import Dtype
from aiida_pet.tables.crystals import StructureTable
from benchmarks.engine import batched, device, random_alloys, seconds, shipped, states_of_relaxation
from benchmarks.harness import Measurement, threads
from benchmarks.kokkos import PAIRS, against_kokkos
from benchmarks.matrix_peak import shares_of_peak

N_CRYSTALS = 256
N_STATES = 12
N_WITH_ASE = 32  # crystals
N_ROUNDS = 3
LIMITS = (1_500.0, 3_000.0, 6_000.0, 12_000.0, 24_000.0, 1e5, 1e6)  # tokens of a piece, for the ceiling


def run(quick: bool = False) -> Iterator[Measurement]:
    """Compare in float64 and float32.

    :param quick: a sixteenth of the crystals, four states.
    """
    n_crystals, n_states = (N_CRYSTALS // 16, 4) if quick else (N_CRYSTALS, N_STATES)
    table = random_alloys(n_crystals)
    for dtype in (Dtype.FLOAT64, Dtype.FLOAT32):
        model = batched(dtype)
        states = states_of_relaxation(table, model, n_states)
        rounds = [one_round(table, model, states, dtype) for _ in range(1 if quick else N_ROUNDS)]
        mine, wrapper = (min((found[i] for found in rounds), key=lambda way: way["seconds"]) for i in (0, 1))
        one_by_one = min(found[2] for found in rounds)
        ceiling, at = min(found[3] for found in rounds)
        per_crystal = 1e3 * mine["seconds"] / n_crystals
        disagreement = np.abs(mine["energies"] - wrapper["energies"]).max()
        if disagreement > (1e-8 if dtype is Dtype.FLOAT64 else 1e-3):
            raise RuntimeError(f"the wrapper differs by {disagreement:.3g} eV: one of them is wrong")
        detail = {
            "dtype": dtype.value,
            "n_crystals": n_crystals,
            "n_atoms": len(table.numbers),
            "n_states": n_states,
            "threads": threads(),
            "device": device(),
            "neighbor_list_share": mine["list_share"],
            "rebuilt_rows_per_state": mine["rebuilt"],
        }
        suffix = "" if dtype is Dtype.FLOAT64 else "/float32"
        for name, other, words in (
            ("wrapper", wrapper["seconds"] / n_crystals, "metatomic-torchsim in the same batch"),
            ("ase", one_by_one, "metatomic-ase one by one"),
            ("ceiling", ceiling / n_crystals, f"backend with list given, best at {at:.0f} tokens"),
        ):
            yield Measurement(
                f"evaluate/{name}{suffix}",
                per_crystal,
                "ms/crystal",
                f"{words}: {1e3 * other:.3g} ms/crystal",
                1e3 * other / per_crystal,
                detail,
            )
    yield from against_kokkos(table, n_states, 1 if quick else PAIRS)
    yield from shares_of_peak(table, 1 if quick else PAIRS)


def one_round(
    table: StructureTable, model: BatchedPet, states: list[Batch], dtype: Dtype
) -> tuple[dict[str, Any], dict[str, Any], float, tuple[float, float]]:
    """Return what each way takes, one after another: engine, wrapper, ASE, backend."""
    torch.set_num_threads(1)  # the engine shares out its cores itself
    mine = through_engine(model, states)
    torch.set_num_threads(threads())
    return (
        mine,
        through_wrapper(states, dtype),
        through_ase(table, states, dtype),
        through_backend(model, states[0]),
    )


def through_engine(model: BatchedPet, states: list[Batch]) -> dict[str, Any]:
    """Evaluate ``states`` as the driver does; the first is not timed."""
    neighbors = NeighborList(model.cutoff)
    energies = [model.evaluate(states[0], neighbors.update(states[0])).energy]
    built, in_list = neighbors.builds, 0.0

    def work() -> None:
        nonlocal in_list
        for state in states[1:]:
            start = time.perf_counter()
            pairs = neighbors.update(state)
            in_list += time.perf_counter() - start
            energies.append(model.evaluate(state, pairs).energy)

    total = seconds(work)
    n_timed = len(states) - 1
    return {
        "seconds": total / n_timed,
        "energies": torch.stack(energies).cpu().numpy(),
        "list_share": in_list / total,
        "rebuilt": (neighbors.builds - built) / n_timed,
    }


def through_wrapper(states: list[Batch], dtype: Dtype) -> dict[str, Any]:
    """Evaluate ``states`` by metatomic's ModelInterface; the first is not timed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from metatomic_torchsim import MetatomicModel
        from torch_sim.state import SimState

        kind = getattr(torch, dtype.value)
        model = MetatomicModel(shipped().to(kind).export(), device=device())

        def evaluate(state: Batch) -> torch.Tensor:
            system = SimState(
                positions=state.positions.to(kind),
                masses=torch.ones_like(state.positions[:, 0], dtype=kind),
                cell=state.cells.mT.contiguous().to(kind),
                pbc=True,
                atomic_numbers=state.numbers,
                system_idx=state.row_of_atom,
            )
            energy: torch.Tensor = model(system)["energy"]
            return energy.detach().double()

        energies = [evaluate(states[0])]
        total = seconds(lambda: energies.extend(evaluate(state) for state in states[1:]))
    return {"seconds": total / (len(states) - 1), "energies": torch.stack(energies).cpu().numpy()}


def through_ase(table: StructureTable, states: list[Batch], dtype: Dtype) -> float:
    """Return the seconds of an evaluation by metatomic's calculator, mean over some crystals and all states."""
    from aiida_pet.engine.model.ase_calculator import pet_calculator
    from aiida_pet.models import embedded_card, embedded_path

    calculator = pet_calculator(embedded_path(), embedded_card()["sha256"], dtype=dtype, device=device())
    rows = np.linspace(0, len(table) - 1, min(N_WITH_ASE, len(table))).astype(int)
    total = 0.0
    for row in rows.tolist():
        atoms = next(iter(table.take([row]).iter_ase()))
        atoms.calc = calculator
        own = table.atoms_of(row)

        def work(
            atoms: Any = atoms, row: int = row, own: Any = own, first: int = 1, last: int = len(states)
        ) -> None:
            for state in states[first:last]:
                atoms.set_cell(state.cells[row].cpu().numpy())
                atoms.positions[:] = state.positions[own].cpu().numpy()
                atoms.get_potential_energy()
                atoms.get_forces()
                atoms.get_stress()

        work(first=0, last=1)
        total += seconds(work)
    return total / (len(rows) * (len(states) - 1))


def through_backend(model: BatchedPet, state: Batch) -> tuple[float, float]:
    """Return the seconds of forward and backward of the backend alone, and the tokens of a piece at which it is best.

    Pieces hold crystals of like neighbour counts, their neighbours within the cutoff only, and run one after another
    on all cores.
    """
    pairs = NeighborList(model.cutoff, skin=0.0).update(state)
    backend, dtype = model._backend, model.dtype
    best = (float("inf"), 0.0)
    for limit in LIMITS:
        pieces = [
            (chunk.of(state), chunk.pairs)
            for chunk in plan(state, pairs, range(len(state)), limit, cost=model.cost)
        ]

        def work(pieces: Any = pieces) -> None:
            for batch, its in pieces:
                positions = batch.positions.to(dtype).requires_grad_()
                strain = torch.zeros((len(batch), 3, 3), dtype=dtype, device=batch.device, requires_grad=True)
                moved = positions + torch.einsum("ai,aij->aj", positions, strain[batch.row_of_atom])
                cells = batch.cells.to(dtype)
                cells = cells + cells @ strain
                data = backend.preprocess(
                    moved,
                    its.centers,
                    its.neighbors,
                    batch.numbers,
                    cells,
                    its.shifts,
                    batch.row_of_atom,
                    1.0,
                )
                nodes, edges = backend.calculate_features(data)
                predicted, _, _ = backend.predict(nodes, edges, data, cells, batch.row_of_atom, ["energy"])
                torch.autograd.grad(predicted["energy"][0].sum(), [positions, strain])

        work()
        best = min(best, (seconds(work, 3), limit))
        if len(pieces) == 1:
            break
    return best

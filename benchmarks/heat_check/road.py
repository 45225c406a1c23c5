"""The whole road to a conductivity, engine and transport, beside phono3py by hand with the forces of metatomic-ase.

The engine relaxes each crystal and computes the forces; by hand the forces of the relaxed crystal are computed again,
one supercell after another. Both take the supercells of the crystal, a coarse mesh and plain relaxation times, since
phono3py's Wigner transport has a fault that aiida-pet works around.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from ase import Atoms

from aiida_pet.job.parameters import parse_parameters
from aiida_pet.job.tasks import Task
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.transport.rows import transport_of_row
from benchmarks.heat_check.by_hand import calculator_of, conductivity_by_hand
from benchmarks.heat_check.crystals import with_cells
from benchmarks.heat_check.verdict import Verdict
from benchmarks.model_check.engine import Model, run

FORCES, KAPPA = 1e-6, 1e-3  # eV/A, relative
MESHES = {True: (9, 9, 9), False: (9, 9, 7)}  # cubic or not; coarser meshes show nothing of wurtzite
DISTANCE = 0.03  # A
GIVEN: dict[str, Any] = {
    "displacement": DISTANCE,
    "opposites": "auto",
    "transport": "rta",
    "temperatures": [300.0],
    "nac": False,
    "symprecs": [1e-5],
}


def verdicts(model: Model, crystals: dict[str, Atoms]) -> Iterator[Verdict]:
    """Yield the forces and the conductivity of each crystal beside those by hand."""
    calculator = calculator_of(model.path)
    for name, atoms in crystals.items():
        yield _judged(name, atoms, model, calculator)


def _judged(name: str, atoms: Atoms, model: Model, calculator: Any) -> Verdict:
    cubic = atoms.info["symm.no"] in (216, 225)
    began = time.perf_counter()
    given = GIVEN | {"mesh": MESHES[cubic]}
    row = run(model, Task.CONDUCTIVITY, with_cells({name: atoms}), **given)
    status = str(row.columns["status"][0])
    if status != "converged":
        return Verdict(name, f"{status}: {row.columns['message'][0]}", False)
    answer = transport_of_row(row, parse_parameters(Task.CONDUCTIVITY, given))
    if answer.failed:
        return Verdict(name, answer.failed, False)
    middle = time.perf_counter()
    relaxed = row.ase_at(0)
    relaxed.info |= {key: atoms.info[key] for key in ("fc2_supercell", "fc3_supercell")}
    hand = conductivity_by_hand(relaxed, calculator, mesh=MESHES[cubic], opposites="auto", distance=DISTANCE)
    spent = f"{middle - began:.0f} s, by hand {time.perf_counter() - middle:.0f} s"
    worst = max(_difference(row, "fc2_forces", hand.fc2), _difference(row, "fc3_forces", hand.fc3))
    counts = f"{len(hand.fc2)} + {len(hand.fc3)} supercells, forces within {worst:.1e} eV/A"
    kappa, expected = float(answer.columns["kappa_300"]), hand.kappa
    if np.isnan(expected):
        lowest = float(answer.columns["mesh_min_frequency"])
        same = np.isnan(kappa) and abs(lowest - hand.frequencies.min()) < 1e-3
        told = f"imaginary by both ways, lowest {lowest:.4f} and {hand.frequencies.min():.4f} THz"
        return Verdict(name, f"{counts}; {told}; {spent}", worst < FORCES and bool(same))
    change = kappa / expected - 1
    told = f"kappa {kappa:.5f}, by hand {expected:.5f} W/(m K) ({change:+.1e})"
    return Verdict(name, f"{counts}; {told}; {spent}", bool(worst < FORCES and abs(change) < KAPPA))


def _difference(row: StructureTable, name: str, hand: Any) -> float:
    ours = row.ragged[name][0].reshape(-1, 3)
    theirs = hand.reshape(-1, 3)
    return float(np.abs(ours - theirs).max()) if ours.shape == theirs.shape else float("inf")

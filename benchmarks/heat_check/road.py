"""The whole road to a conductivity, engine and transport, beside phono3py by hand with the forces of metatomic-ase.

The engine relaxes each crystal and computes the forces; by hand the forces of the relaxed crystal are computed again,
one supercell after another. Both take the supercells of the crystal, a coarse mesh and plain relaxation times, since
phono3py's Wigner transport has a fault that aiida-pet works around.

By hand there are two conductivities: one of the forces computed by hand, the other of the forces of the launch. The
second one is judged. The first one is printed, since on a coarse mesh it cannot be as close: the tetrahedron method
jumps where frequencies are equal by symmetry, so that on a mesh of 9 x 9 x 9 noise of 1e-12 eV/A in the forces of
second order changes the conductivity of MgO by 0.14 %, and noise of 1e-8 eV/A by 0.06 %. Single precision of the
forces of third order changes it by 3e-7.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from ase import Atoms

from aiida_pet.engine.model.ase_calculator import pet_calculator
from aiida_pet.job.parameters import parse_parameters
from aiida_pet.job.tasks import Task
from aiida_pet.tables.arrays import Floats
from aiida_pet.transport.rows import transport_of_row
from benchmarks.heat_check.by_hand import ConductivityByHand
from benchmarks.heat_check.crystals import with_cells
from benchmarks.heat_check.verdict import Verdict
from benchmarks.model_check.engine import Model, run

FORCES = ("fc2_forces", "fc3_forces")
FORCE, KAPPA = 1e-6, 1e-3  # eV/A, relative
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
    calculator = pet_calculator(model.path, model.sha256, device="cpu")
    for name, atoms in crystals.items():
        yield _judged(name, atoms, model, calculator)


def _judged(name: str, atoms: Atoms, model: Model, calculator: Any) -> Verdict:
    mesh = MESHES[atoms.info["symm.no"] in (216, 225)]
    began = time.perf_counter()
    given = GIVEN | {"mesh": mesh}
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
    by_hand = ConductivityByHand(relaxed, opposites="auto", distance=DISTANCE)
    theirs = by_hand.forces(calculator)
    ours = tuple(row.ragged[column][0] for column in FORCES)
    apart = [_difference(*pair) for pair in zip(ours, theirs, strict=True)]
    worst = max(apart)
    told = f"{len(theirs[0])} + {len(theirs[1])} supercells, forces within {apart[0]:.1e} and {apart[1]:.1e} eV/A"
    if not np.isfinite(worst):
        return Verdict(name, told, False)
    whole = by_hand.conductivity(*theirs, mesh)
    same = by_hand.conductivity(
        *(one.reshape(two.shape) for one, two in zip(ours, theirs, strict=True)), mesh
    )
    spent = f"{middle - began:.0f} s, by hand {time.perf_counter() - middle:.0f} s"
    kappa = float(answer.columns["kappa_300"])
    if np.isnan(whole.kappa):
        lowest = float(answer.columns["mesh_min_frequency"])
        imaginary = np.isnan(kappa) and abs(lowest - whole.lowest) < 1e-3
        told += f"; imaginary by both ways, lowest {lowest:.4f} and {whole.lowest:.4f} THz"
        return Verdict(name, f"{told}; {spent}", bool(worst < FORCE and imaginary))
    changes = kappa / same.kappa - 1, kappa / whole.kappa - 1
    told += (
        f"; kappa {kappa:.5f}, by hand {whole.kappa:.5f} W/(m K) ({changes[1]:+.1e}), with the same forces "
    )
    told += f"{same.kappa:.5f} ({changes[0]:+.1e})"
    return Verdict(name, f"{told}; {spent}", bool(worst < FORCE and abs(changes[0]) < KAPPA))


def _difference(ours: Floats, theirs: Floats) -> float:
    """Return the largest difference of forces, infinite if there are not equally many."""
    return float(np.abs(ours.ravel() - theirs.ravel()).max()) if ours.size == theirs.size else float("inf")

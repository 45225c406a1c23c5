"""C_v at 300 K of binaries beside that of Alexandria: what the model says of vibrations of crystals it may know."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from pymatgen.core import Structure

from aiida_pet.job.tasks import Task
from aiida_pet.tables.crystals import StructureTable
from benchmarks.heat_check.verdict import Verdict
from benchmarks.model_check.engine import Model, run

MOST_ATOMS = 8
WANTED = 50
GIVEN: dict[str, Any] = {
    "min_image": 8.0,
    "mesh": 30.0,
    "symprecs": [],
    "nac": False,
    "temperatures": [300.0],
}


def binaries(data: Path, elements: set[int], count: int = WANTED) -> dict[str, tuple[Atoms, float]]:
    """Return id -> crystal and C_v at 300 K, J/(K mol) of its cell: the smallest within ``elements``."""
    with gzip.open(data / "benchmarks" / "heat-capacity-binaries.json.gz") as handle:
        records = json.load(handle)
    found = {}
    for record in records:
        structure = Structure.from_dict(record["structure"])
        atoms = Atoms(
            structure.atomic_numbers, structure.cart_coords, cell=structure.lattice.matrix, pbc=True
        )
        if len(atoms) <= MOST_ATOMS and set(atoms.numbers.tolist()) <= elements:
            found[f"{record['mp_id']} {record['formula']}"] = (atoms, float(record["heat_capacity"]))
    smallest = sorted(found, key=lambda name: len(found[name][0]))[:count]
    return {name: found[name] for name in smallest}


def verdicts(model: Model, crystals: dict[str, tuple[Atoms, float]]) -> Iterator[Verdict]:
    """Yield the error of each crystal, and then the mean of them."""
    table = StructureTable.from_ase([(name, atoms) for name, (atoms, _) in crystals.items()])
    rows = run(model, Task.PHONONS, table, **GIVEN)
    errors = []
    for place, (name, (atoms, expected)) in enumerate(crystals.items()):
        status = str(rows.columns["status"][place])
        if status != "converged":
            yield Verdict(name, f"{status}: {rows.columns['message'][place]}")
            continue
        cells = len(atoms) / float(rows.columns["n_atoms_primitive"][place])
        ours = float(rows.columns["heat_capacity_300"][place]) * cells
        stable = bool(rows.columns["is_dynamically_stable"][place])
        errors.append((ours - expected) / len(atoms))
        told = f"{ours:.2f}, Alexandria {expected:.2f} J/(K mol)"
        yield Verdict(name, told if stable else f"{told}; it has imaginary modes")
    mae, bias = float(np.abs(errors).mean()), float(np.mean(errors))
    yield Verdict("all", f"{len(errors)} crystals: MAE {mae:.3f}, mean error {bias:+.3f} J/(K mol) per atom")

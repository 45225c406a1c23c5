"""Small crystals with labels of a potential in closed form (ASE's EMT): three cells of each of several crystals."""

from __future__ import annotations

import numpy as np
from ase.build import bulk
from ase.calculators.emt import EMT

from aiida_pet.tables.crystals import StructureTable

TINY = {
    "architecture": "tiny",
    "cutoff": 4.0,
    "neighbors": None,
    "group": "base",
    "report_by": "kind",
    "epochs": 2,
    "epochs_direct": 2,
    "validation_fraction": 0.2,
    "test_fraction": 0.2,
    "min_rows": 4,
}
"""Options of a training of two thousand weights in seconds."""


def labelled(n: int = 24, seed: int = 0) -> StructureTable:
    """Return `n` cells of Cu and CuAu3, three of each crystal `base`, rattled and strained, with labels of EMT."""
    rng = np.random.default_rng(seed)
    items, energy, forces, stress, base, kind = [], [], [], [], [], []
    for i in range(n):
        cell = bulk("Cu", "fcc", a=3.6 * (1 + 0.03 * (rng.random() - 0.5)), cubic=True)
        if (i // 3) % 2:
            cell.numbers[1:] = 79
            cell.set_cell(cell.cell * 1.1, scale_atoms=True)
        cell.rattle(0.015, seed=seed + i)
        cell.calc = EMT()
        energy.append(cell.get_potential_energy())
        forces.append(cell.get_forces())
        stress.append(cell.get_stress())
        cell.calc = None
        items.append((f"cell-{i:02d}", cell))
        base.append(f"crystal-{i // 3}")
        kind.append("alloy" if (i // 3) % 2 else "element")
    table = StructureTable.from_ase(items)
    table.set_column("input_energy", np.array(energy), "eV")
    table.set_column("input_stress", np.array(stress), "eV/A^3")
    table.set_column("base", np.array(base))
    table.set_column("kind", np.array(kind))
    table.atom_columns["input_forces"] = np.concatenate(forces)
    return table

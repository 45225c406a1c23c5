"""Results that plots are made of: phonons with everything that a job writes beside the force constants."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from phonopy import Phonopy

from aiida_pet.crystals.phonons.harmonic import harmonic_properties
from aiida_pet.tables.crystals import StructureTable

TEMPERATURES = (100.0, 300.0, 3000.0)


def with_thermal(table: StructureTable, hands: Mapping[str, Phonopy]) -> StructureTable:
    """Add densities of states and thermal properties to `table`, and return it."""
    found = [
        harmonic_properties(hands[name], mesh=60.0, temperatures=TEMPERATURES, frequencies=801)
        for name in table.ids.tolist()
    ]
    names = ("phonon_dos", "dos_frequencies", "free_energy", "entropy", "heat_capacity", "n_atoms_primitive")
    for name in names:
        table.set_column(name, np.array([getattr(one, name) for one in found]))
    table.set_column("temperatures", np.tile(TEMPERATURES, (len(table), 1)))
    return table

"""What is asked of each row of a table: parameters, with the columns of the input that take their place."""

from __future__ import annotations

from dataclasses import dataclass

import ase.data
import numpy as np

from aiida_pet.job.dynamics_columns import RowParameters
from aiida_pet.job.dynamics_parameters import DynamicsParameters
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.table import Array
from aiida_pet.tables.warnings import Warned
from aiida_pet.units import FEMTOSECOND

STIFFEST = 50.0
"""eV/A^2, of the stiffest bonds: O-H and C-C have some 50, metals a tenth."""
STEPS_IN_A_PERIOD = 15
"""Of the lightest atom on such a bond; with fewer, Verlet lets the energy of that motion swing by over 2 percent."""
OUTER_STEPS_IN_A_PERIOD = 2
"""Of multiple time steps: with fewer, the outer forces come in resonance with that motion and heat it
(Biesiadecki and Skeel, J. Comput. Phys. 109, 318 (1993))."""


@dataclass(frozen=True)
class Plan:
    """Of N rows of a table, in its order.

    :ivar temperature: (N,) K, after heating.
    :ivar pressure: (N,) GPa.
    :ivar timestep: (N,) fs.
    :ivar steps: (N,) int64, of production.
    :ivar seed: (N,) int64.
    :ivar inner_steps: number of time steps in an outer step; 1 without multiple time steps.
    """

    temperature: Array
    pressure: Array
    timestep: Array
    steps: Array
    seed: Array
    inner_steps: int

    @classmethod
    def of(cls, table: StructureTable, parameters: DynamicsParameters) -> Plan:
        """Return what ``parameters`` and the columns of ``table`` ask for; rows with bad values get ``parameters``."""
        found = {
            name: np.where(np.isnan(values), getattr(parameters, name), values)
            for name, values in RowParameters.of(table).values.items()
        }
        whole = {name: np.rint(found[name]).astype(np.int64) for name in ("steps", "seed")}
        return cls(**(found | whole), inner_steps=parameters.inner_steps)

    def codes(self, table: StructureTable, row: int) -> set[str]:
        """Return the codes of :class:`~aiida_pet.tables.warnings.Warned` of ``row`` that are known before it moves."""
        found: set[str] = set()
        lightest = ase.data.atomic_masses[table.numbers[table.atoms_of(row)]].min()
        period = 2.0 * np.pi * np.sqrt(lightest / STIFFEST) / FEMTOSECOND
        outer = self.timestep[row] * self.inner_steps if self.inner_steps > 1 else 0.0
        if self.timestep[row] * STEPS_IN_A_PERIOD > period or outer * OUTER_STEPS_IN_A_PERIOD > period:
            found.add(Warned.LONG_TIMESTEP)
        return found

    def kt_shares(self, parameters: DynamicsParameters, rows: Array, steps: Array) -> Array:
        """Return the (M,) temperatures, K, of ``rows`` at their ``steps``."""
        target = self.temperature[rows]
        start = target if parameters.initial_temperature is None else parameters.initial_temperature
        heated = (
            np.clip(steps / max(parameters.heating_steps, 1), 0.0, 1.0) if parameters.heating_steps else 1.0
        )
        found = start + (target - start) * heated
        if parameters.temperature_end is not None:
            done = np.clip((steps - parameters.steps_before) / self.steps[rows], 0.0, 1.0)
            found = found + (parameters.temperature_end - target) * done
        return np.asarray(found, dtype=float)

"""What is asked of each row of a table: parameters, with the columns of the input that take their place."""

from __future__ import annotations

from dataclasses import dataclass

import ase.data
import numpy as np

from aiida_pet.job.dynamics_parameters import OVERRIDES, VELOCITIES, DynamicsParameters, Ensemble
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.fixed_atoms import unread_constraints
from aiida_pet.tables.table import Array
from aiida_pet.tables.warnings import Warned
from aiida_pet.units import FEMTOSECOND

STIFFEST = 50.0
"""eV/A^2, of the stiffest bonds: O-H and C-C have some 50, metals a tenth."""
STEPS_IN_A_PERIOD = 15
"""Of the lightest atom on such a bond; with fewer, Verlet lets the energy of that motion swing by over 2 percent."""


@dataclass(frozen=True)
class Plan:
    """Of N rows of a table, in its order.

    :ivar temperature: (N,) K, after heating.
    :ivar pressure: (N,) GPa.
    :ivar timestep: (N,) fs.
    :ivar steps: (N,) int64, of production.
    :ivar seed: (N,) int64.
    """

    temperature: Array
    pressure: Array
    timestep: Array
    steps: Array
    seed: Array

    @classmethod
    def of(cls, table: StructureTable, parameters: DynamicsParameters) -> Plan:
        """Return what ``parameters`` and the columns of ``table`` ask for."""
        found = {}
        for column, name in OVERRIDES.items():
            default = getattr(parameters, name)
            given = table.columns.get(column)
            values = np.full(len(table), np.nan) if given is None else np.asarray(given, dtype=float)
            found[name] = np.where(np.isnan(values), default, values)
        whole = {name: np.rint(found[name]).astype(np.int64) for name in ("steps", "seed")}
        return cls(**(found | whole))

    def refusals(self, table: StructureTable, parameters: DynamicsParameters, fixed: Array) -> dict[int, str]:
        """Return row -> why it cannot be moved as it is asked for.

        :param fixed: (N,) bool, rows of which something is held.
        """
        reasons = {
            row: f"{why}: dynamics would move these atoms" for row, why in unread_constraints(table).items()
        }
        bad = {
            "md_temperature": ~(self.temperature > 0),
            "md_timestep": ~(self.timestep > 0),
            "md_steps": self.steps < 1,
            "md_seed": self.seed < 0,
            "md_pressure": ~np.isfinite(self.pressure),
        }
        for name, rows in bad.items():
            value = getattr(self, OVERRIDES[name])
            for row in np.flatnonzero(rows).tolist():
                wanted = "a finite number" if name == "md_pressure" else "a positive number"
                reasons[row] = f"{name} = {value[row]:g}: expected {wanted}"
        if parameters.ensemble is Ensemble.NPT:
            for row in np.flatnonzero(~table.pbc.all(axis=1)).tolist():
                reasons[row] = "ensemble=npt needs a crystal that is periodic in three directions: use nvt"
            for row in np.flatnonzero(fixed).tolist():
                reasons[row] = "ensemble=npt cannot be used with held atoms: use nvt"
        return reasons

    def codes(self, table: StructureTable, row: int) -> set[str]:
        """Return the codes of :class:`~aiida_pet.tables.warnings.Warned` of ``row`` that are known before it moves."""
        found: set[str] = set()
        lightest = ase.data.atomic_masses[table.numbers[table.atoms_of(row)]].min()
        period = 2.0 * np.pi * np.sqrt(lightest / STIFFEST) / FEMTOSECOND
        if self.timestep[row] * STEPS_IN_A_PERIOD > period:
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

    def given_velocities(self, table: StructureTable, row: int) -> Array | None:
        """Return the (A, 3) velocities of ``row`` of the input, A/fs; None if it has none."""
        column = table.atom_columns.get(VELOCITIES)
        if column is None:
            return None
        found = np.asarray(column[table.atoms_of(row)], dtype=float)
        return found if np.isfinite(found).all() else None

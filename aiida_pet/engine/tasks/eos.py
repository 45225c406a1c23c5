"""Equations of state of many crystals: each relaxed, taken to other volumes, relaxed there, and fitted.

At each volume atoms and the shape of the cell relax while the volume is held, within the symmetry of the crystal:
energies of cells that were only scaled lie too high wherever something is free to move, and the fit is then too hard.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from aiida_pet.crystals.eos.equations import EquationOfState
from aiida_pet.crystals.eos.fit import fit_eos
from aiida_pet.crystals.eos.volumes import at_volumes, volume_ratios
from aiida_pet.engine.tasks.driver import Driver
from aiida_pet.engine.tasks.expansion import Expansion, Reduced
from aiida_pet.engine.tasks.relax import Relax
from aiida_pet.engine.tasks.static import Static
from aiida_pet.job.choices import AtVolume, CellFilter
from aiida_pet.job.volume_parameters import EosParameters, VolumesParameters
from aiida_pet.tables.arrays import Floats
from aiida_pet.tables.columns import Source
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.warnings import Warned
from aiida_pet.units import GPA

#: Share of the range of the energies that an equation of state may leave.
ROUGH = 0.01
CELL_AT_VOLUME = {AtVolume.SHAPE: CellFilter.SHAPE, AtVolume.POSITIONS: CellFilter.FIXED}
"""What of the cell relaxes at a volume."""


class Eos(Expansion[EosParameters, None]):
    """Equation of state of each row: energy, volume, bulk modulus and its derivative at the minimum.

    All of ``eos_volumes``, ``eos_energies`` and ``eos_pressures`` (V,) belong to the cell of the row, as ``eos_energy``
    and ``eos_volume`` do.
    """

    SOURCE = Source.EOS

    def expand(self, crystal: StructureTable) -> tuple[StructureTable, None]:
        """Return the crystal at each volume.

        :raises ValueError: if it is not periodic in all directions.
        """
        if not crystal.pbc.all():
            pbc = "".join("T" if flag else "F" for flag in crystal.pbc[0])
            raise ValueError(
                f"equations of state need a crystal periodic in all directions, but pbc is {pbc}"
            )
        return at_volumes(crystal, ratios_of(self.parameters)), None

    def make_children(self, table: StructureTable, **options: Any) -> Driver:
        """Return the driver of crystals at volumes: what the parameters say relaxes there."""
        changes: dict[str, Any] = {"symprecs": (), "outputs": ()}
        if self.parameters.at_volume is AtVolume.NOTHING:
            return Static(table, self.model, self.static_parameters(**changes), **options)
        cell = CELL_AT_VOLUME[self.parameters.at_volume]
        parameters = self.relax_parameters(cell=cell, pressure=0.0, **changes)
        return Relax(table, self.model, parameters, **options)

    def usual_evaluations(self) -> float:
        """Return how often a child is evaluated: relaxed as the rows were, it takes about as long."""
        return (
            1.0
            if self.parameters.at_volume is AtVolume.NOTHING or self._first is None
            else self._first.usual_evaluations()
        )

    def reduce(self, crystal: StructureTable, plan: None, children: StructureTable) -> Reduced:
        """Return the equation of state and what the fit is worth.

        :raises ValueError: if the energies have no minimum.
        """
        volumes, energies = children.volumes(), children.columns["energy"].astype(np.float64)
        fit = fit_eos(volumes, energies, self.parameters.equation)
        pressures = -children.columns["stress"][:, :3].mean(axis=1).astype(np.float64)
        off = np.abs(pressures - fit.eos.pressures(volumes)).max()
        return Reduced(
            {
                "eos_energy": fit.eos.energy,
                "eos_volume": fit.eos.volume,
                "eos_bulk_modulus": fit.eos.bulk_modulus * GPA,
                "eos_bulk_modulus_derivative": fit.eos.derivative,
                "eos_residual": fit.residual / len(crystal.numbers),
                "eos_relative_residual": fit.residual / np.ptp(energies),
                "eos_pressure_deviation": off * GPA,
                "n_volumes": len(volumes),
                "eos_volumes": volumes,
                "eos_energies": energies,
                "eos_pressures": pressures * GPA,
            }
        )

    def sizes(self) -> dict[str, int]:
        """Return the number of volumes."""
        return {"V": len(ratios_of(self.parameters))}

    def codes_of(self, columns: Mapping[str, Any]) -> set[str]:
        """Return whether the fit is too rough to be trusted, or was read off beyond its volumes."""
        codes = {Warned.EOS_ROUGH: columns["eos_relative_residual"] > ROUGH}
        eos = EquationOfState(
            self.parameters.equation,
            columns["eos_energy"],
            columns["eos_volume"],
            columns["eos_bulk_modulus"] / GPA,
            columns["eos_bulk_modulus_derivative"],
        )
        codes[Warned.VOLUME_AT_EDGE] = is_beyond(eos, columns["eos_volumes"], self.parameters.pressure / GPA)
        return {code for code, holds in codes.items() if holds}


def ratios_of(parameters: VolumesParameters) -> Floats:
    """Return the volumes (V,) that ``parameters`` ask for, divided by the volume of the crystal, in ascending order."""
    if parameters.volumes is not None:
        return np.sort(np.array(parameters.volumes, dtype=np.float64))
    return volume_ratios(parameters.n_volumes, parameters.max_strain)


def is_beyond(eos: EquationOfState, volumes: Floats, pressure: float) -> bool:
    """Return whether the volume at ``pressure`` (eV/A^3) lies outside of ``volumes`` (A^3), or there is none."""
    try:
        volume = eos.volume_at(pressure)
    except ValueError:
        return True
    return not volumes.min() <= volume <= volumes.max()

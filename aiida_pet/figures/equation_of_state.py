"""The equation of state of a row: its energies over the volume, and the curve through them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from aiida_pet.crystals.eos.equations import EquationOfState
from aiida_pet.figures.source import Source, array_of_row, framed
from aiida_pet.job.choices import Equation
from aiida_pet.tables.arrays import Floats
from aiida_pet.units import GPA

REMEDY = "`aiida-pet launch eos SET` makes this column, or the stage eos of a screening"
_POINTS = 201


@dataclass(frozen=True)
class VolumeCurve:
    """Energies of a row at V volumes, and its equation of state at P volumes between and around them.

    :ivar id: id of the row.
    :ivar equation: the equation of state that fits the energies better, with the parameters of the row.
    :ivar volumes: (V,) of the cell, A^3.
    :ivar energies: (V,) energies of the cell above the energy of the minimum, eV.
    :ivar curve_volumes: (P,) A^3.
    :ivar curve_energies: (P,) eV.
    :ivar minimum: volume of the minimum, A^3.
    :ivar bulk_modulus: bulk modulus at the minimum, GPa.
    """

    id: str
    equation: Equation
    volumes: Floats
    energies: Floats
    curve_volumes: Floats
    curve_energies: Floats
    minimum: float
    bulk_modulus: float

    def to_frame(self) -> pd.DataFrame:
        """Return ``volume``, ``energy``, and ``fitted``, the equation there."""
        fitted = np.interp(self.volumes, self.curve_volumes, self.curve_energies)
        columns: dict[str, object] = {"volume": self.volumes, "energy": self.energies, "fitted": fitted}
        return framed(columns, {"volume": "A^3", "energy": "eV", "fitted": "eV"})


def volume_curve_of_row(source: Source, row_id: str) -> VolumeCurve:
    """Return the energies and the equation of state of a row, volumes in ascending order.

    :param source: with the columns of the task ``eos``.
    :raises NotDrawnError: if the row has no such results.

    >>> row = {"eos_energy": -8.0, "eos_volume": 16.0, "eos_bulk_modulus": 200.0, "eos_bulk_modulus_derivative": 4.5}
    >>> cells = {f"eos_volumes_{i}": 15.0 + i for i in range(3)} | {f"eos_energies_{i}": -8.0 for i in range(3)}
    >>> found = volume_curve_of_row(pd.DataFrame(row | cells, index=["W"]), "W")
    >>> found.minimum, found.volumes.tolist()
    (16.0, [15.0, 16.0, 17.0])
    """
    names = ("energy", "volume", "bulk_modulus", "bulk_modulus_derivative")
    energy, volume, modulus, derivative = (
        float(array_of_row(source, f"eos_{name}", row_id, REMEDY)[0]) for name in names
    )
    volumes, energies = (
        array_of_row(source, name, row_id, REMEDY) for name in ("eos_volumes", "eos_energies")
    )
    order = np.argsort(volumes)
    volumes, energies = volumes[order], energies[order]
    fits = [EquationOfState(one, energy, volume, modulus / GPA, derivative) for one in Equation]
    best = min(fits, key=lambda fit: float(np.abs(fit.energies(volumes) - energies).max()))
    margin = 0.03 * float(np.ptp(volumes))
    grid = np.union1d(np.linspace(volumes[0] - margin, volumes[-1] + margin, _POINTS), volumes)
    return VolumeCurve(
        id=row_id,
        equation=best.equation,
        volumes=volumes,
        energies=energies - energy,
        curve_volumes=grid,
        curve_energies=best.energies(grid) - energy,
        minimum=volume,
        bulk_modulus=modulus,
    )

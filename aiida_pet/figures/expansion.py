"""Volume, thermal expansion, bulk modulus and heat capacity of a row over the temperature."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from aiida_pet.figures.source import Source, array_of_row, framed
from aiida_pet.tables.arrays import Floats

REMEDY = "`aiida-pet launch qha SET` makes this column, or the stage qha of a screening"
_UNITS = {
    "temperature": "K",
    "volume": "A^3",
    "thermal_expansion": "1e-6/K",
    "bulk_modulus": "GPa",
    "heat_capacity": "J/(K mol)",
}


@dataclass(frozen=True)
class ThermalExpansion:
    """Quasi-harmonic properties at the T temperatures at which the row has a volume.

    :ivar id: id of the row.
    :ivar temperatures: (T,) K.
    :ivar volume: (T,) of the cell, A^3.
    :ivar thermal_expansion: (T,) of the volume, 1e-6/K.
    :ivar bulk_modulus: (T,) isothermal, GPa.
    :ivar heat_capacity: (T,) at constant pressure, per mole of atoms, J/(K mol).
    """

    id: str
    temperatures: Floats
    volume: Floats
    thermal_expansion: Floats
    bulk_modulus: Floats
    heat_capacity: Floats

    def to_frame(self) -> pd.DataFrame:
        """Return ``temperature`` and the properties."""
        columns: dict[str, object] = {
            "temperature": self.temperatures,
            "volume": self.volume,
            "thermal_expansion": self.thermal_expansion,
            "bulk_modulus": self.bulk_modulus,
            "heat_capacity": self.heat_capacity,
        }
        return framed(columns, _UNITS)


def expansion_of_row(source: Source, row_id: str) -> ThermalExpansion:
    """Return the quasi-harmonic properties of a row, by temperature.

    :param source: with the columns of the task ``qha``.
    :raises NotDrawnError: if the row has no such results.

    .. code-block:: python

        from aiida_pet.campaigns import rows

        expansion = expansion_of_row(rows("expansion of alloys").to_table(), "MoTa-0013")
        print(expansion.to_frame())
    """
    names = ("temperatures", "qha_volume", "thermal_expansion", "qha_bulk_modulus", "qha_heat_capacity")
    found = [array_of_row(source, name, row_id, REMEDY) for name in names]
    atoms = float(array_of_row(source, "n_atoms_primitive", row_id, REMEDY)[0])
    known = np.isfinite(found[1])
    order = np.argsort(found[0][known])
    temperatures, volume, expansion, modulus, capacity = (values[known][order] for values in found)
    return ThermalExpansion(row_id, temperatures, volume, expansion, modulus, capacity / atoms)

"""Thermal properties of the vibrations of a row over temperature."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import constants

from aiida_pet.figures.source import Source, array_of_row, framed
from aiida_pet.tables.arrays import Floats

REMEDY = "the task phonons makes this column; in a screening it is in the table of the stage phonons"


@dataclass(frozen=True)
class Thermal:
    """Thermal properties at T temperatures.

    :ivar id: id of the row.
    :ivar per: a mole means a mole of ``atoms`` or of ``primitive cells``.
    :ivar temperatures: (T,) K.
    :ivar free_energy: (T,) Helmholtz, kJ/mol.
    :ivar entropy: (T,) J/(K mol).
    :ivar heat_capacity: (T,) at constant volume, J/(K mol).
    :ivar dulong_petit: limit of the heat capacity at high temperature, 3 R per atom, J/(K mol).
    """

    id: str
    per: str
    temperatures: Floats
    free_energy: Floats
    entropy: Floats
    heat_capacity: Floats
    dulong_petit: float

    def to_frame(self) -> pd.DataFrame:
        """Return ``temperature``, ``free_energy``, ``entropy``, ``heat_capacity``."""
        columns: dict[str, object] = {
            "temperature": self.temperatures,
            "free_energy": self.free_energy,
            "entropy": self.entropy,
            "heat_capacity": self.heat_capacity,
        }
        units = {
            "temperature": "K",
            "free_energy": "kJ/mol",
            "entropy": "J/(K mol)",
            "heat_capacity": "J/(K mol)",
        }
        frame = framed(columns, units)
        frame.attrs["per"] = self.per
        return frame


def thermal_of_row(source: Source, row_id: str, *, per_atom: bool = True) -> Thermal:
    """Return the thermal properties of a row, by temperature.

    :param source: with ``temperatures``, ``free_energy``, ``entropy``, ``heat_capacity`` and ``n_atoms_primitive``.
    :param per_atom: per mole of atoms; otherwise per mole of primitive cells, as the columns are.
    :raises NotDrawnError: if the row has no such results.

    .. code-block:: python

        from aiida_pet.campaigns import rows

        thermal = thermal_of_row(rows("phonons of alloys").to_table(), "MoTa-0013")
        print(thermal.to_frame())
    """
    names = ("temperatures", "free_energy", "entropy", "heat_capacity")
    found = {name: array_of_row(source, name, row_id, REMEDY) for name in names}
    n_atoms = float(array_of_row(source, "n_atoms_primitive", row_id, REMEDY)[0])
    share = n_atoms if per_atom else 1.0
    known = np.isfinite(found["temperatures"])
    order = np.argsort(found["temperatures"][known])
    values = {name: array[known][order] for name, array in found.items()}
    return Thermal(
        id=row_id,
        per="atoms" if per_atom else "primitive cells",
        temperatures=values["temperatures"],
        free_energy=values["free_energy"] / share,
        entropy=values["entropy"] / share,
        heat_capacity=values["heat_capacity"] / share,
        dulong_petit=3.0 * constants.R * n_atoms / share,
    )

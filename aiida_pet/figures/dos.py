"""The phonon density of states of a row, and its parts by element where force constants are stored."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from ase.data import chemical_symbols

from aiida_pet.crystals.phonons.bands import projected_dos
from aiida_pet.crystals.phonons.stored import phonopy_of_row
from aiida_pet.figures.frequency import FrequencyUnit
from aiida_pet.figures.source import NotDrawnError, Source, array_of_row, framed
from aiida_pet.tables.arrays import Floats
from aiida_pet.tables.crystals import StructureTable

REMEDY = "the task phonons makes this column; in a screening it is in the table of the stage phonons"


@dataclass(frozen=True)
class Dos:
    """A density of states; its integral over all frequencies is 3 modes per atom of the primitive cell.

    :ivar id: id of the row.
    :ivar unit: unit of frequencies.
    :ivar frequencies: (G,); imaginary frequencies are negative.
    :ivar total: (G,) modes per unit of frequency and primitive cell.
    :ivar elements: symbol -> (G,), contributions whose sum is the total; empty if not requested.
    """

    id: str
    unit: FrequencyUnit
    frequencies: Floats
    total: Floats
    elements: dict[str, Floats] = field(default_factory=dict)

    def to_frame(self) -> pd.DataFrame:
        """Return ``frequency``, ``total``, and a column per element."""
        columns: dict[str, object] = {"frequency": self.frequencies, "total": self.total, **self.elements}
        per = f"1/{self.unit.value}" if self.unit is FrequencyUnit.THZ else "cm"
        return framed(columns, dict.fromkeys(columns, per) | {"frequency": self.unit.value})


def dos_of_row(
    source: Source,
    row_id: str,
    *,
    unit: FrequencyUnit | str = FrequencyUnit.THZ,
    by_element: bool = False,
    mesh: float = 40.0,
    sigma: float = 0.1,
    phonon_symprec: float = 1e-5,
) -> Dos:
    """Return the density of states of a row, as the task made it.

    :param source: with ``phonon_dos`` and ``dos_frequencies``.
    :param by_element: also return the contributions of the elements. They are computed from the force constants, on
        ``mesh`` and with ``sigma``. The total is then computed in the same way, so that it is the sum of the
        contributions.
    :param mesh: length that gives the mesh of q-points, A.
    :param sigma: standard deviation of the Gaussian smearing, THz.
    :param phonon_symprec: the parameter ``phonon_symprec`` of the task, A.
    :raises NotDrawnError: if the row has no such results.

    .. code-block:: python

        from aiida_pet.campaigns import rows

        dos = dos_of_row(rows("phonons of alloys").to_table(), "MoTa-0013", by_element=True)
        print(dos.to_frame())
    """
    unit = FrequencyUnit(unit)
    if by_element:
        return _by_element(source, row_id, unit, mesh=mesh, sigma=sigma, symprec=phonon_symprec)
    frequencies = array_of_row(source, "dos_frequencies", row_id, REMEDY)
    total = array_of_row(source, "phonon_dos", row_id, REMEDY)
    known = np.isfinite(frequencies) & np.isfinite(total)
    return Dos(row_id, unit, frequencies[known] * unit.per_thz, total[known] / unit.per_thz)


def _by_element(
    source: Source, row_id: str, unit: FrequencyUnit, *, mesh: float, sigma: float, symprec: float
) -> Dos:
    if not isinstance(source, StructureTable):
        raise NotDrawnError(
            "contributions of elements need force constants, which a data frame does not hold: give a launch or a table"
        )
    try:
        phonopy = phonopy_of_row(source, row_id, symprec=symprec)
    except (KeyError, ValueError) as error:
        raise NotDrawnError(str(error.args[0])) from error
    modes = phonopy.run_mesh(mesh).frequencies
    grid = np.linspace(min(0.0, modes.min()) - 5 * sigma, modes.max() + 5 * sigma, 501)
    found = projected_dos(phonopy, grid, mesh=mesh, sigma=sigma)
    numbers = np.asarray(phonopy.primitive.numbers)
    parts = {
        chemical_symbols[number]: found.atoms[numbers == number].sum(axis=0) / unit.per_thz
        for number in sorted(set(numbers.tolist()))
    }
    return Dos(row_id, unit, found.frequencies * unit.per_thz, found.total / unit.per_thz, parts)

"""The energies by which crystals compete: E as it is, or H = E + P V of what was relaxed under pressure.

Corrections, of the set itself (its column ``correction``, as pymatgen's entries have it) or made here, are added.

Under a pressure P the stable phase has the lowest enthalpy. Relaxations under pressure write it as the column
``enthalpy`` (eV per cell), from which the pressure of each row follows: P = (H - E) / V. Energies of unlike pressures
are never compared.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from ase.units import GPa
from numpy.typing import NDArray

from aiida_pet.analysis.hull.mp2020 import Corrections, mp2020_corrections
from aiida_pet.tables.crystals import StructureTable

ENERGY = "energy"
ENTHALPY = "enthalpy"
CORRECTION = "correction"
# Pressures closer than this, in GPa and as a share, are equal: energies that went through text keep eight digits.
_ABSOLUTE, _RELATIVE = 1e-3, 1e-5


class PressureError(ValueError):
    """Raised where energies of different pressures would compete, or an enthalpy is needed and missing."""


@dataclass(frozen=True)
class Competing:
    """What competes of the rows of a table.

    :ivar values: (N,) float64, eV per cell; NaN for rows without an answer.
    :ivar pressure: at which the rows were relaxed, GPa; NaN if no row tells.
    :ivar column: where the values are from: ``energy`` or ``enthalpy``.
    :ivar corrections: what was added to them, None if nothing was.
    """

    values: NDArray[np.float64]
    pressure: float
    column: str
    corrections: Corrections | None = None

    @property
    def words(self) -> str:
        """What competes, in words: ``energy``, ``enthalpy at 60 GPa + correction``."""
        known = self.column == ENTHALPY and not np.isnan(self.pressure)
        at = f" at {round(self.pressure, 3):g} GPa" if known else ""
        return f"{self.column}{at}{' + correction' if self.corrections else ''}"


def competing_energies(
    table: StructureTable,
    label: str,
    *,
    pressure: float | None = None,
    column: str = ENERGY,
    correct: bool = False,
) -> Competing:
    """Return the enthalpies of ``table`` where it has some, else its energies, each with its correction.

    :param label: names the table in messages.
    :param pressure: GPa, at which it was relaxed, where something else than the table says so; None if nothing does.
    :param column: energies in eV per cell.
    :param correct: add the Materials Project's corrections of 2020; else those of a column ``correction``, if any.
    :raises ValueError: if there is no such column.
    :raises PressureError: if the table was relaxed under pressure but has no enthalpies, or if its enthalpies are not
        those of one pressure.
    """
    if column not in table.columns:
        raise ValueError(
            f"{label} have no column {column!r} (eV per cell), only: {', '.join(table.columns) or 'none'}"
        )
    found = _uncorrected(table, label, pressure, column)
    if correct:
        corrections = mp2020_corrections(table)
    elif CORRECTION in table.columns and column != CORRECTION:
        values = np.asarray(table.columns[CORRECTION], dtype=np.float64)
        terms = (
            table.columns["correction_terms"] if "correction_terms" in table.columns else [""] * len(table)
        )
        corrections = Corrections(values, [str(text) for text in terms])
    else:
        return found
    return replace(found, values=found.values + corrections.values, corrections=corrections)


def _uncorrected(table: StructureTable, label: str, pressure: float | None, column: str) -> Competing:
    """Return the enthalpies of a table where it has some, else its energies.

    :raises PressureError: if the table was relaxed under pressure but has no enthalpies, or if its enthalpies are not
        those of one pressure.
    """
    energies = np.asarray(table.columns[column], dtype=np.float64)
    if ENTHALPY not in table.columns:
        if pressure and not same_pressure(pressure, 0.0):
            raise PressureError(
                f"{label} were relaxed under {pressure:g} GPa and have no column {ENTHALPY!r} (eV per cell), the "
                "quantity by which crystals compete under pressure: relax them again, or give a set with this column"
            )
        return Competing(energies, 0.0, column)
    enthalpies = np.asarray(table.columns[ENTHALPY], dtype=np.float64)
    found = _pressure_of(table, energies, enthalpies, label)
    if found is None:  # no row has an answer
        return Competing(enthalpies, np.nan if pressure is None else pressure, ENTHALPY)
    if pressure is not None and not same_pressure(found, pressure):
        raise PressureError(
            f"{label} were relaxed under {pressure:g} GPa, but their column {ENTHALPY!r} belongs to {found:g} GPa"
        )
    if same_pressure(found, 0.0):
        return Competing(energies, 0.0, column)
    return Competing(enthalpies, pressure if pressure is not None else found, ENTHALPY)


def same_pressure(first: float, second: float) -> bool:
    """Return whether two pressures, in GPa, are the same, as far as both are known."""
    if np.isnan(first) or np.isnan(second):
        return True
    return bool(abs(first - second) <= _ABSOLUTE + _RELATIVE * max(abs(first), abs(second)))


def told_pressure(pressure: float) -> str:
    """Return in words what competes at ``pressure`` GPa: ``energies at 0 GPa`` or ``enthalpies at 60 GPa``."""
    return (
        "energies at 0 GPa" if same_pressure(pressure, 0.0) else f"enthalpies at {round(pressure, 3):g} GPa"
    )


def gains(
    before: StructureTable, after: StructureTable, labels: tuple[str, str], pressure: float | None = None
) -> NDArray[np.float64]:
    """Return (N,) by how much each row of ``after`` lies below the same row of ``before``, eV/atom.

    The gain is in energy, or in enthalpy for what was relaxed under pressure; NaN where one of the two is unknown.

    :param after: the same rows in the same order, in cells of any size.
    :param labels: name the two tables in messages.
    :param pressure: GPa, at which they were relaxed, where something else than the tables says so.
    :raises PressureError: if the two were relaxed at different pressures, or enthalpies are missing.
    """
    first, second = (
        competing_energies(table, label, pressure=pressure)
        for table, label in zip((before, after), labels, strict=True)
    )
    if not same_pressure(first.pressure, second.pressure):
        raise PressureError(
            f"{labels[0]} have {told_pressure(first.pressure)}, but {labels[1]} have "
            f"{told_pressure(second.pressure)}: relax both at the same pressure"
        )
    found: NDArray[np.float64] = first.values / before.n_atoms - second.values / after.n_atoms
    return found


def _pressure_of(
    table: StructureTable, energies: NDArray[np.float64], enthalpies: NDArray[np.float64], label: str
) -> float | None:
    """Return the one pressure, in GPa, that enthalpies are of; None if no row has one."""
    volumes = table.volumes()
    known = np.flatnonzero(np.isfinite(energies) & np.isfinite(enthalpies) & (volumes > 0))
    if not len(known):
        return None
    pressures = (enthalpies - energies)[known] / volumes[known] / GPa
    middle = float(np.median(pressures))
    far = int(np.argmax(np.abs(pressures - middle)))
    if not same_pressure(float(pressures[far]), middle):
        raise PressureError(
            f"the column {ENTHALPY!r} of {label} must be E + P V with the same pressure P for all rows, but (H - E) / "
            f"V is {pressures[far]:.4g} GPa for {table.ids[known[far]]} and {middle:.4g} GPa for most rows. Relax all "
            "crystals at one pressure. If the column means something else, give it another name"
        )
    return round(middle, 6)

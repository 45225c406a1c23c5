"""Columns: equations of state, and what their fits are worth."""

from __future__ import annotations

from typing import Any

from aiida_pet.tables.column import Column, Kind, Section, Source


def _eos(name: str, meaning: str, unit: str = "", **further: Any) -> Column:
    return Column(name, meaning, unit, section=Section.EOS, sources=(Source.EOS,), **further)


_FIRST = (Source.EOS, Source.SCREEN)

EQUATION_OF_STATE: tuple[Column, ...] = (
    _eos("eos_energy", "Energy of the cell at the minimum of the equation of state.", "eV", compared=True),
    _eos(
        "eos_volume",
        "Volume of the cell at the minimum of the equation of state.",
        "A^3",
        shown=(Source.EOS,),
        compared=True,
    ),
    _eos(
        "eos_bulk_modulus",
        "Bulk modulus at the minimum of the equation of state.",
        "GPa",
        shown=_FIRST,
        compared=True,
        searched=True,
    ),
    _eos(
        "eos_bulk_modulus_derivative",
        "Derivative of the bulk modulus with respect to pressure, at the minimum of the equation of state.",
        shown=(Source.EOS,),
        compared=True,
    ),
    _eos(
        "eos_residual",
        "Root mean square difference between the energies and the equation of state.",
        "eV/atom",
        shown=(Source.EOS,),
    ),
    _eos("eos_relative_residual", "`eos_residual` divided by the range of the energies."),
    _eos(
        "eos_pressure_deviation",
        "Largest difference between the pressure from the stress and the pressure from the equation of state, over "
        "all volumes.",
        "GPa",
    ),
    _eos("n_volumes", "Number of volumes.", kind=Kind.COUNT),
    _eos("eos_volumes", "Volumes of the cell.", "A^3", shape=("V",)),
    _eos("eos_energies", "Energies at `eos_volumes`.", "eV", shape=("V",)),
    _eos("eos_pressures", "Pressures at `eos_volumes`, from the stress.", "GPa", shape=("V",)),
)

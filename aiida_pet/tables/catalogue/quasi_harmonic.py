"""Columns: quasi-harmonic properties, and the volumes that they are made of."""

from __future__ import annotations

from typing import Any

from aiida_pet.tables import when
from aiida_pet.tables.column import RAGGED, Column, Kind, Section, Source


def _qha(name: str, meaning: str, unit: str = "", **further: Any) -> Column:
    return Column(name, meaning, unit, section=Section.QHA, sources=(Source.QHA,), **further)


_FIRST = (Source.QHA,)
_MOLE = "J/(K mol)"

QUASI_HARMONIC: tuple[Column, ...] = (
    _qha("qha_volume_300", "Volume of the cell at 300 K.", "A^3", shown=_FIRST, compared=True),
    _qha(
        "thermal_expansion_300",
        "Thermal expansion of the volume at 300 K, (dV/dT) / V.",
        "1e-6/K",
        shown=(*_FIRST, Source.SCREEN),
        compared=True,
        searched=True,
    ),
    _qha(
        "qha_bulk_modulus_300",
        "Isothermal bulk modulus at 300 K.",
        "GPa",
        shown=_FIRST,
        compared=True,
        searched=True,
    ),
    _qha(
        "qha_heat_capacity_300",
        "Heat capacity at constant pressure at 300 K, per mole of primitive cells.",
        _MOLE,
        shown=_FIRST,
        compared=True,
    ),
    _qha("gruneisen_300", "Thermodynamic Grueneisen parameter at 300 K.", shown=_FIRST, compared=True),
    _qha(
        "mode_gruneisen_300",
        "Mean Grueneisen parameter of the modes, weighted by their heat capacities at 300 K.",
    ),
    _qha("qha_volume", "Volume of the cell at `temperatures`.", "A^3", shape=("T",)),
    _qha("thermal_expansion", "Thermal expansion of the volume at `temperatures`.", "1e-6/K", shape=("T",)),
    _qha("qha_bulk_modulus", "Isothermal bulk modulus at `temperatures`.", "GPa", shape=("T",)),
    _qha("qha_gibbs_energy", "Gibbs energy F + P V of the cell at `temperatures`.", "eV", shape=("T",)),
    _qha(
        "qha_heat_capacity",
        "Heat capacity at constant pressure at `temperatures`, per mole of primitive cells.",
        _MOLE,
        shape=("T",),
    ),
    _qha(
        "qha_heat_capacity_v",
        "Heat capacity at constant volume at `temperatures`, each at its own volume, per mole of primitive cells.",
        _MOLE,
        shape=("T",),
    ),
    _qha("gruneisen", "Thermodynamic Grueneisen parameter at `temperatures`.", shape=("T",)),
    _qha(
        "qha_max_temperature",
        "Highest temperature at which the volume is within `qha_volumes`. Above this temperature properties are "
        "missing.",
        "K",
        shown=_FIRST,
    ),
    _qha("n_qha_volumes", "Number of volumes.", kind=Kind.COUNT),
    _qha(
        "n_unstable_volumes",
        "Number of volumes that were left out because they have imaginary modes.",
        kind=Kind.COUNT,
        shown=_FIRST,
    ),
    _qha("qha_volumes", "Volumes of the cell at which phonons were computed.", "A^3", shape=("V",)),
    _qha("qha_energies", "Energies at `qha_volumes`, without vibrations.", "eV", shape=("V",)),
    _qha("qha_min_frequencies", "Lowest frequencies at `qha_volumes`.", "THz", shape=("V",)),
    _qha(
        "gruneisen_q_points",
        "The q-point of each mode, in the reciprocal basis of the primitive cell.",
        shape=(RAGGED, "3"),
        when=when.stores_modes,
    ),
    _qha(
        "gruneisen_weights",
        "Number of points of the mesh that each mode represents.",
        shape=(RAGGED,),
        when=when.stores_modes,
    ),
    _qha("gruneisen_frequencies", "Frequency of each mode.", "THz", shape=(RAGGED,), when=when.stores_modes),
    _qha(
        "gruneisen_modes",
        "Grueneisen parameter of each mode; missing for modes below 0.01 THz.",
        shape=(RAGGED,),
        when=when.stores_modes,
    ),
)

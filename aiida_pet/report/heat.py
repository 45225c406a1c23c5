"""Figures of one crystal: equation of state, thermal expansion, thermal conductivity."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aiida_pet.figures import expansion_of_row, heat_curves_of_row, volume_curve_of_row
from aiida_pet.job.choices import Equation
from aiida_pet.report.figure import Figure, Kind, columns_of, panels_over, plain_list
from aiida_pet.tables.table import Table

DIGITS = 5
_NAMES = {Equation.BIRCH_MURNAGHAN: "Birch and Murnaghan", Equation.VINET: "Vinet"}
NEEDED: Mapping[str, tuple[str, ...]] = {
    "eos": (
        "eos_energies",
        "eos_volumes",
        "eos_energy",
        "eos_volume",
        "eos_bulk_modulus",
        "eos_bulk_modulus_derivative",
    ),
    "expansion": (
        "thermal_expansion",
        "temperatures",
        "qha_volume",
        "qha_bulk_modulus",
        "qha_heat_capacity",
        "n_atoms_primitive",
    ),
    "conductivity": (
        "kappa",
        "kappa_temperatures",
        "cumulative_kappa",
        "cumulative_frequencies",
        "cumulative_kappa_paths",
        "cumulative_paths",
    ),
}
"""Columns of each kind of figures, first the one that tells whether a table has them."""


def heat_figures(kind: str, table: Table, row_id: str) -> list[Figure]:
    """Return the figures of a kind of :data:`NEEDED` of a row.

    :raises NotDrawnError: if the row has none.
    """
    return _MAKERS[kind](table, row_id)


def _eos(table: Table, row_id: str) -> list[Figure]:
    found = volume_curve_of_row(table, row_id)
    name = _NAMES[found.equation]
    return [
        Figure(
            name=f"eos-{row_id}",
            kind=Kind.LINES,
            title="Equation of state",
            alt=f"Energy of {row_id} over its volume, lowest at {found.minimum:.4g} A^3, and the equation of {name}",
            columns=columns_of(found.to_frame(), DIGITS),
            options=panels_over("volume", "volume (A^3)", [("E - E0 (eV)", ["energy", "fitted"])]),
            caption=f"per cell; {name}, bulk modulus {found.bulk_modulus:.4g} GPa.",
        )
    ]


def _expansion(table: Table, row_id: str) -> list[Figure]:
    found = expansion_of_row(table, row_id)
    panels = [
        ("V (A^3)", ["volume"]),
        ("alpha (1e-6/K)", ["thermal_expansion"]),
        ("Cp (J/K/mol)", ["heat_capacity"]),
    ]
    return [
        Figure(
            name=f"expansion-{row_id}",
            kind=Kind.LINES,
            title="Thermal expansion",
            alt=f"Volume, thermal expansion of the volume and heat capacity of {row_id} up to "
            f"{found.temperatures[-1]:g} K",
            columns=columns_of(found.to_frame(), DIGITS),
            options=panels_over("temperature", "temperature (K)", panels),
            caption="quasi-harmonic; heat capacity at constant pressure, per mole of atoms.",
        )
    ]


def _conductivity(table: Table, row_id: str) -> list[Figure]:
    found = heat_curves_of_row(table, row_id)
    carried = Figure(
        name=f"cumulative-kappa-{row_id}",
        kind=Kind.LINES,
        title="Which modes carry the heat",
        alt=f"Conductivity of {row_id} at 300 K from all modes up to each frequency",
        columns={
            "frequency": plain_list(found.frequencies, DIGITS),
            "kappa": plain_list(found.by_frequency, DIGITS),
        },
        options=panels_over("frequency", "frequency (THz)", [("cumulative kappa (W/m/K)", ["kappa"])]),
        caption="at 300 K.",
    )
    if len(found.temperatures) < 2:
        return [carried]
    over_temperature = Figure(
        name=f"kappa-{row_id}",
        kind=Kind.LINES,
        title="Thermal conductivity",
        alt=f"Thermal conductivity of the lattice of {row_id} from {found.temperatures[0]:g} to "
        f"{found.temperatures[-1]:g} K",
        columns={
            "temperature": plain_list(found.temperatures, DIGITS),
            "kappa": plain_list(found.kappa, DIGITS),
        },
        options=panels_over("temperature", "temperature (K)", [("kappa (W/m/K)", ["kappa"])]),
        caption="of the lattice, mean of the diagonal.",
    )
    return [over_temperature, carried]


_MAKERS: Mapping[str, Callable[[Table, str], list[Figure]]] = {
    "eos": _eos,
    "expansion": _expansion,
    "conductivity": _conductivity,
}

"""Plots of launches, sets and tables with matplotlib. Each function returns the axes on which it has drawn.

>>> from aiida_pet import plotting
>>> axes = plotting.plot_hull(12, system=["Mo", "W"])  # doctest: +SKIP
>>> plotting.save(axes, "hull.svg")  # doctest: +SKIP

You can give a pk, a uuid, a label, a node, rows, or a table or data frame with columns of the catalogue. Several items
in a list are drawn into one picture, with a legend that says how they differ. matplotlib comes with the extra ``plot``.
Functions are imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiida_pet.homes import from_homes

if TYPE_CHECKING:
    from aiida_pet.plotting.course import plot_funnel, plot_progress
    from aiida_pet.plotting.dynamics import plot_msd, plot_rdf, plot_vacf
    from aiida_pet.plotting.elastic import plot_elastic
    from aiida_pet.plotting.files import save
    from aiida_pet.plotting.heat import plot_conductivity, plot_eos, plot_expansion
    from aiida_pet.plotting.hull import plot_hull
    from aiida_pet.plotting.phonons import plot_bands, plot_dos, plot_thermal
    from aiida_pet.plotting.symmetry import plot_symmetry
    from aiida_pet.plotting.values import plot_histogram, plot_parity

__all__ = [
    "plot_bands",
    "plot_conductivity",
    "plot_dos",
    "plot_elastic",
    "plot_eos",
    "plot_expansion",
    "plot_funnel",
    "plot_histogram",
    "plot_hull",
    "plot_msd",
    "plot_parity",
    "plot_progress",
    "plot_rdf",
    "plot_symmetry",
    "plot_thermal",
    "plot_vacf",
    "save",
]

_HOMES = {
    "plot_bands": "phonons",
    "plot_conductivity": "heat",
    "plot_dos": "phonons",
    "plot_elastic": "elastic",
    "plot_eos": "heat",
    "plot_expansion": "heat",
    "plot_funnel": "course",
    "plot_histogram": "values",
    "plot_hull": "hull",
    "plot_msd": "dynamics",
    "plot_parity": "values",
    "plot_progress": "course",
    "plot_rdf": "dynamics",
    "plot_symmetry": "symmetry",
    "plot_thermal": "phonons",
    "plot_vacf": "dynamics",
    "save": "files",
}


__getattr__ = from_homes(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__

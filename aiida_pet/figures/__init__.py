"""The numbers behind figures, with units, computed from tables or data frames with columns of the catalogue.

Each function takes rows and returns a frozen dataclass with plain arrays. Its method ``to_frame()`` returns a data
frame, with units in ``attrs["units"]``. :mod:`aiida_pet.plotting` draws these numbers with matplotlib. Nothing here
needs AiiDA or torch. Functions are imported on first use, since phonopy and pymatgen are slow to import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiida_pet.homes import from_homes

if TYPE_CHECKING:
    from aiida_pet.figures.bands import Bands, bands_of_row
    from aiida_pet.figures.conductivity import HeatCurves, heat_curves_of_row
    from aiida_pet.figures.dos import Dos, dos_of_row
    from aiida_pet.figures.dynamics import (
        Displacement,
        RadialDistribution,
        VelocityCorrelation,
        mean_squared_displacement,
        radial_distribution,
        velocity_correlation,
    )
    from aiida_pet.figures.elastic import ElasticSurface, elastic_surface, elastic_surface_of_row
    from aiida_pet.figures.equation_of_state import VolumeCurve, volume_curve_of_row
    from aiida_pet.figures.expansion import ThermalExpansion, expansion_of_row
    from aiida_pet.figures.frequency import FrequencyUnit
    from aiida_pet.figures.funnel import Funnel, FunnelStage, funnel_of
    from aiida_pet.figures.histogram import Counts, Histogram, distribution_of
    from aiida_pet.figures.hull import Hull, hull_of
    from aiida_pet.figures.parity import Parity, parity_of
    from aiida_pet.figures.progress import Progress, progress_of
    from aiida_pet.figures.source import NotDrawnError
    from aiida_pet.figures.symmetry import SymmetryChanges, symmetry_changes
    from aiida_pet.figures.thermal import Thermal, thermal_of_row

__all__ = [
    "Bands",
    "Counts",
    "Displacement",
    "Dos",
    "ElasticSurface",
    "FrequencyUnit",
    "Funnel",
    "FunnelStage",
    "HeatCurves",
    "Histogram",
    "Hull",
    "NotDrawnError",
    "Parity",
    "Progress",
    "RadialDistribution",
    "SymmetryChanges",
    "Thermal",
    "ThermalExpansion",
    "VelocityCorrelation",
    "VolumeCurve",
    "bands_of_row",
    "distribution_of",
    "dos_of_row",
    "elastic_surface",
    "elastic_surface_of_row",
    "expansion_of_row",
    "funnel_of",
    "heat_curves_of_row",
    "hull_of",
    "mean_squared_displacement",
    "parity_of",
    "progress_of",
    "radial_distribution",
    "symmetry_changes",
    "thermal_of_row",
    "velocity_correlation",
    "volume_curve_of_row",
]

_HOMES = {
    "bands": ("Bands", "bands_of_row"),
    "conductivity": ("HeatCurves", "heat_curves_of_row"),
    "dos": ("Dos", "dos_of_row"),
    "dynamics": (
        *("Displacement", "RadialDistribution", "VelocityCorrelation"),
        *("mean_squared_displacement", "radial_distribution", "velocity_correlation"),
    ),
    "elastic": ("ElasticSurface", "elastic_surface", "elastic_surface_of_row"),
    "equation_of_state": ("VolumeCurve", "volume_curve_of_row"),
    "expansion": ("ThermalExpansion", "expansion_of_row"),
    "frequency": ("FrequencyUnit",),
    "funnel": ("Funnel", "FunnelStage", "funnel_of"),
    "histogram": ("Counts", "Histogram", "distribution_of"),
    "hull": ("Hull", "hull_of"),
    "parity": ("Parity", "parity_of"),
    "progress": ("Progress", "progress_of"),
    "source": ("NotDrawnError",),
    "symmetry": ("SymmetryChanges", "symmetry_changes"),
    "thermal": ("Thermal", "thermal_of_row"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


__getattr__ = from_homes(__name__, _HOME_OF)


def __dir__() -> list[str]:
    return __all__

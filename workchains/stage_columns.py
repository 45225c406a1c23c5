"""Which columns each stage of a screening gives the table, so that a condition can be checked before anything runs.

A test holds the lists against what the engine writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida_pet.analysis.funnel import REPEATED
from aiida_pet.engine.parameters import symprec_label

_SYMPRECS = (0.001, 0.01, 0.1)
_VOIGT = ("xx", "yy", "zz", "yz", "xz", "xy")

_ROW = (
    "status",
    "message",
    "energy",
    "n_atoms",
    "volume",
    *(f"stress_{name}" for name in _VOIGT),
    "fmax",
    "stress_max",
    "heads",
)
_RELAX = ("initial_energy", "initial_volume", "n_steps")
_SYMMETRY = ("spacegroup", "crystal_system", "n_elements")
_HULL = (
    "formation_energy",
    "e_above_hull",
    "phase_separation_energy",
    "is_stable",
    "decomposition",
    "hull_status",
    "hull_message",
)
_PHONONS = (
    "n_atoms_primitive",
    "min_frequency",
    "max_frequency",
    "acoustic_gamma",
    "is_dynamically_stable",
    "n_imaginary",
    "imaginary_fraction",
    "imaginary_at_gamma_only",
    "zero_point_energy",
    "free_energy_300",
    "entropy_300",
    "heat_capacity_300",
    "net_force",
    "acoustic_sum_rule_before",
    "acoustic_sum_rule",
    "hessian_asymmetry",
    "hessian_relative_asymmetry",
    "n_atoms_supercell",
    "supercell_image",
    "supercell_capped",
    "n_displacements",
    "displacement",
)
_ELASTIC = (
    "bulk_modulus",
    "bulk_modulus_voigt",
    "bulk_modulus_reuss",
    "shear_modulus",
    "shear_modulus_voigt",
    "shear_modulus_reuss",
    "youngs_modulus",
    "poisson_ratio",
    "pugh_ratio",
    "universal_anisotropy",
    "min_eigenvalue",
    "is_mechanically_stable",
    "debye_temperature",
    "fit_residual",
    "fit_relative_residual",
    "laue_deviation",
    "n_strains",
    "laue_class",
    "crystal_system",
)
_COMBINED = ("relaxation", "energy_gained", "free_status")


def known_columns(stage: str, options: Mapping[str, Any]) -> list[str]:
    """Return the columns of one value per row that ``stage`` may give the table.

    :param options: of the stage.
    """
    if stage == "symmetry":
        return list(_SYMMETRY)
    if stage == "hull":
        return list(_HULL)
    symprecs = options.get("parameters", {}).get("symprecs", _SYMPRECS)
    groups = [f"spacegroup_{symprec_label(symprec)}" for symprec in symprecs]
    row = [*_ROW, *groups, *(["symmetry_warning"] if groups else []), *_RELAX]
    row += [f"initial_{name}" for name in groups]
    row += [f"symmetry_kept_{symprec_label(symprec)}" for symprec in symprecs]
    if stage == "relax":
        both = [f"{which}_{name}" for which in ("constrained", "free") for name in groups]
        return ["id", "formula", *row, *_COMBINED, *both]
    own = _PHONONS if stage == "phonons" else _ELASTIC
    return [*row, *own, *(f"{stage}_{name}" for name in REPEATED)]

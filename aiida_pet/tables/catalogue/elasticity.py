"""Columns: elastic tensors, moduli and what the fit is worth."""

from __future__ import annotations

from typing import Any

from aiida_pet.tables.column import Column, Kind, Section, Source


def _elastic(name: str, meaning: str, unit: str = "", **further: Any) -> Column:
    return Column(name, meaning, unit, section=Section.ELASTIC, sources=(Source.ELASTIC,), **further)


ELASTICITY: tuple[Column, ...] = (
    _elastic(
        "elastic_tensor", "Elastic tensor in the axes of the row, Voigt's order.", "GPa", shape=("6", "6")
    ),
    _elastic(
        "elastic_tensor_ieee",
        "Elastic tensor in the setting of IEEE Std 176-1987.",
        "GPa",
        shape=("6", "6"),
    ),
    _elastic(
        "bulk_modulus",
        "Bulk modulus K (Hill average: mean of the Voigt and Reuss moduli).",
        "GPa",
        shown=(Source.ELASTIC, Source.SCREEN),
        compared=True,
        searched=True,
    ),
    _elastic(
        "shear_modulus",
        "Shear modulus G (Hill average: mean of the Voigt and Reuss moduli).",
        "GPa",
        shown=(Source.ELASTIC, Source.SCREEN),
        compared=True,
        searched=True,
    ),
    _elastic("bulk_modulus_voigt", "Bulk modulus of Voigt.", "GPa"),
    _elastic("bulk_modulus_reuss", "Bulk modulus of Reuss.", "GPa"),
    _elastic("shear_modulus_voigt", "Shear modulus of Voigt.", "GPa"),
    _elastic("shear_modulus_reuss", "Shear modulus of Reuss.", "GPa"),
    _elastic(
        "youngs_modulus", "Young's modulus, 9 K G / (3 K + G).", "GPa", shown=(Source.ELASTIC,), compared=True
    ),
    _elastic(
        "poisson_ratio", "Poisson's ratio, (3 K - 2 G) / (6 K + 2 G).", shown=(Source.ELASTIC,), compared=True
    ),
    _elastic("pugh_ratio", "Pugh's ratio K / G."),
    _elastic("universal_anisotropy", "Universal anisotropy, 5 G_V / G_R + K_V / K_R - 6."),
    _elastic("min_eigenvalue", "Smallest eigenvalue of the elastic tensor.", "GPa"),
    _elastic(
        "is_mechanically_stable",
        "True if `min_eigenvalue` is above zero.",
        kind=Kind.FLAG,
        shown=(Source.ELASTIC,),
        compared=True,
    ),
    _elastic(
        "debye_temperature",
        "Debye temperature from the mean velocity of sound.",
        "K",
        shown=(Source.ELASTIC,),
    ),
    _elastic(
        "fit_residual",
        "Root mean square difference between stresses and fit. If each strain has an opposite, only the part of the "
        "stresses that changes sign with the strain counts.",
        "GPa",
    ),
    _elastic(
        "fit_relative_residual",
        "`fit_residual` divided by the root mean square of the stresses (the same part of the stresses as in "
        "`fit_residual`).",
        shown=(Source.ELASTIC,),
    ),
    _elastic(
        "laue_deviation",
        "Largest change of a component of the tensor by the average over the point group.",
        "GPa",
    ),
    _elastic("n_strains", "Number of strained cells.", kind=Kind.COUNT),
    Column(
        "laue_class",
        "Laue class at `symprec`.",
        kind=Kind.TEXT,
        section=Section.SYMMETRY,
        sources=(Source.ELASTIC,),
        shown=(Source.ELASTIC,),
    ),
)

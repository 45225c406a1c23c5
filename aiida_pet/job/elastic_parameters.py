"""The parameters of elastic constants. Free of torch and of AiiDA."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from aiida_pet.job.choices import Ions, Strains
from aiida_pet.job.parameters import TightRelaxParameters


class ElasticParameters(TightRelaxParameters):
    """Elastic constants from stresses of strained cells."""

    strains: Strains = Field(Strains.LINEAR, description="name of the set of strains")
    normal_strains: tuple[float, ...] | None = Field(
        None,
        description="strains along the axes, such as 0.005, in place of the normal strains of the chosen set",
    )
    shear_strains: tuple[float, ...] | None = Field(
        None,
        description="shear strains as off-diagonal elements (half of the engineering shear strain), in place of the "
        "shear strains of the chosen set",
    )
    ions: Ions = Field(
        Ions.RELAXED,
        description="relaxed: atoms relax in each strained cell; clamped: atoms only follow the strain",
    )
    symmetrize: bool = Field(
        True, description="average the elastic tensor over the point group found with symprec"
    )

    @model_validator(mode="after")
    def _strains_that_keep_a_crystal(self) -> Self:
        for name in ("normal_strains", "shear_strains"):
            values = getattr(self, name)
            if values is not None and (not values or any(not 0 < abs(value) < 0.5 for value in values)):
                raise ValueError(
                    f"{name} must be numbers between -0.5 and 0.5, none of them 0, got {list(values)}"
                )
        return self

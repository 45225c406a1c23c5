"""What is wrong with the options of the stages of a screening, beside conditions and parameters of tasks.

Their defaults stand in :mod:`aiida_pet.job.stages`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypedDict

from pydantic import Field

from aiida_pet.names import RelaxMode
from aiida_pet.schemas import check_as, told


class RelaxOptions(TypedDict, total=False):
    """Options of stage relax.

    :ivar mode: whether crystals are held to their symmetry.
    :ivar rattle: standard deviation of the displacements from which the free relaxation starts, A.
    :ivar seed: seed of the displacements.
    :ivar min_gain: by which the free relaxation has to be lower, eV/atom.
    """

    mode: RelaxMode
    rattle: Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False, json_schema_extra=told(unit="A"))]
    seed: Annotated[int, Field(strict=True, ge=0)]
    min_gain: Annotated[
        float, Field(strict=True, ge=0, allow_inf_nan=False, json_schema_extra=told(unit="eV/atom"))
    ]


class SymmetryOptions(TypedDict, total=False):
    """Options of stage symmetry.

    :ivar symprec: tolerance of the space group, A.
    """

    symprec: Annotated[float, Field(strict=True, gt=0, lt=10, json_schema_extra=told(unit="A"))]


def check_relax(options: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the options of stage relax, None if nothing is."""
    return check_as(RelaxOptions, options)


def check_symmetry(options: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the options of stage symmetry, None if nothing is."""
    return check_as(SymmetryOptions, options)

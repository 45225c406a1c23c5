"""Convex hulls of sets: calcfunction, parameters, and the check that levels of theory are not mixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

from aiida import orm
from aiida.engine import calcfunction
from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator

from aiida_pet.analysis.hull import above_hull
from aiida_pet.analysis.hull.competing import PressureError, competing_energies, same_pressure, told_pressure
from aiida_pet.analysis.hull.levels_of_theory import (
    CorrectionKind,
    MixedTheoryError,
    Theory,
    corrected_theory,
    find_mixture,
    to_correct,
)
from aiida_pet.analysis.hull.references import References
from aiida_pet.calculations.theory import pressure_behind, theory_of, theory_of_models, with_neutrality
from aiida_pet.data.model import PetModelData
from aiida_pet.data.structures import StructureSetData
from aiida_pet.data.table import TableData
from aiida_pet.schemas import check_as, told

LABEL = "structures"
ENERGY = "energy"


class HullParameters(BaseModel):
    """The parameters of a hull."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hull: above_hull.HullKind = Field(
        above_hull.HullKind.ALL,
        description="phases that make the hull: all (crystals of the set and references) or references (references "
        "alone)",
    )
    force_mixture: StrictBool = Field(False, description="allow different levels of theory on one hull")
    stability_threshold: float = Field(
        0.0,
        strict=True,
        allow_inf_nan=False,
        description="a crystal is stable if its energy above the hull is at most this value",
        json_schema_extra=told(unit="eV/atom"),
    )
    level_of_theory: str = Field(
        "",
        description="level of theory of the set, if its provenance does not give it",
        json_schema_extra=told(expected="a text such as 'PBE, VASP'"),
    )
    corrections: CorrectionKind = Field(
        CorrectionKind.AUTO,
        description="corrections of energies of the Materials Project: auto, mp2020 or none",
    )
    count_unconverged: StrictBool = Field(
        False,
        description="also compute energies above the hull of crystals that did not converge; needs hull=references",
    )

    @model_validator(mode="after")
    def _unconverged_crystals_make_no_hull(self) -> Self:
        if self.count_unconverged and self.hull is not above_hull.HullKind.REFERENCES:
            raise ValueError(
                "count_unconverged = true needs hull = references: crystals that did not converge cannot be phases of "
                "the hull"
            )
        return self


DEFAULTS: dict[str, Any] = HullParameters().model_dump(mode="json")


def check_hull_parameters(parameters: Mapping[str, Any]) -> str | None:
    """Return which parameter is unknown or has a value that it cannot have, None if all is well."""
    return check_as(HullParameters, parameters)


def check_reference(name: str, node: TableData) -> str | None:
    """Return why ``node`` cannot be taken as references, None if it can."""
    if isinstance(node, StructureSetData):
        if ENERGY not in node.column_names:
            return f"references {name!r} have no column {ENERGY!r} (eV per cell)"
        counts = node.base.attributes.get("counts", {})
        if "status" in node.column_names and not counts.get("status", {}).get("converged", 0):
            return f"none of the {len(node)} references {name!r} is converged"
        return None
    missing = [column for column in ("energy_per_atom", "atomic_numbers") if column not in node.column_names]
    if missing:
        return (
            f"references {name!r} lack columns {', '.join(missing)}: expected a set of crystals, or a table made by "
            "aiida_pet.analysis.hull.references.References.to_table"
        )
    return None


def problem_within(node: TableData) -> str | None:
    """Return that rows of a set are of different levels of theory, by its columns; None if they are not."""
    if not isinstance(node, StructureSetData):
        return None
    try:
        theory_of(node)
    except MixedTheoryError as error:
        return str(error)
    return None


def theories_in(node: TableData) -> dict[str, Theory]:
    """Return the level of theory of each source in a table of references."""
    return References.of_table(node.to_table()).theories


def mixture_in(
    theories: Mapping[str, Theory], sets: Sequence[str], parameters: Mapping[str, Any]
) -> str | None:
    """Return in words which sources must not be on one hull, None if nothing speaks against it.

    :param theories: by the name of their source.
    :param sets: the sources whose crystals are known, and which can be corrected.
    :param parameters: parameters of the hull.
    """
    if parameters["force_mixture"]:
        return None
    try:
        corrected = to_correct(theories, sets, parameters["corrections"])
    except MixedTheoryError as error:
        return str(error)
    return find_mixture(
        {name: corrected_theory(one) if name in corrected else one for name, one in theories.items()}
    )


def pressure_mixture(
    structures: StructureSetData,
    references: Mapping[str, TableData],
    relaxed_at: float | None,
) -> str | None:
    """Return in words which references were relaxed, or would be, at another pressure than the set.

    :param relaxed_at: GPa, at which references are relaxed first; None if none are.
    """
    try:
        if not relaxed_at and not any(map(_may_be_under_pressure, [structures, *references.values()])):
            return None
        pressure = competing_energies(
            structures.to_table(), LABEL, pressure=pressure_behind(structures)
        ).pressure
        if relaxed_at is not None and not same_pressure(relaxed_at, pressure):
            return (
                f"{LABEL} have {told_pressure(pressure)}, but the references would be relaxed at "
                f"{relaxed_at:g} GPa: give `relax.parameters` the same pressure"
            )
        for name, node in references.items():
            _references(name, node).check_pressure(pressure)
    except PressureError as error:
        return str(error)
    return None


def problem_ahead(
    structures: StructureSetData,
    model: PetModelData,
    pressure: float,
    references: Mapping[str, TableData],
    options: Mapping[str, Any],
) -> str | None:
    """Return in words why a hull will be refused once ``structures`` are relaxed; None if nothing speaks against it.

    :param model: by which they are relaxed.
    :param pressure: GPa, at which they are.
    :param references: those that are finished.
    :param options: parameters of the hull.
    """
    own = theory_of_models(model)
    own = own if own.level else replace(own, level=str(options.get("level_of_theory", "")))
    found = {LABEL: with_neutrality(own, structures)}
    try:
        for name, node in references.items():
            if isinstance(node, StructureSetData):
                found[name] = theory_of(node)
        sets = list(found)
        for name in set(references) - set(sets):
            found |= theories_in(references[name])
        for name, node in references.items():
            if pressure or _may_be_under_pressure(node):
                _references(name, node).check_pressure(pressure)
    except (MixedTheoryError, PressureError) as error:
        return str(error)
    return mixture_in(found, sets, DEFAULTS | dict(options))


def _may_be_under_pressure(node: TableData) -> bool:
    if not isinstance(node, StructureSetData):
        return "pressure" in node.column_names
    return "enthalpy" in node.column_names or bool(pressure_behind(node))


def _references(
    name: str, node: TableData, theory: Theory | None = None, correct: bool = False
) -> References:
    if not isinstance(node, StructureSetData):
        return References.of_table(node.to_table())
    return References.of_structures(
        node.to_table(), name, theory, pressure=pressure_behind(node), correct=correct
    )


def to_plain(theories: Mapping[str, Theory]) -> dict[str, Any]:
    """Return theories as they stand in the Dict that :func:`energies_above_hull` takes."""
    return {name: {"level": theory.level, "models": list(theory.models)} for name, theory in theories.items()}


@calcfunction
def energies_above_hull(
    structures: StructureSetData, parameters: orm.Dict, theories: orm.Dict, **references: TableData
) -> dict[str, Any]:
    """Return ``results``, a table under the ids of the set, and ``summary``: see
    :mod:`aiida_pet.analysis.hull.above_hull`.

    :param structures: with energies (eV per cell) and statuses.
    :param parameters: ``hull``, ``force_mixture``, ``stability_threshold`` (eV/atom), ``corrections``.
    :param theories: name -> {level, models} of the set (as ``structures``) and of references that are sets.
    :param references: sets of the same model, or tables of reference phases, by name.
    :raises MixedTheoryError: if levels of theory or models differ, and that is not forced.
    :raises PressureError: if the set and its references were relaxed at different pressures.
    """
    known = {
        name: Theory(theory["level"], tuple(theory["models"])) for name, theory in theories.get_dict().items()
    }
    values = DEFAULTS | parameters.get_dict()
    sets = [name for name, node in references.items() if isinstance(node, StructureSetData)]
    nodes: dict[str, Any] = {name: references[name] for name in sets} | {LABEL: structures}
    found = {
        name: with_neutrality(known[name], node) if name in known else theory_of(node)
        for name, node in nodes.items()
    }
    for name, node in references.items():
        found |= {} if name in sets else theories_in(node)
    corrected = to_correct(found, [LABEL, *sets], values["corrections"], values["force_mixture"])
    parts = [
        _references(name, node, found.get(name), name in corrected)
        for name, node in sorted(references.items())
    ]
    result = above_hull.energies_above_hull(
        structures.to_table(),
        References.concatenate(parts) if parts else None,
        hull=values["hull"],
        theory=found[LABEL],
        force_mixture=values["force_mixture"],
        stability_threshold=values["stability_threshold"],
        label=LABEL,
        pressure=pressure_behind(structures),
        corrections=values["corrections"],
        count_unconverged=values["count_unconverged"],
    )
    return {"results": TableData.from_table(result.table), "summary": orm.Dict(result.summary)}

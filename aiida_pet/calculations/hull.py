"""Convex hulls of sets: calcfunction, parameters, and the check that levels of theory are not mixed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.engine import calcfunction

from aiida_pet.analysis import hull
from aiida_pet.analysis.levels import Theory, find_mixture
from aiida_pet.analysis.references import References
from aiida_pet.data.structures import StructureSetData
from aiida_pet.data.table import TableData

LABEL = "structures"
ENERGY = "energy"
DEFAULTS: dict[str, Any] = {
    "hull": hull.HullKind.ALL.value,
    "force_mixture": False,
    "stability_threshold": 0.0,  # eV/atom
    "level_of_theory": "",  # of the set, where its provenance does not tell
}


def check_hull_parameters(parameters: Mapping[str, Any]) -> str | None:
    """Return which parameter is unknown or has a value that it cannot have, None if all is well."""
    unknown = sorted(set(parameters) - set(DEFAULTS))
    if unknown:
        return f"unknown parameters {unknown}: known are {', '.join(DEFAULTS)}"
    values = DEFAULTS | dict(parameters)
    if values["hull"] not in list(hull.HullKind):
        return f"hull = {values['hull']!r}: expected {' or '.join(hull.HullKind)}"
    if not isinstance(values["force_mixture"], bool):
        return f"force_mixture = {values['force_mixture']!r}: expected true or false"
    threshold = values["stability_threshold"]
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not math.isfinite(threshold):
        return f"stability_threshold = {threshold!r}: expected a number in eV/atom"
    if not isinstance(values["level_of_theory"], str):
        return f"level_of_theory = {values['level_of_theory']!r}: expected a text such as 'PBE, VASP'"
    return None


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
            "aiida_pet.analysis.references.References.to_table"
        )
    return None


def theories_in(node: TableData) -> dict[str, Theory]:
    """Return the level of theory of each source in a table of references."""
    return References.of_table(node.to_table()).theories


def mixture_in(theories: Mapping[str, Theory]) -> str | None:
    """Return in words which sources must not be on one hull, None if nothing speaks against it."""
    return find_mixture(theories)


def to_plain(theories: Mapping[str, Theory]) -> dict[str, Any]:
    """Return theories as they stand in the Dict that :func:`energies_above_hull` takes."""
    return {name: {"level": theory.level, "models": list(theory.models)} for name, theory in theories.items()}


@calcfunction
def energies_above_hull(
    structures: StructureSetData, parameters: orm.Dict, theories: orm.Dict, **references: TableData
) -> dict[str, Any]:
    """Return ``results``, a table under the ids of the set, and ``summary``: see :mod:`aiida_pet.analysis.hull`.

    :param structures: with energies (eV per cell) and statuses.
    :param parameters: ``hull``, ``force_mixture``, ``stability_threshold`` (eV/atom).
    :param theories: name -> {level, models} of the set (as ``structures``) and of references that are sets.
    :param references: sets of the same model, or tables of reference phases, by name.
    :raises MixedTheoryError: if levels of theory or models differ, and that is not forced.
    """
    known = {
        name: Theory(theory["level"], tuple(theory["models"])) for name, theory in theories.get_dict().items()
    }
    values = DEFAULTS | parameters.get_dict()
    parts = [
        References.of_structures(node.to_table(), name, known.get(name))
        if isinstance(node, StructureSetData)
        else References.of_table(node.to_table())
        for name, node in sorted(references.items())
    ]
    result = hull.energies_above_hull(
        structures.to_table(),
        References.concatenate(parts) if parts else None,
        hull=values["hull"],
        theory=known.get(LABEL),
        force_mixture=values["force_mixture"],
        stability_threshold=values["stability_threshold"],
        label=LABEL,
    )
    return {"results": TableData.from_table(result.table), "summary": orm.Dict(result.summary)}

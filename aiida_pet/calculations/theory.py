"""What the provenance of a set says of the energies in it: the jobs they are of, hence models and parameters."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from aiida import orm

from aiida_pet.analysis.hull.competing import PressureError
from aiida_pet.analysis.hull.levels_of_theory import MixedTheoryError, Theory, is_corrected, theory_in
from aiida_pet.analysis.hull.mp2020 import CORRECTED_ELEMENTS
from aiida_pet.data.model import PetModelData
from aiida_pet.data.structures import StructureSetData
from aiida_pet.data.table import TableData
from aiida_pet.training.levels import level_of_energies

# Links of a merge that say what was to be done, not what came out.
_NOT_RESULTS = ("structures", "rows")


def jobs_behind(node: TableData) -> list[Any]:
    """Return the jobs whose results are in ``node``, through any calcfunctions between; none for what was imported."""
    found: dict[str, Any] = {}
    seen: set[str] = set()
    waiting = [node]
    while waiting:
        creator: Any = waiting.pop().creator
        if creator is None or creator.uuid in seen:
            continue
        seen.add(creator.uuid)
        if isinstance(creator, orm.CalcJobNode):
            found[creator.uuid] = creator
            continue
        links = creator.base.links.get_incoming(node_class=StructureSetData).all()
        results = [link.node for link in links if link.link_label not in _NOT_RESULTS]
        waiting += results or [link.node for link in links]
    return list(found.values())


def theory_of(node: StructureSetData) -> Theory:
    """Return level of theory and models of the energies in ``node``: from provenance, else from its columns."""
    return with_neutrality(_theory_of(node), node)


def theory_if_one(node: StructureSetData) -> Theory:
    """Return what :func:`theory_of` says, nothing for a set of several levels of theory: a forced mixture."""
    try:
        return theory_of(node)
    except MixedTheoryError:
        return Theory()


def with_neutrality(theory: Theory, node: StructureSetData) -> Theory:
    """Return ``theory`` of the crystals in ``node``, which tell whether there is anything to correct."""
    alloys = set(CORRECTED_ELEMENTS).isdisjoint(node.elements)
    return replace(theory, neutral=alloys and not is_corrected(theory.level))


def _theory_of(node: StructureSetData) -> Theory:
    jobs = [
        job
        for job in jobs_behind(node)
        if "model" in job.inputs and isinstance(job.inputs.model, PetModelData)
    ]
    if not jobs:
        known = ("level_of_theory", "model", "run_type", "correction")
        wanted = [name for name in known if name in node.column_names]
        return theory_in({name: node.column(name) for name in wanted})
    levels = {level_of_energies(_level(job.inputs.model), _variant_of(job)) for job in jobs}
    models = sorted({job.inputs.model.sha256 for job in jobs})
    return Theory(levels.pop() if len(levels) == 1 else "", tuple(models))


def _level(model: PetModelData) -> str:
    return str(model.base.attributes.get("level_of_theory", None) or "")


def _variant_of(job: Any) -> str | None:
    """Return the variant of the outputs that ``job`` asked its model for."""
    return job.inputs.parameters.get_dict().get("variant") if "parameters" in job.inputs else None


def theory_of_models(*models: PetModelData) -> Theory:
    """Return level of theory and SHA-256 of models; the level is empty if they name several."""
    levels = {_level(model) for model in models}
    return Theory(levels.pop() if len(levels) == 1 else "", tuple(sorted(model.sha256 for model in models)))


def pressure_behind(node: StructureSetData) -> float | None:
    """Return the pressure (GPa) at which ``node`` was relaxed, by its jobs; None if there are none.

    :raises PressureError: if its jobs were under different pressures.
    """
    found = {
        float(job.inputs.parameters.get_dict().get("pressure", 0.0) or 0.0)
        for job in jobs_behind(node)
        if "parameters" in job.inputs
    }
    if len(found) > 1:
        told = " and ".join(f"{value:g}" for value in sorted(found))
        raise PressureError(f"<{node.pk}> holds energies of jobs at {told} GPa, which cannot be compared")
    return found.pop() if found else None


def freed_from(node: StructureSetData) -> tuple[StructureSetData, dict[str, Any]] | None:
    """Return the constrained relaxation of a `constrained_then_free` set, and how it was freed; None for other sets.

    :return: the set before, and ``rattle`` (A), ``seed`` and ``min_gain`` (eV/atom).
    """
    creator: Any = node.creator
    if creator is None or creator.process_label != "combine_relaxations":
        return None
    constrained = creator.inputs.constrained
    for link in constrained.base.links.get_outgoing(node_class=orm.CalcFunctionNode).all():
        if link.node.process_label == "rattle_structures":
            given = link.node.inputs.parameters.get_dict()
            options = {name: given[name] for name in ("rattle", "seed")}
            return constrained, options | {"min_gain": creator.inputs.parameters["min_gain"]}
    return None


def parameters_behind(node: StructureSetData) -> dict[str, Any] | None:
    """Return the parameters of the jobs whose results are in ``node``; None if there are none or they differ."""
    found = [job.inputs.parameters.get_dict() for job in jobs_behind(node) if "parameters" in job.inputs]
    return found[0] if found and all(parameters == found[0] for parameters in found) else None

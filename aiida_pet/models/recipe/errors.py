"""Errors of a model on held-out frames: energy, forces and stress, conservative and direct, group by group.

Energy in meV/atom over frames, forces in meV/A over components, stress in GPa over its six components.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.units import GPa

from aiida_pet.models.recipe.convert import group_of
from aiida_pet.tables.arrays import Floats

ALLOYS = "SS"
"""Group of the solid solutions; the others are of elements."""
SURFACES = "Surface"


@dataclass(frozen=True)
class Errors:
    """Model minus DFT of one frame.

    :ivar config: label of the frame.
    :ivar energy: meV/atom.
    :ivar forces: source (``conservative``, ``direct``) -> (n, 3) meV/A.
    :ivar stress: source -> (6,) GPa.
    """

    config: str
    energy: float
    forces: dict[str, Floats]
    stress: dict[str, Floats]


def errors_of(frames: Iterable[Atoms], calculators: dict[str, Calculator]) -> list[Errors]:
    """Return the errors of each of ``frames``, which carry DFT results.

    :param calculators: ``conservative`` and ``direct``; the energy is that of the first.
    """
    found = []
    for frame in frames:
        results = {}
        for source, calculator in calculators.items():
            probe = frame.copy()
            probe.calc = calculator
            energy, forces, stress = probe.get_potential_energy(), probe.get_forces(), probe.get_stress()
            results[source] = (energy, forces, stress)
        energy = next(iter(results.values()))[0]
        found.append(
            Errors(
                config=str(frame.info["config"]),
                energy=1e3 * float(energy - frame.get_potential_energy()) / len(frame),
                forces={
                    source: 1e3 * (found_ - frame.get_forces()) for source, (_, found_, _) in results.items()
                },
                stress={
                    source: (found_ - frame.get_stress()) / GPa for source, (_, _, found_) in results.items()
                },
            )
        )
    return found


def summary(errors: Sequence[Errors]) -> dict[str, float | int]:
    """Return count, mean absolute and root-mean-square errors of ``errors``, which must not be empty."""
    table: dict[str, float | int] = {"frames": len(errors)}
    _add(table, "energy", np.array([item.energy for item in errors]), "meV_atom")
    for source in errors[0].forces:
        _add(table, f"forces_{source}", np.concatenate([e.forces[source].ravel() for e in errors]), "meV_A")
        _add(table, f"stress_{source}", np.concatenate([e.stress[source] for e in errors]), "GPa")
    return table


def _add(table: dict[str, float | int], name: str, values: Floats, unit: str) -> None:
    digits = 3 if unit == "GPa" else 2
    table[f"{name}_mae_{unit}"] = round(float(np.abs(values).mean()), digits)
    table[f"{name}_rmse_{unit}"] = round(float(np.sqrt((values**2).mean())), digits)


def by_group(errors: Sequence[Errors]) -> dict[str, dict[str, float | int]]:
    """Return the :func:`summary` of all, of all but slabs, of the elements, of the binaries, and of each group.

    Groups of elements are the kinds of their frames (AIMD, Elastic, Surface), those of binaries their elements (MoTa).
    """
    groups: dict[str, list[Errors]] = {"all": list(errors)}
    groups["bulk"] = [item for item in errors if group_of(item.config) != SURFACES]
    groups["elements"] = [item for item in errors if group_of(item.config) != ALLOYS]
    groups["binaries"] = [item for item in errors if group_of(item.config) == ALLOYS]
    for kind in sorted({group_of(item.config) for item in groups["elements"]}):
        groups[kind] = [item for item in errors if group_of(item.config) == kind]
    for pair in sorted({item.config for item in groups["binaries"]}):
        groups[pair.partition("_")[0]] = [item for item in errors if item.config == pair]
    return {name: summary(items) for name, items in groups.items() if items}

"""Whether stresses have the sign and unit that energies say: dE = tr(stress) / 3 dV between cells of one crystal.

Pairs of rows of one crystal give what the energy changed by and what the mean stress of the two says of it. Over all
pairs the change of the energy is this prediction times a slope: 1 for eV/A^3 and tension positive, -1 where compression
is positive, 1/160.2 for GPa. Atoms that move in between blur it, so it is judged only where the two are clearly
correlated.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from ase.units import GPa

from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.table import Array

LEAST_PAIRS = 6
CLEAR = 0.5  # correlation
LEAST_STRAIN = 0.004  # of volumes that are compared
MOST_NEIGHBOURS = 4  # in volume, that a row is compared with


@dataclass(frozen=True)
class StressCheck:
    """What energies say of stresses.

    :ivar pairs: that could be compared.
    :ivar ratio: slope of changes of energy by those that the stress says; NaN without pairs.
    :ivar correlation: between the two.
    :ivar problem: what is wrong with sign or unit, empty if nothing is seen.
    """

    pairs: int
    ratio: float
    correlation: float = 0.0
    problem: str = ""


def check_stress(table: StructureTable, energy: Array, stress: Array | None, groups: Array) -> StressCheck:
    """Return what energies say of the sign and unit of ``stress``.

    :param energy: (N,) eV.
    :param stress: (N, 6) eV/A^3, NaN where missing.
    :param groups: (N,) the crystal that a row comes from.
    """
    if stress is None:
        return StressCheck(0, np.nan)
    found, expected = _changes(table, energy, stress, groups)
    square = float(expected @ expected)
    if len(found) < 2 or not square:
        return StressCheck(len(found), np.nan)
    ratio = float(found @ expected) / square
    correlation = float(found @ expected) / (float(np.linalg.norm(found)) * square**0.5 or 1.0)
    problem = ""
    says = (
        f"over {len(found)} pairs of cells the energy changes {ratio:.3g} times as much as the stress predicts "
        f"(correlation {correlation:.2f})"
    )
    if len(found) >= LEAST_PAIRS and correlation <= -CLEAR:
        problem = (
            f"stresses have the wrong sign: {says}, expected 1, since tension is positive; import the set with "
            "stress_sign='minus'"
        )
    elif len(found) >= LEAST_PAIRS and correlation >= CLEAR and ratio < 10 * GPa:
        unit = "GPa" if ratio > 0.25 * GPa else "kbar"
        problem = (
            f"stresses seem to be in {unit}: {says}, expected 1, since stresses are in eV/A^3; import the set with "
            f"stress_unit={unit!r}"
        )
    return StressCheck(len(found), ratio, correlation, problem)


def _changes(table: StructureTable, energy: Array, stress: Array, groups: Array) -> tuple[Array, Array]:
    """Return changes of energy between cells of one crystal, and what the mean stress of the two says, per atom."""
    volumes = np.abs(np.linalg.det(table.cells))
    mean_stress = stress[:, :3].mean(axis=1)
    members: dict[tuple[str, bytes], list[int]] = defaultdict(list)
    for row in np.flatnonzero(np.isfinite(energy) & np.isfinite(mean_stress)).tolist():
        numbers = table.numbers[table.offsets[row] : table.offsets[row + 1]]
        members[str(groups[row]), np.sort(numbers).tobytes()].append(row)
    pairs = []
    for rows in members.values():
        rows.sort(key=lambda row: float(volumes[row]))
        for place, one in enumerate(rows):
            pairs += [(one, two) for two in rows[place + 1 : place + 1 + MOST_NEIGHBOURS]]
    if not pairs:
        return np.zeros(0), np.zeros(0)
    first, second = np.array(pairs).T
    strained = volumes[second] - volumes[first] > LEAST_STRAIN * volumes[first]
    first, second = first[strained], second[strained]
    sizes = np.diff(table.offsets)[first]
    expected = 0.5 * (mean_stress[first] + mean_stress[second]) * (volumes[second] - volumes[first])
    return (energy[second] - energy[first]) / sizes, expected / sizes

"""The convex hull of many phases over many elements, one chemical system at a time.

The hull over a chemical system meets its faces in the hulls of its subsystems, so a system is worked out from the
vertices of its subsystems and its own phases; systems nobody asks for cost nothing. Each system is worked out once.
"""

from __future__ import annotations

from functools import cached_property
from itertools import combinations

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from aiida_pet.analysis.hull.compositions import Compositions
from aiida_pet.analysis.hull.lower_hull import Decomposition, Indices, LowerHull
from aiida_pet.tables.arrays import Floats

System = tuple[int, ...]  # atomic numbers, ascending

# Phases whose formation energy is not lower make no hull: pymatgen's PhaseDiagram.formation_energy_tol, eV/atom.
FORMATION_ENERGY_TOLERANCE = 1e-11


class PhaseSet:
    """M phases, their formation energies and the hulls they make.

    :param compositions: compositions of each phase.
    :param energy_per_atom: (M,) eV/atom, finite.
    """

    def __init__(self, compositions: Compositions, energy_per_atom: Floats) -> None:
        self.compositions = compositions
        systems, system_of = compositions.systems()
        groups = compositions.groups()
        # the lowest phase of each composition, the first of equals
        order = np.lexsort((np.arange(len(compositions)), energy_per_atom, groups))
        lowest = order[np.unique(groups[order], return_index=True)[1]]
        self.element_phases: dict[int, int] = {}
        self.element_energies = np.full(len(chemical_symbols), np.nan)
        for phase in lowest.tolist():
            system = systems[system_of[phase]]
            if len(system) == 1:
                self.element_phases[system[0]] = phase
                self.element_energies[system[0]] = energy_per_atom[phase]
        self.formation_energies: Floats = energy_per_atom - compositions.weighted(self.element_energies)
        compounds = lowest[self.formation_energies[lowest] < -FORMATION_ENERGY_TOLERANCE]
        by_system = compounds[np.argsort(system_of[compounds], kind="stable")]
        self._own: dict[System, Indices] = {
            systems[int(system_of[part[0]])]: part
            for part in np.split(by_system, np.flatnonzero(np.diff(system_of[by_system])) + 1)
            if len(part)
        }
        self._groups = groups
        self._vertices: dict[System, Indices] = {}
        self.n_programs = 0

    @cached_property
    def _largest(self) -> int:
        return max((len(system) for system in self._own), default=1)

    def missing(self, system: System) -> list[int]:
        """Return the elements of ``system`` that have no phase of their own: no hull without them."""
        return [number for number in system if number not in self.element_phases]

    def hull(self, system: System, without: int | None = None) -> tuple[LowerHull, Indices]:
        """Return the hull over ``system`` and the phase of each of its points.

        :param system: whose elements all have a phase.
        :param without: a phase of this system to leave out.
        """
        elements = [self.element_phases[number] for number in system]
        own = self._own.get(system, np.zeros(0, np.int64))
        if without is not None:
            own = own[own != without]
        sub = [
            self._own_vertices(part)
            for size in range(2, min(len(system) - 1, self._largest) + 1)
            for part in combinations(system, size)
            if part in self._own
        ]
        phases = np.concatenate([np.array(elements, np.int64), *sub, own])
        return LowerHull(self._fractions(phases, system), self.formation_energies[phases]), phases

    def _own_vertices(self, system: System) -> Indices:
        """Return the phases of exactly these elements that the hull over them is made of."""
        if system not in self._vertices:
            hull, phases = self.hull(system)
            self.keep_vertices(system, hull, phases)
        return self._vertices[system]

    def keep_vertices(self, system: System, hull: LowerHull, phases: Indices) -> Indices:
        """Remember the vertices of the hull over ``system`` that are no vertices of subsystems, and return them."""
        if system not in self._vertices:
            own = len(self._own.get(system, ()))
            vertices = hull.vertices
            self._vertices[system] = phases[vertices[vertices >= len(phases) - own]]
            self.n_programs += hull.n_programs
        return self._vertices[system]

    def decompose(self, system: System, fractions: Floats) -> tuple[Decomposition, Indices]:
        """Return what compositions of exactly the elements ``system`` decompose into.

        :param fractions: (n, d) atomic fractions, in the order of ``system``.
        :return: the decompositions, their products as phases; and the vertices within ``system``.
        """
        if len(system) == 1:
            element = np.full((len(fractions), 1), self.element_phases[system[0]])
            return Decomposition(np.zeros(len(fractions)), element, np.ones((len(fractions), 1))), element[
                0, :0
            ]
        hull, phases = self.hull(system)
        vertices = self.keep_vertices(system, hull, phases)
        before = hull.n_programs
        found = hull.decompose(fractions)
        self.n_programs += hull.n_programs - before
        return Decomposition(found.energy, phases[found.products], found.amounts), vertices

    def alike(self, phase: int, others: Indices) -> NDArray[np.bool_]:
        """Return which phases have the composition of ``phase``; -1 has none."""
        same: NDArray[np.bool_] = (others >= 0) & (self._groups[others] == self._groups[phase])
        return same

    def energy_without(self, system: System, phase: int) -> float:
        """Return the energy at the composition of ``phase`` of the hull that phases of other compositions make.

        :param phase: one of the vertices within ``system``, the lowest of its composition.
        """
        hull, _ = self.hull(system, without=phase)
        return float(hull.decompose(self._fractions(np.array([phase]), system)).energy[0])

    def _fractions(self, phases: Indices, system: System) -> Floats:
        """(n, d) atomic fractions of phases within ``system``."""
        numbers, fractions = self.compositions.numbers[phases], self.compositions.fractions_of(phases)
        columns = np.searchsorted(np.array(system), numbers)
        spread = np.zeros((len(phases), len(system) + 1))
        rows = np.broadcast_to(np.arange(len(phases))[:, None], numbers.shape)
        real = numbers > 0
        spread[rows[real], columns[real]] = fractions[real]
        return spread[:, :-1]

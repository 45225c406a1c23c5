"""Harmonic phonons of many crystals: each relaxed, displaced in a supercell, and solved; see the modules that do it.

The supercell is chosen by :mod:`~aiida_pet.crystals.phonons.supercells`, displacements are
:mod:`~aiida_pet.crystals.phonons.displacements`, their forces become
:mod:`~aiida_pet.crystals.phonons.force_constants`, and these the columns of
:mod:`~aiida_pet.crystals.phonons.harmonic`. What a row needs to be taken up again later, for bands or single modes,
is in it: :mod:`~aiida_pet.crystals.phonons.stored`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from phonopy import Phonopy
from phonopy.structure.atoms import PhonopyAtoms

from aiida_pet.crystals.phonons.displacements import Displacements, SupercellSites, generate_displacements
from aiida_pet.crystals.phonons.force_constants import SolvedForceConstants, produce_force_constants
from aiida_pet.crystals.phonons.given_displacements import given_displacements, order_of_supercell
from aiida_pet.crystals.phonons.harmonic import (
    HarmonicProperties,
    harmonic_properties,
    make_phonopy,
    mesh_is_coarse,
    nac_parameters,
    thermal_temperatures,
)
from aiida_pet.crystals.phonons.supercells import Supercell, choose_supercell, given_supercell
from aiida_pet.engine.batch.evaluation import NET_FORCE
from aiida_pet.engine.tasks.expansion import Expansion, Reduced
from aiida_pet.job.given_charges import breaks_sum_rule, charges_of_row, has_charges
from aiida_pet.job.given_columns import DISPLACEMENTS, MESH, PRIMITIVE, SUPERCELL
from aiida_pet.job.given_rows import given_of_row
from aiida_pet.job.parameters import Derivation
from aiida_pet.job.phonon_parameters import PhononParameters
from aiida_pet.tables.arrays import Array, Floats
from aiida_pet.tables.columns import Source
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.warnings import Warned

#: Lengths of displacements if none is asked for, A. Direct forces are rougher: in longer ones their noise weighs less.
DEFAULT_DISPLACEMENT = {Derivation.CONSERVATIVE: 0.03, Derivation.DIRECT: 0.1}
#: Columns of the input that a row may come with: its supercell, relative to its primitive cell; that primitive cell,
#: relative to the cell of the row; and the numbers of its q-points.
#: Ragged, (D, 5): the number of a supercell, that of an atom in it as phonopy counts those of the row, and the vector.


@dataclass(frozen=True)
class DisplacedSupercell:
    """A supercell of a crystal and its displacements.

    :ivar supercell: how it was chosen.
    :ivar phonopy: phonopy object of it, without force constants.
    :ivar sites: sites of it.
    :ivar displacements: displacements of its atoms.
    :ivar distance: length of the longest, A.
    """

    supercell: Supercell
    phonopy: Phonopy
    sites: SupercellSites
    displacements: Displacements
    distance: float

    def children(self) -> StructureTable:
        """Return the displaced supercells as rows "0", "1" and so on."""
        count, n_atoms = self.displacements.positions.shape[:2]
        return StructureTable(
            ids=np.arange(count).astype(str),
            numbers=np.tile(self.phonopy.supercell.numbers, count),
            positions=self.displacements.positions.reshape(-1, 3),
            cells=np.tile(self.sites.cell, (count, 1, 1)),
            pbc=np.ones((count, 3), dtype=bool),
            offsets=np.arange(count + 1) * n_atoms,
        )


@dataclass(frozen=True)
class PhononPlan:
    """What the children of a crystal are.

    :ivar main: the supercell of the results; its children come first.
    :ivar check: a second one that they are compared with.
    :ivar mesh: mesh of q-points, as a length (A) or three numbers.
    :ivar charges: Born charges (A, 3, 3), e, and dielectric tensor (3, 3) of the row, if they are used.
    """

    main: DisplacedSupercell
    check: DisplacedSupercell | None
    mesh: float | list[int]
    charges: tuple[Floats, Floats] | None


class Phonons(Expansion[PhononParameters, PhononPlan]):
    """Force constants of each row and what follows from them.

    Columns: all of :class:`~aiida_pet.crystals.phonons.harmonic.HarmonicProperties` under its names, at
    ``temperatures`` (T,), K; what the force constants were before they were made symmetric, ``net_force``,
    ``acoustic_sum_rule_before``, ``hessian_asymmetry`` and ``hessian_relative_asymmetry``, and ``acoustic_sum_rule``
    after (:class:`~aiida_pet.crystals.phonons.force_constants.SolvedForceConstants`); of the supercell,
    ``supercell_matrix`` (3, 3) relative to the primitive cell, ``primitive_matrix`` (3, 3), ``n_atoms_supercell``,
    ``supercell_image``, A, ``supercell_capped``; ``n_displacements`` and ``displacement``, A.

    With ``supercell_check``, of the second supercell: ``check_n_atoms_supercell``, ``check_supercell_image``,
    ``check_min_frequency``, ``check_max_frequency``, ``check_is_dynamically_stable``, and ``check_frequency_change``,
    the largest change of a frequency over the mesh, THz.

    Where the set has Born charges and dielectric tensors: ``has_nac``, whether the row had both, and
    ``dielectric_tensor`` (3, 3).

    Ragged columns: ``force_constants`` (P S, 3, 3), eV/A^2, phonopy's compact ones with the first two indices in one;
    ``primitive_atoms`` (P,), which atoms of the row are those of the primitive cell; ``primitive_born_charges``
    (P, 3, 3), e, none where there is no correction.
    """

    SOURCE = Source.PHONONS
    ONLY_FORCES = True
    _codes: frozenset[str] = frozenset()  # of the row that was reduced last, beside those that columns tell

    @property
    def displacement(self) -> float:
        """Length of the displacements, A."""
        return self.parameters.displacement or DEFAULT_DISPLACEMENT[self.parameters.forces]

    def expand(self, crystal: StructureTable) -> tuple[StructureTable, PhononPlan]:
        """Return the displaced supercells.

        :raises ValueError: if it is not periodic in all directions, phonopy cannot take it, or its Born charges or its
            dielectric tensor are none.
        """
        if not crystal.pbc.all():
            pbc = "".join("T" if flag else "F" for flag in crystal.pbc[0])
            raise ValueError(f"phonons need a crystal periodic in all directions, but pbc is {pbc}")
        given = self.parameters
        charges = (
            charges_of_row(self.table, self.table.index(str(crystal.ids[0])))
            if self._knows_charges()
            else None
        )
        supercell = self._given(crystal, SUPERCELL) if given.supercell is None else given.supercell
        moved = self._given_displacements(crystal) if given.supercell is None else None
        main = self._displaced(crystal, min_image=given.min_image, supercell=supercell, moved=moved)
        numbers = self._given(crystal, MESH)
        mesh = given.mesh if numbers is None else numbers.astype(int).tolist()
        if given.supercell_check is None:
            return main.children(), PhononPlan(main, None, mesh, charges)
        check = self._displaced(crystal, min_image=given.supercell_check, supercell=None)
        children = StructureTable.concatenate([main.children(), _renamed(check.children(), "check ")])
        return children, PhononPlan(main, check, mesh, charges)

    def reduce(self, crystal: StructureTable, plan: PhononPlan, children: StructureTable) -> Reduced:
        """Return force constants and what they say.

        :raises ValueError: if the forces do not belong to the displacements.
        """
        given = self.parameters
        main, count = plan.main, len(plan.main.displacements)
        columns, ragged = self._correction(plan)
        displaced = children.take(range(count))
        solved = self._solve(main, displaced)
        # direct forces come without their net force, and say how large it was
        removed = displaced.columns.get(NET_FORCE, np.zeros(1))
        columns |= {
            **self._properties(main, plan.mesh).columns(),
            "temperatures": thermal_temperatures(given.temperatures),
            NET_FORCE: max(solved.net_force, float(removed.max())),
            "acoustic_sum_rule_before": solved.sum_rule_before,
            "acoustic_sum_rule": solved.sum_rule,
            "hessian_asymmetry": solved.asymmetry,
            "hessian_relative_asymmetry": solved.relative_asymmetry,
            "supercell_matrix": main.supercell.matrix,
            "primitive_matrix": main.supercell.primitive_matrix,
            "n_atoms_supercell": main.supercell.n_atoms,
            "supercell_image": main.supercell.min_image,
            "supercell_capped": main.supercell.capped,
            "n_displacements": count,
            "displacement": main.distance,
        }
        if plan.check is not None:
            self._solve(plan.check, children.take(range(count, len(children))))
            columns |= self._compared(main, plan.check, plan.mesh)
        ragged |= {
            "force_constants": solved.values.reshape(-1, 3, 3),
            "primitive_atoms": main.supercell.primitive_atoms,
        }
        coarse = mesh_is_coarse(main.phonopy)
        uneven = breaks_sum_rule(ragged["primitive_born_charges"]) if columns.get("has_nac") else False
        codes = {Warned.MESH_COARSE: coarse, Warned.BORN_SUM_RULE: uneven}
        self._codes = frozenset(code for code, holds in codes.items() if holds)
        return Reduced(columns, ragged)

    def sizes(self) -> dict[str, int]:
        """Return the lengths of the grids of the columns."""
        return {"T": len(thermal_temperatures(self.parameters.temperatures)), "G": self.parameters.dos_points}

    def columns_of_the_set(self) -> tuple[str, ...]:
        """Return what is stored of the correction, where the set has what it needs."""
        return ("has_nac", "dielectric_tensor", "primitive_born_charges") if self._knows_charges() else ()

    def _knows_charges(self) -> bool:
        return self.parameters.nac and has_charges(self.table)

    def codes_of(self, columns: Mapping[str, Any]) -> set[str]:
        """Return what there is to say of supercell, mesh and charges, and of modes at Gamma."""
        codes = {
            Warned.SUPERCELL_CAPPED: columns["supercell_capped"],
            Warned.IMAGINARY_AT_GAMMA: columns["imaginary_at_gamma_only"],
        }
        return {code for code, holds in codes.items() if holds} | self._codes

    def _given(self, crystal: StructureTable, name: str) -> Array | None:
        """Return what the row came with in column ``name``; None if it came with nothing.

        :raises ValueError: if it is not what that column holds.
        """
        if not self.parameters.given_cells:
            return None
        return given_of_row(self.table, self.table.index(str(crystal.ids[0])), name)

    def _given_displacements(self, crystal: StructureTable) -> Array | None:
        """Return the displacements (D, 5) that the row came with; None if it came with none."""
        if not self.parameters.given_displacements or DISPLACEMENTS not in self.table.ragged:
            return None
        found = self.table.ragged[DISPLACEMENTS][self.table.index(str(crystal.ids[0]))]
        return found if len(found) else None

    def _displaced(
        self, crystal: StructureTable, *, min_image: float, supercell: Any, moved: Array | None = None
    ) -> DisplacedSupercell:
        given = self.parameters
        primitive = self._given(crystal, PRIMITIVE)
        shared = {
            "min_image": min_image,
            "max_atoms": given.max_atoms,
            "supercell": supercell,
            "symprec": given.phonon_symprec,
        }
        of = (crystal.cells[0], crystal.positions, crystal.numbers)
        if primitive is not None and supercell is not None:
            chosen = given_supercell(*of, primitive_matrix=primitive, **shared)
        else:
            chosen = choose_supercell(*of, **shared)
        kept = chosen.primitive_atoms
        phonopy = make_phonopy(
            chosen.primitive_matrix.T @ crystal.cells[0],
            crystal.positions[kept],
            crystal.numbers[kept],
            chosen.matrix,
            symprec=given.phonon_symprec,
        )
        sites = SupercellSites.of(phonopy)
        if not given.use_symmetry:
            sites = sites.without_symmetry()
        if moved is None or primitive is None or supercell is None:
            displacements = generate_displacements(sites, phonopy.supercell.positions, self.displacement)
            return DisplacedSupercell(chosen, phonopy, sites, displacements, self.displacement)
        unit_cell = PhonopyAtoms(numbers=crystal.numbers.astype(int), cell=of[0], positions=of[1])
        matrix = np.round(primitive @ supercell).astype(np.int64)
        order = order_of_supercell(phonopy, sites, unit_cell, matrix)
        displacements = given_displacements(sites, phonopy.supercell.positions, moved, order)
        longest = float(np.linalg.norm(displacements.vectors, axis=1).max())
        return DisplacedSupercell(chosen, phonopy, sites, displacements, longest)

    def _solve(self, displaced: DisplacedSupercell, children: StructureTable) -> SolvedForceConstants:
        """Return the force constants, and leave them in the ``phonopy`` of ``displaced``."""
        forces = children.atom_columns["forces"].reshape(displaced.displacements.positions.shape)
        solved = produce_force_constants(
            displaced.phonopy,
            displaced.sites,
            displaced.displacements,
            forces,
            self.parameters.force_constants,
        )
        displaced.phonopy.force_constants = solved.values
        return solved

    def _properties(self, displaced: DisplacedSupercell, mesh: float | list[int]) -> HarmonicProperties:
        given = self.parameters
        return harmonic_properties(
            displaced.phonopy,
            frequencies=given.dos_points
            if given.dos_range is None
            else np.linspace(*given.dos_range, given.dos_points),
            mesh=mesh,
            temperatures=thermal_temperatures(given.temperatures),
            imaginary_threshold=given.imaginary_threshold,
            dos_sigma=given.dos_sigma,
            use_symmetry=given.use_symmetry,
        )

    def _compared(
        self, main: DisplacedSupercell, check: DisplacedSupercell, mesh: float | list[int]
    ) -> dict[str, Any]:
        """Return what the second supercell says; the primitive cell is the same, and so is the mesh."""
        properties = self._properties(check, mesh)
        change = check.phonopy.mesh.frequencies - main.phonopy.mesh.frequencies
        return {
            "check_n_atoms_supercell": check.supercell.n_atoms,
            "check_supercell_image": check.supercell.min_image,
            "check_min_frequency": properties.min_frequency,
            "check_max_frequency": properties.max_frequency,
            "check_is_dynamically_stable": properties.is_dynamically_stable,
            "check_frequency_change": float(np.abs(change).max()),
        }

    def _correction(self, plan: PhononPlan) -> tuple[dict[str, Any], dict[str, Array]]:
        """Set the non-analytical term correction of the row, if it is wanted and known; return what is stored of it."""
        if not self._knows_charges():
            return {}, {}
        if plan.charges is None:
            nothing = {"has_nac": False, "dielectric_tensor": np.full((3, 3), np.nan)}
            return nothing, {"primitive_born_charges": np.zeros((0, 3, 3))}
        kept = plan.main.supercell.primitive_atoms
        borns, dielectric = plan.charges[0][kept], plan.charges[1]
        for displaced in (plan.main, plan.check):
            if displaced is not None:
                displaced.phonopy.nac_params = nac_parameters(borns, dielectric, len(kept))
        return {"has_nac": True, "dielectric_tensor": dielectric}, {"primitive_born_charges": borns}


def _renamed(table: StructureTable, prefix: str) -> StructureTable:
    table.ids = np.array([f"{prefix}{name}" for name in table.ids.tolist()])
    return table

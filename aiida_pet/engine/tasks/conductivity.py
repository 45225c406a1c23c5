"""Forces for thermal conductivities: each crystal relaxed, then displaced in supercells of second and third order.

Both orders of all crystals go through one queue. The forces are the result: what they say is computed by another job,
on cores and without torch (:mod:`aiida_pet.transport`). Those of third order are stored in single precision: 12 bytes
for each atom of each displaced supercell, 0.22 MB for rocksalt in the cells of the kappa_SRME benchmark, 1.8 MB for
wurtzite.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from aiida_pet.crystals.conductivity.cells import (
    Displaced,
    TooManyDisplacementsError,
    displaced_supercells,
    make_phono3py,
)
from aiida_pet.crystals.conductivity.plan import (
    ChosenCells,
    Rule,
    cells_as_given,
    cells_by_rule,
    is_metal,
)
from aiida_pet.crystals.gaps import LARGEST_GAP, gap_of
from aiida_pet.engine.tasks.expansion import Expansion, Reduced
from aiida_pet.engine.tasks.phonons import DEFAULT_DISPLACEMENT
from aiida_pet.job.choices import Opposites
from aiida_pet.job.conductivity_parameters import ConductivityParameters
from aiida_pet.job.given_rows import given_supercells
from aiida_pet.tables.arrays import Array
from aiida_pet.tables.columns import Source
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.ragged import Ragged
from aiida_pet.tables.warnings import Warned


@dataclass(frozen=True)
class ForcesPlan:
    """What the children of a crystal are: those of second order come first.

    :ivar chosen: its cells.
    :ivar displaced: its displaced supercells.
    :ivar heat_matrix: (3, 3) of the primitive cell that phono3py found, relative to the unit cell.
    :ivar metal: whether all its elements are metals.
    """

    chosen: ChosenCells
    displaced: Displaced
    heat_matrix: Any
    metal: bool


class ThirdOrderForces(Expansion[ConductivityParameters, ForcesPlan]):
    """Forces on displaced supercells of both orders, and what is needed to take them up again."""

    SOURCE = Source.CONDUCTIVITY
    ONLY_FORCES = True

    def expand(self, crystal: StructureTable) -> tuple[StructureTable, ForcesPlan]:
        """Return the displaced supercells of both orders.

        :raises ValueError: if the crystal is no bulk crystal, phono3py cannot take it, or it needs too many.
        """
        if not crystal.pbc.all():
            pbc = "".join("T" if flag else "F" for flag in crystal.pbc[0])
            raise ValueError(f"conductivities need a crystal periodic in all directions, but pbc is {pbc}")
        gap = gap_of(crystal.cells[0], crystal.positions)
        if gap > LARGEST_GAP:
            raise ValueError(
                f"conductivities need a crystal without vacuum, but an empty layer of {gap:.1f} A was found (at most "
                f"{LARGEST_GAP:g} A is allowed)"
            )
        chosen = self._chosen(crystal)
        phono3py = make_phono3py(chosen.cells)
        given = self.parameters
        try:
            displaced = displaced_supercells(
                phono3py,
                distance=given.displacement or DEFAULT_DISPLACEMENT[given.forces],
                plus_minus=True if given.opposites is Opposites.ALWAYS else "auto",
                cutoff=given.pair_cutoff,
                most=given.max_displacements,
            )
        except TooManyDisplacementsError as error:
            raise ValueError(
                f"the crystal needs {error.count:,} displaced supercells, but max_displacements is "
                f"{given.max_displacements:,}: set pair_cutoff, a smaller fc3_min_image, or a larger max_displacements"
            ) from error
        heat = np.asarray(phono3py.primitive_matrix, dtype=np.float64)
        return _children(displaced), ForcesPlan(chosen, displaced, heat, is_metal(crystal.numbers))

    def reduce(self, crystal: StructureTable, plan: ForcesPlan, children: StructureTable) -> Reduced:
        """Return the forces.

        :raises ValueError: if they are not finite.
        """
        given = self.parameters
        forces = children.atom_columns["forces"]
        if not np.isfinite(forces).all():
            raise ValueError("the forces on the displaced supercells are not all finite")
        displaced, cells = plan.displaced, plan.chosen.cells
        second = displaced.fc2_positions.shape[0] * displaced.fc2_positions.shape[1]
        columns: dict[str, Any] = {
            "n_fc3_displacements": len(displaced.fc3_positions),
            "n_fc2_displacements": len(displaced.fc2_positions),
            "n_atoms_fc3": len(displaced.fc3_numbers),
            "n_atoms_fc2": len(displaced.fc2_numbers),
            "fc3_matrix": cells.fc3_matrix,
            "fc2_matrix": cells.fc2_matrix,
            "unit_matrix": plan.chosen.unit_matrix,
            "heat_matrix": plan.heat_matrix,
            "fc3_image": plan.chosen.image,
            "supercell_capped": plan.chosen.capped,
            "only_metals": plan.metal,
            "fc_displacement": given.displacement or DEFAULT_DISPLACEMENT[given.forces],
        }
        ragged: dict[str, Array] = {
            "unit_atoms": plan.chosen.unit_atoms,
            "fc2_forces": forces[:second].astype(np.float64),
            "fc3_forces": forces[second:].astype(np.float32),
        }
        return Reduced(columns, ragged)

    def codes_of(self, columns: Mapping[str, Any]) -> set[str]:
        """Return what there is to say of supercells that are too small, and of metals."""
        codes = {
            Warned.SUPERCELL_CAPPED: columns["supercell_capped"],
            Warned.LATTICE_ONLY: columns["only_metals"],
        }
        return {code for code, holds in codes.items() if holds}

    def _without_answer(self, rows: StructureTable) -> StructureTable:
        """Return ``rows`` with empty columns, those of third order in single precision as in rows that have some."""
        found = super()._without_answer(rows)
        empty = found.ragged["fc3_forces"]
        if len(empty.values):
            return found
        single = Ragged(empty.values.astype(np.float32), empty.offsets)
        return replace(found, ragged=found.ragged | {"fc3_forces": single})

    def _chosen(self, crystal: StructureTable) -> ChosenCells:
        given = self.parameters
        crystal_of = (crystal.cells[0], crystal.positions, crystal.numbers)
        matrices = self._given_matrices(crystal)
        if matrices is not None:
            return cells_as_given(
                *crystal_of, fc2_matrix=matrices[0], fc3_matrix=matrices[1], symprec=given.phonon_symprec
            )
        return cells_by_rule(
            *crystal_of,
            fc2=Rule(given.fc2_min_image, given.fc2_max_atoms, given.fc2_supercell),
            fc3=Rule(given.fc3_min_image, given.fc3_max_atoms, given.fc3_supercell),
            symprec=given.phonon_symprec,
        )

    def _given_matrices(self, crystal: StructureTable) -> tuple[Any, Any] | None:
        """Return the two matrices that the row came with, None if it has none.

        :raises ValueError: if one of them, or the mesh, is none.
        """
        if not self.parameters.given_cells:
            return None
        return given_supercells(self.table, self.table.index(str(crystal.ids[0])))


def _children(displaced: Displaced) -> StructureTable:
    parts = []
    for label, cell, numbers, positions in (
        ("2", displaced.fc2_cell, displaced.fc2_numbers, displaced.fc2_positions),
        ("3", displaced.fc3_cell, displaced.fc3_numbers, displaced.fc3_positions),
    ):
        count, n_atoms = positions.shape[:2]
        parts.append(
            StructureTable(
                ids=np.array([f"{label}-{number}" for number in range(count)]),
                numbers=np.tile(numbers, count),
                positions=positions.reshape(-1, 3),
                cells=np.tile(cell, (count, 1, 1)),
                pbc=np.ones((count, 3), dtype=bool),
                offsets=np.arange(count + 1) * n_atoms,
            )
        )
    return StructureTable.concatenate(parts)

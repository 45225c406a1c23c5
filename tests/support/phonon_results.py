"""Results of phonons as a job leaves them, made of ASE's EMT potential and phonopy driven by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from phonopy import Phonopy
from phonopy.structure.atoms import PhonopyAtoms

from aiida_pet.crystals.phonons.supercells import Supercell, choose_supercell
from aiida_pet.crystals.symmetry.spacegroup import spacegroup_numbers
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.ragged import Ragged

SYMPRECS = (0.001, 0.01, 0.1)
THRESHOLD = 0.1  # THz
DISPLACEMENT = 0.01  # A
MIN_IMAGE = 7.0  # A


def crystals() -> dict[str, Atoms]:
    """A stable crystal, it in its cubic cell, an unstable one, an alloy, and the alloy with an atom moved."""
    alloy = bulk("CuPd", "cesiumchloride", a=2.99)
    broken = alloy.copy()
    broken.positions[1] += [0.0, 0.0, 0.03]
    return {
        "fcc": bulk("Cu", "fcc", a=3.59),
        "cubic": bulk("Cu", "fcc", a=3.59, cubic=True),
        "bcc": bulk("Cu", "bcc", a=2.86),
        "alloy": alloy,
        "broken": broken,
    }


def energy_and_forces(atoms: Atoms) -> tuple[float, np.ndarray]:
    """Energy, eV, and forces, eV/A, by EMT."""
    crystal = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)
    crystal.calc = EMT()
    return crystal.get_potential_energy(), crystal.get_forces()


def phonopy_by_hand(cell: Any, positions: Any, numbers: Any, matrix: Any) -> Phonopy:
    """Phonopy from a primitive cell to force constants, with its own displacements, solver and symmetrisation."""
    hand = Phonopy(
        PhonopyAtoms(numbers=numbers, cell=cell, positions=positions),
        matrix,
        primitive_matrix="P",
        symprec=1e-5,
    )
    hand.generate_displacements(distance=DISPLACEMENT, is_plusminus=True)
    hand.forces = [
        energy_and_forces(Atoms(moved.numbers, positions=moved.positions, cell=moved.cell, pbc=True))[1]
        for moved in hand.supercells_with_displacements
    ]
    hand.produce_force_constants()
    hand.symmetrize_force_constants()
    return hand


def _solve(table: StructureTable, row: int, min_image: float) -> tuple[Phonopy, Supercell]:
    atoms = table.atoms_of(row)
    positions, numbers = table.positions[atoms], table.numbers[atoms]
    chosen = choose_supercell(table.cells[row], positions, numbers, min_image=min_image, max_atoms=200)
    kept = chosen.primitive_atoms
    cell = chosen.primitive_matrix.T @ table.cells[row]
    return phonopy_by_hand(cell, positions[kept], numbers[kept], chosen.matrix), chosen


def phonon_table(
    found: Mapping[str, Atoms], starts: Mapping[str, Atoms] | None = None, min_image: float = MIN_IMAGE
) -> tuple[StructureTable, dict[str, Phonopy]]:
    """Rows as the task `phonons` leaves them, and phonopy by hand for each.

    :param starts: what the crystals were before; they themselves if not given.
    :param min_image: of the supercells, A.
    """
    table = StructureTable.from_ase(found.items())
    begun = StructureTable.from_ase(({**found, **(starts or {})}).items())
    solved = [_solve(table, row, min_image) for row in range(len(table))]
    meshes = [hand.run_mesh(30.0).frequencies for hand, _ in solved]
    table.set_column("status", ["converged"] * len(table))
    table.set_column("message", [""] * len(table))
    table.set_column("heads", ["conservative"] * len(table))
    table.set_column("energy", [energy_and_forces(atoms)[0] for atoms in found.values()], "eV")
    for prefix, rows in (("initial_", begun), ("", table)):
        for label, numbers in spacegroup_numbers(rows, SYMPRECS).items():
            table.set_column(f"{prefix}spacegroup_{label}", numbers)
    table.set_column("n_imaginary", [_imaginary(hand) for hand, _ in solved])
    table.set_column("min_frequency", [float(mesh.min()) for mesh in meshes], "THz")
    table.set_column("max_frequency", [float(mesh.max()) for mesh in meshes], "THz")
    table.set_column("supercell_matrix", np.array([chosen.matrix for _, chosen in solved]))
    table.set_column("primitive_matrix", np.array([chosen.primitive_matrix for _, chosen in solved]))
    constants = [hand.force_constants[hand.primitive.p2s_map].reshape(-1, 3, 3) for hand, _ in solved]
    table.ragged["force_constants"] = Ragged.of(constants)
    table.ragged["primitive_atoms"] = Ragged.of([chosen.primitive_atoms for _, chosen in solved])
    table.units["force_constants"] = "eV/A^2"
    return table, dict(zip(found, (hand for hand, _ in solved), strict=True))


def _imaginary(hand: Phonopy) -> int:
    """Modes of the supercell below the threshold, from its own Hessian."""
    masses, count = hand.supercell.masses, len(hand.supercell)
    hessian = hand.force_constants / np.sqrt(np.outer(masses, masses))[:, :, None, None]
    values = np.linalg.eigvalsh(hessian.transpose(0, 2, 1, 3).reshape(3 * count, -1))
    factor = hand.unit_conversion_factor
    return int((np.sign(values) * np.sqrt(np.abs(values)) * factor < -THRESHOLD).sum())

"""The faster way through the operations of a supercell, beside phonopy's own."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from phonopy.structure import symmetry as phonopy_symmetry
from phonopy.structure.atoms import PhonopyAtoms
from phonopy.structure.symmetry import Symmetry

from aiida_pet.crystals.conductivity import supercell_symmetry
from aiida_pet.crystals.conductivity.cells import ThirdOrderCells, make_phono3py
from aiida_pet.crystals.conductivity.supercell_symmetry import quick_supercell_symmetry

displacement_fc3 = pytest.importorskip("phono3py.phonon3.displacement_fc3")


def moved(atoms: Atoms, distance: float) -> Atoms:
    atoms.positions += np.random.default_rng(1).normal(0, distance, atoms.positions.shape)
    return atoms


def triclinic() -> Atoms:
    cell = [[3.1, 0, 0], [0.4, 3.6, 0], [0.7, 0.5, 4.2]]
    return Atoms("NaCl", cell=cell, scaled_positions=[[0, 0, 0], [0.45, 0.52, 0.4]], pbc=True)


CRYSTALS = {
    "rocksalt": (bulk("MgO", "rocksalt", a=4.2), np.diag([3, 3, 3]), 1e-5),
    "a skewed supercell": (bulk("Si"), np.array([[-2, 2, 2], [2, -2, 2], [2, 2, -2]]), 1e-5),
    "hcp, where the supercell lacks operations": (bulk("Ti"), np.array([[2, 0, 0], [0, 3, 0], [0, 0, 2]]), 1e-5),
    "no symmetry": (triclinic(), np.diag([2, 2, 2]), 1e-5),
    "off its places, found by a loose tolerance": (moved(bulk("MgO", "rocksalt", a=4.2, cubic=True), 0.01),
                                                   np.diag([2, 2, 1]), 0.1),
}  # fmt: skip


@pytest.fixture(params=list(CRYSTALS))
def supercell(request) -> tuple[PhonopyAtoms, float]:
    atoms, matrix, symprec = CRYSTALS[request.param]
    unit = PhonopyAtoms(numbers=atoms.numbers, cell=atoms.cell.array, positions=atoms.positions)
    made = make_phono3py(
        ThirdOrderCells(
            unit.cell, unit.positions, unit.numbers, fc3_matrix=matrix, fc2_matrix=matrix, symprec=symprec
        )
    )
    return made.supercell, symprec


def test_all_that_phonopy_finds_is_the_same(supercell):
    cell, symprec = supercell
    plain = Symmetry(cell, symprec)
    with quick_supercell_symmetry():
        quick = Symmetry(cell, symprec)
        sites = [quick.get_site_symmetry(atom) for atom in range(len(cell))]
    for name in ("atomic_permutations", "pointgroup_operations", "reciprocal_operations"):
        np.testing.assert_array_equal(getattr(quick, name), getattr(plain, name), err_msg=name)
    np.testing.assert_array_equal(quick.get_map_operations(), plain.get_map_operations())
    for atom, found in enumerate(sites):
        expected = plain.get_site_symmetry(atom)
        np.testing.assert_array_equal(found, expected)
        if atom % 7 == 0:  # phono3py's own takes long
            orbits = displacement_fc3._get_orbits(atom, cell, expected, symprec)
            with quick_supercell_symmetry():
                quick_orbits = displacement_fc3._get_orbits(atom, cell, expected, symprec)
            np.testing.assert_array_equal(quick_orbits, orbits)


def test_each_rotation_and_each_translation_is_searched_for_once(monkeypatch):
    counts = []
    search = phonopy_symmetry.compute_all_sg_permutations

    def counted(positions, rotations, *given, **options):
        counts.append(len(rotations))
        return search(positions, rotations, *given, **options)

    monkeypatch.setattr(phonopy_symmetry, "compute_all_sg_permutations", counted)
    atoms = bulk("MgO", "rocksalt", a=4.2).repeat(3)
    cell = PhonopyAtoms(numbers=atoms.numbers, cell=atoms.cell.array, positions=atoms.positions)
    with quick_supercell_symmetry():
        Symmetry(cell)
    assert counts == [48 + 27]
    Symmetry(cell)  # outside it is phonopy's own again
    assert counts == [48 + 27, 48 * 27]


def test_operations_that_are_no_products_are_all_searched_for(monkeypatch):
    monkeypatch.setattr(supercell_symmetry, "_SAME", -1.0)
    atoms = bulk("Ti").repeat((2, 2, 1))
    cell = PhonopyAtoms(numbers=atoms.numbers, cell=atoms.cell.array, positions=atoms.positions)
    with quick_supercell_symmetry():
        quick = Symmetry(cell)
    np.testing.assert_array_equal(quick.atomic_permutations, Symmetry(cell).atomic_permutations)

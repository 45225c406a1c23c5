"""Groups of slabs, wires and molecules: found whatever the axes, by no other judge than that of crystals."""

from __future__ import annotations

import ase.build
import numpy as np
import pytest
from ase import Atoms

from aiida_pet.crystals.symmetry.operations import Operations
from aiida_pet.crystals.symmetry.spacegroup import find_operations, groups_of
from aiida_pet.crystals.vacuum import boxes_around
from aiida_pet.tables.columns import symprec_label
from aiida_pet.tables.crystals import StructureTable
from support.slabs import TURN, molecule, permuted, slab, tilted, turned, wire


def operations_of(atoms: Atoms, symprec: float = 0.01, **options: object) -> Operations:
    return find_operations(atoms.cell[:], atoms.positions, atoms.numbers, symprec, pbc=atoms.pbc, **options)


def assert_maps_onto_itself(atoms: Atoms, operations: Operations, tolerance: float = 1e-6) -> None:
    """Check each operation by hand: its image of the atoms is the atoms, up to periodic translations."""
    periodic = atoms.cell[:][atoms.pbc]
    positions = operations.positions
    for rotation in operations.cartesian:
        turned_about = positions @ rotation.T
        for start in range(len(positions)):  # the translation is that of some atom onto another
            images = turned_about + positions[start] - turned_about[0]
            if _same(images, positions, atoms.numbers, periodic, tolerance):
                break
        else:
            raise AssertionError(f"no translation makes {rotation.tolist()} an operation")


def _same(ours: np.ndarray, theirs: np.ndarray, numbers: np.ndarray, periodic: np.ndarray, at: float) -> bool:
    for image, number in zip(ours, numbers, strict=True):
        apart = theirs[numbers == number] - image
        if len(periodic):
            apart = apart - np.round(apart @ np.linalg.pinv(periodic)) @ periodic
        if np.linalg.norm(apart, axis=1).min() > at:
            return False
    return True


SLABS = {
    "as it is": slab(),
    "first vector aperiodic": permuted(slab(), [2, 0, 1]),
    "second vector aperiodic": permuted(slab(), [1, 2, 0]),
    "turned": turned(slab()),
    "tilted": tilted(slab()),
    "turned and tilted": turned(tilted(slab())),
    "left-handed": permuted(slab(), [1, 0, 2]),
}


@pytest.mark.parametrize("atoms", SLABS.values(), ids=SLABS)
def test_slab_has_its_layer_group_whatever_its_axes(atoms):
    operations = operations_of(atoms)
    assert (len(operations), operations.number) == (8, 55)  # p4mm
    assert_maps_onto_itself(atoms, operations)
    np.testing.assert_allclose(operations.cell, atoms.cell[:], atol=1e-12)
    np.testing.assert_allclose(operations.positions, atoms.positions, atol=1e-12)


def test_slab_has_the_operations_of_the_same_slab_with_vacuum():
    atoms = slab()
    solid = atoms.copy()
    solid.pbc = True
    ours, theirs = operations_of(atoms), operations_of(solid)
    assert len(ours) == len(theirs)
    for rotation in theirs.cartesian:
        assert np.abs(ours.cartesian - rotation).max(axis=(1, 2)).min() < 1e-9


def test_supercell_of_a_slab_keeps_its_translations():
    operations = operations_of(slab(size=(2, 2)))
    assert (len(operations), operations.number, operations.n_sites) == (8, 55, 3)


def test_slab_off_its_symmetry_is_brought_onto_it_without_its_third_vector():
    rng = np.random.default_rng(1)
    atoms = tilted(slab())
    atoms.positions += rng.normal(scale=0.002, size=(3, 3))
    atoms.set_cell(atoms.cell[:] + np.array([[0.004, 0.003, 0], [0, 0, 0], [0, 0, 0]]))
    operations = operations_of(atoms, 0.05)
    assert len(operations) == 8
    a, b, c = operations.cell
    assert abs(a @ b) < 1e-12
    assert np.linalg.norm(a) == pytest.approx(np.linalg.norm(b), abs=1e-12)
    np.testing.assert_array_equal(c, atoms.cell[2])
    symmetric = Atoms(atoms.numbers, operations.positions, cell=operations.cell, pbc=atoms.pbc)
    assert len(operations_of(symmetric, 1e-6)) == 8


def test_inversion_in_a_slab_is_found():
    atoms = ase.build.mx2("WMo2", a=3.2, thickness=3.1, vacuum=5.0)
    assert operations_of(atoms).number == 78  # p-6m2, as MoS2


@pytest.mark.parametrize(
    "atoms", [wire(), turned(wire()), wire() * (1, 1, 3)], ids=["as is", "turned", "long"]
)
def test_wire_keeps_screws_and_glides_along_it_only(atoms):
    operations = operations_of(atoms)
    assert len(operations) == 8  # 2_1/m and mirrors of a flat zigzag
    assert_maps_onto_itself(atoms, operations)
    axis = atoms.cell[2] / np.linalg.norm(atoms.cell[2])
    np.testing.assert_allclose(np.abs(operations.cartesian @ axis @ axis), 1.0, atol=1e-9)


def test_wire_as_long_as_its_box_is_wide_mixes_no_directions():
    atoms = Atoms("W", cell=[0, 0, 15.0], pbc=(False, False, True))
    sides = [
        np.linalg.norm(box, axis=1)
        for box in boxes_around(atoms.cell[:], atoms.positions, atoms.numbers, atoms.pbc)
    ]
    assert any(np.ptp(side) < 1e-9 for side in sides)  # the case in question: such a box is a cube
    axis = np.array([0, 0, 1.0])
    np.testing.assert_allclose(np.abs(operations_of(atoms).cartesian @ axis @ axis), 1.0, atol=1e-9)


MOLECULES = {
    "bent": (molecule(), 4),
    "pyramid": (ase.build.molecule("NH3"), 6),
    "tetrahedron": (ase.build.molecule("CH4"), 24),
    "ring": (ase.build.molecule("C6H6"), 24),
    "staggered": (ase.build.molecule("C2H6"), 12),
    "chiral": (ase.build.molecule("H2O2"), 2),
    "atom": (Atoms("W"), 48),
}


@pytest.mark.parametrize(("atoms", "order"), MOLECULES.values(), ids=MOLECULES)
def test_molecule_has_its_point_group_however_it_is_turned(atoms, order):
    atoms = atoms.copy()
    atoms.positions = atoms.positions @ TURN.T + [3.0, -1.0, 40.0]
    operations = operations_of(atoms)
    assert len(operations) == order
    assert_maps_onto_itself(atoms, operations, 1e-5)


def test_groups_are_of_their_kind():
    rows = {"crystal": ase.build.bulk("W"), "slab": slab(), "wire": wire(), "molecule": molecule()}
    (found,) = groups_of(StructureTable.from_ase(rows.items()), (0.01,)).values()
    assert found.space.tolist() == [229, 0, 0, 0]
    assert found.layer.tolist() == [0, 55, 0, 0]
    assert found.kind[:2].tolist() == [229, 55]
    assert (found.kind[2:] // 1000).tolist() == [8, 4]


def test_a_molecule_of_nothing_and_one_at_infinity_have_no_group():
    nowhere = Atoms("W2", [[0, 0, 0], [np.inf, 0, 0]])
    (found,) = groups_of(StructureTable.from_ase([("no", Atoms()), ("far", nowhere)]), (0.01,)).values()
    assert found.kind.tolist() == [0, 0]


def test_every_tolerance_has_a_label_of_its_own():
    assert symprec_label(0.01) == "0_01"
    assert symprec_label(1.0) == "1"
    labels = {symprec_label(symprec) for symprec in (1e-11, 2e-11, 5e-12, 1e-5, 0.1, 0.1000000001)}
    assert len(labels) == 6

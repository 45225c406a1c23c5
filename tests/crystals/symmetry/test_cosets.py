"""Averages over the cosets of a crystal's point group against averages over the whole set, on a toy model."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from ase import Atoms
from ase.neighborlist import neighbor_list
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from aiida_pet.crystals.symmetry.cosets import CosetTables, Reduction, reduce_by_point_group
from aiida_pet.crystals.symmetry.operations import Operations
from aiida_pet.crystals.symmetry.rotation_sets import RotationSet, icosahedral, lebedev, octahedral
from aiida_pet.crystals.symmetry.spacegroup import find_operations

Array = NDArray[np.float64]
SETS = [octahedral(), icosahedral(), lebedev(3)]
ASKEW = Rotation.from_rotvec([0.3, -0.5, 0.2]).as_matrix()


@dataclass(frozen=True)
class Fields:
    """What the toy gives for a crystal turned by K rotations, turned back; and averages of it.

    energy (K,), of atoms or sites (K, A), forces (K, A, 3), stress (K, 3, 3)
    """

    energy: Array
    energies: Array
    forces: Array
    stress: Array

    def mean(self, weights: Array) -> Fields:
        return Fields(*(np.tensordot(weights, field, axes=1) for field in vars(self).values()))


def toy(atoms: Atoms, matrices: Array, cutoff: float = 4.5) -> Fields:
    """Return energies, forces and stress of a smooth many-body model that has no symmetry under rotations.

    E_i = z_i (d_i + d_i^2 / 10), d_i = sum_j z_j w(v) sin(a v + v B v) with v from i to j, w to the cutoff.
    """
    first, second, vectors = neighbor_list("ijD", atoms, cutoff)
    charge = np.sqrt(atoms.numbers)
    v = vectors @ matrices.mT  # (K, pairs, 3)
    a, b = np.array([0.9, -0.4, 0.7]), np.array([[0.1, 0.3, 0.0], [0.0, -0.2, 0.1], [0.2, 0.0, 0.1]])
    phase, inside = v @ a + (v @ b * v).sum(axis=-1), 1 - (v**2).sum(axis=-1) / cutoff**2
    value = inside**3 * np.sin(phase)
    slope = (inside**3 * np.cos(phase))[..., None] * (a + v @ (b + b.T))
    slope -= (inside**2 * np.sin(phase) * 6 / cutoff**2)[..., None] * v
    density = np.zeros((len(atoms), len(matrices)))
    np.add.at(density, first, charge[second, None] * value.T)
    gradient = (1 + density[first].T / 5) * charge[first] * charge[second]
    gradient = (gradient[..., None] * slope) @ matrices  # turned back
    forces = np.zeros((len(atoms), len(matrices), 3))
    np.add.at(forces, first, gradient.swapaxes(0, 1))
    np.add.at(forces, second, -gradient.swapaxes(0, 1))
    energies = (charge[:, None] * (density + density**2 / 10)).T
    # dE/dstrain; not symmetric, as the model is not invariant
    stress = np.einsum("pi,kpj->kij", vectors, gradient) / atoms.get_volume()
    return Fields(energies.sum(axis=1), energies, forces.swapaxes(0, 1), stress)


def on_sites(fields: Fields, operations: Operations) -> Fields:
    """Return fields of atoms as means over the copies of a site."""
    share = (operations.sites == np.arange(operations.n_sites)[:, None]).astype(float)
    share /= share.sum(axis=1, keepdims=True)
    return replace(fields, energies=fields.energies @ share.T, forces=share @ fields.forces)


def average(fields: Fields, reduction: Reduction, operations: Operations) -> Fields:
    """Return the average that the coset tables make of the fields (on sites) of the representatives."""
    tables = CosetTables.of(reduction, operations)
    energies, forces = np.zeros(operations.n_sites), np.zeros((operations.n_sites, 3))
    taken = tables.representative, tables.source
    np.add.at(energies, tables.target, tables.shares * fields.energies[taken])
    np.add.at(forces, tables.target, (tables.blocks @ fields.forces[taken][..., None])[..., 0])
    stress = (tables.tensor @ fields.stress.reshape(-1, 9, 1)).sum(axis=0).reshape(3, 3)
    return Fields(reduction.weights @ fields.energy, energies, forces, stress)


def symmetric(atoms: Atoms, turn: Array | None = None) -> tuple[Atoms, Operations]:
    """Return the crystal made exactly symmetric, turned by ``turn``, and its operations."""
    turn = np.eye(3) if turn is None else turn
    cell, positions = np.array(atoms.cell) @ turn.T, atoms.positions @ turn.T
    operations = find_operations(cell, positions, atoms.numbers, 0.01)
    return Atoms(atoms.numbers, operations.positions, cell=operations.cell, pbc=True), operations


def largest_difference(one: Fields, other: Fields) -> float:
    pairs = zip(vars(one).values(), vars(other).values(), strict=True)
    return float(max(np.abs(mine - its).max() for mine, its in pairs))


@pytest.mark.parametrize("turn", [np.eye(3), ASKEW], ids=["aligned", "askew"])
@pytest.mark.parametrize("rotations", SETS, ids=lambda rotations: rotations.name)
def test_reduced_average_equals_the_full_one(
    prototypes: dict[str, Atoms], rotations: RotationSet, turn: Array
) -> None:
    for name, prototype in prototypes.items():
        atoms, operations = symmetric(prototype, turn)
        reduction = reduce_by_point_group(rotations, operations.cartesian)
        full = on_sites(toy(atoms, rotations.matrices), operations)
        one_by_one = on_sites(toy(atoms, reduction.matrices), operations)
        expected = full.mean(rotations.weights)
        # fields are of the order 1 to 100, and exact but for rounding
        scale = max(np.abs(field).max() for field in vars(full).values())
        assert largest_difference(average(one_by_one, reduction, operations), expected) < 1e-12 * scale, name


def test_toy_model_needs_what_is_tested(prototypes: dict[str, Atoms]) -> None:
    # Its averages differ from single values, and the set is not symmetric under the crystal: nothing above
    # holds by itself. The forces are those of its energy.
    atoms, operations = symmetric(prototypes["perovskite"])
    fields = toy(atoms, lebedev(3).matrices)
    mean = fields.mean(lebedev(3).weights)
    assert fields.energy.std() > 1
    assert largest_difference(mean, Fields(*(field[0] for field in vars(fields).values()))) > 1
    assert np.abs(operations.cartesian @ mean.stress @ operations.cartesian.mT - mean.stress).max() > 1e-3
    moved = [atoms.copy(), atoms.copy()]
    for crystal, step in zip(moved, (1e-5, -1e-5), strict=True):
        crystal.positions[1, 2] += step
    slope = np.subtract(*(toy(crystal, ASKEW[None]).energy[0] for crystal in moved)) / 2e-5
    assert -slope == pytest.approx(toy(atoms, ASKEW[None]).forces[0, 1, 2], rel=1e-6)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fcc", (1, 5, 19)),
        ("rocksalt", (1, 5, 19)),
        ("rocksalt cubic", (1, 5, 19)),
        ("diamond", (1, 5, 19)),
        ("perovskite", (1, 5, 19)),
        ("bcc 1x1x2", (1, 5, 19)),
        ("p-1", (24, 60, 42)),
        ("p1", (48, 120, 84)),
    ],
)
def test_reduction_leaves_as_many_as_there_are_cosets(
    prototypes: dict[str, Atoms], name: str, expected: tuple[int, ...]
) -> None:
    cartesian = symmetric(prototypes[name])[1].cartesian
    assert tuple(len(reduce_by_point_group(rotations, cartesian)) for rotations in SETS) == expected


@pytest.mark.parametrize("rotations", SETS, ids=lambda rotations: rotations.name)
def test_representatives_and_shares_make_up_the_set(
    prototypes: dict[str, Atoms], rotations: RotationSet
) -> None:
    for name in ("fcc", "hcp", "quartz", "p21c", "p1"):
        cartesian = symmetric(prototypes[name])[1].cartesian
        reduction = reduce_by_point_group(rotations, cartesian)
        members = (reduction.matrices[:, None] @ cartesian)[reduction.shares > 0]
        distance = cdist(rotations.matrices.reshape(-1, 9), members.reshape(-1, 9))
        match = distance.argmin(axis=1)
        assert sorted(match) == list(range(len(rotations))), name
        assert distance.min(axis=1).max() < 1e-12, name
        np.testing.assert_array_equal(reduction.shares[reduction.shares > 0][match], rotations.weights)
        np.testing.assert_allclose(reduction.weights, reduction.shares.sum(axis=1), rtol=1e-15)


@pytest.mark.parametrize(("angle", "expected"), [(1e-8, 19), (1e-3, 42)])
def test_crystal_off_the_axes_keeps_only_what_it_shares(
    prototypes: dict[str, Atoms], angle: float, expected: int
) -> None:
    # off by less than the tolerance nothing is lost; off by more, the inversion alone is left
    turn = Rotation.from_rotvec(angle * np.array([0.6, 0.0, 0.8])).as_matrix()
    cartesian = turn @ symmetric(prototypes["fcc"])[1].cartesian @ turn.T
    assert len(reduce_by_point_group(lebedev(3), cartesian)) == expected


def test_identity_alone_leaves_the_set_as_it_is() -> None:
    rotations = lebedev(3)
    reduction = reduce_by_point_group(rotations, np.eye(3)[None])
    np.testing.assert_array_equal(reduction.matrices, rotations.matrices)
    np.testing.assert_array_equal(reduction.weights, rotations.weights)
    np.testing.assert_array_equal(reduction.shares, rotations.weights[:, None])


def test_operations_without_the_identity_are_refused() -> None:
    with pytest.raises(ValueError, match="the identity is not among the 1 operations"):
        reduce_by_point_group(lebedev(3), -np.eye(3)[None])

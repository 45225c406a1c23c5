"""The projector against ASE's FixSymmetry, against its definition, and against what it is for: keeping the group."""

from __future__ import annotations

import numpy as np
import pytest
import spglib
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.lj import LennardJones
from ase.spacegroup.symmetrize import prep_symmetry, symmetrize_rank1, symmetrize_rank2
from numpy.typing import NDArray

from aiida_pet.crystals.symmetry.operations import Operations
from aiida_pet.crystals.symmetry.spacegroup import find_operations
from aiida_pet.engine.symmetry.projection import SymmetryProjector, symmetrize_structure

Array = NDArray[np.float64]


class Held:
    """The prototypes made exactly symmetric, end to end, with random forces and stresses."""

    def __init__(self, prototypes: dict[str, Atoms]) -> None:
        self.names = list(prototypes)
        self.numbers = [atoms.numbers for atoms in prototypes.values()]
        self.operations = [
            find_operations(np.array(atoms.cell), atoms.positions, atoms.numbers, 0.01)
            for atoms in prototypes.values()
        ]
        self.sizes = [len(numbers) for numbers in self.numbers]
        self.ends = np.cumsum(self.sizes)
        rng = np.random.default_rng(0)
        self.forces = torch.as_tensor(rng.normal(size=(self.ends[-1], 3)))
        self.stress = torch.as_tensor(rng.normal(size=(len(self.names), 3, 3)))
        self.stress = self.stress + self.stress.mT
        self.projector = SymmetryProjector.build(self.operations, self.sizes)

    def part(self, index: int) -> slice:
        return slice(self.ends[index] - self.sizes[index], self.ends[index])


@pytest.fixture(scope="module")
def held(prototypes: dict[str, Atoms]) -> Held:
    return Held(prototypes)


def group_number(cell: Array, positions: Array, numbers: NDArray[np.int64], symprec: float = 1e-4) -> int:
    fractional = np.linalg.solve(cell.T, positions.T).T
    return int(spglib.get_symmetry_dataset((cell, fractional, numbers), symprec=symprec).number)


def test_projection_equals_ase(held: Held) -> None:
    forces, stress = held.projector.forces(held.forces).numpy(), held.projector.stress(held.stress).numpy()
    compared = 0
    for index, (name, operations) in enumerate(zip(held.names, held.operations, strict=True)):
        part, cell = held.part(index), operations.cell
        atoms = Atoms(held.numbers[index], operations.positions, cell=cell, pbc=True)
        rotations, translations, maps = prep_symmetry(atoms, 1e-4)
        if len(rotations) < len(operations) * held.sizes[index] / operations.n_sites:
            continue  # the lattice of this supercell lacks operations that the crystal has; see below
        inverse = np.linalg.inv(cell)
        expected = symmetrize_rank1(cell, inverse, held.forces[part].numpy(), rotations, translations, maps)
        assert np.abs(forces[part] - expected).max() < 1e-12, name
        expected = symmetrize_rank2(cell, inverse, held.stress[index].numpy(), rotations)
        assert np.abs(stress[index] - expected).max() < 1e-12, name
        compared += 1
    assert compared >= len(held.names) - 2


def test_projection_of_a_supercell_uses_the_whole_point_group(held: Held) -> None:
    # ASE projects onto the tetragonal group of the 1x1x2 cell's own lattice, which would let c/a drift off 2.
    index = held.names.index("bcc 1x1x2")
    stress = held.projector.stress(held.stress)[index]
    mean = held.stress[index].trace() / 3.0
    torch.testing.assert_close(stress, mean * torch.eye(3, dtype=torch.float64), rtol=0, atol=1e-12)
    assert held.projector.forces(held.forces)[held.part(index)].abs().max() < 1e-12


def test_projecting_twice_changes_nothing(held: Held) -> None:
    once = held.projector.forces(held.forces)
    torch.testing.assert_close(held.projector.forces(once), once, rtol=0, atol=1e-13)
    once = held.projector.strain(held.stress)
    torch.testing.assert_close(held.projector.strain(once), once, rtol=0, atol=1e-13)


def test_projection_is_orthogonal(held: Held) -> None:
    # <a, P b> = <P a, b>: the work done by a projected force is that of the force along the symmetric direction
    other = torch.randn(held.forces.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    left = (other * held.projector.forces(held.forces)).sum(dim=1)
    right = (held.projector.forces(other) * held.forces).sum(dim=1)
    for index in range(len(held.names)):
        part = held.part(index)
        torch.testing.assert_close(left[part].sum(), right[part].sum(), rtol=0, atol=1e-11)


def test_projected_fields_are_invariant_under_every_operation(held: Held) -> None:
    forces, stress = held.projector.forces(held.forces).numpy(), held.projector.stress(held.stress).numpy()
    for index, operations in enumerate(held.operations):
        field = np.zeros((operations.n_sites, 3))
        field[operations.sites] = forces[held.part(index)]
        assert (field[operations.sites] == forces[held.part(index)]).all()  # copies of a site are equal
        for rotation, places in zip(operations.cartesian, operations.permutation, strict=True):
            assert np.abs(field @ rotation.T - field[places]).max() < 1e-12
            assert np.abs(rotation @ stress[index] @ rotation.T - stress[index]).max() < 1e-12


def test_projection_keeps_a_vanishing_net_force(held: Held) -> None:
    forces = held.forces.clone()
    for index in range(len(held.names)):
        forces[held.part(index)] -= forces[held.part(index)].mean(dim=0)
    projected = held.projector.forces(forces)
    for index in range(len(held.names)):
        assert projected[held.part(index)].sum(dim=0).abs().max() < 1e-12


def test_projection_leaves_what_an_invariant_potential_gives(held: Held) -> None:
    # An exactly invariant energy has symmetric forces and stress: the projector must not touch them.
    forces, stress = [], []
    for index, operations in enumerate(held.operations):
        atoms = Atoms(held.numbers[index], operations.positions, cell=operations.cell, pbc=True)
        atoms.calc = LennardJones(sigma=2.0, rc=5.0, smooth=True)
        scale = 1.0 / max(1.0, np.abs(atoms.get_forces()).max(), np.abs(atoms.get_stress()).max())
        forces.append(atoms.get_forces() * scale)
        stress.append(atoms.get_stress(voigt=False) * scale)
    given = torch.as_tensor(np.concatenate(forces))
    assert given.abs().max() > 0.1
    torch.testing.assert_close(held.projector.forces(given), given, rtol=0, atol=1e-11)
    given = torch.as_tensor(np.array(stress))
    torch.testing.assert_close(held.projector.stress(given), given, rtol=0, atol=1e-11)


def noisy_steps(held: Held, projector: SymmetryProjector) -> tuple[list[Array], list[Array]]:
    """Return cells and positions after 200 random steps of forces and strain, projected."""
    rng = np.random.default_rng(3)
    row = torch.as_tensor(np.repeat(np.arange(len(held.sizes)), held.sizes))
    cells = torch.as_tensor(np.array([operations.cell for operations in held.operations]))
    positions = torch.as_tensor(np.concatenate([operations.positions for operations in held.operations]))
    for _ in range(200):
        noise = torch.as_tensor(rng.normal(scale=2e-3, size=(len(positions), 3)))
        strain = torch.as_tensor(rng.normal(scale=3e-4, size=(len(cells), 3, 3)))
        strain = projector.strain((strain + strain.mT) / 2.0)
        positions = positions + torch.einsum("aij,aj->ai", strain[row], positions) + projector.forces(noise)
        cells = cells + cells @ strain
    parts = [positions[held.part(index)].numpy() for index in range(len(held.sizes))]
    return list(cells.numpy()), parts


@pytest.fixture(scope="module")
def walked(held: Held) -> tuple[list[Array], list[Array]]:
    return noisy_steps(held, held.projector)


def test_noise_keeps_every_group_if_projected(held: Held, walked: tuple[list[Array], list[Array]]) -> None:
    cells, positions = walked
    for index, operations in enumerate(held.operations):
        found = group_number(cells[index], positions[index], held.numbers[index])
        assert found == operations.number, held.names[index]
        # and far more tightly than asked: only rounding adds up
        found = group_number(cells[index], positions[index], held.numbers[index], 1e-8)
        assert found == operations.number, held.names[index]


def test_noise_loses_every_group_if_not_projected(held: Held) -> None:
    cells, positions = noisy_steps(held, SymmetryProjector.identity(held.sizes))
    for index, operations in enumerate(held.operations):
        found = group_number(cells[index], positions[index], held.numbers[index])
        # a lattice of one atom always keeps inversion
        assert found in {1, 2}, held.names[index]
        assert found < operations.number or operations.number in {1, 2}, held.names[index]


def test_cartesian_rotations_stay_those_of_the_start_while_the_cell_deforms(
    held: Held, walked: tuple[list[Array], list[Array]]
) -> None:
    for cell, operations in zip(walked[0], held.operations, strict=True):
        assert np.abs(cell - operations.cell).max() > 1e-4
        primitive = np.linalg.solve(operations.supercell.astype(float), cell)
        rotations = primitive.T @ operations.rotations @ np.linalg.inv(primitive.T)
        assert np.abs(rotations - operations.cartesian).max() < 1e-12


def test_result_does_not_depend_on_the_batch(held: Held) -> None:
    forces, stress = held.projector.forces(held.forces), held.projector.stress(held.stress)
    for index, operations in enumerate(held.operations):
        alone = SymmetryProjector.build([operations], [held.sizes[index]])
        part = held.part(index)
        torch.testing.assert_close(alone.forces(held.forces[part]), forces[part], rtol=0, atol=1e-14)
        torch.testing.assert_close(
            alone.stress(held.stress[index : index + 1])[0], stress[index], rtol=0, atol=1e-14
        )


def test_rows_may_leave_and_enter_in_any_order(held: Held) -> None:
    order = np.random.default_rng(5).permutation(len(held.names))[:20]
    projector = SymmetryProjector.build(
        [held.operations[index] for index in order], [held.sizes[index] for index in order]
    )
    forces = torch.cat([held.forces[held.part(index)] for index in order])
    expected = held.projector.forces(held.forces)
    expected = torch.cat([expected[held.part(index)] for index in order])
    torch.testing.assert_close(projector.forces(forces), expected, rtol=0, atol=1e-14)


def test_nan_of_one_crystal_stays_in_it(held: Held) -> None:
    forces, stress = held.forces.clone(), held.stress.clone()
    bad = held.names.index("rutile")
    forces[held.part(bad)], stress[bad] = torch.nan, torch.nan
    clean = torch.ones(len(forces), dtype=torch.bool)
    clean[held.part(bad)] = False
    found, expected = held.projector.forces(forces), held.projector.forces(held.forces)
    torch.testing.assert_close(found[clean], expected[clean], rtol=0, atol=0)
    assert held.projector.stress(stress)[[i for i in range(len(stress)) if i != bad]].isfinite().all()


def test_crystals_that_are_not_held_pass_unchanged(held: Held) -> None:
    some: list[Operations | None] = [
        operations if index % 2 else None for index, operations in enumerate(held.operations)
    ]
    projector = SymmetryProjector.build(some, held.sizes)
    forces, stress = projector.forces(held.forces), projector.stress(held.stress)
    expected = held.projector.forces(held.forces)
    for index in range(len(held.names)):
        part = held.part(index)
        wanted = expected[part] if index % 2 else held.forces[part]
        torch.testing.assert_close(forces[part], wanted, rtol=0, atol=1e-14)
    torch.testing.assert_close(stress[::2], held.stress[::2], rtol=0, atol=0)


def test_identity_hands_back_the_tensors_themselves(held: Held) -> None:
    projector = SymmetryProjector.identity(held.sizes)
    assert projector.is_trivial
    assert projector.forces(held.forces) is held.forces
    assert projector.stress(held.stress) is held.stress


def test_an_empty_batch_is_fine() -> None:
    projector = SymmetryProjector.build([], [])
    assert projector.forces(torch.zeros(0, 3, dtype=torch.float64)).shape == (0, 3)
    assert projector.stress(torch.zeros(0, 3, 3, dtype=torch.float64)).shape == (0, 3, 3)


def test_operations_of_another_crystal_are_refused(held: Held) -> None:
    with pytest.raises(ValueError, match="crystal 1 of the batch has 7 atoms, but its operations are for 1"):
        SymmetryProjector.build(held.operations[:2][::-1], [held.sizes[1], 7])
    with pytest.raises(ValueError, match="operations of 2 crystals for a batch of 1"):
        SymmetryProjector.build(held.operations[:2], [1])


def test_tables_are_made_once_per_crystal(held: Held) -> None:
    operations = held.operations[0]
    assert operations.pairs is operations.pairs
    # as many blocks as the squares of the orbits, however many operations and copies there are
    cubic = held.operations[held.names.index("rocksalt cubic")]
    assert (len(cubic), len(cubic.pairs.source)) == (48, 2)


def test_symmetrize_structure_puts_a_distorted_cell_onto_the_group() -> None:
    atoms = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
    operations = find_operations(np.array(atoms.cell), atoms.positions, atoms.numbers, 0.01)
    atoms.set_cell(np.diag([5.6, 5.61, 5.59]), scale_atoms=True)
    atoms.rattle(0.01, seed=0)
    cell, positions = symmetrize_structure(np.array(atoms.cell), atoms.positions, operations)
    assert group_number(cell, positions, atoms.numbers, 1e-8) == 225
    edges = np.linalg.norm(cell, axis=1)
    # the mean of the squared edges is what averaging the metric keeps
    np.testing.assert_allclose(edges**2, (5.6**2 + 5.61**2 + 5.59**2) / 3, rtol=1e-12)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_equals_cpu(held: Held) -> None:
    projector = SymmetryProjector.build(held.operations, held.sizes, "cuda")
    forces, stress = projector.forces(held.forces.cuda()), projector.stress(held.stress.cuda())
    torch.testing.assert_close(forces.cpu(), held.projector.forces(held.forces), rtol=0, atol=1e-13)
    torch.testing.assert_close(stress.cpu(), held.projector.stress(held.stress), rtol=0, atol=1e-13)

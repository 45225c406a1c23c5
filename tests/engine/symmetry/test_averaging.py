"""Averages over rotations in the batch: against metatomic's calculator, against sums done by hand, and reduced."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import ase.build
import numpy as np
import pytest
import torch
from ase import Atoms
from metatomic_ase import SymmetrizedCalculator

from aiida_pet.crystals.symmetry.operations import Operations
from aiida_pet.crystals.symmetry.rotation_sets import RotationSet, icosahedral, lebedev, random_rotations
from aiida_pet.crystals.symmetry.spacegroup import find_operations
from aiida_pet.engine.batch.batch import Batch
from aiida_pet.engine.batch.evaluation import Evaluation
from aiida_pet.engine.batch.neighbors import NeighborList
from aiida_pet.engine.symmetry.averaging import DEVIATIONS, Rotations, RowRotations
from aiida_pet.engine.tasks.relax import Relax
from aiida_pet.engine.tasks.static import Static
from aiida_pet.job.parameters import Averaging, Derivation, Task, parse_parameters
from aiida_pet.tables.crystals import StructureTable
from support.prototype_crystals import make_prototypes

C, D = Derivation.CONSERVATIVE, Derivation.DIRECT
ENERGY, FORCES, STRESS = DEVIATIONS


def evaluate(pet: Any, table: StructureTable, rows: list[RowRotations | None] | None = None) -> Evaluation:
    batch = Batch.from_table(table)
    pairs = NeighborList(pet.cutoff).update(batch)
    return pet.evaluate(batch, pairs, None if rows is None else Rotations(rows))


def rotated(table: StructureTable, rotation: np.ndarray) -> StructureTable:
    return replace(table, positions=table.positions @ rotation.T, cells=table.cells @ rotation.T)


def crystals(names: tuple[str, ...]) -> tuple[StructureTable, list[Operations]]:
    """Exactly symmetric crystals of elements the model knows, and their groups."""
    elements = np.array([41, 42, 73, 74])
    made = make_prototypes()
    groups, rows = [], []
    for name in names:
        atoms = made[name]
        _, kinds = np.unique(atoms.numbers, return_inverse=True)
        atoms.numbers = elements[kinds]
        atoms.set_cell(atoms.cell * (16.0 * len(atoms) / atoms.get_volume()) ** (1 / 3), scale_atoms=True)
        group = find_operations(atoms.cell.array, atoms.positions, atoms.numbers, 1e-3)
        groups.append(group)
        rows.append((name, Atoms(atoms.numbers, group.positions, cell=group.cell, pbc=True)))
    return StructureTable.from_ase(rows), groups


@pytest.mark.parametrize("inversion", [True, False])
def test_lebedev_average_equals_metatomic(load_pet, ase_calculator, alloys, inversion):
    table = alloys(4, strain=0.05, rattle=0.1)
    slab = ase.build.bcc110("Mo", (1, 1, 3), vacuum=6)
    table = StructureTable.concatenate([table, StructureTable.from_ase([("slab", slab)])])
    rotations = RowRotations.of(lebedev(3, inversion=inversion))
    result = evaluate(load_pet(), table, [rotations] * len(table))
    peer = SymmetrizedCalculator(
        ase_calculator(), l_max=3, include_inversion=inversion, store_rotational_std=True
    )
    for row, atoms in enumerate(table.iter_ase()):
        atoms.calc = peer
        own = table.atoms_of(row)
        # the issue asks for 1e-8; both are sums of 84 float64 terms
        assert abs(atoms.get_potential_energy() - result.energy[row].item()) < 1e-8
        np.testing.assert_allclose(result.forces[own], atoms.get_forces(), atol=1e-8)
        deviation = result.rows[ENERGY][row].item()
        assert deviation == pytest.approx(peer.results["energy_rot_std"], rel=1e-4)
        spread = np.sqrt(np.mean(peer.results["forces_rot_std"] ** 2))
        assert result.rows[FORCES][row].item() == pytest.approx(spread, rel=1e-4)
        if atoms.pbc.all():
            stress = atoms.get_stress(voigt=False)
            np.testing.assert_allclose(result.stress[row], stress, atol=1e-9)


@pytest.mark.parametrize("heads", [(C, C), (D, D), (C, D), (D, C)])
def test_average_equals_sum_over_rotated_crystals(load_pet, alloys, heads):
    pet = load_pet(forces=heads[0], stress=heads[1])
    table, rotations = alloys(5, rattle=0.1), icosahedral()
    chosen = RotationSet(
        "some", rotations.matrices[::17], np.array([0.3, 0.1, 0.05, 0.2, 0.1, 0.05, 0.1, 0.1])
    )
    result = evaluate(pet, table, [RowRotations.of(chosen)] * len(table))
    energy, forces, stress = 0.0, 0.0, 0.0
    for matrix, weight in zip(chosen.matrices, chosen.weights, strict=True):
        turned = evaluate(pet, rotated(table, matrix))
        energy = energy + weight * turned.energy.numpy()
        forces = forces + weight * turned.forces.numpy() @ matrix
        stress = stress + weight * matrix.T @ turned.stress.numpy() @ matrix
    np.testing.assert_allclose(result.energy, energy, atol=1e-10)
    np.testing.assert_allclose(result.forces, forces, atol=1e-11)
    np.testing.assert_allclose(result.stress, stress, atol=1e-12)


def test_averaged_forces_and_stress_are_derivatives_of_the_averaged_energy(load_pet, alloys):
    pet, table = load_pet(), alloys(3, rattle=0.1)
    rows = [RowRotations.of(lebedev(1))] * 3
    result, h = evaluate(pet, table, rows), 1e-4
    first = table.offsets[:-1]

    def energies(positions: np.ndarray, cells: np.ndarray) -> np.ndarray:
        moved = replace(table, positions=positions, cells=cells)
        return evaluate(pet, moved, rows).energy.numpy()

    step = np.zeros_like(table.positions)
    step[first, 1] = h
    change = energies(table.positions + step, table.cells) - energies(table.positions - step, table.cells)
    np.testing.assert_allclose(result.forces[first, 1], -change / (2 * h), atol=1e-6)
    up, down = np.eye(3), np.eye(3)
    up[0, 1], up[1, 0], down[0, 1], down[1, 0] = h / 2, h / 2, -h / 2, -h / 2
    change = energies(table.positions @ up, table.cells @ up) - energies(
        table.positions @ down, table.cells @ down
    )
    np.testing.assert_allclose(result.stress[:, 0, 1], change / (2 * h) / table.volumes(), atol=1e-7)


def test_rows_with_and_without_averaging_share_a_batch(load_pet, alloys):
    pet, table = load_pet(max_tokens=500.0), alloys(12)
    rows = [None, RowRotations.of(lebedev(1)), RowRotations.of(icosahedral())] * 4
    mixed, plain = evaluate(pet, table, rows), evaluate(pet, table)
    for row in range(12):
        alone = evaluate(pet, table.take([row]), [rows[row]])
        assert abs(mixed.energy[row].item() - alone.energy.item()) < 1e-10
        np.testing.assert_allclose(mixed.forces[table.atoms_of(row)], alone.forces, atol=1e-11)
        is_plain = rows[row] is None
        assert np.isnan(mixed.rows[ENERGY][row].item()) == is_plain
        assert (abs(mixed.energy[row].item() - plain.energy[row].item()) < 1e-10) == is_plain


@pytest.mark.parametrize("rotations", [lebedev(3), icosahedral()], ids=["lebedev", "icosahedral"])
@pytest.mark.parametrize("heads", [(C, C), (D, D)])
def test_reduced_average_equals_the_whole_one(load_pet, rotations, heads):
    table, groups = crystals(tuple(make_prototypes())[::9])
    pet = load_pet(forces=heads[0], stress=heads[1], outputs=["energies"])
    reduced = [RowRotations.of(rotations, group) for group in groups]
    assert min(len(row) for row in reduced) < len(rotations) / 4
    mine, whole = (
        evaluate(pet, table, reduced),
        evaluate(pet, table, [RowRotations.of(rotations)] * len(table)),
    )
    # crystals are symmetric to 1e-12 A, the model has slopes of some 10 eV/A
    np.testing.assert_allclose(mine.energy, whole.energy, atol=1e-9)
    np.testing.assert_allclose(mine.forces, whole.forces, atol=1e-9)
    np.testing.assert_allclose(mine.stress, whole.stress, atol=1e-10)
    np.testing.assert_allclose(mine.atoms["energies"], whole.atoms["energies"], atol=1e-9)
    for name in DEVIATIONS:
        np.testing.assert_allclose(mine.rows[name], whole.rows[name], rtol=1e-5, atol=1e-8)


def test_average_over_the_space_group_makes_forces_symmetric(load_pet):
    """The parent's group averages a displaced crystal: forces of its images are images of its forces."""
    table, groups = crystals(("rocksalt", "hcp"))
    pet, rng = load_pet(), np.random.default_rng(2)
    table.positions[:] += rng.normal(scale=0.05, size=table.positions.shape)
    sets = [RotationSet("group", g.cartesian, np.full(len(g), 1 / len(g))) for g in groups]
    rows = [RowRotations.of(chosen) for chosen in sets]
    mean, plain = evaluate(pet, table, rows), evaluate(pet, table)
    for place, group in enumerate(groups):
        matrix = group.cartesian[7]
        image = rotated(table.take([place]), matrix)
        turned = evaluate(pet, image, [rows[place]])
        own = table.atoms_of(place)
        assert abs(turned.energy.item() - mean.energy[place].item()) < 1e-11
        np.testing.assert_allclose(turned.forces, mean.forces[own].numpy() @ matrix.T, atol=1e-12)
        unaveraged = evaluate(pet, image)
        assert np.abs(unaveraged.forces.numpy() - plain.forces[own].numpy() @ matrix.T).max() > 1e-6


def test_averaged_energy_of_a_rotated_crystal_scatters_less(load_pet, alloys):
    pet, table = load_pet(), alloys(4, rattle=0.1)
    turns = random_rotations(np.arange(12), seed=1, step=0)
    rows = [RowRotations.of(lebedev(3))] * 4
    plain = np.array([evaluate(pet, rotated(table, turn)).energy.numpy() for turn in turns])
    mean = np.array([evaluate(pet, rotated(table, turn), rows).energy.numpy() for turn in turns])
    factor = plain.std(axis=0) / mean.std(axis=0)
    assert (factor > 5.0).all()


def test_invariance_is_the_slope_of_the_energy_under_rotation(load_pet, alloys):
    pet, table = load_pet(outputs=["invariance"]), alloys(3, rattle=0.1)
    result, h = evaluate(pet, table), 1e-4
    slope = np.zeros((3, 3, 3))
    for i in range(3):
        for j in range(3):
            generator = np.zeros((3, 3))
            generator[i, j] = h
            turns = [
                torch.linalg.matrix_exp(torch.as_tensor(s * (generator - generator.T))).numpy()
                for s in (1, -1)
            ]
            # row vectors times exp(G - G^T)
            up, down = (evaluate(pet, rotated(table, turn.T)).energy.numpy() for turn in turns)
            slope[:, i, j] = (up - down) / (2 * h)
    np.testing.assert_allclose(result.rows["invariance"], np.linalg.norm(slope, axis=(1, 2)), atol=1e-6)
    assert (result.rows["invariance"] > 1e-4).all()
    averaged = evaluate(pet, table, [RowRotations.of(lebedev(3))] * 3)
    assert (averaged.rows["invariance"] < 0.2 * result.rows["invariance"]).all()


def run(task: type, table: StructureTable, pet: Any, **parameters: Any) -> StructureTable:
    finished: list[StructureTable] = []
    name = {Static: Task.STATIC, Relax: Task.RELAX}[task]
    assert task(table, pet, parse_parameters(name, parameters), finished=finished.append).run()
    return StructureTable.concatenate(finished).select(table.ids)


def test_each_averaging_gives_its_own_energy(load_pet, alloys):
    table, pet = alloys(3, rattle=0.1), load_pet()
    energies = {}
    kinds = [*Averaging, "lebedev-3", "lebedev-3-proper", "lebedev-4"]
    for kind in kinds:
        result = run(Static, table, pet, averaging=kind)
        energies[kind] = result.columns["energy"]
        averages = kind not in (
            Averaging.NONE,
            Averaging.RANDOM,
            Averaging.SPACEGROUP,
        )  # P1: nothing to average
        has_deviations = np.isfinite(result.columns.get(ENERGY, np.full(3, np.nan)))
        assert has_deviations.all() == averages
    differ = [kind for kind in kinds if np.abs(energies[kind] - energies[Averaging.NONE]).max() > 1e-6]
    assert differ == [kind for kind in kinds if kind not in ("none", "spacegroup")]
    spread = [np.abs(energies[a] - energies[b]).max() for a in differ for b in differ if a < b]
    assert min(spread) > 1e-9


def test_random_rotation_follows_from_seed_and_id_and_not_from_the_batch(load_pet, alloys):
    table, pet = alloys(4, rattle=0.1), load_pet()
    together = run(Static, table, pet, averaging="random", seed=1).columns["energy"]
    alone = run(Static, table.take([2]), pet, averaging="random", seed=1).columns["energy"]
    other = run(Static, table, pet, averaging="random", seed=2).columns["energy"]
    assert abs(alone[0] - together[2]) < 1e-10
    assert (np.abs(other - together) > 1e-7).all()


def test_space_group_average_of_a_tolerated_symmetry_is_that_of_its_images(load_pet):
    """A crystal that is symmetric only to a tolerance is averaged over the group it nearly has."""
    table, _ = crystals(("rocksalt",))
    table.positions[0] += 0.004
    pet = load_pet()
    plain = run(Static, table, pet)
    averaged = run(Static, table, pet, averaging="spacegroup", symprec=0.1)
    strict = run(Static, table, pet, averaging="spacegroup", symprec=1e-4)
    assert 0 < averaged.columns[ENERGY][0] < 1e-2
    assert abs(averaged.columns["energy"][0] - plain.columns["energy"][0]) > 1e-9
    assert abs(strict.columns["energy"][0] - averaged.columns["energy"][0]) > 1e-9


@pytest.mark.parametrize(("symmetry", "averaging"), [("none", "lebedev-1"), ("constrained", "icosahedral")])
def test_relaxation_with_averaging_ends_at_the_averaged_model_s_minimum(load_pet, symmetry, averaging):
    table, _ = crystals(("b2", "hcp"))
    pet = load_pet()
    result = run(Relax, table, pet, averaging=averaging, symmetry=symmetry, fmax=0.05, max_steps=200)
    assert result.columns["status"].tolist() == ["converged"] * 2
    final = replace(table, positions=result.positions, cells=result.cells)
    averaged = run(Static, final, pet, averaging=averaging, symprec=1e-8)
    np.testing.assert_allclose(averaged.columns["energy"], result.columns["energy"], atol=1e-8)
    assert (averaged.columns["fmax"] <= 0.05).all()
    np.testing.assert_allclose(averaged.columns[ENERGY], result.columns[ENERGY], atol=1e-7)


def test_averaging_may_begin_late_and_ends_at_the_same_minimum_for_less(load_pet, alloys):
    table = alloys(12)
    table = table.take(np.flatnonzero(table.n_atoms <= 4)[:3])
    evaluations = {}
    results = {}
    for start in (None, 0.1):
        finished: list[StructureTable] = []
        parameters = {"averaging": "lebedev-1", "average_from_fmax": start, "fmax": 0.01}
        driver = Relax(table, load_pet(), parse_parameters(Task.RELAX, parameters), finished=finished.append)
        assert driver.run()
        results[start] = StructureTable.concatenate(finished).select(table.ids)
        evaluations[start] = driver.counters.evaluations
    early, late = results[None], results[0.1]
    assert set(late.columns["status"]) == {"converged"}
    assert np.isfinite(late.columns[ENERGY]).all()
    assert evaluations[0.1] < 0.8 * evaluations[None]
    per_atom = np.abs(early.columns["energy"] - late.columns["energy"]) / table.n_atoms
    assert per_atom.max() < 1e-4
    # the start is that of the model as it is
    assert (np.abs(early.columns["initial_energy"] - late.columns["initial_energy"]) > 1e-8).all()

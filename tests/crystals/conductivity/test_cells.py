"""Displacements against phono3py's own, and what a bad input is told."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from ase.build import bulk

from aiida_pet.crystals.conductivity.cells import (
    MissingPhono3pyError,
    TooManyDisplacementsError,
    count_displaced,
    displaced_supercells,
    make_phono3py,
)
from support.pair_forces import pair_forces
from support.third_order import cells_of, cells_of_phonondb, copper, phonondb, published, quick_forces


def test_displacements_of_copper():
    displaced = displaced_supercells(make_phono3py(copper()), distance=0.03, plus_minus=True)
    assert displaced.fc2_positions.shape == (2, 27, 3)
    assert len(displaced.fc3_positions) == displaced.fc3_wanted.sum() == len(displaced.fc3_wanted)
    assert displaced.n_displacements == 2 + len(displaced.fc3_positions)
    assert displaced.n_atoms == 2 * 27 + 27 * len(displaced.fc3_positions)
    moved = np.linalg.norm(displaced.fc2_positions[0] - displaced.fc2_positions[1], axis=1)
    assert np.sort(moved)[-1] == pytest.approx(0.06)
    assert np.sort(moved)[-2] == 0


def test_automatic_opposites_are_fewer_than_all():
    both, fewer = (
        displaced_supercells(make_phono3py(copper()), distance=0.03, plus_minus=given)
        for given in (True, "auto")
    )
    assert len(fewer.fc3_positions) < len(both.fc3_positions)


def test_cutoff_leaves_pairs_out():
    cells = cells_of(
        bulk("Cu", "fcc", a=3.55, cubic=True), 2 * np.eye(3, dtype=int), 2 * np.eye(3, dtype=int)
    )
    near, far = (
        displaced_supercells(make_phono3py(cells), distance=0.03, cutoff=cutoff) for cutoff in (3.0, None)
    )
    assert 0 < len(near.fc3_positions) < len(far.fc3_positions)
    assert len(near.fc3_wanted) == len(far.fc3_wanted) == len(far.fc3_positions)
    assert near.fc3_wanted.sum() == len(near.fc3_positions)


@pytest.mark.parametrize("cutoff", [3.0, None])
@pytest.mark.parametrize("plus_minus", [True, "auto"])
def test_supercells_are_counted_without_being_made(cutoff, plus_minus):
    cells = cells_of(bulk("MgO", "rocksalt", a=4.2), 2 * np.eye(3, dtype=int), 2 * np.eye(3, dtype=int))
    given = {"distance": 0.03, "cutoff": cutoff, "plus_minus": plus_minus}
    displaced = displaced_supercells(make_phono3py(cells), **given)
    found = count_displaced(make_phono3py(cells), **given)
    assert found == (len(displaced.fc2_positions), len(displaced.fc3_positions))
    assert displaced_supercells(make_phono3py(cells), **given, most=sum(found)).n_displacements == sum(found)


def test_too_many_are_refused_before_any_is_in_memory(monkeypatch):
    phono3py = make_phono3py(copper())

    def never(_):
        raise AssertionError("supercells were made")

    monkeypatch.setattr(type(phono3py), "supercells_with_displacements", property(never))
    with pytest.raises(TooManyDisplacementsError, match="at most 5 are wanted") as told:
        displaced_supercells(phono3py, distance=0.03, most=5)
    assert told.value.count > 5


def test_masses_of_elements_change_and_others_stay():
    cells = cells_of(bulk("MgO", "rocksalt", a=4.2), np.eye(3), np.eye(3))
    natural, heavy = (make_phono3py(cells, masses=masses) for masses in (None, {"O": 18.0}))
    assert heavy.masses.tolist() == [natural.masses[0], 18.0]


@pytest.mark.parametrize(
    ("masses", "message"), [({"Xx": 3.0}, "no element Xx"), ({"Cu": 0.0}, "Cu.*expected positive")]
)
def test_wrong_masses_are_refused(masses, message):
    with pytest.raises(ValueError, match=message):
        make_phono3py(copper(), masses=masses)


def test_missing_phono3py_is_told_with_its_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "phono3py", None)
    with pytest.raises(MissingPhono3pyError, match=r"aiida-pet\[conductivity\]"):
        make_phono3py(copper())


@pytest.mark.parametrize("name", ["MgO-rs", "AlAs-zb"])
def test_numbers_of_displacements_are_those_published(shared_data, name):
    row = published(shared_data, name)
    cells = cells_of_phonondb(phonondb(shared_data)[row["mp_id"]])
    displaced = displaced_supercells(make_phono3py(cells), distance=0.03)
    assert displaced.fc2_positions.shape == np.shape(row["fc2_set"])
    assert displaced.fc3_positions.shape == np.shape(row["fc3_set"])


def test_quick_forces_of_these_tests_are_those_of_pairs():
    atoms = bulk("CuAu", "rocksalt", a=5.4, cubic=True)
    atoms.positions += np.random.default_rng(1).normal(0, 0.1, atoms.positions.shape)
    expected = pair_forces(atoms)
    np.testing.assert_allclose(
        quick_forces(atoms.numbers, atoms.cell[:], atoms.positions), expected, atol=1e-12
    )

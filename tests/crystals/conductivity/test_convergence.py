"""The mesh is refined as far as needed, and no further."""

from __future__ import annotations

import itertools

import pytest

from aiida_pet.crystals.conductivity.convergence import converge_mesh
from aiida_pet.crystals.conductivity.transport import Transport
from support.third_order import copper, solve


@pytest.fixture(scope="module")
def fcc():
    return solve(copper())


def converge(solved, **further):
    return converge_mesh(solved.phono3py, solved.fc2, solved.fc3, Transport(), **further)


def test_refinement_ends_where_it_changes_nothing(fcc):
    found = converge(fcc, lengths=(10.0, 14.0, 18.0, 22.0, 26.0), tolerance=0.3)
    assert found.converged
    means = [float(one.mean[0]) for one in found.results]
    changes = [abs(second / first - 1) for first, second in itertools.pairwise(means)]
    assert changes[-1] < 0.3
    assert all(change >= 0.3 for change in changes[:-1])
    assert found.results[0].mesh.prod() < found.results[-1].mesh.prod()


def test_same_mesh_is_not_taken_for_convergence(fcc):
    found = converge(fcc, lengths=(12.0, 12.1), tolerance=1e-6)
    assert found.lengths == (12.0,)
    assert not found.converged


def test_imaginary_modes_end_it_at_once():
    found = converge(solve(copper(4.3)), lengths=(10.0, 20.0))
    assert len(found.results) == 1
    assert not found.converged


def test_lengths_must_ascend(fcc):
    with pytest.raises(ValueError, match="ascending"):
        converge(fcc, lengths=(20.0, 10.0))

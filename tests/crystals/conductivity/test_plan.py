"""Cells by the rule and as given, gaps and metals; numbers of displacements of the benchmark's crystals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk

from aiida_pet.crystals.conductivity.cells import displaced_supercells, make_phono3py
from aiida_pet.crystals.conductivity.plan import (
    Rule,
    cells_as_given,
    cells_by_rule,
    is_metal,
)
from support.third_order import phonondb

# plus and minus of both orders, as counted by phono3py: benchmark of PET's entry; "auto" are the published numbers
COUNTS = {225: (292, 146), 216: (444, 222), 186: (2120, 1254)}


def of(atoms):
    return atoms.cell[:], atoms.positions, atoms.numbers


@pytest.mark.parametrize("cubic", [False, True])
def test_rule_takes_primitive_cells(cubic):
    atoms = bulk("MgO", "rocksalt", a=4.2, cubic=cubic)
    chosen = cells_by_rule(*of(atoms), fc2=Rule(10.0, 500), fc3=Rule(6.0, 200))
    assert len(chosen.cells.numbers) == 2
    assert np.linalg.det(chosen.cells.cell) == pytest.approx(4.2**3 / 4)
    assert chosen.image >= 6.0
    assert not chosen.capped
    second, third = (
        round(np.linalg.det(matrix)) for matrix in (chosen.cells.fc2_matrix, chosen.cells.fc3_matrix)
    )
    assert second > third
    np.testing.assert_allclose(atoms.positions[chosen.unit_atoms], chosen.cells.positions)


def test_small_supercells_are_said_to_be():
    assert cells_by_rule(*of(bulk("Cu")), fc2=Rule(10.0, 8), fc3=Rule(6.0, 200)).capped


@pytest.mark.parametrize(
    "matrix", [np.eye(2), 0.5 * np.eye(3), np.zeros((3, 3)), np.diag([np.inf, 1, 1]), 18 * np.eye(3)]
)
def test_wrong_matrices_are_told(matrix):
    with pytest.raises(ValueError, match="fc3_supercell"):
        cells_as_given(*of(bulk("Cu")), fc2_matrix=np.eye(3), fc3_matrix=matrix)


def test_matrix_of_the_other_hand_is_the_same_lattice():
    cells = cells_as_given(*of(bulk("Cu")), fc2_matrix=-2 * np.eye(3), fc3_matrix=-np.eye(3)).cells
    np.testing.assert_array_equal(cells.fc2_matrix, 2 * np.eye(3))
    np.testing.assert_array_equal(cells.fc3_matrix, np.eye(3))


def test_metals_are_crystals_of_metals_alone():
    assert is_metal(np.array([29, 79]))
    assert not is_metal(np.array([12, 8]))
    assert not is_metal(np.array([14]))


def test_numbers_of_displacements_of_the_benchmark(shared_data):
    """Of each kind one crystal, plus and minus as in the benchmark, and the numbers that were published."""
    seen: dict[int, int] = {}
    for atoms in phonondb(shared_data).values():
        group = atoms.info["symm.no"]
        seen[group] = seen.get(group, 0) + 1
        if seen[group] > 1:
            continue
        chosen = cells_as_given(
            *of(atoms), fc2_matrix=atoms.info["fc2_supercell"], fc3_matrix=atoms.info["fc3_supercell"]
        )
        cells = replace(chosen.cells, fc2_matrix=np.eye(3, dtype=int))  # quick: third order has its own
        for plus_minus, expected in zip((True, "auto"), COUNTS[group], strict=True):
            found = displaced_supercells(make_phono3py(cells), distance=0.03, plus_minus=plus_minus)
            assert len(found.fc3_positions) == expected
    assert seen == {225: 37, 216: 33, 186: 33}

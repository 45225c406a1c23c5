from __future__ import annotations

import numpy as np
import pytest
from ase.data import atomic_numbers
from pymatgen.core import Composition

from aiida_pet.analysis.hull.compositions import Compositions, element_names
from support.phases import phase_table

ROWS = [("a", {"Ta": 2, "Mo": 4}, 0.0), ("b", {}, 0.0), ("c", {"W": 3}, 0.0), ("d", {"Mo": 2, "Ta": 1}, 0.0)]


def test_a_table_and_mappings_give_the_same_rows() -> None:
    of_table = Compositions.of_table(phase_table(ROWS))
    of_mappings = Compositions.of_mappings([{73: 2, 42: 4}, {}, {74: 3}, {42: 2, 73: 1}])
    for found in (of_table, of_mappings):
        assert found.numbers.tolist() == [[42, 73], [0, 0], [74, 0], [42, 73]]
        assert found.amounts.tolist() == [[4, 2], [0, 0], [3, 0], [2, 1]]
    assert list(of_table.formulas()) == ["Mo2Ta", "", "W", "Mo2Ta"]


def test_equal_compositions_share_a_group_whatever_their_cells() -> None:
    mappings = [{42: 4, 73: 2}, {42: 2, 73: 1}, {42: 1 / 3, 73: 1 / 6}, {42: 0.8, 73: 0.4}, {42: 1, 73: 2}]
    groups = Compositions.of_mappings(mappings).groups()
    assert groups[0] == groups[1] != groups[4]
    assert groups[2] == groups[3]


def test_formulas_are_reduced_as_pymatgen_reduces_them() -> None:
    mappings = [{"Fe": 4, "O": 6}, {"Na": 12, "Cl": 12}, {"Li": 2, "Fe": 4, "O": 8}]
    found = Compositions.of_table(phase_table([(str(i), atoms, 0.0) for i, atoms in enumerate(mappings)]))
    for formula, atoms in zip(found.formulas(), mappings, strict=True):
        assert Composition(formula) == Composition(atoms).reduced_composition


def test_weighted_means_count_atoms() -> None:
    values = np.full(119, np.nan)
    values[[42, 73]] = 1.0, 4.0
    found = Compositions.of_mappings([{42: 4, 73: 2}, {42: 1, 74: 1}]).weighted(values)
    assert found[0] == 2.0
    assert np.isnan(found[1])


def test_parts_of_different_width_are_joined() -> None:
    joined = Compositions.concatenate(
        [Compositions.of_mappings([{1: 1}]), Compositions.of_mappings([{1: 1, 8: 2, 11: 1}])]
    )
    assert joined.numbers.tolist() == [[1, 0, 0], [1, 8, 11]]
    assert element_names([73, 42]) == "Mo, Ta"


@pytest.mark.parametrize(
    ("fractions", "formula"),
    [
        ({"Mo": 0.5, "W": 0.5}, {"Mo": 1, "W": 1}),
        ({"Mo": 1 / 3, "W": 2 / 3}, {"Mo": 2, "W": 4}),
        ({"Mo": 0.333333, "W": 0.666667}, {"Mo": 1, "W": 2}),
        ({"Al": 0.1, "Mo": 0.2, "W": 0.7}, {"Al": 1, "Mo": 2, "W": 7}),
        ({"Mo": 12.5, "W": 87.5}, {"Mo": 1, "W": 7}),
    ],
)
def test_fractions_and_formulas_of_one_composition_are_one_key(
    fractions: dict[str, float], formula: dict[str, float]
) -> None:
    other = {"Mo": 3, "W": 5}
    both = Compositions.of_mappings(
        [{atomic_numbers[s]: n for s, n in one.items()} for one in (fractions, formula, other)]
    )
    groups = both.groups().tolist()
    assert groups[0] == groups[1] != groups[2]
    names = list(both.formulas())
    assert names[0] == names[1]
    assert Composition(names[0]) == Composition(formula).reduced_composition

"""Uncertain rows that differ."""

from __future__ import annotations

import numpy as np
from ase.build import bulk
from hypothesis import given
from hypothesis import strategies as st

from aiida_pet.analysis.selection import descriptors_of, select_diverse
from aiida_pet.tables.crystals import StructureTable


def test_diverse_rows_are_taken_before_twins_of_the_most_uncertain() -> None:
    figure = np.array([9.0, 8.9, 8.8, 5.0, 4.0, 0.1])
    places = np.array([[0.0], [0.01], [0.02], [1.0], [2.0], [50.0]])
    # the last is far off, but it is none of the candidates
    assert select_diverse(figure, places, 2, pool=2).tolist() == [0, 3]
    assert select_diverse(figure, places, 3, pool=1).tolist() == [0, 1, 2]
    assert select_diverse(figure, places, 2, pool=3).tolist() == [0, 5]


@given(st.lists(st.floats(0, 1) | st.just(float("nan")), min_size=1, max_size=40), st.integers(1, 50))
def test_no_row_is_taken_twice_nor_one_without_a_figure(figures: list[float], count: int) -> None:
    figure = np.array(figures)
    descriptors = np.arange(len(figure), dtype=float)[:, None] % 5  # many alike
    found = select_diverse(figure, descriptors, count)
    assert len(set(found.tolist())) == len(found) == min(count, int(np.isfinite(figure).sum()))
    assert np.isfinite(figure[found]).all()
    if len(found):
        assert figure[found[0]] == np.nanmax(figure)


def test_rows_are_far_by_composition_and_by_features_per_atom() -> None:
    table = StructureTable.from_ase(
        [("a", bulk("Cu", cubic=True)), ("b", bulk("Cu")), ("c", bulk("Al")), ("d", bulk("Cu", a=4.2))]
    )
    points = descriptors_of(table)
    assert np.linalg.norm(points[0] - points[1]) < 1e-9  # the same crystal in two cells
    assert np.linalg.norm(points[0] - points[2]) > 1
    assert np.linalg.norm(points[0] - points[3]) > 0.1
    features = np.array([[4.0, 8.0], [1.0, 2.0], [5.0, 2.0], [1.0, 2.0]])
    by_features = descriptors_of(table, features)
    assert np.linalg.norm(by_features[0] - by_features[1]) < 1e-9
    assert np.linalg.norm(by_features[1] - by_features[2]) > 1

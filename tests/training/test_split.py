"""Rows of one crystal on one side, the same by seed."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from aiida_pet.training.parameters import parse_training
from aiida_pet.training.split import Split, split_rows
from support.labelled_crystals import TINY


@given(
    st.lists(st.integers(0, 12), min_size=4, max_size=60),
    st.integers(0, 1000),
    st.floats(0.0, 0.45),
    st.floats(0.0, 0.45),
)
def test_no_group_is_on_two_sides_and_shares_are_those_asked_for(
    members: list[int], seed: int, validation: float, test: float
) -> None:
    options = {"seed": seed, "validation_fraction": validation, "test_fraction": test}
    parameters = parse_training(TINY | options)
    groups = np.array([f"g{member}" for member in members])
    taken = np.array([index % 7 != 3 for index in range(len(members))])
    split = split_rows(groups, taken, parameters, validation=True, test=True)
    assert ((split == Split.REFUSED.value) == ~taken).all()
    for group in np.unique(groups):
        assert len(set(split[(groups == group) & taken])) <= 1
    names = np.unique(groups[taken])
    found = {name: set(split[taken & (groups == name)]).pop() for name in names}
    asked = int(np.ceil(validation * len(names)))
    assert sum(value == Split.VALIDATION.value for value in found.values()) == asked


def test_same_seed_splits_the_same_whatever_the_order_of_rows() -> None:
    parameters = parse_training(TINY)
    groups = np.array([f"g{i // 3}" for i in range(60)])
    order = np.random.default_rng(3).permutation(60)
    taken = np.ones(60, bool)
    one = split_rows(groups, taken, parameters, validation=True, test=True)
    two = split_rows(groups[order], taken, parameters, validation=True, test=True)
    np.testing.assert_array_equal(one[order], two)
    other = parse_training(TINY | {"seed": 1})
    assert (split_rows(groups, taken, other, validation=True, test=True) != one).any()


def test_sets_of_their_own_leave_all_rows_to_train_on() -> None:
    groups = np.array([f"g{i}" for i in range(10)])
    split = split_rows(groups, np.ones(10, bool), parse_training(TINY), validation=False, test=False)
    assert set(split) == {"training"}

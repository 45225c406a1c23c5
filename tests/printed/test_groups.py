"""Symbols of space groups, beside those of spglib."""

import pytest
import spglib

from aiida_pet.printed.groups import change_text, group_text, is_group, symbol_of


def test_symbols_are_those_of_spglib():
    # the first Hall number of each group is the standard setting
    seen = {}
    for hall in range(1, 531):
        kind = spglib.get_spacegroup_type(hall)
        seen.setdefault(kind.number, set()).add(kind.international_short)
    assert all(symbol_of(number) in seen[number] for number in range(1, 231))


def test_a_change_is_shown_and_nothing_else():
    assert change_text(221, 221) == "Pm-3m"
    assert change_text(221, 1) == "Pm-3m > P1"
    assert change_text(None, 225) == change_text(float("nan"), 225.0) == "Fm-3m"
    assert change_text(221, 0) == "Pm-3m > -"


@pytest.mark.parametrize("value", [0, None, float("nan"), "layer", 231, True])
def test_what_is_no_group_is_missing(value):
    assert group_text(value) == "-"


def test_columns_of_groups_are_told_by_name():
    assert all(
        map(is_group, ("spacegroup_0_01", "initial_spacegroup_0_001", "spacegroup", "free_spacegroup_1"))
    )
    assert not any(map(is_group, ("spacegroup_kept", "layergroup_0_01", "my_spacegroups")))


def test_there_is_no_group_beyond_230():
    with pytest.raises(ValueError, match="expected 1 to 230"):
        symbol_of(231)

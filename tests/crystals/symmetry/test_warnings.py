"""Warnings of a space group that depends on the tolerance, or changed."""

from __future__ import annotations

import numpy as np

from aiida_pet.crystals.symmetry.warnings import symmetry_warnings


def test_only_what_there_is_something_to_say_of_gets_a_text() -> None:
    before = {"0_01": np.array([229, 225, 229, 0, 139]), "0_1": np.array([229, 225, 229, 0, 229])}
    after = {"0_01": np.array([229, 139, 139, 0, 139]), "0_1": np.array([229, 139, 229, 0, 229])}
    same, lost, depends, unknown, as_before = symmetry_warnings(after, before)
    assert same == ""
    assert unknown == ""
    assert lost == "relaxation changed it: 225 -> 139 at 0.01 A, 225 -> 139 at 0.1 A"
    assert depends == ("space group 139 at 0.01 A, 229 at 0.1 A; relaxation changed it: 229 -> 139 at 0.01 A")
    assert as_before == "space group 139 at 0.01 A, 229 at 0.1 A"


def test_without_a_start_only_the_tolerance_counts() -> None:
    groups = {"0_01": np.array([229, 12]), "0_1": np.array([229, 139])}
    assert symmetry_warnings(groups).tolist() == ["", "space group 12 at 0.01 A, 139 at 0.1 A"]

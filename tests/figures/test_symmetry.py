"""Changes of space groups, counted by hand."""

from __future__ import annotations

import pandas as pd
import pytest

from aiida_pet.figures.source import NotDrawnError
from aiida_pet.figures.symmetry import group_symbol, symmetry_changes


def test_pairs_are_counted_at_each_tolerance() -> None:
    frame = pd.DataFrame(
        {
            "initial_spacegroup_0_1": [225, 229, 229],
            "spacegroup_0_1": [225, 229, 229],
            "initial_spacegroup_0_01": [225, 229, 229],
            "spacegroup_0_01": [225, 139, 139],
            "symmetry_kept_0_01": pd.array([True, False, None], dtype="boolean"),
        }
    )
    found = symmetry_changes(frame)
    assert found.tolerances == (0.01, 0.1)
    assert found.changes == ({(225, 225): 1, (229, 139): 1}, {(225, 225): 1, (229, 229): 2})
    assert (found.kept, found.changed, found.not_relaxed) == ((1, 3), (1, 0), 1)
    assert found.to_frame()["rows"].sum() == 5


def test_table_without_a_relaxation_is_refused() -> None:
    with pytest.raises(NotDrawnError, match="before and after a relaxation"):
        symmetry_changes(pd.DataFrame({"spacegroup_0_01": [1]}))


def test_symbols_are_those_of_the_tables() -> None:
    assert [group_symbol(n) for n in (225, 229, 1, 0)] == ["Fm-3m", "Im-3m", "P1", "-"]

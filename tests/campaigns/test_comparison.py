"""Two campaigns compared, with numbers that can be worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from aiida.engine import run_get_node
from aiida.orm import WorkChainNode
from ase.build import bulk

from aiida_pet.campaigns.comparison import ComparisonError, compare, differing_settings
from aiida_pet.data.structures import StructureSetData
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.filter import FilterError
from aiida_pet.units import VOIGT
from aiida_pet.workchains.relax import RelaxWorkChain

IDS = ["a", "b", "c", "d", "e"]


def crystals(
    ids: list[str], columns: dict[str, Any], units: dict[str, str] | None = None
) -> StructureSetData:
    """Cells of two atoms of W."""
    table = StructureTable.from_ase((name, bulk("W", a=3.17, cubic=True)) for name in ids)
    for name, values in columns.items():
        table.set_column(name, values, (units or {}).get(name))
    return StructureSetData.from_table(table).store()


@pytest.fixture(scope="module")
def pair(aiida_profile: Any) -> tuple[StructureSetData, StructureSetData]:
    """Two tables, the second in another order, with a row that the first lacks and without one that it has."""
    first = crystals(
        IDS,
        {
            "status": ["converged"] * 4 + ["max_steps"],
            "energy": [-16.0, -17.0, -18.0, -19.0, -99.0],
            "spacegroup_0_01": [229, 229, 225, 1, 1],
            "e_above_hull": [0.0, 0.1, np.nan, 0.3, 0.4],
            "is_stable": [True, False, False, False, False],
        },
        {"energy": "eV", "e_above_hull": "eV/atom"},
    )
    second = crystals(
        ["f", "e", "d", "c", "b"],
        {
            "status": ["converged", "converged", "converged", "converged", "converged"],
            "energy": [0.0, -20.0, -19.5, -17.0, -17.0],
            "spacegroup_0_01": [1, 1, 1, 229, 229],
            "e_above_hull": [0.0, 0.0, 0.1, 0.2, 0.15],
            "is_stable": [False, False, True, False, False],
        },
        {"energy": "eV", "e_above_hull": "eV/atom"},
    )
    return first, second


def test_rows_are_matched_by_id(pair: tuple[Any, Any]) -> None:
    found = compare(*pair)
    assert (found.n_common, found.n_answered) == (4, 3)
    assert (found.only_first, found.only_second) == (["a"], ["f"])
    assert found.statuses == {("max_steps", "converged"): 1}


def test_differences_are_second_minus_first_over_converged_rows(pair: tuple[Any, Any]) -> None:
    found = {one.column: one for one in compare(*pair).differences}
    # energies per atom of b, c, d: 0, +0.5, -0.25
    energy = found["energy_per_atom"]
    assert (energy.unit, energy.n_rows, energy.n_different) == ("eV/atom", 3, 2)
    assert energy.mean == pytest.approx(0.25 / 3)
    assert energy.mean_abs == pytest.approx(0.25)
    assert energy.median_abs == pytest.approx(0.25)
    assert energy.max_abs == pytest.approx(0.5)
    # of e_above_hull b and d: 0.05 and -0.2; c has none in the first
    hull = found["e_above_hull"]
    assert (hull.n_rows, hull.max_abs, hull.mean) == (2, pytest.approx(0.2), pytest.approx(-0.075))
    # what is no quantity has no mean
    group = found["spacegroup_0_01"]
    assert (group.n_rows, group.n_different) == (3, 1)
    assert np.isnan(group.mean)
    assert (found["is_stable"].n_rows, found["is_stable"].n_different) == (3, 1)


def test_rows_that_differ_most_come_first(pair: tuple[Any, Any]) -> None:
    rows = compare(*pair, columns=["energy_per_atom"]).rows
    assert rows["id"].tolist() == ["c", "d"]
    assert rows["formula"].tolist() == ["W2", "W2"]
    assert rows["difference"].tolist() == pytest.approx([0.5, -0.25])
    assert (rows["first"][0], rows["second"][0]) == (-9.0, -8.5)
    assert len(compare(*pair, columns=["energy_per_atom"], most=1).rows) == 1
    groups = compare(*pair, columns=["spacegroup_0_01"]).rows
    assert groups[["id", "first", "second"]].to_numpy().tolist() == [["c", 225, 229]]


def test_condition_is_on_the_first(pair: tuple[Any, Any]) -> None:
    found = compare(*pair, where="e_above_hull < 0.35 and is_stable == False")
    assert found.n_common == 2
    assert found.only_first == []
    with pytest.raises(FilterError, match="no column 'nonsense'"):
        compare(*pair, where="nonsense < 1")


def test_columns_must_be_in_both(pair: tuple[Any, Any]) -> None:
    with pytest.raises(
        ComparisonError, match="column 'shear_modulus' is not in both: they share energy_per_atom"
    ):
        compare(*pair, columns=["shear_modulus"])


def test_a_column_of_several_values_is_compared_component_by_component() -> None:
    stress = np.arange(12.0).reshape(2, 6)
    one, other = (crystals(["a", "b"], {"stress": values}) for values in (stress, stress + 1.0))
    found = compare(one, other, columns=["stress"]).differences
    assert [difference.column for difference in found] == [f"stress_{part}" for part in VOIGT]
    assert [difference.mean for difference in found] == pytest.approx([1.0] * 6)


def test_other_crystals_cannot_be_compared(pair: tuple[Any, Any]) -> None:
    with pytest.raises(ComparisonError, match="the two share no id"):
        compare(pair[0], crystals(["x"], {"energy": [1.0]}))


def test_same_table_does_not_differ(pair: tuple[Any, Any]) -> None:
    found = compare(pair[0], pair[0])
    assert (found.n_common, found.only_first, found.statuses, found.settings) == (5, [], {}, {})
    assert all(one.n_different == 0 for one in found.differences)
    assert len(found.rows) == 0


def test_provenance_says_what_the_campaigns_were_made_with(
    module_inputs: Callable[..., dict[str, Any]], tmp_path: Any
) -> None:
    from aiida_pet.data.model import PetModelData

    inputs = module_inputs(["a", "high"])
    path = tmp_path / "other.ckpt"
    path.write_bytes(b"another checkpoint")
    card = {"name": "other", "version": "2", "elements": ["Nb", "Mo", "Ta", "W"], "outputs": ["energy"]}
    other = PetModelData.get_or_create(path, card)
    one = run_get_node(RelaxWorkChain, **inputs | {"parameters": {"fmax": 0.01}})[1]
    two = run_get_node(RelaxWorkChain, **inputs | {"parameters": {"max_steps": 7}, "model": other})[1]
    found = compare(one, two).settings
    assert found["model"] == ("stand-in", "other")
    assert found["model sha256"] == (inputs["model"].sha256, other.sha256)
    # what was not given is the default of the task
    assert found["parameters.fmax"][0] == 0.01
    assert found["parameters.fmax"][1] not in (None, 0.01)
    assert found["parameters.max_steps"][1] == 7
    assert set(found) == {"model", "model sha256", "parameters.fmax", "parameters.max_steps"}
    assert differing_settings(one, one) == {}
    with pytest.raises(ComparisonError, match="has no results"):
        compare(one, WorkChainNode().store())

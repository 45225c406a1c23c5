"""Rows found over all campaigns of a profile, with the engine that stands in: -8 eV per atom, `high*` 0.5 eV more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aiida.engine import run_get_node
from ase.build import bulk

from aiida_pet.campaigns.errors import QueryError
from aiida_pet.campaigns.launches import campaigns_with_results
from aiida_pet.campaigns.resumption import resume_builder
from aiida_pet.campaigns.search import find
from aiida_pet.data.structures import StructureSetData
from aiida_pet.data.table import TableData
from aiida_pet.tables.filter import FilterError
from aiida_pet.units import VOIGT
from aiida_pet.workchains.batch import BatchWorkChain
from aiida_pet.workchains.hull import HullWorkChain
from aiida_pet.workchains.relax import RelaxWorkChain
from aiida_pet.workchains.screening import ScreeningWorkChain

Inputs = Callable[..., dict[str, Any]]
# ids that no other test has
A, MAX, HIGH = "find-a", "max_steps-find", "high-find"


def crystals() -> StructureSetData:
    """W2, Mo4W4 (a cell of eight atoms) and MoW, with a series number."""
    made = []
    for row_id, repeat, heavy in ((A, 1, True), (MAX, 4, False), (HIGH, 1, False)):
        cell = bulk("W", "bcc", a=3.17, cubic=True).repeat((repeat, 1, 1))
        if not heavy:
            cell.numbers[::2] = 42
        made.append((row_id, cell))
    return StructureSetData.from_iterator(made).store()


@pytest.fixture(scope="module")
def campaigns(module_inputs: Inputs) -> dict[str, Any]:
    """A relaxation, a static calculation, a hull of the relaxation and a screening, of the same crystals."""
    inputs = module_inputs(1) | {"structures": crystals()}
    relax = run_get_node(RelaxWorkChain, metadata={"label": "first"}, lanes=2, job_size=1, **inputs)[1]
    static = run_get_node(BatchWorkChain, **inputs | {"task": "static"})[1]
    metals = {name: bulk(name, "bcc", a=3.2) for name in ("Mo", "W")}
    references = StructureSetData.from_iterator(
        (f"el-{name}", atoms) for name, atoms in metals.items()
    ).store()
    shared = {name: inputs[name] for name in ("code", "model", "options")}
    hull = run_get_node(
        HullWorkChain,
        structures=relax.outputs.results,
        reference_structures=references,
        relax=shared | {"parameters": {}},
    )[1]
    screen = run_get_node(
        ScreeningWorkChain.get_builder_from_protocol(
            inputs["code"],
            inputs["model"],
            inputs["structures"],
            options=inputs["options"],
            stages=("relax", "symmetry"),
        )
    )[1]
    made = {"relax": relax, "static": static, "hull": hull, "screen": screen}
    assert all(node.is_finished_ok for node in made.values()), [node.exit_message for node in made.values()]
    return made | {"inputs": inputs}


def pks(campaigns: dict[str, Any], *names: str) -> list[int]:
    return [campaigns[name].pk for name in names]


def test_row_is_found_once_in_each_launch_and_in_no_job_lane_or_stage(campaigns: dict[str, Any]) -> None:
    found = find(ids=[A])
    assert found["campaign"].tolist() == pks(campaigns, "screen", "hull", "static", "relax")
    assert found["label"].tolist()[-1] == "first"
    assert found["model"].tolist() == ["stand-in"] * 4
    assert found["formula"].tolist() == ["W2"] * 4
    assert found["energy"].tolist()[2:] == [-16.0, -16.0]
    assert found["e_above_hull"].tolist()[1] == 0.0
    many = [found.id for found in find(ids=[A, MAX], campaigns=pks(campaigns, "relax")).itertuples()]
    assert many == [A, MAX]


@pytest.mark.parametrize(
    ("formula", "expected"),
    [("MoW", [MAX, HIGH]), ("Mo2W2", [MAX, HIGH]), ("W", [A]), ("Mo3W", []), ("TaW", [])],
)
def test_formula_is_a_composition_in_any_cell(
    campaigns: dict[str, Any], formula: str, expected: list[str]
) -> None:
    for name in ("relax", "hull"):  # the table of a hull has no crystals of its own
        found = find(formulas=[formula], campaigns=pks(campaigns, name))
        assert found["id"].tolist() == expected


def test_elements_must_all_be_there(campaigns: dict[str, Any]) -> None:
    relax = pks(campaigns, "relax")
    assert find(elements=["W"], campaigns=relax)["id"].tolist() == [A, MAX, HIGH]
    assert find(elements=["W", "Mo"], campaigns=relax)["id"].tolist() == [MAX, HIGH]
    assert find(elements=["W", "O"], campaigns=relax).empty


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("energy < -20", [MAX]),
        ("-20 > energy", [MAX]),
        ("energy / n_atoms > -7.9", [HIGH]),
        ("status == max_steps", [MAX]),
        ("status == 'nonsense'", []),
        ("energy > 0", []),
        ("n_atoms == 2 and not formula == W2", [HIGH]),
        ("stress_xy == 0 and id != 'find-a'", [MAX, HIGH]),
    ],
)
def test_conditions_choose_rows(campaigns: dict[str, Any], where: str, expected: list[str]) -> None:
    found = find(where=where, campaigns=pks(campaigns, "relax"))
    assert found["id"].tolist() == expected


def test_condition_finds_columns_in_the_launches_that_have_them(campaigns: dict[str, Any]) -> None:
    found = find(where="e_above_hull >= 0", ids=[A, HIGH])
    assert set(found["campaign"]) == set(pks(campaigns, "hull"))
    # a column of the hull beside one of the crystals that it was made of
    found = find(where="e_above_hull > 0.1 and n_atoms < 4", campaigns=pks(campaigns, "hull"))
    assert found[["id", "formula"]].to_numpy().tolist() == [[HIGH, "MoW"]]
    assert found["e_above_hull"].tolist() == [0.25]


def test_a_column_of_several_values_stands_for_its_components(campaigns: dict[str, Any]) -> None:
    frame = find(ids=[A], columns=["stress", "energy"])
    assert [name for name in frame.columns if name.startswith("stress")] == [f"stress_{one}" for one in VOIGT]
    with pytest.raises(QueryError, match="no column 'stres'"):
        find(ids=[A], columns=["stres"])


def test_limit_stops_and_starts_with_the_newest(campaigns: dict[str, Any]) -> None:
    found = find(elements=["W"], campaigns=pks(campaigns, "relax", "static"), limit=4)
    assert found["campaign"].tolist() == [campaigns["static"].pk] * 3 + [campaigns["relax"].pk]
    assert find(elements=["W"], limit=0).empty


def test_tables_are_left_aside_before_anything_is_read(
    campaigns: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Any, name: str) -> None:
        raise AssertionError(f"array {name!r} was read")

    monkeypatch.setattr(TableData, "get_array", refuse)
    chosen = pks(campaigns, "relax", "static", "screen")
    questions: list[dict[str, Any]] = [
        {"elements": ["O"]},
        {"formulas": ["MoO2"]},
        {"where": "energy > 0"},
        {"where": "status == left"},
        {"where": "fmax < 0.001 and n_atoms > 0"},
    ]
    for question in questions:
        assert find(campaigns=chosen, **question).empty
    with pytest.raises(AssertionError, match="was read"):
        find(campaigns=chosen, where="energy < 0")


def test_campaign_that_was_taken_up_is_left_to_the_one_that_went_on(module_inputs: Inputs) -> None:
    inputs = module_inputs(["taken-1", "taken-2", "taken-3"], STAND_IN_ROWS=1)
    node = run_get_node(RelaxWorkChain, **inputs, max_failures=1)[1]
    builder = resume_builder(node)
    resumed = run_get_node(builder)[1]
    found = find(ids=["taken-1"])
    assert found["campaign"].tolist() == [resumed.pk]
    assert find(ids=["taken-1"], campaigns=[node.pk])["campaign"].tolist() == [node.pk]


def test_what_is_no_question_is_refused(campaigns: dict[str, Any], make_structures: Any) -> None:
    with pytest.raises(QueryError, match="'Mo3Xx' is no formula"):
        find(formulas=["Mo3Xx"])
    with pytest.raises(QueryError, match="'molybdenum' is no element"):
        find(elements=["molybdenum"])
    with pytest.raises(FilterError, match="cannot read 'energy = 1'"):
        find(where="energy = 1")
    with pytest.raises(FilterError, match=r"no column 'enrgy'.*did you mean energy"):
        find(where="enrgy < 1", campaigns=pks(campaigns, "relax"))
    structures = make_structures(1)
    with pytest.raises(QueryError, match=f"<{structures.pk}> is no launch with results"):
        find(ids=["x"], campaigns=[structures.pk])


def test_stage_can_be_named(campaigns: dict[str, Any]) -> None:
    stage = next(node for node in campaigns["screen"].called if node.process_label == "RelaxWorkChain")
    assert stage.pk not in {campaign.pk for campaign in campaigns_with_results()}
    assert find(ids=[A], campaigns=[stage.pk])["campaign"].tolist() == [stage.pk]

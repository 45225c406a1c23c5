"""A verdict is made once, by names that are settled before anything runs, and the table is always handed out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from aiida.engine import run_get_node
from ase.build import bulk

from aiida_pet.data.structures import StructureSetData
from aiida_pet.workchains.screening import ScreeningWorkChain
from aiida_pet.workchains.stages import check_stages, make_stages, names_of_input

Inputs = Callable[..., dict[str, Any]]


def screening(inputs: dict[str, Any], stages: tuple[str, ...], **options: Any) -> Any:
    """Run a screening and return its node."""
    builder = ScreeningWorkChain.get_builder_from_protocol(
        *(inputs[name] for name in ("code", "model", "structures")),
        options=inputs["options"],
        stages=stages,
        **options,
    )
    return run_get_node(builder)[1]


def with_columns(module_inputs: Inputs, ids: list[str], **columns: Any) -> dict[str, Any]:
    """Return inputs whose set has ``columns``."""
    crystals = ((name, bulk("W", a=3.17, cubic=True)) for name in ids)
    return module_inputs(1) | {"structures": StructureSetData.from_iterator(crystals, columns).store()}


def test_columns_of_the_input_have_one_name_from_the_first_stage_to_the_last(module_inputs: Inputs) -> None:
    """The set says how far its crystals are from the hull, and so does a later stage."""
    inputs = with_columns(module_inputs, ["a", "b", "high"], e_above_hull=[0.05, 0.4, 0.05])
    keep = {"relax": {"keep": "input_e_above_hull < 0.1"}, "hull": {"keep": "e_above_hull < 0.1"}}
    node = screening(inputs, ("relax", "hull"), overrides=keep)
    assert node.is_finished_ok, node.exit_message
    table = node.outputs.results.to_dataframe()
    assert table["stage"].tolist() == ["done", "relax", "hull"]
    assert table.loc["b", "reason"] == "not input_e_above_hull < 0.1 (input_e_above_hull = 0.4)"
    assert table["input_e_above_hull"].tolist() == [0.05, 0.4, 0.05]
    assert table["e_above_hull"].tolist() == pytest.approx([0, 0, 0.25])
    # its verdicts are nodes, and the table is made of them
    labels = [link.link_label for link in table_maker(node).base.links.get_incoming().all()]
    assert {"verdict_relax", "verdict_hull"} <= {label.removeprefix("tables__") for label in labels}


def table_maker(node: Any) -> Any:
    """Return the process that made the final table."""
    return next(one for one in node.called if one.process_label == "screening_table")


def test_the_other_spelling_is_refused_before_anything_runs_with_the_name_to_write() -> None:
    stages = make_stages(("relax", "hull"), overrides={"relax": {"keep": "e_above_hull < 0.1"}})
    problem = str(check_stages(stages, ["e_above_hull"]))
    assert problem.startswith("stage relax: keep: ")
    assert "the column of the input is called 'input_e_above_hull' here" in problem
    # no stage that is planned makes it
    alone = make_stages(("relax",), overrides={"relax": {"keep": "e_above_hull < 0.1"}})
    assert check_stages(alone, ["e_above_hull"]) is None


def test_names_are_settled_by_the_stages_that_are_planned() -> None:
    stages = make_stages(("relax", "phonons"))
    given = ["energy", "input_energy", "stress", "stress_xx", "series", "stage", "bulk_modulus", "born", "id"]
    assert names_of_input(stages, [*given, "dielectric_tensor"]) == {
        "energy": "input_input_energy",
        "input_energy": "input_energy",
        "stress": "input_stress",
        "stress_xx": "input_stress_xx",
        "series": "series",
        "stage": "input_stage",
        "bulk_modulus": "bulk_modulus",
        "born": "born",
        "id": "input_id",
        "dielectric_tensor": "dielectric_tensor",
    }
    shapes = {"stress": (3, 6), "series": (3,)}
    keep = make_stages(("relax",), overrides={"relax": {"keep": "input_stress_xx < 1 and series > 0"}})
    assert check_stages(keep, shapes) is None


@pytest.mark.parametrize(
    ("stage", "keep", "told"),
    [
        ("relax", "status == 3", "status holds texts, but 3 is a number"),
        ("relax", "spacegroup_0_01 == cubic", None),  # `cubic` is no column, and no text beside a number
        ("relax", "stress_xx < 'low'", "stress_xx holds numbers, but 'low' is a text"),
        ("hull", "series < 2", "series holds texts, but 2 is a number"),
        ("hull", "is_stable == 'yes'", "is_stable holds yes and no"),
        ("hull", "phase == 'bcc'", "phase holds numbers, but 'bcc' is a text"),
        ("hull", "input_energy == 'low'", "input_energy holds numbers"),
        ("hull", "weights_1 == 'low'", "weights_1 holds numbers"),
        ("hull", "id == 7", "id holds texts, but 7 is a number"),
    ],
)
def test_a_text_is_not_compared_with_a_number_and_that_is_told_before_anything_runs(
    stage: str, keep: str, told: str | None
) -> None:
    columns = {
        "series": np.array(["odd", "even"]),
        "phase": np.array([1, 2]),
        "energy": np.array([-1.0, np.nan]),
        "weights": np.ones((2, 3)),
    }
    stages = make_stages(("relax", "hull"))
    stages[stage]["keep"] = keep
    shapes = {name: values.shape for name, values in columns.items()}
    problem = check_stages(stages, shapes, columns.__getitem__)
    assert problem is not None
    assert problem.startswith(f"stage {stage}: keep: ")
    assert (told or "no column 'cubic'") in problem


def test_conditions_on_columns_of_the_set_that_fit_are_let_through() -> None:
    columns = {"series": np.array(["odd", ""]), "kept": np.array([True, False]), "empty": np.full(2, np.nan)}
    keep = (
        "series == odd and kept and not empty > 1 and symmetry_kept_0_01 and status in [converged, max_steps]"
    )
    stages = make_stages(("relax",), overrides={"relax": {"keep": keep}})
    shapes = {name: values.shape for name, values in columns.items()}
    assert check_stages(stages, shapes, columns.__getitem__) is None


def test_where_nothing_converges_there_is_nothing_to_relax_freely(module_inputs: Inputs) -> None:
    inputs = module_inputs(["max_steps_1", "max_steps_2"])
    overrides = {"relax": {"mode": "constrained_then_free"}}
    node = screening(inputs, ("relax", "phonons"), overrides=overrides)
    assert node.is_finished_ok, node.exit_message
    results = node.outputs.results
    assert results.column("reason").tolist() == ["max_steps"] * 2
    assert results.column("relaxation").tolist() == ["constrained"] * 2
    assert results.column("free_status").tolist() == ["", ""]
    assert np.isnan(results.column("energy_gained")).all()


def test_a_column_that_nobody_has_is_missing(module_inputs: Inputs) -> None:
    """The catalogue has it, an older engine does not."""
    lacks = {"STAND_IN_LACKS": "heads uncertainty shear_modulus"}
    overrides = {"relax": {"keep": "heads == x or uncertainty < 1 or energy < -15"}}
    overrides["relax"]["parameters"] = {"outputs": ["uncertainty"]}
    node = screening(module_inputs(["a", "high"], **lacks), ("relax",), overrides=overrides)
    assert node.is_finished_ok, node.exit_message
    assert node.outputs.results.column("passed").tolist() == [True, True]
    node = screening(
        module_inputs(["b"], **lacks),
        ("relax", "elastic"),
        overrides={"elastic": {"keep": "shear_modulus > 1"}},
    )
    assert node.is_finished_ok, node.exit_message
    assert node.outputs.results.column("reason").tolist() == [
        "not shear_modulus > 1 (shear_modulus is missing)"
    ]


def test_a_condition_that_cannot_be_applied_ends_it_with_reasons(
    module_inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    # as of a column that holds something else than the catalogue says
    monkeypatch.setattr("aiida_pet.workchains.screening.check_stages", lambda *_: None)
    inputs = with_columns(module_inputs, ["a", "max_steps"], series=["x", "y"])
    node = screening(inputs, ("relax", "phonons"), overrides={"relax": {"keep": "series - 1 > 3"}})
    assert node.exit_status == 320
    assert "stage relax" in node.exit_message
    table = node.outputs.results.to_dataframe()
    assert table["stage"].tolist() == ["relax", "relax"]
    assert table.loc["a", "reason"].startswith("the condition cannot be applied: ")
    assert table.loc["max_steps", "reason"] == "max_steps"


def test_rows_that_no_stage_was_reached_by_say_so(module_inputs: Inputs) -> None:
    node = screening(module_inputs(2, STAND_IN_FAIL="BAD_DEVICE"), ("relax", "phonons"))
    assert node.exit_status == 410
    results = node.outputs.results
    assert results.column("passed").tolist() == [False, False]
    assert set(results.column("stage").tolist()) == {"relax"}
    assert all(
        text.startswith("not reached: stage relax failed") for text in results.column("reason").tolist()
    )
    assert node.outputs.summary["passed"] == 0

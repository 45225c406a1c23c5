"""Which rows can be trained on, and why others cannot."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_pet.tables.crystals import StructureTable
from aiida_pet.training.labels import composition_residuals, read_labels
from aiida_pet.training.parameters import TrainingError, parse_training
from aiida_pet.training.prepare import prepare
from support.labelled_crystals import TINY, labelled

PARAMETERS = parse_training(TINY)


def test_good_rows_are_taken_with_their_labels() -> None:
    table = labelled(6)
    labels = read_labels(table, PARAMETERS)
    assert labels.taken.all()
    np.testing.assert_array_equal(labels.energy, table.columns["input_energy"])
    assert labels.columns == {"energy": "input_energy", "forces": "input_forces", "stress": "input_stress"}


def test_missing_and_absurd_labels_refuse_their_rows_and_no_others() -> None:
    table = labelled(12)
    table.columns["input_energy"][1] = np.nan
    table.columns["input_energy"][2] += 4000.0
    table.atom_columns["input_forces"][4 * 3] = [0.0, -250.0, 0.0]
    table.columns["input_stress"][4, 2] = 12.0
    reasons = read_labels(table, PARAMETERS).reasons.tolist()
    assert reasons[1] == "it has no energy"
    assert reasons[2].startswith(
        "its energy differs by 1e+03 eV/atom from the energy expected for its composition"
    )
    assert reasons[3] == "a force of 250 eV/A is above max_force = 100"
    assert reasons[4] == "a stress of 12 eV/A^3 is above max_stress = 5"
    assert [place for place, reason in enumerate(reasons) if reason] == [1, 2, 3, 4]


def test_refusals_say_what_stands_there_and_how_far_out_it_is() -> None:
    table = labelled(12)
    table.columns["input_energy"][1] = np.inf
    table.columns["input_energy"][2] += 4000.0
    table.columns["input_energy"][3] -= 40000.0
    labels = read_labels(table, PARAMETERS)
    assert labels.reasons[1] == "its energy is inf"
    assert (labels.kinds[1], labels.values[1]) == ("its energy is not finite", "inf")
    assert labels.kinds[2] == labels.kinds[3]
    assert labels.values[3] == "-1e+04 eV/atom"
    assert labels.excess[3] > 9 * labels.excess[2] > 900
    assert not labels.excess[labels.taken].any()


@pytest.mark.parametrize("fault", ["overlap", "position", "cell", "volume"])
def test_geometry_that_no_task_takes_is_not_trained_on(fault: str) -> None:
    table = labelled(6)
    if fault == "overlap":
        table.positions[9] = table.positions[8] + [0, 0, 0.3]
    elif fault == "position":
        table.positions[9, 1] = np.nan
    elif fault == "cell":
        table.cells[2, 0, 0] = np.inf
    else:
        table.cells[2, 1] = table.cells[2, 0]
    labels = read_labels(table, PARAMETERS)
    assert labels.taken.tolist() == [True, True, False, True, True, True]
    assert labels.kinds[2] == "its geometry is invalid"
    assert labels.reasons[2].startswith("its geometry is invalid: ")


def test_rows_without_forces_or_stress_are_taken_and_a_column_of_nothing_is_none() -> None:
    table = labelled(6)
    table.atom_columns["input_forces"][:4] = np.nan
    table.columns["input_stress"][:] = np.nan
    labels = read_labels(table, PARAMETERS)
    assert labels.taken.all()
    assert labels.forces is not None
    assert labels.stress is None


def test_elements_that_the_model_does_not_know_are_named() -> None:
    reasons = read_labels(labelled(6), PARAMETERS, elements=[29]).reasons
    assert reasons.tolist() == ["", "", "", *["the model does not know Au"] * 3]


def test_rows_of_a_launch_that_have_no_answer_are_refused() -> None:
    table = labelled(3)
    table.set_column("status", np.array(["converged", "diverged", "converged"]))
    assert read_labels(table, PARAMETERS).reasons.tolist() == ["", "its status is diverged", ""]


def test_energies_of_atoms_alone_leave_no_residual() -> None:
    table = labelled(9)
    alone = np.array([{29: -3.0, 79: -5.5}[int(z)] for z in table.numbers])
    energy = np.add.reduceat(alone, table.offsets[:-1])
    energy[4] += 1e5  # one absurd energy does not move the others
    residual = composition_residuals(table, energy, np.ones(9, bool))
    assert abs(np.delete(residual, 4)).max() < 1e-2
    assert residual[4] > 1e4


@pytest.mark.parametrize(("name", "value"), [("energy", "e_dft"), ("forces", "f"), ("stress", "s")])
def test_column_that_is_not_there_is_refused_with_those_that_are(name: str, value: str) -> None:
    with pytest.raises(TrainingError, match=f"{name} = '{value}': the set has no such column.*input_"):
        read_labels(labelled(3), parse_training(TINY | {name: value}))


def test_set_without_energies_is_refused() -> None:
    table = labelled(3)
    del table.columns["input_energy"]
    with pytest.raises(TrainingError, match="no energies: the set has no column input_energy or energy"):
        read_labels(table, PARAMETERS)


def _with_level(table: StructureTable, levels: list[str]) -> StructureTable:
    table.set_column("level_of_theory", np.array(levels))
    return table


def test_two_levels_of_theory_are_refused_in_rows_and_against_the_model_unless_it_is_a_variant() -> None:
    mixed = _with_level(labelled(), ["PBE"] * 12 + ["r2SCAN"] * 12)
    with pytest.raises(TrainingError, match=r"rows of 2 levels of theory \(PBE, r2SCAN\)"):
        prepare({"training": mixed}, PARAMETERS)
    new = _with_level(labelled(), ["r2SCAN"] * 24)
    with pytest.raises(TrainingError, match=r"the labels are r2SCAN, the model is PBE.*variant=NAME"):
        prepare({"training": new}, PARAMETERS, elements=[29, 79], known_level="PBE")
    variant = parse_training(TINY | {"variant": "r2scan"})
    found = prepare({"training": new}, variant, elements=[29, 79], known_level="PBE")
    assert found.level_of_theory == "r2SCAN"


@pytest.mark.parametrize(
    ("factor", "told"), [(-1.0, "wrong sign.*stress_sign='minus'"), (160.2176634, "stress_unit='GPa'")]
)
def test_stress_of_another_sign_or_unit_is_seen_by_the_energies(factor: float, told: str) -> None:
    table = labelled()
    table.columns["input_stress"] *= factor
    parameters = parse_training(TINY | {"max_stress": 1e5})
    with pytest.raises(TrainingError, match=told):
        prepare({"training": table}, parameters)


def test_small_sets_are_refused_with_the_reasons_of_refusals() -> None:
    table = labelled(9)
    table.columns["input_energy"][2:] = np.nan
    with pytest.raises(
        TrainingError, match=r"^[0-2] rows to train on, expected 4 or more .*7 refused: it has no energy"
    ):
        prepare(
            {"training": table}, parse_training(TINY | {"validation_fraction": 0.7, "test_fraction": 0.0})
        )


def test_validation_rows_of_elements_that_no_training_row_has_are_refused() -> None:
    table = labelled(12)
    only = labelled(3, seed=5)
    only.ids = np.array(["a", "b", "c"])
    only.numbers[:4] = 47
    found = prepare({"training": table, "validation": only}, PARAMETERS)
    assert found.parts["validation"].labels.reasons[0] == "the model does not know Ag"


def test_only_statuses_of_a_launch_refuse_rows() -> None:
    table = labelled(6)
    table.set_column("status", np.array(["ok", "done", "converged", "max_steps", "failed", ""]))
    labels = read_labels(table, PARAMETERS)
    assert labels.taken.tolist() == [True, True, True, False, False, True]
    assert labels.reasons[3] == "its status is max_steps"


def test_columns_that_may_hold_the_energy_are_named() -> None:
    table = labelled(6)
    table.set_column("gap", np.zeros(6))
    table.set_column("REF_energy", table.columns.pop("input_energy"))
    with pytest.raises(TrainingError, match="its columns of numbers are REF_energy, gap"):
        read_labels(table, PARAMETERS)

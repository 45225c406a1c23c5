"""What a set as a whole is refused for, and what is told of it: outliers, zeros, frames and crystals on both sides."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk

from aiida_pet.tables.crystals import StructureTable
from aiida_pet.training.parameters import TrainingError, parse_training
from aiida_pet.training.prepare import prepare
from aiida_pet.training.split import Split
from support.labelled_crystals import TINY, labelled

PARAMETERS = parse_training(TINY)


def test_refused_rows_do_not_switch_off_the_check_of_signs() -> None:
    table = labelled()
    table.columns["input_stress"] *= -1
    table.columns["input_energy"][3] = -1e9
    with pytest.raises(TrainingError, match="wrong sign"):
        prepare({"training": table}, PARAMETERS)


def test_refused_rows_are_counted_by_reason_the_worst_first() -> None:
    table = labelled(30)
    table.columns["input_energy"][[2, 7, 11]] += [-400.0, 1e6, 9e3]
    table.columns["input_energy"][4] = np.nan
    prepared = prepare({"training": table}, PARAMETERS)
    first, second = prepared.refused_rows
    assert [row for row, _ in first.rows] == ["cell-07", "cell-11", "cell-02"]
    assert dict(first.rows)["cell-02"].endswith(" eV/atom")
    assert (second.name, second.why, second.rows) == ("training", "it has no energy", (("cell-04", ""),))
    assert prepared.refused == {first.why: 3, "it has no energy": 1}


def test_many_rows_out_of_bounds_refuse_the_set() -> None:
    table = labelled(30)
    del table.columns["input_stress"]
    del table.atom_columns["input_forces"]
    rng = np.random.default_rng(0)
    table.columns["input_energy"] = table.columns["input_energy"] + 4000.0 * (rng.random(30) < 0.4)
    with pytest.raises(
        TrainingError, match=r"of 30 rows .* more than a quarter, so that units are likely wrong.*max_"
    ):
        prepare({"training": table}, PARAMETERS)


def test_unit_that_puts_rows_out_of_bounds_is_named() -> None:
    table = labelled()
    table.columns["input_stress"] *= 1602.177
    with pytest.raises(TrainingError, match="stresses in kbar"):
        prepare({"training": table}, PARAMETERS)


@pytest.mark.parametrize("label", ["stress", "forces"])
def test_labels_that_are_all_zero_are_refused(label: str) -> None:
    table = labelled()
    if label == "stress":
        table.columns["input_stress"][:] = 0.0
    else:
        table.atom_columns["input_forces"][:] = 0.0
    with pytest.raises(
        TrainingError, match=f"exactly zero.*input_{label} holds no.*{label}=null trains without"
    ):
        prepare({"training": table}, PARAMETERS)


def test_forces_that_symmetry_makes_zero_are_not_refused() -> None:
    items = [(f"{i}", bulk("NaCl", "rocksalt", a=5.5 + 0.03 * i, cubic=True)) for i in range(20)]
    table = StructureTable.from_ase(items)
    volume = np.linalg.det(table.cells) / 5.8**3
    table.set_column("input_energy", 20 * (volume - 1) ** 2)
    table.set_column("base", np.array([f"crystal-{i // 2}" for i in range(20)]))
    table.atom_columns["input_forces"] = np.zeros((len(table.numbers), 3))
    prepared = prepare({"training": table}, parse_training(TINY | {"report_by": None}))
    assert prepared.count(Split.TRAINING) > 8


@pytest.mark.parametrize("option", ["report_by", "level_column", "group"])
def test_column_that_is_in_no_set_is_refused(option: str) -> None:
    with pytest.raises(TrainingError, match=f"{option} = 'nix': the set has no such column; it has .*base"):
        prepare({"training": labelled()}, parse_training(TINY | {option: "nix"}))


def test_set_without_a_column_that_another_has_is_told() -> None:
    validation = labelled(9, seed=100)
    del validation.columns["kind"]
    notes = prepare({"training": labelled(), "validation": validation}, PARAMETERS).notes
    assert "the validation set has no column 'kind' (report_by)" in notes


@pytest.mark.parametrize("name", ["validation", "test"])
def test_set_that_judges_must_not_be_the_training_set(name: str) -> None:
    with pytest.raises(
        TrainingError, match=f"24 of 24 rows of the {name} set are frames of the training set: cell-00"
    ):
        prepare({"training": labelled(), name: labelled()}, PARAMETERS)


def test_frames_and_crystals_on_both_sides_are_told_with_their_ids() -> None:
    validation = labelled(6, seed=100)
    validation.set_column("base", np.array(["a", "b", "c", "crystal-1", "crystal-1", "d"]))
    own = labelled()
    place = slice(8, 12)
    validation.positions[place], validation.cells[2] = own.positions[place], own.cells[2]
    notes = " ".join(prepare({"training": own, "validation": validation}, PARAMETERS).notes)
    assert "1 of 6 rows of the validation set are frames of the training set: cell-02" in notes
    assert (
        "1 crystal (base) of the validation set, with 2 rows, are in the training set too: crystal-1" in notes
    )


def test_equal_frames_are_told_and_never_split() -> None:
    one, two = labelled(24), labelled(24)
    two.ids = np.array([f"again-{i:02d}" for i in range(24)])
    two.columns["input_energy"][5] += 1.0
    both = StructureTable.concatenate([one, two])
    for seed in range(5):
        found = prepare({"training": both}, parse_training(TINY | {"group": None, "seed": seed}))
        split = found.parts["training"].split
        assert (split[:24] == split[24:]).all()
        assert len(set(split.tolist())) == 3
    told = " ".join(found.notes)
    assert "24 rows of the training set have the frame of another row: cell-00 = again-00, cell-01" in told
    assert (
        "1 frame of the training set have several energies, which differ by up to 0.25 eV/atom: cell-05"
        in told
    )


def test_split_that_leaves_nothing_to_train_on_is_the_reason_that_is_told() -> None:
    table = labelled(3)
    with pytest.raises(
        TrainingError,
        match=r"0 rows to train on.*column base, of which there are 1: .* 1 to validation \(3 rows\)",
    ) as error:
        prepare({"training": table}, PARAMETERS)
    assert "no training row has" not in str(error.value)


def test_rows_drawn_for_validation_whose_elements_are_new_are_told_with_what_helps() -> None:
    """Two crystals of different elements: whichever validates has an element that the other lacks."""
    table = labelled(24)
    kinds = table.columns["kind"]
    table = table.take(np.concatenate([np.flatnonzero(kinds == "element"), np.flatnonzero(kinds == "alloy")]))
    table.set_column("base", table.columns["kind"])
    options = TINY | {"validation_fraction": 0.5, "test_fraction": 0.0}
    found = [_refusal(table, options | {"seed": seed}) for seed in range(5)]
    (told,) = {text.partition(" (")[0] for text in found if text.startswith("no rows to validate with")}
    assert "elements that no training row has; set another seed or a smaller validation_fraction" in told
    assert "a validation_fraction above 0" not in told


def _refusal(table: StructureTable, options: dict[str, object]) -> str:
    """Return why a set is refused, empty if it is not."""
    try:
        prepare({"training": table}, parse_training(options))
    except TrainingError as error:
        return str(error)
    return ""

"""What is told of labels: what a set lacks, what is unchecked, rows with a charge."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_pet.training.label_notes import charged_rows
from aiida_pet.training.parameters import parse_training
from aiida_pet.training.prepare import prepare
from support.labelled_crystals import TINY, labelled


@pytest.mark.parametrize(
    ("absent", "told"),
    [
        (("forces",), "no forces: the model is trained on energies and stresses only"),
        (("stress",), "no stresses: the model is trained on energies and forces only"),
        (("forces", "stress"), "no forces and no stresses: the model is trained on energies only"),
    ],
)
def test_labels_that_a_set_does_not_have_are_told(absent: tuple[str, ...], told: str) -> None:
    table = labelled()
    if "forces" in absent:
        del table.atom_columns["input_forces"]
    if "stress" in absent:
        del table.columns["input_stress"]
    notes = prepare({"training": table}, parse_training(TINY)).notes
    assert any(f"the training set has {told}" in note for note in notes)


def test_labels_that_are_left_out_on_purpose_are_not_told() -> None:
    table = labelled()
    del table.columns["input_stress"]
    notes = prepare({"training": table}, parse_training(TINY | {"stress": None})).notes
    assert not any("has no" in note for note in notes)


def test_energies_that_nothing_is_compared_with_are_told() -> None:
    table = labelled()
    parameters = parse_training(TINY)
    assert prepare({"training": table}, parameters).unchecked == {}
    del table.atom_columns["input_forces"]
    del table.columns["input_stress"]
    unchecked = prepare({"training": table}, parameters).unchecked
    assert list(unchecked) == ["energy"]
    assert "sign and unit of the energies were not checked" in unchecked["energy"]


def test_labels_of_which_few_pairs_tell_are_told() -> None:
    table = labelled()
    table.set_column("base", np.array([f"crystal-{i}" for i in range(len(table))]))
    unchecked = prepare({"training": table}, parse_training(TINY)).unchecked
    assert "sign and unit of the stresses were not checked" in unchecked["stress"]
    assert "sign and unit of the forces were not checked" in unchecked["forces"]


@pytest.mark.parametrize(
    ("column", "neutral", "other"),
    [
        ("charge", 0, -1),
        ("input_charge", 0.0, 1.0),
        ("total_charge", 0, 2),
        ("Spin", 0.0, 0.5),
        ("multiplicity", 1, 3),
    ],
)
def test_rows_with_a_charge_or_a_spin_are_told(column: str, neutral: float, other: float) -> None:
    table = labelled(6)
    table.set_column(column, np.array([neutral] * 6))
    assert charged_rows({"training": table}) == []
    table.set_column(column, np.array([neutral] * 4 + [other] * 2))
    (told,) = charged_rows({"training": table})
    assert f"column {column!r} is not {neutral:g} in 2 rows" in told
    assert "trained as if they were neutral and without spin" in told

"""Labels of a teacher: rows without an answer stay, without a label and with the reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase.build import bulk

from aiida_pet.data.structures import StructureSetData
from aiida_pet.training.parameters import parse_training
from aiida_pet.training.prepare import prepare


@pytest.fixture
def sets(aiida_profile: Any) -> tuple[StructureSetData, StructureSetData]:
    """Ten crystals with labels of their own, and a teacher's results, which lack those of the two with Au."""
    names = ["W", "Mo", "Au", "W", "Mo", "W", "Mo", "W", "Au", "Mo"]
    crystals = {
        f"{name}-{i}": bulk(name, "bcc", a=3.2 + 0.01 * i, cubic=True) for i, name in enumerate(names)
    }
    table = StructureSetData(crystals).to_table()
    table.set_column("input_energy", np.full(10, 99.0), "eV")
    table.set_column("base", np.array([f"b{i}" for i in range(10)]))
    given = StructureSetData.from_table(table).store()
    known = np.array([name != "Au" for name in names])
    answers = StructureSetData(crystals).to_table()
    answers.set_column("status", np.where(known, "converged", "unsupported_element"))
    answers.set_column("message", np.where(known, "", "the model does not know Au"))
    answers.set_column("energy", np.where(known, -np.arange(10.0), np.nan), "eV")
    answers.set_column("stress", np.where(known[:, None], 0.01 * np.arange(1, 7), np.nan), "eV/A^3")
    answers.atom_columns["forces"] = np.where(np.repeat(known, 2)[:, None], 0.5, np.nan) * [1.0, 0, 0]
    return given, StructureSetData.from_table(answers).store()


def test_rows_without_an_answer_are_refused_rows_with_a_reason(
    sets: tuple[StructureSetData, StructureSetData],
) -> None:
    from aiida_pet.calculations.teacher import take_labels

    given, results = sets
    labelled = take_labels(structures=given, results=results)
    assert labelled.ids.tolist() == given.ids.tolist()
    energy = labelled.column("input_energy")
    assert np.isnan(energy[[2, 8]]).all()
    np.testing.assert_array_equal(np.delete(energy, [2, 8]), -np.delete(np.arange(10.0), [2, 8]))
    assert labelled.column("base").tolist() == given.column("base").tolist()
    assert labelled.column("message")[2] == "the model does not know Au"
    prepared = prepare({"training": labelled.to_table()}, parse_training({"min_rows": 4, "group": "base"}))
    assert sum(prepared.refused.values()) == 2
    part = prepared.parts["training"]
    assert [row for row, used in enumerate(part.split.tolist()) if used == "refused"] == [2, 8]
    assert "status" in str(part.labels.reasons[2])


def test_labels_without_gaps_have_no_status(sets: tuple[StructureSetData, StructureSetData]) -> None:
    from aiida_pet.calculations.teacher import take_labels

    given, results = sets
    kept = [row for row in given.ids.tolist() if not row.startswith("Au")]
    few = StructureSetData.from_table(given.select(kept)).store()
    labelled = take_labels(structures=few, results=results)
    assert len(labelled) == 8
    assert not {"status", "message"} & set(labelled.column_names)


def test_elements_that_the_teacher_does_not_know_are_named(
    sets: tuple[StructureSetData, StructureSetData], pet_model: Any
) -> None:
    from aiida_pet.calculations.teacher import unknown_to, why_not_labelled

    given, _ = sets
    assert unknown_to(pet_model, given) == (["Au"], 2)
    assert why_not_labelled(pet_model, given, 8) is None
    assert "does not know Au: 2 of 10 rows" in str(why_not_labelled(pet_model, given, 9))

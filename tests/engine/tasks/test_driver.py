"""Rows with elements that the training of the model never held together."""

from __future__ import annotations

import numpy as np
from ase.build import bulk

from aiida_pet.engine.model.pet import BatchedPet
from aiida_pet.engine.tasks.driver import pairs_among
from aiida_pet.engine.tasks.static import Static
from aiida_pet.job.checkpoint import pairs_in_words, trained_pairs, uncertainty_limit
from aiida_pet.job.folder import Task
from aiida_pet.job.parameters import parse_parameters
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.row_warnings import row_warnings
from aiida_pet.tables.warnings import Warned, codes_in
from aiida_pet.testing.models import tiny_pet


def codes(pairs: frozenset[tuple[int, int]] | None) -> list[bool]:
    crystals = {
        "Mo": bulk("Mo"),
        "MoTa": bulk("MoTa", "cesiumchloride", a=3.3),
        "MoW": bulk("MoW", "cesiumchloride", a=3.2),
    }
    table = StructureTable.from_ase(crystals.items())
    model = BatchedPet(tiny_pet())
    model.trained_pairs = pairs
    finished: list[StructureTable] = []
    assert Static(table, model, parse_parameters(Task.STATIC, {}), finished=finished.append).run()
    found = StructureTable.concatenate(finished).select(table.ids).columns["warnings"]
    return [Warned.EXTRAPOLATED in codes_in(text) for text in found.tolist()]


def test_pairs_that_no_training_crystal_held_are_told_and_nothing_where_they_are_not_known() -> None:
    assert codes(frozenset({(42, 42), (42, 74), (73, 73)})) == [False, True, False]
    assert codes(None) == [False, False, False]


def test_rows_above_the_limit_of_uncertainty_are_told() -> None:
    columns = {
        "status": np.array(["converged"] * 3),
        "n_atoms": np.array([1, 4, 1]),
        "uncertainty": np.array([0.02, 0.03, np.nan]),
    }
    assert row_warnings(columns, uncertainty_limit=0.01).tolist() == ["extrapolated", "", ""]
    assert row_warnings(columns).tolist() == ["", "", ""]
    assert row_warnings(columns | {"energy": np.array([np.nan, -1, -1])}, uncertainty_limit=0.01)[0] == ""
    assert (
        row_warnings({name: columns[name] for name in ("status", "n_atoms")}, uncertainty_limit=0.01)[0] == ""
    )


def test_pairs_go_through_a_checkpoint() -> None:
    class Metadata:
        extra = {"trained_pairs": pairs_in_words([(79, 29), (29, 29)])}  # noqa: RUF012

    assert trained_pairs({"metadata": Metadata()}) == {(29, 29), (29, 79)}
    assert trained_pairs({"metadata": None}) is None
    assert uncertainty_limit({"metadata": Metadata()}) is None
    Metadata.extra["uncertainty_limit"] = "0.0125"
    assert uncertainty_limit({"metadata": Metadata()}) == 0.0125
    assert pairs_among(np.array([29, 79, 29, 13])) == {(13, 29), (13, 79), (29, 79)}


def test_row_without_an_answer_has_no_code_that_follows_from_its_last_geometry() -> None:
    columns = {
        "status": np.array(["converged", "diverged"]),
        "energy": np.array([-10.0, np.nan]),
        "symmetry_warning": np.array(["left its group"] * 2),
        "volume": np.array([20.0, 200.0]),
        "initial_volume": np.array([10.0, 10.0]),
    }
    assert row_warnings(columns, [set(), {"long_timestep"}]).tolist() == [
        "symmetry_changed volume_change",
        "long_timestep",
    ]

"""Trainings through AiiDA with the real metatrain: two thousand weights on two dozen cells, a few epochs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiida.engine import run_get_node

from aiida_pet.data.structures import StructureSetData
from aiida_pet.training.parameters import Mode
from support.labelled_crystals import TINY, labelled

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def site(module_inputs: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """Code and settings of the real engine."""
    from aiida import orm

    for module in ("torch", "metatrain"):
        pytest.importorskip(module, reason="needs the extra `engine`")
    code = orm.InstalledCode(
        label="pet-engine",
        computer=module_inputs(1)["code"].computer,
        filepath_executable=str(Path(sys.executable).parent / "pet-engine"),
    ).store()
    return {"code": code, "settings": {"threads": 1, "device": "cpu"}}


@pytest.fixture(scope="module")
def training_set(site: dict[str, Any]) -> StructureSetData:
    """Two dozen labelled cells."""
    return StructureSetData.from_table(labelled()).store()


def launch(
    site: dict[str, Any], structures: Any, mode: str, parameters: dict[str, Any], **inputs: Any
) -> Any:
    """Run a training to its end, and return its node."""
    from aiida_pet.workchains.train import TrainWorkChain

    builder = TrainWorkChain.get_builder_from_protocol(
        structures=structures, mode=mode, overrides={"parameters": TINY | parameters}, **site, **inputs
    )
    return run_get_node(builder)[1]


def jobs_below(node: Any) -> list[Any]:
    """Return the jobs of a training, oldest first."""
    found = [one for one in node.called_descendants if one.process_label == "TrainCalculation"]
    return sorted(found, key=lambda one: one.pk)


@pytest.fixture(scope="module")
def scratch(site: dict[str, Any], training_set: StructureSetData) -> Any:
    """A model from scratch in its two stages, and its calibration."""
    options = {"calibrate": True, "level_of_theory": "EMT", "licence": "CC0-1.0", "name": "tiny-emt"}
    node = launch(site, training_set, Mode.SCRATCH, options)
    assert node.is_finished_ok, node.exit_message
    return node


def test_training_from_scratch_makes_a_model_with_heads_and_uncertainty(scratch: Any) -> None:
    model = scratch.outputs.model
    assert model.name == "tiny-emt"
    assert model.outputs == [
        "energy",
        "energy_uncertainty",
        "non_conservative_force",
        "non_conservative_stress",
    ]
    assert model.elements == [29, 79]
    assert model.base.attributes.get("licence") == "CC0-1.0"
    assert model.base.attributes.get("level_of_theory") == "EMT"
    assert [job.inputs.stage.value for job in jobs_below(scratch)] == ["direct", "conservative", "calibrate"]


def test_rows_of_a_crystal_are_on_one_side(scratch: Any, training_set: StructureSetData) -> None:
    rows = scratch.outputs.rows.to_dataframe()
    base = dict(zip(training_set.ids.tolist(), training_set.column("base").tolist(), strict=True))
    sides = rows.groupby(rows["row"].map(base))["split"].nunique()
    assert (sides == 1).all()
    assert set(rows["split"]) == {"training", "validation", "test"}


def test_learning_curve_has_an_epoch_per_row_and_errors_are_by_kind_and_element(scratch: Any) -> None:
    curve = scratch.outputs.learning_curve.conservative
    assert curve.column("epoch").tolist() == [0, 1]
    assert curve.unit("validation_forces_mae") == "eV/A"
    errors = scratch.outputs.errors.conservative.to_dataframe()
    assert {"all", "Cu", "Au", "kind alloy", "kind element"} == set(errors["part"])
    whole = errors[errors["part"] == "all"].iloc[0]
    parts = errors[errors["part"].str.startswith("kind")]
    assert whole["n_rows"] == parts["n_rows"].sum()
    mean = np.average(parts["energy_mae"], weights=parts["n_rows"])
    assert abs(mean - whole["energy_mae"]) < 1e-9
    assert {"before_energy_mae", "direct_forces_mae", "stress_rmse"} <= set(errors.columns)
    assert "z_scale" in scratch.outputs.errors.calibrate.to_dataframe().columns

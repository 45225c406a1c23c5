"""A screening through equations of state, thermal expansion and conductivity, with the real engine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from aiida.engine import run_get_node
from ase.build import bulk

from aiida_pet.data.structures import StructureSetData
from aiida_pet.workchains.screening import ScreeningWorkChain
from aiida_pet.workchains.stages import known_columns

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

VOLUMES: dict[str, Any] = {"n_volumes": 5, "max_strain": 0.02, "symprecs": [0.01]}
OVERRIDES: dict[str, Any] = {
    "relax": {"parameters": {"fmax": 0.01}},
    "eos": {"parameters": VOLUMES, "keep": "eos_bulk_modulus > 275 and eos_relative_residual < 0.01"},
    "qha": {
        "parameters": VOLUMES | {"min_image": 5.0, "mesh": 15.0, "temperatures": [0.0, 300.0]},
        "keep": "thermal_expansion_300 < 1000 and n_unstable_volumes == 0",
    },
    "conductivity": {
        "parameters": {
            "symprecs": [0.01],
            "fc2_supercell": [3, 3, 3],
            "fc3_supercell": [3, 3, 3],
            "pair_cutoff": 2.9,
            "mesh": [5, 5, 5],
        },
        "keep": "kappa_300 > 0.5 and not has_imaginary_modes",
    },
}
STAGES = ("eos", "qha", "conductivity")


@pytest.fixture(scope="module")
def node(engine_inputs: dict[str, Any]) -> Any:
    """W, which comes through; Mo, which is softer; fcc W, which is unstable; and an element unknown to the model."""
    crystals = [
        ("W", bulk("W", a=3.18)),
        ("Mo", bulk("Mo", a=3.16)),
        ("W-fcc", bulk("W", "fcc", a=4.05)),
        ("Cu", bulk("Cu")),
    ]
    builder = ScreeningWorkChain.get_builder_from_protocol(
        structures=StructureSetData.from_iterator(crystals).store(),
        protocol="fast",
        stages=["relax", *STAGES],
        overrides=OVERRIDES,
        **engine_inputs,
    )
    return run_get_node(builder)[1]


def test_rows_come_through_or_leave_with_a_reason(node: Any) -> None:
    assert node.is_finished_ok, node.exit_message
    table = node.outputs.results.to_dataframe()
    assert table["stage"].to_dict() == {"W": "done", "Mo": "eos", "W-fcc": "qha", "Cu": "relax"}
    assert "volumes have imaginary modes" in table.loc["W-fcc", "reason"]
    assert "eos_bulk_modulus > 275" in table.loc["Mo", "reason"]
    assert table.loc["Mo", "eos_bulk_modulus"] < 275 < table.loc["W", "eos_bulk_modulus"]
    assert 5 < table.loc["W", "thermal_expansion_300"] < 50  # 13e-6/K by experiment
    assert table.loc["W", "kappa_300"] > 0.5
    assert table.loc[["Mo", "W-fcc", "Cu"], "kappa_300"].isna().all()
    assert np.isnan(table.loc["Cu", "eos_bulk_modulus"])


def test_results_of_the_last_stage_are_conductivities_and_not_forces(node: Any) -> None:
    assert "fc3_forces" not in node.outputs.stages.conductivity.ragged_names
    assert "fc3_forces" not in node.outputs.results.ragged_names


@pytest.mark.parametrize("stage", STAGES)
def test_columns_that_conditions_may_name_are_those_that_the_stage_writes(node: Any, stage: str) -> None:
    table, final = node.outputs.stages[stage].to_table(), node.outputs.results.to_dataframe()
    written = {name for name, values in table.columns.items() if values.ndim == 1 and name in final.columns}
    assert written - set(known_columns(stage, node.inputs.stages[stage])) == set()

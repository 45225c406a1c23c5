"""Relaxation with AiiDA's own types at the ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aiida import orm
from aiida.engine import run_get_node
from ase.build import bulk

from aiida_pet.workchains.jobs import jobs_of
from aiida_pet.workchains.protocols import ProtocolError
from aiida_pet.workchains.relax import RelaxWorkChain

Inputs = Callable[..., dict[str, Any]]


def single(inputs: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Inputs of a relaxation of one crystal."""
    kept = {name: inputs[name] for name in ("code", "model", "options")}
    return kept | {"structure": orm.StructureData(ase=bulk("W", "bcc", a=3.16)).store()} | changes


def test_single_crystal_comes_back_in_aiida_types(module_inputs: Inputs) -> None:
    inputs = single(module_inputs(1))
    _, node = run_get_node(RelaxWorkChain, **inputs)
    assert node.is_finished_ok, node.exit_message
    assert node.outputs.output_structure.get_formula() == "W"
    assert node.outputs.output_structure.get_ase().get_volume() == pytest.approx(3.16**3 / 2)
    parameters = node.outputs.output_parameters.get_dict()
    assert (parameters["status"], parameters["energy"], parameters["n_atoms"]) == ("converged", -8.0, 1)
    assert parameters["units"]["energy"] == "eV"
    assert node.outputs.output_structure.creator.inputs.set.uuid == node.outputs.results.uuid
    assert len(jobs_of(node)) == 1


def test_single_crystal_that_does_not_converge_is_a_failure(
    module_inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aiida_pet.workchains.crystals.SINGLE_ID", "max_steps")
    _, node = run_get_node(RelaxWorkChain, **single(module_inputs(1)))
    assert node.exit_status == 420
    assert node.exit_message == (
        "The crystal has no answer: status `max_steps`. Its last geometry is in `output_structure`."
    )
    assert "output_structure" in node.outputs


def test_single_crystal_without_result_is_left(module_inputs: Inputs) -> None:
    _, node = run_get_node(RelaxWorkChain, **single(module_inputs(1, STAND_IN_ROWS=0)))
    assert node.exit_status == 301
    assert node.exit_message.startswith(
        "No row has a result. Time ran out twice for rows that were alone in their job"
    )
    assert "output_structure" not in node.outputs


def test_single_crystal_that_ends_its_jobs_is_told_with_the_last_one(
    module_inputs: Inputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing shows whether it is the crystal or the machine that is to blame."""
    monkeypatch.setattr("aiida_pet.workchains.crystals.SINGLE_ID", "killer")
    _, node = run_get_node(RelaxWorkChain, **single(module_inputs(1)))
    assert node.exit_status == 301
    pk = jobs_of(node)[-1].pk
    assert node.exit_message.startswith(
        f"No row has a result. The engine broke down on every row. The last job, <{pk}>, says: The engine ended "
        "without a single result"
    )


def test_set_from_protocol_has_no_single_outputs(module_inputs: Inputs) -> None:
    inputs = module_inputs(3)
    builder = RelaxWorkChain.get_builder_from_protocol(
        inputs["code"],
        inputs["model"],
        inputs["structures"],
        protocol="precise",
        overrides={"parameters": {"max_steps": 7}},
        options=inputs["options"],
        settings={"device": "cpu"},
        job_size=2,
    )
    _, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    assert len(node.outputs.results) == 3
    assert "output_structure" not in node.outputs
    parameters = jobs_of(node)[0].inputs.parameters.get_dict()
    assert (parameters["fmax"], parameters["max_steps"], parameters["dtype"]) == (1e-4, 7, "float64")


def test_builder_takes_a_single_crystal(module_inputs: Inputs) -> None:
    inputs = single(module_inputs(1))
    builder = RelaxWorkChain.get_builder_from_protocol(inputs["code"], inputs["model"], inputs["structure"])
    assert builder.structure.uuid == inputs["structure"].uuid
    assert builder.parameters["fmax"] == 0.02  # moderate


def test_builder_refuses_unknown_overrides(module_inputs: Inputs) -> None:
    inputs = module_inputs(1)
    with pytest.raises(
        ProtocolError, match=r"unknown overrides \['fmax'\]; known are parameters, settings, options"
    ):
        RelaxWorkChain.get_builder_from_protocol(
            inputs["code"], inputs["model"], inputs["structures"], overrides={"fmax": 0.1}
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"structure": None}, "give either `structures` (a set) or `structure` (a single crystal)"),
        ({"structures": True}, "give either `structures` (a set) or `structure` (a single crystal)"),
        ({"task": "static"}, "task = 'static': RelaxWorkChain does relax; use pet.batch for other tasks"),
    ],
    ids=["neither", "both", "task"],
)
def test_bad_inputs_are_refused_at_submission(
    module_inputs: Inputs, change: dict[str, Any], message: str
) -> None:
    import re

    inputs = single(module_inputs(1)) | change
    if change.get("structures"):
        inputs["structures"] = module_inputs(1)["structures"]
    inputs = {name: value for name, value in inputs.items() if value is not None}
    with pytest.raises(ValueError, match=re.escape(message)):
        run_get_node(RelaxWorkChain, **inputs)

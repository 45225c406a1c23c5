"""A row is traced back through merge, job and model to where it came from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aiida import orm
from aiida.engine import run_get_node
from ase.build import bulk

from aiida_pet.campaigns.errors import WrongNodeError
from aiida_pet.campaigns.provenance import trace
from aiida_pet.workchains.batch import BatchWorkChain
from aiida_pet.workchains.relax import RelaxWorkChain

Inputs = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def campaign(module_inputs: Inputs) -> Any:
    """A finished batch of two jobs, with an imported set and a crystal that is left."""
    inputs = module_inputs(["a", "b", "killer"])
    inputs["structures"].base.extras.set("source", "alloys.extxyz")
    _, node = run_get_node(BatchWorkChain, job_size=2, **inputs)
    return node


def test_trace_leads_from_the_result_to_the_import(campaign: Any) -> None:
    steps = trace(campaign, "b")
    assert [step.role for step in steps] == [
        "result",
        "function",
        "part",
        "job",
        "model",
        "code",
        "parameters",
        "staged model",
        "input",
    ]
    assert steps[0].node.uuid == campaign.outputs.results.uuid
    assert steps[0].row["energy"] == -16.0
    assert steps[1].note == "merge_tables"
    job = steps[3].node
    assert "b" in job.outputs.results.ids.tolist()
    assert "exit status 0" in steps[3].note
    assert steps[4].note == f"stand-in sha256 {campaign.inputs.model.sha256}"
    assert steps[-1].node.uuid == campaign.inputs.structures.uuid
    assert steps[-1].row == {"id": "b"}
    assert "source: alloys.extxyz" in steps[-1].note


def test_row_that_was_given_up_is_traced_to_its_record(campaign: Any) -> None:
    steps = trace(campaign.outputs.results, "killer")
    assert [(step.role, step.note) for step in steps if step.role == "function"] == [
        ("function", "merge_tables"),
        ("function", "record_given_up"),
    ]
    assert steps[0].row["status"] == "failed"
    assert steps[-1].node.uuid == campaign.inputs.structures.uuid


def test_single_crystal_is_traced_to_its_structure(module_inputs: Inputs) -> None:
    inputs = module_inputs(1)
    structure = orm.StructureData(ase=bulk("W", "bcc", a=3.16)).store()
    _, node = run_get_node(
        RelaxWorkChain, structure=structure, **{k: inputs[k] for k in ("code", "model", "options")}
    )
    steps = trace(node, "structure")
    assert steps[-1].role == "crystal"
    assert steps[-1].node.uuid == structure.uuid
    assert steps[-1].note == "W"


def test_unknown_row_is_named(campaign: Any) -> None:
    with pytest.raises(KeyError, match="no row 'nobody' among the 3"):
        trace(campaign, "nobody")


def test_node_without_rows_is_refused(campaign: Any) -> None:
    with pytest.raises(WrongNodeError, match="is a Dict, expected a TableData or ProcessNode"):
        trace(campaign.outputs.summary, "a")

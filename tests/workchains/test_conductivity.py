"""Two jobs of a launch: forces of the real engine, and the transport; a set, a single crystal, and a job that stops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from ase.build import bulk

from aiida_pet.campaigns import resume
from aiida_pet.data.structures import StructureSetData
from aiida_pet.workchains.conductivity import ConductivityWorkChain

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PARAMETERS: dict[str, Any] = {
    "relax_first": False,
    "fc2_min_image": 5.0,
    "fc3_min_image": 5.0,
    "fc2_supercell": [3, 3, 3],
    "fc3_supercell": [3, 3, 3],
    "pair_cutoff": 2.9,
    "opposites": "auto",
    "symprecs": [0.01],
    "mesh": [5, 5, 5],
    "temperatures": [300.0],
    "modes": True,
}


@pytest.fixture(scope="module")
def launched(engine_inputs: dict[str, Any]) -> orm.WorkChainNode:
    """A crystal with a conductivity, one with imaginary modes, and one whose element is not known."""
    crystals = [
        ("MoTa", bulk("MoTa", "cesiumchloride", a=3.24)),
        ("Cu", bulk("Cu")),
        ("rocksalt", bulk("TaW", "rocksalt", a=4.6)),
    ]
    structures = StructureSetData.from_iterator(crystals).store()
    _, node = run_get_node(
        ConductivityWorkChain, structures=structures, parameters=PARAMETERS, **engine_inputs
    )
    return node


def test_set_has_conductivities_and_forces_apart(launched: orm.WorkChainNode) -> None:
    assert launched.is_finished_ok, launched.exit_message
    results, forces = launched.outputs.results, launched.outputs.forces
    assert results.ids.tolist() == forces.ids.tolist() == ["MoTa", "Cu", "rocksalt"]
    assert results.column("status").tolist() == ["converged", "unsupported_element", "converged"]
    kappa = results.column("kappa_300")
    assert 0.5 < kappa[0] < 500
    assert np.isnan(kappa[1:]).all()
    assert results.column("has_imaginary_modes")[[0, 2]].tolist() == [0.0, 1.0]
    assert results.column("conductivity_skipped")[2].startswith("imaginary modes")
    assert results.unit("kappa_300") == "W/(m K)"
    assert "fc3_forces" not in results.ragged_names
    assert forces.ragged("fc3_forces").values.dtype == np.float32
    assert len(results.ragged("kappa_weights")[0]) == 10
    assert launched.outputs.summary["rows_left"] == 0


def test_results_stand_for_what_they_were_made_of(launched: orm.WorkChainNode) -> None:
    (job,) = [
        link.node for link in launched.base.links.get_outgoing().all() if link.link_label == "transport_000"
    ]
    assert job.inputs.structures.uuid == launched.outputs.forces.uuid
    assert job.outputs.summary["statuses"] == {"converged": 2, "unsupported_element": 1}


def test_transport_that_stops_says_so_and_is_taken_up(
    launched: orm.WorkChainNode, engine_inputs: dict[str, Any]
) -> None:
    """The forces are not computed again."""
    _, node = run_get_node(
        ConductivityWorkChain,
        structures=launched.inputs.structures,
        parameters=PARAMETERS,
        done={"job": launched.outputs.forces},
        transport_settings={"walltime_s": 0.0, "threads": 1},
        **engine_inputs,
    )
    assert node.exit_status == 430, node.exit_message
    assert "3 of 3 rows have no conductivity" in node.exit_message
    assert "forces" in node.outputs
    taken = resume(node)
    assert taken.builder.transport_settings == {"walltime_s": 0.0, "threads": 1}


def test_single_crystal_says_its_conductivity(engine_inputs: dict[str, Any]) -> None:
    builder = ConductivityWorkChain.get_builder_from_protocol(
        engine_inputs["code"],
        engine_inputs["model"],
        orm.StructureData(ase=bulk("MoTa", "cesiumchloride", a=3.24)),
        protocol="fast",
        overrides={"parameters": PARAMETERS},
        options=engine_inputs["options"],
        transport_options=engine_inputs["options"],
        transport_settings={"threads": 1},
    )
    _, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    found = node.outputs.output_parameters.get_dict()
    assert found["kappa_300"] > 0.5
    assert found["units"]["kappa_300"] == "W/(m K)"

"""What a job of the transport leaves becomes nodes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import run_get_node
from ase.build import bulk

from aiida_pet.calculations.transport import TransportCalculation
from aiida_pet.data.structures import StructureSetData
from support.third_order import forces_rows


def test_results_in_the_order_of_the_job_without_forces_and_the_fingerprints_of_these(
    pet_computer: Any,
) -> None:
    forces = StructureSetData.from_table(
        forces_rows({f"Cu-{a}": bulk("Cu", "fcc", a=a) for a in (3.6, 3.55)})
    )
    fingerprints = np.arange(32, dtype=np.uint8).reshape(2, 16)
    forces.set_fingerprints(fingerprints)
    code = orm.InstalledCode(
        label="pet-engine",
        computer=pet_computer,
        filepath_executable=str(Path(sys.executable).parent / "pet-engine"),
    ).store()
    _, node = run_get_node(
        TransportCalculation,
        code=code,
        structures=forces,
        parameters=orm.Dict({"mesh": [4, 4, 4], "opposites": "auto", "symprecs": []}),
        metadata={"options": {"resources": {"num_machines": 1, "num_mpiprocs_per_machine": 1}}},
    )
    assert node.is_finished_ok, node.exit_message
    results = node.outputs.results
    assert results.ids.tolist() == ["Cu-3.6", "Cu-3.55"]
    assert (results.column("kappa_300") > 0).all()
    assert results.unit("kappa_300") == "W/(m K)"
    assert "fc3_forces" not in results.ragged_names
    assert results.fingerprints().tolist() == fingerprints.tolist()
    summary = node.outputs.summary.get_dict()
    assert summary["statuses"] == {"converged": 2}
    assert "model_sha256" not in summary

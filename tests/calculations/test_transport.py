"""The CalcJob of the transport: its folder, what it refuses, and what counts for its hash."""

from __future__ import annotations

from typing import Any

import pytest
from aiida import orm
from aiida.engine import run_get_node
from ase.build import bulk

from aiida_pet.calculations.transport import TransportCalculation
from aiida_pet.data.structures import StructureSetData
from aiida_pet.data.table import TableData
from aiida_pet.job.folder import STRUCTURES_FILE, TRANSPORT_FILE, JobFolder
from support.third_order import forces_rows


@pytest.fixture(scope="module")
def forces(aiida_profile: Any) -> StructureSetData:
    rows = forces_rows({f"Cu-{a}": bulk("Cu", "fcc", a=a) for a in (3.55, 3.6)})
    return StructureSetData.from_table(rows).store()


@pytest.fixture
def inputs(pet_code: Any, forces: StructureSetData) -> dict[str, Any]:
    parameters = orm.Dict({"mesh": [4, 4, 4], "opposites": "auto", "symprecs": []})
    options = {"resources": {"num_machines": 1, "num_mpiprocs_per_machine": 1}}
    return {
        "code": pet_code,
        "structures": forces,
        "parameters": parameters,
        "metadata": {"options": options},
    }


def test_folder_holds_the_forces_of_the_rows_asked_for(
    generate_calc_job: Any, inputs: dict[str, Any]
) -> None:
    calc_info, path = generate_calc_job(
        TransportCalculation, inputs | {"rows": TableData.from_ids(["Cu-3.6"]), "settings": {"threads": 3}}
    )
    folder = JobFolder(path)
    spec = folder.read_spec()
    assert (path / TRANSPORT_FILE).exists()
    assert spec.parameters["mesh"] == [4, 4, 4]
    assert spec.model_sha256 == ""
    assert spec.settings.threads == 3  # processes
    rows = folder.read_structures()
    assert rows.ids.tolist() == ["Cu-3.6"]
    assert rows.ragged["fc3_forces"].values.dtype == "float32"
    assert calc_info.local_copy_list == []
    assert calc_info.provenance_exclude_list == [STRUCTURES_FILE]


def test_set_without_forces_is_refused(inputs: dict[str, Any], make_structures: Any) -> None:
    with pytest.raises(ValueError, match="not results of the task conductivity"):
        run_get_node(TransportCalculation, **(inputs | {"structures": make_structures(2)}))

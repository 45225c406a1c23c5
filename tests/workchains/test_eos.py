"""Equations of state and quasi-harmonic properties by AiiDA, with the real engine and the model that ships."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from ase.build import bulk
from ase.eos import EquationOfState
from ase.units import GPa

from aiida_pet.data.structures import StructureSetData
from aiida_pet.workchains.eos import EosWorkChain
from aiida_pet.workchains.qha import QhaWorkChain

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

VOLUMES: dict[str, Any] = {
    "n_volumes": 5,
    "max_strain": 0.02,
    "symprecs": [0.01],
    "fmax": 0.001,
    "stress_max": 0.01,
}
PHONONS: dict[str, Any] = {"min_image": 5.0, "mesh": 15.0, "temperatures": [0.0, 300.0, 600.0]}


def crystals() -> StructureSetData:
    found = [("W", bulk("W", a=3.18)), ("MoTa", bulk("MoTa", "cesiumchloride", a=3.24)), ("Cu", bulk("Cu"))]
    return StructureSetData.from_iterator(found).store()


def test_set_has_equations_of_state_that_ase_finds_too(engine_inputs: dict[str, Any]) -> None:
    builder = EosWorkChain.get_builder_from_protocol(
        structures=crystals(), protocol="moderate", overrides={"parameters": VOLUMES}, **engine_inputs
    )
    _, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    results = node.outputs.results
    assert results.ids.tolist() == ["W", "MoTa", "Cu"]
    assert results.column("status").tolist() == ["converged", "converged", "unsupported_element"]
    assert results.unit("eos_bulk_modulus") == "GPa"
    for row in range(2):
        volumes, energies = (results.column(name)[row] for name in ("eos_volumes", "eos_energies"))
        volume, energy, modulus = EquationOfState(volumes, energies, eos="birchmurnaghan").fit()
        found = [results.column(f"eos_{name}")[row] for name in ("volume", "energy", "bulk_modulus")]
        assert found == pytest.approx([volume, energy, modulus / GPa], rel=1e-5)
    assert np.isnan(results.column("eos_volume")[2])


def test_single_crystal_expands_and_says_so(engine_inputs: dict[str, Any]) -> None:
    builder = QhaWorkChain.get_builder_from_protocol(
        structures=orm.StructureData(ase=bulk("W", a=3.18)),
        protocol="fast",
        overrides={"parameters": VOLUMES | PHONONS},
        **engine_inputs,
    )
    _, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    found = node.outputs.output_parameters.get_dict()
    assert found["units"]["thermal_expansion_300"] == "1e-6/K"
    results = node.outputs.results
    volumes = results.column("qha_volume")[0]
    assert (np.diff(volumes) > 0).all()
    # the expansion is the slope of the volume
    slope = (volumes[2] - volumes[0]) / 600.0 / volumes[1] * 1e6
    assert found["thermal_expansion_300"] == pytest.approx(slope, rel=0.3)
    assert found["qha_volume_300"] > node.outputs.output_structure.get_cell_volume()


def test_unstable_crystal_has_no_expansion_and_says_why(engine_inputs: dict[str, Any]) -> None:
    builder = QhaWorkChain.get_builder_from_protocol(
        structures=orm.StructureData(ase=bulk("W", "fcc", a=4.05)),
        protocol="fast",
        overrides={"parameters": VOLUMES | PHONONS},
        **engine_inputs,
    )
    _, node = run_get_node(builder)
    assert node.exit_status == 420
    assert "volumes have imaginary modes" in node.exit_message

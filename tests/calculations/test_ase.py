"""The reference path: PET through aiida-ase, against ASE itself on the same checkpoint."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiida import orm
from aiida.common import InputValidationError
from aiida.engine import run_get_node
from aiida.plugins import CalculationFactory
from ase import Atoms
from ase.build import bulk

from aiida_pet.calculations.ase import (
    PetAseCalculation,
    adapt_script,
    relax_parameters,
    static_parameters,
    validate_parameters,
)
from aiida_pet.data.model import PetModelData
from support.small_model import small_model, small_model_node

# Both sides run the same float64 operations, on positions that went through files of limited digits on one.
ENERGY_TOLERANCE = 1e-6  # eV/atom


@pytest.fixture
def python_code(pet_computer: orm.Computer, monkeypatch: pytest.MonkeyPatch) -> orm.InstalledCode:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return orm.InstalledCode(
        label="python",
        computer=pet_computer,
        filepath_executable=sys.executable,
        default_calc_job_plugin="pet.ase",
    ).store()


@pytest.fixture
def model_node(aiida_profile: Any) -> PetModelData:
    return small_model_node()


@pytest.fixture(scope="module")
def pet_calculator() -> Any:
    pytest.importorskip("torch")
    from aiida_pet.engine.model.ase_calculator import pet_calculator

    return pet_calculator(*small_model(), device="cpu")


@pytest.fixture
def run_ase(python_code: orm.InstalledCode, model_node: PetModelData) -> Callable[..., Any]:
    def run(
        atoms: Atoms, parameters: dict[str, Any], **inputs: Any
    ) -> tuple[dict[str, Any], orm.CalcJobNode]:
        pytest.importorskip("torch")
        given = {
            "code": python_code,
            "model": model_node,
            "structure": orm.StructureData(ase=atoms),
            "parameters": orm.Dict(parameters),
        }
        return run_get_node(PetAseCalculation, **(given | inputs))

    return run


@pytest.fixture
def b2_crystal() -> Atoms:
    """A B2 crystal, 3 % too large, its atoms and cell out of symmetry."""
    atoms = bulk("MoTa", "cesiumchloride", a=3.30)
    atoms.rattle(0.05, seed=1)
    strain = np.array([[0, 0.01, 0], [0.01, 0, 0], [0, 0, 0.02]])
    atoms.set_cell(atoms.cell @ (np.eye(3) + strain), scale_atoms=True)
    return atoms


def test_entry_point_is_the_class() -> None:
    assert CalculationFactory("pet.ase") is PetAseCalculation


def test_static_energy_equals_ase(
    run_ase: Callable[..., Any], b2_crystal: Atoms, pet_calculator: Any
) -> None:
    outputs, node = run_ase(b2_crystal, static_parameters())
    assert node.is_finished_ok, node.exit_message
    expected = b2_crystal.copy()
    expected.calc = pet_calculator
    energy = expected.get_potential_energy()
    assert outputs["parameters"]["potential_energy"] == pytest.approx(energy, abs=2 * ENERGY_TOLERANCE)
    np.testing.assert_allclose(outputs["array"].get_array("forces"), expected.get_forces(), atol=1e-5)
    np.testing.assert_allclose(outputs["array"].get_array("stress"), expected.get_stress(), atol=1e-6)


def test_relaxation_equals_ase(run_ase: Callable[..., Any], b2_crystal: Atoms, pet_calculator: Any) -> None:
    from ase.filters import FrechetCellFilter
    from ase.optimize import FIRE

    outputs, node = run_ase(b2_crystal, relax_parameters(fmax=0.01, max_steps=300))
    assert node.is_finished_ok, node.exit_message
    expected = b2_crystal.copy()
    expected.calc = pet_calculator
    optimizer = FIRE(FrechetCellFilter(expected), logfile=None)
    assert optimizer.run(fmax=0.01, steps=300)

    found = outputs["parameters"]
    assert found["converged"] is True
    assert found["n_steps"] == optimizer.nsteps
    assert found["potential_energy"] == pytest.approx(
        expected.get_potential_energy(), abs=2 * ENERGY_TOLERANCE
    )
    assert outputs["structure"].get_cell_volume() == pytest.approx(expected.get_volume(), rel=1e-5)
    assert found["volume"] == pytest.approx(expected.get_volume(), rel=1e-5)


def test_relaxation_out_of_steps_says_not_converged(run_ase: Callable[..., Any], b2_crystal: Atoms) -> None:
    outputs, node = run_ase(
        b2_crystal, relax_parameters(fmax=1e-6, max_steps=2, optimizer="bfgs", cell="fixed")
    )
    assert node.exit_status == PetAseCalculation.exit_codes.ERROR_RELAX_NOT_COMPLETE.status
    assert outputs["parameters"]["converged"] is False
    assert outputs["parameters"]["n_steps"] == 2
    np.testing.assert_allclose(outputs["structure"].cell, b2_crystal.cell[:], atol=1e-9)


def test_model_of_another_hash_is_refused_on_the_node(
    run_ase: Callable[..., Any], b2_crystal: Atoms, python_code: orm.InstalledCode, tmp_path: Path
) -> None:
    remote = tmp_path / "staged"
    remote.mkdir()
    (remote / "model.ckpt").write_bytes(b"another model")
    staged = orm.RemoteData(remote_path=str(remote), computer=python_code.computer).store()
    _, node = run_ase(b2_crystal, static_parameters(), remote_model=staged)
    assert node.exit_status == PetAseCalculation.exit_codes.ERROR_OUTPUT_FILES.status
    errors = node.outputs.retrieved.base.repository.get_object_content("_scheduler-stderr.txt")
    assert "WrongHashError" in errors
    assert small_model()[1] in errors


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"cells": "full"}, r"cells: unknown; known are calculator"),
        (
            {"calculator": {"dtype": "float64"}},
            r"calculator\.args: missing; expected a dictionary such as \{'dtype': 'float64'\}",
        ),
        (
            {"calculator": {"args": {"gpu": 1}}},
            r"calculator\.args\.gpu: unknown; known are dtype",
        ),
        ({"calculator": {"args": {}, "name": "emt"}}, "calculator name 'emt': the calculator is always PET"),
        ({"cell": "round"}, "cell = 'round': expected full, shape, volume or fixed"),
        ({"pressure": "high"}, "pressure = 'high' GPa: expected a number"),
    ],
)
def test_wrong_parameters_are_refused(
    run_ase: Callable[..., Any], b2_crystal: Atoms, parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        run_ase(b2_crystal, static_parameters() | parameters)


def test_parameters_of_a_relaxation_are_valid(aiida_profile: Any) -> None:
    assert validate_parameters(orm.Dict(relax_parameters(cell="volume", pressure=5.0)), None) is None


@pytest.mark.parametrize("choice", [{"optimizer": "newton"}, {"cell": "round"}])
def test_relaxation_of_unknown_choice_is_refused(choice: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="is not a valid"):
        relax_parameters(**choice)


def test_pressure_reaches_the_cell_filter() -> None:
    script = (
        "from gpaw import GPAW as custom_calculator\natoms.set_calculator(calculator)\n"
        "optimizer = custom_optimizer(atoms, logfile='x', )\noptimizer.run(fmax=0.1)\nresults = {}\n"
        "atoms.write('x')\n"
    )
    adapted = adapt_script(script, "0" * 64, relax_parameters(cell="volume", pressure=5.0))
    target = "FrechetCellFilter(atoms, hydrostatic_strain=True, scalar_pressure=5.0 * ase.units.GPa)"
    assert f"custom_optimizer({target}, logfile='x'" in adapted
    assert "converged = optimizer.run(fmax=0.1)" in adapted
    assert "gpaw" not in adapted


def test_script_of_another_aiida_ase_is_refused() -> None:
    with pytest.raises(InputValidationError, match=r"'from gpaw import .*' 0 times, expected once"):
        adapt_script("import ase\n", "0" * 64, {})

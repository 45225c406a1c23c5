"""Nequix through AiiDA: ten crystals relaxed and screened, with the energies of its own calculator.

It needs the environment that ``scripts/make-nequix-venv.sh`` makes; $AIIDA_PET_NEQUIX names it where it is elsewhere.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from aiida import orm
from aiida.engine import run_get_node

from aiida_pet.data.model import PetModelData
from aiida_pet.data.structures import StructureSetData
from aiida_pet.workchains.relax import RelaxWorkChain
from aiida_pet.workchains.screening import ScreeningWorkChain

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
ROOT = Path(__file__).parents[2]
SINGLE = 1e-4  # eV/atom: Nequix's calculator evaluates in float32


@pytest.fixture(scope="module")
def example() -> ModuleType:
    """The script of the example."""
    spec = importlib.util.spec_from_file_location("nequix_screen", ROOT / "examples" / "nequix_screen.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def environment() -> Path:
    folder = Path(os.environ.get("AIIDA_PET_NEQUIX", ROOT / ".venv-nequix")).absolute()
    if not (folder / "nequix.pt").exists():
        pytest.skip(
            f"Nequix is not installed in {folder.name}: scripts/make-nequix-venv.sh WEIGHTS.nqx makes it"
        )
    return folder


@pytest.fixture(scope="module")
def inputs(
    module_inputs: Callable[..., dict[str, Any]],
    environment: Path,
    example: ModuleType,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Any]:
    given = module_inputs(1)
    path = tmp_path_factory.mktemp("models") / "nequix.json"
    path.write_text(json.dumps(example.description(environment)))
    code = orm.InstalledCode(
        label="nequix",
        computer=given["code"].computer,
        filepath_executable=str(environment / "bin" / "pet-engine"),
    ).store()
    return {
        "code": code,
        "model": PetModelData.from_file(path, trust=True),
        "structures": StructureSetData.from_iterator(example.crystals()).store(),
        "options": given["options"],
        "settings": {"threads": 1},
    }


def test_ten_crystals_relax_to_energies_of_its_calculator(
    inputs: dict[str, Any], environment: Path, example: ModuleType
) -> None:
    builder = RelaxWorkChain.get_builder_from_protocol(protocol="moderate", **inputs)
    _, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    results = node.outputs.results
    table = results.to_dataframe()
    assert len(table) == 10
    assert set(table["status"]) == {"converged"}
    names = table.index.tolist()
    energies = example.by_ase(environment, [results.get_ase(name) for name in names])
    for name, energy in zip(names, energies, strict=True):
        assert abs(energy - table.loc[name, "energy"]) / table.loc[name, "n_atoms"] < SINGLE, name


def test_ten_crystals_are_screened(inputs: dict[str, Any]) -> None:
    builder = ScreeningWorkChain.get_builder_from_protocol(
        protocol="fast", stages=("relax", "hull"), **inputs
    )
    _, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    table = node.outputs.results.to_dataframe()
    assert len(table) == 10
    elements = table.loc[["Nb", "Mo", "Ta", "W"], "e_above_hull"]
    assert elements.abs().max() < 1e-3
    assert table["e_above_hull"].notna().all()

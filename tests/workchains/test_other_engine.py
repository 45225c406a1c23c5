"""A model of another engine through AiiDA: ten crystals relaxed and screened, with the energies of ASE."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from aiida.engine import run_get_node
from ase import Atoms
from ase.build import bulk
from ase.calculators.morse import MorsePotential

from aiida_pet.data.model import PetModelData
from aiida_pet.data.structures import StructureSetData
from aiida_pet.testing.other_engines import MORSE, described_morse
from aiida_pet.workchains.relax import RelaxWorkChain
from aiida_pet.workchains.screening import ScreeningWorkChain

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ELEMENTS = ("Cu", "Ag", "Au")


def crystals() -> list[tuple[str, Atoms]]:
    """Fcc, bcc and simple cubic crystals, ordered alloys, and iron, which the model does not know."""
    rows = [(f"{element}-fcc", bulk(element, "fcc", a=3.75)) for element in ELEMENTS]
    rows += [(f"{element}-bcc", bulk(element, "bcc", a=3.1)) for element in ELEMENTS]
    for first, second in (("Cu", "Ag"), ("Cu", "Au"), ("Ag", "Au")):
        ordered = bulk(first, "fcc", a=3.75, cubic=True)
        ordered.symbols[2:] = second
        rows.append((f"{first}{second}", ordered))
    return [*rows, ("Fe", bulk("Fe", "bcc", a=2.87))]


def by_ase(atoms: Atoms) -> float:
    r0 = MORSE["sigma"]
    far = MORSE["cutoff"] / r0
    atoms.calc = MorsePotential(
        epsilon=MORSE["epsilon"], r0=r0, rho0=MORSE["alpha"] * r0, rcut1=far + 0.1, rcut2=far + 0.2
    )
    return float(atoms.get_potential_energy())


@pytest.fixture(scope="module")
def inputs(engine_inputs: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path: Path = tmp_path_factory.mktemp("models") / "morse.json"
    path.write_text(json.dumps(described_morse()))
    structures = StructureSetData.from_iterator(crystals()).store()
    return engine_inputs | {"model": PetModelData.from_file(path, trust=True), "structures": structures}


def test_equal_descriptions_are_one_node_that_says_what_runs(inputs: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "again.json"
    path.write_text(json.dumps(described_morse()))
    again = PetModelData.from_file(path, trust=True)
    assert again.pk == inputs["model"].pk
    assert again.version == f"torch-sim-atomistic {described_morse()['version']}"
    assert json.loads(again.get_content())["interface"] == described_morse()["interface"]


def test_ten_crystals_relax_to_energies_of_ase(inputs: dict[str, Any]) -> None:
    builder = RelaxWorkChain.get_builder_from_protocol(protocol="moderate", **inputs)
    _, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    results = node.outputs.results
    table = results.to_dataframe()
    assert table.loc["Fe", "status"] == "unsupported_element"
    known = table.drop("Fe")
    assert set(known["status"]) == {"converged"}
    for name, row in known.iterrows():
        assert abs(by_ase(results.get_ase(name)) - row["energy"]) / row["n_atoms"] < 1e-8, name


def test_ten_crystals_are_screened(inputs: dict[str, Any]) -> None:
    builder = ScreeningWorkChain.get_builder_from_protocol(
        protocol="fast",
        stages=("relax", "hull"),
        overrides={"hull": {"keep": "e_above_hull <= 0.2"}},
        **inputs,
    )
    _, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    table = node.outputs.results.to_dataframe()
    assert table.index.tolist() == [name for name, _ in crystals()]
    assert table.loc["Fe", "reason"].startswith("unsupported_element")
    assert table.loc[[f"{element}-fcc" for element in ELEMENTS], "e_above_hull"].abs().max() < 1e-3
    assert table.loc["Cu-fcc", "passed"]

"""Relax and screen ten crystals with Nequix: ``verdi run examples/nequix_screen.py``.

Before, ``scripts/make-nequix-venv.sh nequix-oam-1-pft.nqx`` makes the environment, and ``aiida-pet setup`` the profile.
The environment is ``.venv-nequix`` in the current folder, or where $AIIDA_PET_NEQUIX says.
Energies are compared with those of Nequix's own calculator for ASE (docs/engines.md).
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tempfile
from itertools import combinations
from pathlib import Path
from typing import Any

import ase.io
from aiida import orm
from aiida.engine import run_get_node
from aiida.plugins import DataFactory, WorkflowFactory
from ase import Atoms
from ase.build import bulk
from ase.data import atomic_numbers, chemical_symbols, reference_states

ENVIRONMENT = Path(os.environ.get("AIIDA_PET_NEQUIX", ".venv-nequix")).absolute()
ELEMENTS = ("Nb", "Mo", "Ta", "W")
VERSION = "0.4.5"  # of nequix, as scripts/make-nequix-venv.sh installs it


def description(environment: Path) -> dict[str, Any]:
    """Return the description of the weights in ``environment``, as JSON has it."""
    weights = environment / "nequix.pt"
    config = json.loads((environment / "nequix.json").read_text().splitlines()[-1])
    return {
        "name": "nequix-oam-1-pft",
        "interface": "nequix_model:nequix",
        "package": "nequix",
        "version": VERSION,
        "weights": str(weights),
        "weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "elements": [chemical_symbols[number] for number in config["atomic_numbers"]],
        "cutoff": float(config["cutoff"]),
        "level_of_theory": "PBE (Materials Project)",
        "licence": "MIT",
    }


def crystals() -> list[tuple[str, Atoms]]:
    """Return (id, atoms) of the elements (bcc) and their B2 compounds."""
    a = {symbol: reference_states[atomic_numbers[symbol]]["a"] for symbol in ELEMENTS}
    elements = [(symbol, bulk(symbol, "bcc", a=a[symbol])) for symbol in ELEMENTS]
    return elements + [
        (f"{one}{other}", bulk(one + other, "cesiumchloride", a=(a[one] + a[other]) / 2))
        for one, other in combinations(ELEMENTS, 2)
    ]


def by_ase(environment: Path, crystals: list[Atoms]) -> list[float]:
    """Return the energies, eV, that Nequix's calculator gives to ``crystals`` in its ``environment``."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "crystals.json"
        ase.io.write(path, crystals)
        command = [environment / "bin" / "python", "-m", "nequix_model", "energies"]
        done = subprocess.run(
            [*command, environment / "nequix.pt", path], capture_output=True, text=True, check=True
        )
    energies: list[float] = json.loads(done.stdout.splitlines()[-1])
    return energies


def run(workflow: str, **inputs: Any) -> Any:
    """Run the WorkChain ``workflow`` and return its results."""
    builder = WorkflowFactory(workflow).get_builder_from_protocol(**inputs)
    outputs, node = run_get_node(builder)
    if not node.is_finished_ok:
        raise SystemExit(f"process {node.pk} ended with {node.exit_status}: {node.exit_message}")
    return outputs["results"]


def main() -> None:
    code = orm.InstalledCode(
        label="nequix",
        computer=orm.load_code("pet-engine@localhost").computer,
        filepath_executable=str(ENVIRONMENT / "bin" / "pet-engine"),
    ).store()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "nequix.json"
        path.write_text(json.dumps(description(ENVIRONMENT)))
        model = DataFactory("pet.model").from_file(path, trust=True)
    inputs = {"code": code, "model": model, "protocol": "moderate"}
    inputs["structures"] = DataFactory("pet.structures").from_iterator(crystals())
    relaxed = run("pet.relax", **inputs)
    frame = relaxed.to_dataframe()
    ids = relaxed.ids.tolist()
    for name, energy in zip(ids, by_ase(ENVIRONMENT, [relaxed.get_ase(name) for name in ids]), strict=True):
        print(
            f"{name:<5} {frame.loc[name, 'status']}  {frame.loc[name, 'energy']:.5f} eV, by ASE {energy:.5f} eV"
        )
    screened = run("pet.screen", stages=("relax", "hull"), **inputs).to_dataframe()
    print(screened[["passed", "e_above_hull"]].to_string())


if __name__ == "__main__":
    main()

"""Polymorphs whose order the labels and a model must agree on, and what the labels' own model says of them.

``.venv-nequix/bin/python -m benchmarks.model_check.polymorphs .venv-nequix/nequix.pt`` relaxes them with the universal
model that labelled the common data, and writes their energies as ``polymorphs.json`` beside this file.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from ase import Atoms
from ase.build import bulk
from ase.spacegroup import crystal

FILE = Path(__file__).with_suffix(".json")
FMAX, STEPS = 0.005, 500  # eV/A


def polymorphs() -> dict[str, Atoms]:
    """Return primitive cells by names such as ``Si-diamond``."""
    found = {
        "Ti-hcp": bulk("Ti", "hcp", a=2.94, c=4.65),
        "Ti-bcc": bulk("Ti", "bcc", a=3.25),
        "Ti-fcc": bulk("Ti", "fcc", a=4.11),
        "Ti-omega": _hexagonal("Ti", [(0, 0, 0), (1 / 3, 2 / 3, 0.5)], 191, 4.58, 2.83),
        "Si-diamond": bulk("Si", "diamond", a=5.47),
        "Si-beta-tin": crystal(
            "Si", [(0, 0, 0)], spacegroup=141, cellpar=[4.8, 4.8, 2.65, 90, 90, 90], primitive_cell=True
        ),
        "Si-fcc": bulk("Si", "fcc", a=3.87),
        "Si-bcc": bulk("Si", "bcc", a=3.09),
        "C-diamond": bulk("C", "diamond", a=3.57),
        "C-graphite": _hexagonal("C", [(0, 0, 0.25), (1 / 3, 2 / 3, 0.25)], 194, 2.47, 6.9),
        "C-lonsdaleite": _hexagonal("C", [(1 / 3, 2 / 3, 0.0625)], 194, 2.51, 4.18),
        "Fe-bcc": bulk("Fe", "bcc", a=2.84),
        "Fe-fcc": bulk("Fe", "fcc", a=3.6),
        "Fe-hcp": bulk("Fe", "hcp", a=2.5, c=4.0),
    }
    oxides = {
        "rutile": (136, [(0, 0, 0), (0.305, 0.305, 0)], 4.65, 2.97),
        "anatase": (141, [(0, 0, 0), (0, 0, 0.208)], 3.81, 9.72),
    }
    for name, (group, sites, a, c) in oxides.items():
        found[f"TiO2-{name}"] = crystal(
            ["Ti", "O"], sites, spacegroup=group, cellpar=[a, a, c, 90, 90, 90], primitive_cell=True
        )
    found["TiO2-fluorite"] = crystal(
        ["Ti", "O"],
        [(0, 0, 0), (0.25, 0.25, 0.25)],
        spacegroup=225,
        cellpar=[4.84] * 3 + [90] * 3,
        primitive_cell=True,
    )
    return found


def labelled_energies() -> dict[str, float]:
    """Return what the labels' own model says, eV/atom."""
    return {str(name): float(energy) for name, energy in json.loads(FILE.read_text())["energies"].items()}


def _hexagonal(symbol: str, sites: list[tuple[float, ...]], group: int, a: float, c: float) -> Atoms:
    return crystal([symbol] * len(sites), sites, spacegroup=group, cellpar=[a, a, c, 90, 90, 120])


def main() -> int:
    """Relax the polymorphs in their space groups, and write their energies."""
    from ase.constraints import FixSymmetry
    from ase.filters import FrechetCellFilter
    from ase.optimize import FIRE
    from nequix.calculator import NequixCalculator

    parser = argparse.ArgumentParser(prog="python -m benchmarks.model_check.polymorphs", description=__doc__)
    parser.add_argument("weights", type=Path, help="weights of Nequix for torch")
    calculator = NequixCalculator(
        model_path=str(parser.parse_args().weights), backend="torch", use_kernel=False
    )
    energies = {}
    for name, atoms in polymorphs().items():
        atoms.calc = calculator
        atoms.set_constraint(FixSymmetry(atoms))
        if not FIRE(FrechetCellFilter(atoms), logfile=None).run(fmax=FMAX, steps=STEPS):
            raise RuntimeError(f"{name} did not relax to {FMAX} eV/A within {STEPS} steps")
        energies[name] = round(atoms.get_potential_energy() / len(atoms), 5)
        print(f"{name}: {energies[name]} eV/atom", flush=True)
    document = {"what": "Nequix-OAM-1-PFT, relaxed in the space group to 0.005 eV/A", "energies": energies}
    FILE.write_text(json.dumps(document, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

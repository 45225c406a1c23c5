"""Drift of the energy by LAMBench's protocol: ``python -m benchmarks.nve [--model FILE] [--systems FILE]``.

Without options: ten crystals of the elements of the model that ships. The velocities are LAMBench's: Maxwell's at 300 K
by ASE, ``default_rng(0)``, without momentum and rotation. Then 10,000 steps of velocity Verlet at 1 fs, with the energy
of every 100th; the first fifth is left out, and a line goes through the others. A model of another engine is given by
its description (docs/engines.md), LAMBench's own systems by a file.

LAMBench's number of a system is 10.18 times its drift (``lambench_drift`` in docs/columns.md). Its score is the mean of
max(0, log10(number / 5e-4)), where a system that fails counts as 5.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import ase
import ase.io
import numpy as np
from ase.build import bulk
from ase.data import atomic_numbers
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary, ZeroRotation

from aiida_pet.job.tasks import Task
from aiida_pet.models import embedded_card, embedded_path
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.units import FEMTOSECOND
from benchmarks.engine import device
from benchmarks.harness import Measurement, machine, threads
from benchmarks.model_check.engine import Model
from benchmarks.model_check.engine import run as computed

STEPS, EVERY, LEFT_OUT = 10_000, 100, 0.2
KELVIN = 300.0
BEST, WORST = 5e-4, 5.0  # LAMBench: a number that is good enough, and the score of a system that failed
N_CRYSTALS = 10
_METALS = {"W": 3.18, "Mo": 3.16, "Ta": 3.31, "Nb": 3.31}  # A


def crystals() -> dict[str, ase.Atoms]:
    """Return the crystals of which the first ten are taken that a model knows, near their lattices by PBE."""
    found = {
        "Al": bulk("Al", "fcc", 4.04, cubic=True),
        "Si": bulk("Si", "diamond", 5.47, cubic=True),
        "NaCl": bulk("NaCl", "rocksalt", 5.70, cubic=True),
        "SiC": bulk("SiC", "zincblende", 4.38, cubic=True),
        "GaAs": bulk("GaAs", "zincblende", 5.75, cubic=True),
        "CaO": bulk("CaO", "rocksalt", 4.84, cubic=True),
        "ZnS": bulk("ZnS", "zincblende", 5.45, cubic=True),
        "Ti": bulk("Ti", "hcp", 2.94, c=4.65),
        "NiAl": bulk("NiAl", "cesiumchloride", 2.90),
    }
    found |= {symbol: bulk(symbol, "bcc", a, cubic=True) for symbol, a in _METALS.items()}
    for place, one in enumerate(_METALS):
        for other in list(_METALS)[place + 1 :]:
            a = 0.5 * (_METALS[one] + _METALS[other])
            found[f"{one}{other}"] = bulk(f"{one}{other}", "cesiumchloride", a)
    return found


def known_crystals(elements: list[int]) -> StructureTable:
    """Return ten crystals whose elements are all among the atomic numbers ``elements``."""
    known = [one for one in crystals().items() if set(one[1].numbers.tolist()) <= set(elements)]
    return StructureTable.from_ase(known[:N_CRYSTALS])


def read_systems(path: Path) -> StructureTable:
    """Return the systems in a file, by their ``id``."""
    frames = ase.io.read(path, ":")
    return StructureTable.from_ase((str(atoms.info.get("id", n)), atoms) for n, atoms in enumerate(frames))


def with_velocities(table: StructureTable) -> StructureTable:
    """Return ``table`` with the velocities of LAMBench, A/fs."""
    drawn = []
    for atoms in table.iter_ase():
        MaxwellBoltzmannDistribution(atoms, temperature_K=KELVIN, rng=np.random.default_rng(0))
        Stationary(atoms)
        ZeroRotation(atoms)
        drawn.append(atoms.get_velocities() * FEMTOSECOND)
    return replace(table, atom_columns=table.atom_columns | {"velocities": np.concatenate(drawn)})


def parameters_for(steps: int, every: int = EVERY) -> dict[str, Any]:
    """Return the parameters of the protocol, ``steps`` long in all, with the energy of each ``every``-th."""
    before = round(LEFT_OUT * steps)
    return {
        "ensemble": "nve",
        "temperature": KELVIN,
        "timestep": 1.0,
        "equilibration_steps": before,
        "steps": steps - before,
        "sample_every": every,
        "frames_every": 0,
        "symprecs": [],
        "dtype": "float64",
    }


def score_of(numbers: list[float | None]) -> float:
    """Return LAMBench's score of its numbers, None of a system that failed; NaN if one is not known."""
    scores = [WORST if one is None else np.maximum(0.0, np.log10(one / BEST)) for one in numbers]
    return float(np.mean(scores))


def drifts(model: Model, table: StructureTable, steps: int, every: int = EVERY) -> Iterator[Measurement]:
    """Yield the drift of each system, then the score."""
    began = time.perf_counter()
    found = computed(model, Task.MD, with_velocities(table), **parameters_for(steps, every))
    spent = time.perf_counter() - began
    numbers: list[float | None] = []
    for place, name in enumerate(found.ids.tolist()):
        status = str(found.columns["status"][place])
        ended = status == "converged"
        numbers.append(float(found.columns["lambench_drift"][place]) if ended else None)
        detail = {
            "status": status,
            "message": str(found.columns["message"][place]),
            "lambench": numbers[-1],
            "atoms": int(found.n_atoms[place]),
            "mean_temperature": float(found.columns["mean_temperature"][place]),
            "std_conserved": float(found.columns["std_conserved"][place]),
        }
        drift = float(found.columns["drift"][place])
        yield Measurement(f"nve/{name}", drift, "eV/atom/ps", "", None, detail)
    refused = (found.columns["status"] == "unsupported_element").sum()
    detail = {"steps": steps, "systems": len(found), "refused": int(refused), "seconds": spent}
    detail |= {"threads": threads(), "device": device()}
    yield Measurement(
        "nve/score", score_of(numbers), "", "LAMBench: 0 is best, 5 for what fails", None, detail
    )


def shipped() -> Model:
    """Return the model that ships."""
    return Model(embedded_path(), embedded_card()["sha256"], threads(), device())


def run(quick: bool = False) -> Iterator[Measurement]:
    """Yield drifts of ten crystals with the model that ships.

    :param quick: a tenth of the steps, energies after as many.
    """
    table = known_crystals(list(embedded_card()["elements"]))
    yield from drifts(shipped(), table, STEPS // 10 if quick else STEPS)


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.nve", description=__doc__.split(":")[0])
    parser.add_argument(
        "--model", type=Path, help="checkpoint or description; loaded, so it has to be trusted"
    )
    parser.add_argument("--elements", nargs="*", help="of the model, where no systems are given")
    parser.add_argument("--systems", type=Path, help="file of systems, such as LAMBench's nine")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--every", type=int, default=EVERY, help="steps from one energy to the next")
    arguments = parser.parse_args()
    model = shipped()
    if arguments.model is not None:
        sha256 = hashlib.sha256(arguments.model.read_bytes()).hexdigest()
        model = Model(arguments.model, sha256, threads(), device())
    elements = [atomic_numbers[symbol] for symbol in arguments.elements or []]
    if arguments.systems is not None:
        table = read_systems(arguments.systems)
    else:
        table = known_crystals(elements or list(embedded_card()["elements"]))
    where = machine()
    print(json.dumps({"model": model.path.name, "sha256": model.sha256}))
    for measurement in drifts(model, table, arguments.steps, arguments.every):
        print(measurement.to_json(where), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

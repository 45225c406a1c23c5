"""Moduli of binary crystals beside those of the Materials Project.

Their formulas are the fifth that :mod:`benchmarks.recipe.real` keeps back from the training. The published moduli are
those of PBE, so that what the labels' own model errs is in the differences, too.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from aiida_pet.job.tasks import Task
from benchmarks.model_check.crystals import table_of
from benchmarks.model_check.engine import Model, run
from benchmarks.recipe.compounds import formulas, reduced
from benchmarks.recipe.real import atoms_of_pymatgen, is_held_back

FILE = Path("benchmarks") / "elasticity-binaries.json.gz"
KNOWN_PHASES = Path(__file__).parents[2] / "examples" / "known_phases.py"
MOST_ATOMS = 4
SMALLEST = 10.0  # GPa: relative errors of softer crystals say little
OFF_BY = 0.30


@dataclass(frozen=True)
class Binary:
    """A crystal and its published moduli.

    :ivar moduli: bulk and shear modulus, GPa.
    """

    name: str
    atoms: Atoms
    moduli: tuple[float, float]


def learnt_formulas(data: Path) -> frozenset[str]:
    """Return the formulas of well-known crystals, none of which is kept back: the references and those of the demo."""
    with tempfile.TemporaryDirectory() as folder:
        demo = Path(folder) / "phases.xyz"
        subprocess.run([sys.executable, str(KNOWN_PHASES), str(demo)], check=True, stdout=subprocess.DEVNULL)
        return formulas([data / "common" / "references.json", demo])


def read_binaries(data: Path, elements: set[int], learnt: frozenset[str] = frozenset()) -> list[Binary]:
    """Return the crystals of ``elements`` that are kept back, of at most four atoms and not very soft.

    :param learnt: formulas that are left out.
    """
    found = []
    for entry in json.loads(gzip.decompress((data / FILE).read_bytes())):
        atoms = atoms_of_pymatgen(entry["structure"])
        moduli = (float(entry["bulk_modulus_vrh"]), float(entry["shear_modulus_vrh"]))
        is_known = len(atoms) <= MOST_ATOMS and set(atoms.numbers.tolist()) <= elements
        formula = reduced(atoms)
        if is_known and min(moduli) >= SMALLEST and is_held_back(formula) and formula not in learnt:
            found.append(Binary(f"{entry['formula']}-{entry['mp_id']}", atoms, moduli))
    return found


@dataclass(frozen=True)
class Differences:
    """Relative differences from published moduli.

    :ivar names: (N,) of the crystals, those that have a tensor.
    :ivar bulk: (N,) of bulk moduli.
    :ivar shear: (N,) of shear moduli.
    :ivar without: names of crystals that have none.
    """

    names: list[str]
    bulk: NDArray[np.float64]
    shear: NDArray[np.float64]
    without: list[str]

    def line(self, what: str) -> str:
        """Return the median of the differences, and the share beyond 30 %."""
        values = np.abs(getattr(self, what))
        return f"median {np.median(values):.0%}, beyond {OFF_BY:.0%}: {np.mean(values > OFF_BY):.0%}"


def differences(model: Model, binaries: list[Binary]) -> Differences:
    """Return what the model says of crystals, each relaxed in its space group."""
    table = table_of({one.name: one.atoms for one in binaries})
    results = run(model, Task.ELASTIC, table, symprecs=[], optimizer="lbfgs", max_steps=300)
    found = np.stack([results.columns[name] for name in ("bulk_modulus", "shear_modulus")], axis=1)
    relative = found / np.array([one.moduli for one in binaries]) - 1
    has = (results.columns["status"] == "converged") & np.isfinite(relative).all(axis=1)
    names = np.array([one.name for one in binaries])
    return Differences(names[has].tolist(), relative[has, 0], relative[has, 1], names[~has].tolist())

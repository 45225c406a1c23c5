"""How smooth E(V) is: the local bulk modulus beside that of an equation of state.

A model that ripples has the right volume and a modulus that depends on where it is asked for. Pressures on a grid of
linear strains give the bulk modulus between neighbouring points, -V dP/dV; one third-order Birch-Murnaghan equation
(F. Birch, Phys. Rev. 71, 809 (1947)) through all of them gives the smooth one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy.optimize import curve_fit

from aiida_pet.job.tasks import Task
from aiida_pet.units import GPA
from benchmarks.model_check.crystals import table_of
from benchmarks.model_check.engine import Model, run

STRAINS = np.arange(-0.02, 0.02 + 1e-9, 0.0025)
"""Linear strains of the grid."""


@dataclass(frozen=True)
class Smoothness:
    """E(V) of a crystal near its minimum.

    :ivar volume: of the fit, A^3/atom.
    :ivar bulk_modulus: of the fit, at that volume, GPa.
    :ivar departure: largest departure of the local bulk modulus from that of the fit, as a share of it.
    """

    volume: float
    bulk_modulus: float
    departure: float


def birch_murnaghan(volume: NDArray[np.float64], v0: float, b0: float, b1: float) -> NDArray[np.float64]:
    """Return the pressure at ``volume`` in the unit of ``b0``, third order."""
    eta = np.cbrt(v0 / volume)
    found: NDArray[np.float64] = 1.5 * b0 * (eta**7 - eta**5) * (1 + 0.75 * (b1 - 4) * (eta**2 - 1))
    return found


def judge(volume: NDArray[np.float64], pressure: NDArray[np.float64]) -> Smoothness:
    """Return how smooth pressures (n,) GPa at rising volumes (n,) A^3/atom are."""
    start = (float(np.interp(0, -pressure, volume)), 100.0, 4.0)
    (v0, b0, b1), _ = curve_fit(birch_murnaghan, volume, pressure, p0=start)
    middle = (volume[1:] + volume[:-1]) / 2

    def local(values: NDArray[np.float64]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = -middle * np.diff(values) / np.diff(volume)
        return found

    departure = np.abs(local(pressure) / local(birch_murnaghan(volume, v0, b0, b1)) - 1).max()
    return Smoothness(float(v0), float(b0), float(departure))


def smoothness_of(model: Model, crystals: dict[str, Atoms]) -> dict[str, Smoothness]:
    """Return how smooth E(V) of relaxed ``crystals`` is; atoms keep their places in the cell.

    :raises RuntimeError: if the model has no pressure for one of them.
    """
    named = {
        f"{name}@{i}": _strained(atoms, strain)
        for name, atoms in crystals.items()
        for i, strain in enumerate(STRAINS)
    }
    results = run(model, Task.STATIC, table_of(named), symprecs=[], dtype="float64")
    pressure = -results.columns["stress"][:, :3].mean(axis=1) * GPA
    volume = np.array([atoms.get_volume() / len(atoms) for atoms in named.values()])
    found = {}
    for i, name in enumerate(crystals):
        rows = slice(i * len(STRAINS), (i + 1) * len(STRAINS))
        if not np.isfinite(pressure[rows]).all():
            raise RuntimeError(f"{name}: no pressure at one of its volumes")
        found[name] = judge(volume[rows], pressure[rows])
    return found


def _strained(atoms: Atoms, strain: float) -> Atoms:
    copy = atoms.copy()
    copy.set_cell(atoms.cell.array * (1 + strain), scale_atoms=True)
    return copy

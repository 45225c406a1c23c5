"""The crystals that a model is judged by: references with numbers of their own, and orderings of four bcc metals."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from aiida_pet.tables.crystals import StructureTable

METALS = ("Nb", "Mo", "Ta", "W")
UNSTABLE = ("CaTiO3-cubic", "NiTi-cesiumchloride", "Ti-bcc", "TiO2-rutile", "VN-rocksalt", "W-fcc")
"""Known crystals with imaginary phonons by the labels: their volume and K are judged from E(V) alone."""


@dataclass(frozen=True)
class Reference:
    """A crystal relaxed with the labels' own model, and what that says of it.

    :ivar name: such as ``NaCl-rocksalt``.
    :ivar atoms: the relaxed primitive cell.
    :ivar energy: eV/atom.
    :ivar bulk_modulus: K of Voigt, Reuss and Hill, GPa, relaxed ions.
    :ivar max_frequency: highest phonon frequency, THz.
    :ivar min_frequency: lowest phonon frequency, THz; negative for an imaginary one.
    :ivar supercell: multiples of the cell along its axes.
    """

    name: str
    atoms: Atoms
    energy: float
    bulk_modulus: float
    max_frequency: float
    min_frequency: float
    supercell: tuple[int, int, int]

    @property
    def volume(self) -> float:
        """Volume, A^3/atom."""
        return float(self.atoms.get_volume() / len(self.atoms))

    @property
    def is_unstable(self) -> bool:
        """Whether only E(V) is judged."""
        return self.name in UNSTABLE


def read_references(path: Path) -> list[Reference]:
    """Return the crystals in ``references.json``."""
    return [
        Reference(
            name=one["name"],
            atoms=Atoms(one["numbers"], cell=one["cell"], scaled_positions=one["scaled"], pbc=True),
            energy=one["energy"],
            bulk_modulus=one["K"],
            max_frequency=one["max_frequency"],
            min_frequency=one["min_frequency"],
            supercell=(one["supercell"][0], one["supercell"][1], one["supercell"][2]),
        )
        for one in json.loads(path.read_text())
    ]


def known_by(elements: list[int], references: list[Reference]) -> list[Reference]:
    """Return the references whose elements are all among the atomic numbers ``elements``."""
    return [one for one in references if set(one.atoms.numbers.tolist()) <= set(elements)]


def table_of(named: dict[str, Atoms]) -> StructureTable:
    """Return a table of crystals by name."""
    return StructureTable.from_ase(list(named.items()))


def bcc_orderings() -> dict[str, Atoms]:
    """Return the 36 orderings of the six pairs of Nb, Mo, Ta, W on bcc: B2, B32, both C11_b and both D0_3.

    Lattice parameters are those of Vegard's law; they are relaxed before they are judged.
    """
    found = {}
    for first, second in combinations(METALS, 2):
        for name, sites in _SITES.items():
            for one, other in ((first, second), (second, first)):
                symbols = [one if site == "A" else other for site in sites[1]]
                share = symbols.count(one) / len(symbols)
                a = share * _A[one] + (1 - share) * _A[other]
                atoms = Atoms(symbols, cell=a * np.array(sites[0]), scaled_positions=sites[2], pbc=True)
                found[f"{name}-{atoms.get_chemical_formula('metal')}"] = atoms
    return found


_A = {"Nb": 3.31, "Mo": 3.16, "Ta": 3.31, "W": 3.18}  # A
_FCC: NDArray[np.float64] = np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]], dtype=float)  # twice the bcc cube
_QUARTERS = [[0, 0, 0], [0.25] * 3, [0.5] * 3, [0.75] * 3]
_SITES: dict[str, tuple[list[list[float]], str, list[list[float]]]] = {
    "B2": (np.eye(3).tolist(), "AB", [[0, 0, 0], [0.5, 0.5, 0.5]]),
    "B32": (_FCC.tolist(), "AABB", _QUARTERS),
    "D0_3": (_FCC.tolist(), "AAAB", _QUARTERS),
    "C11_b": (
        [[-0.5, 0.5, 1.5], [0.5, -0.5, 1.5], [0.5, 0.5, -1.5]],
        "ABB",
        [[0, 0, 0], [1 / 3, 1 / 3, 0], [2 / 3, 2 / 3, 0]],
    ),
}

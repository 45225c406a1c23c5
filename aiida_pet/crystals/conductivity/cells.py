"""The cells of a crystal in which its force constants of second and third order are found, and displacements of both.

All of it is phono3py's: a unit cell, a supercell of third order (fc3), a larger one of second order (fc2), and a
primitive cell whose modes carry the heat. Matrices are relative to the unit cell: a supercell is
``matrix.T @ unit cell``. phono3py is an extra of this package, imported where it is used. Free of torch.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray
from phonopy.structure.atoms import PhonopyAtoms
from spglib.error import SpglibError

from aiida_pet.crystals.conductivity.supercell_symmetry import quick_supercell_symmetry
from aiida_pet.tables.arrays import Floats, Integers

__all__ = [
    "Displaced",
    "MissingPhono3pyError",
    "ThirdOrderCells",
    "TooManyDisplacementsError",
    "count_displaced",
    "displaced_supercells",
    "make_phono3py",
]

PlusMinus = Literal["auto"] | bool


class MissingPhono3pyError(ImportError):
    """Raised where phono3py is not installed; the message says how to install it."""


class TooManyDisplacementsError(ValueError):
    """Raised for a crystal that needs more displaced supercells than are wanted.

    :ivar count: how many it needs.
    """

    def __init__(self, count: int, most: int) -> None:
        super().__init__(f"it needs {count:,} displaced supercells, and at most {most:,} are wanted")
        self.count = count


@dataclass(frozen=True)
class ThirdOrderCells:
    """A unit cell of U atoms and what is made of it.

    :ivar cell: (3, 3) of the unit cell, A.
    :ivar positions: (U, 3) Cartesian, A.
    :ivar numbers: (U,) atomic numbers.
    :ivar fc3_matrix: (3, 3) int, supercell of third order.
    :ivar fc2_matrix: (3, 3) int, supercell of second order.
    :ivar primitive_matrix: (3, 3); None lets phono3py find the primitive cell (its "auto").
    :ivar symprec: tolerance of the space group that reduces displacements, A.
    """

    cell: Floats
    positions: Floats
    numbers: NDArray[Any]
    fc3_matrix: Integers
    fc2_matrix: Integers
    primitive_matrix: Floats | None = None
    symprec: float = 1e-5


@dataclass(frozen=True)
class Displaced:
    """The displaced supercells of a crystal.

    :ivar fc2_cell: (3, 3) of the supercell of second order, A.
    :ivar fc2_numbers: (S2,) its atomic numbers.
    :ivar fc2_positions: (D2, S2, 3) Cartesian positions in each displaced supercell, A.
    :ivar fc3_cell: (3, 3) of the supercell of third order, A.
    :ivar fc3_numbers: (S3,) its atomic numbers.
    :ivar fc3_positions: (D3, S3, 3); D3 counts only those that phono3py wants the forces of, which with a cutoff are
        fewer than it enumerates.
    :ivar fc3_wanted: (N3,) bool, which of the N3 that phono3py enumerates they are.
    """

    fc2_cell: Floats
    fc2_numbers: Integers
    fc2_positions: Floats
    fc3_cell: Floats
    fc3_numbers: Integers
    fc3_positions: Floats
    fc3_wanted: NDArray[np.bool_]

    @property
    def n_displacements(self) -> int:
        """Number of displaced supercells of both orders."""
        return len(self.fc2_positions) + len(self.fc3_positions)

    @property
    def n_atoms(self) -> int:
        """Number of atoms of all displaced supercells."""
        return self.fc2_positions.shape[0] * len(self.fc2_numbers) + self.fc3_positions.shape[0] * len(
            self.fc3_numbers
        )


def make_phono3py(cells: ThirdOrderCells, *, masses: Mapping[str, float] | None = None) -> Any:
    """Return the ``phono3py.Phono3py`` of ``cells``, without displacements.

    :param masses: symbol -> mass, u, for elements whose mass is not the mass of their natural mixture of isotopes.
    :raises MissingPhono3pyError: if phono3py is not installed.
    :raises ValueError: if phono3py finds no supercell or no symmetry, if a mass is not positive or its element unknown.
    """
    try:
        from phono3py import Phono3py  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingPhono3pyError(
            "thermal conductivities need phono3py, which is not installed here: pip install 'aiida-pet[conductivity]'"
        ) from error
    unit_cell = PhonopyAtoms(
        numbers=np.asarray(cells.numbers, dtype=int), cell=cells.cell, positions=cells.positions
    )
    primitive: Any = "auto" if cells.primitive_matrix is None else cells.primitive_matrix
    try:
        with warnings.catch_warnings(), quick_supercell_symmetry():
            warnings.simplefilter("ignore")  # phono3py 4 warns of "auto" even where it was asked for
            phono3py = Phono3py(
                unit_cell,
                supercell_matrix=np.asarray(cells.fc3_matrix),
                phonon_supercell_matrix=np.asarray(cells.fc2_matrix),
                primitive_matrix=primitive,
                symprec=cells.symprec,
            )
    except (RuntimeError, AssertionError, SpglibError) as error:
        raise ValueError(
            f"phono3py cannot take this crystal at symprec {cells.symprec:g} A: {error}"
        ) from error
    if masses:
        phono3py.masses = _with_overrides(phono3py.primitive, masses)
    return phono3py


def _with_overrides(primitive: Any, masses: Mapping[str, float]) -> Sequence[float]:
    """Return the masses of the atoms of the primitive cell, u."""
    unknown = sorted(set(masses) - set(atomic_numbers))
    if unknown:
        raise ValueError(f"masses: there is no element {', '.join(unknown)}")
    wrong = {symbol: mass for symbol, mass in masses.items() if not (np.isfinite(mass) and mass > 0)}
    if wrong:
        raise ValueError(f"masses = {wrong}: expected positive numbers, in u")
    return [
        float(masses.get(symbol, mass))
        for symbol, mass in zip(primitive.symbols, primitive.masses, strict=True)
    ]


def displaced_supercells(
    phono3py: Any,
    *,
    distance: float,
    plus_minus: PlusMinus = "auto",
    cutoff: float | None = None,
    most: int | None = None,
) -> Displaced:
    """Displace the atoms of the supercells of ``phono3py``, which keeps its data set of them.

    :param phono3py: phono3py object of :func:`make_phono3py`.
    :param distance: length of each displacement, A.
    :param plus_minus: whether each displacement has its opposite: always, never, or "auto", where symmetry does not
        make the two the same.
    :param cutoff: pairs of atoms farther apart are not displaced together, A; third order only.
    :param most: displaced supercells of both orders that are made at most; None for any number.
    :raises TooManyDisplacementsError: if there are more; none is in memory then.
    """
    found = count_displaced(phono3py, distance=distance, plus_minus=plus_minus, cutoff=cutoff)
    if most is not None and sum(found) > most:
        raise TooManyDisplacementsError(sum(found), most)
    second = phono3py.phonon_supercells_with_displacements
    third = phono3py.supercells_with_displacements
    wanted = np.array([cell is not None for cell in third], dtype=bool)
    return Displaced(
        fc2_cell=np.array(phono3py.phonon_supercell.cell),
        fc2_numbers=np.array(phono3py.phonon_supercell.numbers, dtype=np.int64),
        fc2_positions=np.array([cell.positions for cell in second]),
        fc3_cell=np.array(phono3py.supercell.cell),
        fc3_numbers=np.array(phono3py.supercell.numbers, dtype=np.int64),
        fc3_positions=np.array([cell.positions for cell in third if cell is not None]),
        fc3_wanted=wanted,
    )


def count_displaced(
    phono3py: Any, *, distance: float, plus_minus: PlusMinus = "auto", cutoff: float | None = None
) -> tuple[int, int]:
    """Return the numbers of displaced supercells of second and third order, and make none of them.

    ``phono3py`` keeps its data set of displacements. Arguments are those of :func:`displaced_supercells`.
    """
    with quick_supercell_symmetry():
        phono3py.generate_displacements(
            distance=distance, is_plusminus=plus_minus, cutoff_pair_distance=cutoff
        )
    third = phono3py.dataset["first_atoms"]
    pairs = sum(pair.get("included", True) for first in third for pair in first["second_atoms"])
    return len(phono3py.phonon_dataset["first_atoms"]), len(third) + pairs

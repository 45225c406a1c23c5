"""Compositions of many crystals in flat arrays.

Layout: row i has the elements ``numbers[i]``, ascending and filled up with zeros at the end, and ``amounts[i]`` atoms
of each. Crystals have whole amounts; entries of files may have any.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.table import Array

# Amounts closer to whole numbers than this are whole.
_WHOLE = 1e-8
# Fractions are ratios of whole amounts up to so many atoms, if they are so near: those of databases have few digits.
_DENOMINATORS = ((500, 1e-6), (20_000, 1e-10))
# Fractions of compositions that are not of whole atoms are compared to so many decimals.
_DECIMALS = 9


@dataclass(frozen=True)
class Compositions:
    """N compositions.

    :ivar numbers: (N, L) int64, atomic numbers.
    :ivar amounts: (N, L) float64, atoms of each element in the cell or formula.
    """

    numbers: NDArray[np.int64]
    amounts: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.numbers)

    @classmethod
    def of_table(cls, table: StructureTable) -> Compositions:
        """Return the compositions of the rows of ``table``; a row without atoms has no elements."""
        n_rows = len(table)
        keys = np.repeat(np.arange(n_rows), table.n_atoms) * len(chemical_symbols) + table.numbers
        found, counts = np.unique(keys, return_counts=True)
        rows, numbers = np.divmod(found, len(chemical_symbols))
        return cls._filled(n_rows, rows, numbers, counts.astype(np.float64))

    @classmethod
    def of_mappings(cls, mappings: Sequence[Mapping[int, float]]) -> Compositions:
        """Return the compositions of ``{atomic number: amount}``."""
        pairs = [sorted(mapping.items()) for mapping in mappings]
        rows = np.repeat(np.arange(len(pairs)), [len(pair) for pair in pairs])
        numbers = np.array([number for pair in pairs for number, _ in pair], dtype=np.int64)
        amounts = np.array([amount for pair in pairs for _, amount in pair], dtype=np.float64)
        return cls._filled(len(pairs), rows, numbers, amounts)

    @classmethod
    def _filled(cls, n_rows: int, rows: Array, numbers: Array, amounts: Array) -> Compositions:
        """Fill the arrays from triples sorted by row."""
        sizes = np.bincount(rows, minlength=n_rows).astype(np.int64)
        starts = np.concatenate([[0], np.cumsum(sizes)])[:-1]
        places = np.arange(len(rows)) - starts[rows]
        width = int(sizes.max(initial=1))
        filled = cls(np.zeros((n_rows, width), np.int64), np.zeros((n_rows, width)))
        filled.numbers[rows, places] = numbers
        filled.amounts[rows, places] = amounts
        return filled

    @classmethod
    def concatenate(cls, parts: Sequence[Compositions]) -> Compositions:
        """Return all rows of ``parts``, in order."""
        width = max(part.numbers.shape[1] for part in parts)
        return cls(*(np.concatenate([_widened(array, width) for array in arrays]) for arrays in (
            [part.numbers for part in parts], [part.amounts for part in parts],
        )))  # fmt: skip

    def take(self, index: Array) -> Compositions:
        """Return the rows at positions ``index``."""
        return Compositions(self.numbers[index], self.amounts[index])

    @property
    def totals(self) -> NDArray[np.float64]:
        """(N,) atoms."""
        return self.amounts.sum(axis=1)

    @property
    def fractions(self) -> NDArray[np.float64]:
        """(N, L) atomic fractions; NaN for a row without atoms."""
        totals = self.totals
        return self.amounts / np.where(totals > 0, totals, np.nan)[:, None]

    def fractions_of(self, rows: Array) -> NDArray[np.float64]:
        """(n, L) atomic fractions of some rows."""
        amounts = self.amounts[rows]
        return amounts / amounts.sum(axis=1, keepdims=True)

    def weighted(self, values: Array) -> NDArray[np.float64]:
        """Return (N,) the mean over each row's atoms of ``values`` (119,) by atomic number."""
        terms = np.where(self.numbers > 0, values[self.numbers], 0.0) * self.fractions
        mean: NDArray[np.float64] = terms.sum(axis=1)
        return mean

    def reduced(self) -> NDArray[np.float64]:
        """(N, L) smallest whole amounts of the same composition; fractions where no whole amounts are near.

        Fractions and formulas of one composition give the same: {Mo: 0.5, W: 0.5} is MoW.
        """
        whole = np.rint(self.amounts)
        is_whole = (np.abs(self.amounts - whole) < _WHOLE).all(axis=1) & (whole > 0).any(axis=1)
        for row in np.flatnonzero(~is_whole & (self.totals > 0)).tolist():
            found = _whole_amounts(self.fractions_of(np.array([row]))[0])
            if found is not None:
                whole[row], is_whole[row] = found, True
        divisor = np.gcd.reduce(whole.astype(np.int64), axis=1)
        return np.where(
            is_whole[:, None],
            whole / np.maximum(divisor, 1)[:, None],
            np.round(self.fractions, _DECIMALS),
        )

    def systems(self) -> tuple[list[tuple[int, ...]], NDArray[np.int64]]:
        """Return the chemical systems that occur, as ascending atomic numbers, and (N,) the system of each row."""
        found, system_of = np.unique(self.numbers, axis=0, return_inverse=True)
        systems = [tuple(number for number in row if number) for row in found.tolist()]
        return systems, system_of.reshape(-1)

    def groups(self) -> NDArray[np.int64]:
        """Return (N,) a number for each row, equal for equal compositions whatever the size of the cell."""
        keys = np.concatenate([self.numbers.astype(np.float64), self.reduced()], axis=1)
        _, group_of = np.unique(keys, axis=0, return_inverse=True)
        groups: NDArray[np.int64] = group_of.reshape(-1)
        return groups

    def formulas(self) -> Iterator[str]:
        """Yield the reduced formula of each row, elements in alphabetical order: ``Mo3Ta``."""
        for numbers, amounts in zip(self.numbers.tolist(), self.reduced().tolist(), strict=True):
            yield "".join(
                sorted(
                    chemical_symbols[number] + ("" if amount == 1 else f"{amount:g}")
                    for number, amount in zip(numbers, amounts, strict=True)
                    if number
                )
            )


def _whole_amounts(fractions: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return whole amounts in the ratios of ``fractions`` (L,), None if there are none near."""
    for largest, tolerance in _DENOMINATORS:
        ratios = [Fraction(value).limit_denominator(largest) for value in fractions.tolist()]
        total = math.lcm(*(ratio.denominator for ratio in ratios))
        amounts = np.array([float(ratio * total) for ratio in ratios])
        if (
            total <= largest
            and (np.abs(amounts / total - fractions) < tolerance).all()
            and amounts.sum() == total
        ):
            return amounts
    return None


def element_names(numbers: Iterable[int]) -> str:
    """Return the symbols of ``numbers`` by atomic number, with commas."""
    return ", ".join(chemical_symbols[number] for number in sorted(numbers))


def _widened(array: Array, width: int) -> Array:
    return np.pad(array, ((0, 0), (0, width - array.shape[1])))

"""Space groups: their numbers at several tolerances, and the operations that a relaxation can be held to.

Found by moyopy, chosen over spglib by measurement on 972 crystals of WBM: ten times faster (1.1 against 11 ms
for three tolerances); an error where spglib crashes the process (NaN); and where the two differ (21, 27 and 3
crystals at symprec 0.001, 0.01 and 0.1 A) nearly always the larger group, with every atom within symprec of
its image. Free of torch.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import moyopy
import numpy as np
from numpy.typing import NDArray

from aiida_pet.engine.operations import (
    Floats,
    Integers,
    Operations,
    fitted_translations,
    identity_operations,
    site_positions,
    symmetric_cell,
    symmetrize_structure,
)
from aiida_pet.engine.table import StructureTable
from aiida_pet.tables.columns import symprec_label

__all__ = ["Operations", "find_operations", "spacegroup_numbers"]

logger = logging.getLogger(__name__)
# moyo reports for each supercell the operations that its lattice lacks: lines by the thousand, nothing to do.
logging.getLogger("moyo").setLevel(logging.ERROR)
logging.getLogger("moyopy").setLevel(logging.ERROR)

# Where the group found at symprec does not hold as a group, it is looked for at these fractions of it.
_TIGHTER = (1.0, 0.5, 0.25, 0.1, 0.01)
# An image may lie this many tolerances from its atom: one from the search, another from a shifted origin.
_MATCH = 3.0
_HASH = np.random.default_rng(0).integers(-(2**62), 2**62, size=9)  # of integer matrices, for look-up
_BLOCK = 2_000_000  # distances in memory at once


class _NotAGroupError(ValueError):
    """Raised where what was found at a tolerance is not a group of permutations of the atoms."""


def spacegroup_numbers(table: StructureTable, symprecs: Sequence[float]) -> dict[str, Integers]:
    """Return the space-group number of each row at each tolerance (A): label of the tolerance -> (N,) int.

    0 where none is found: not periodic in all directions, no atoms, NaN, no volume, atoms on one spot. Never
    raises for a row. About 0.4 ms per row of ten atoms and tolerance, 0.3 s for 2,000 atoms.
    """
    numbers = {symprec_label(symprec): np.zeros(len(table), dtype=np.int64) for symprec in symprecs}
    for index in range(len(table)):
        part = table.atoms_of(index)
        if not table.pbc[index].all():
            continue
        crystal = _Crystal.of(table.cells[index], table.positions[part], table.numbers[part])
        if crystal is None:
            continue
        for symprec in symprecs:
            dataset = crystal.dataset(symprec)
            if dataset is not None:
                numbers[symprec_label(symprec)][index] = dataset.number
    return numbers


def find_operations(cell: Floats, positions: Floats, numbers: NDArray[Any], symprec: float) -> Operations:
    """Return the space group at tolerance ``symprec`` of a fully periodic crystal, ready to be held to.

    It is certain that the operations are closed, that they permute sites of one element, and that making the
    crystal exactly symmetric moves no atom by more than ``symprec`` (beyond what the cell's own change
    carries along). Where the search does not deliver that, tighter tolerances are tried, and in the end the
    identity is returned; never raises.

    :param cell: (3, 3), A.
    :param positions: (A, 3), A.
    :param numbers: (A,) atomic numbers.
    :param symprec: tolerance, A.
    """
    crystal = _Crystal.of(cell, positions, numbers)
    if crystal is not None:
        for fraction in _TIGHTER:
            dataset = crystal.dataset(fraction * symprec)
            if dataset is None:
                continue
            try:
                return _operations(crystal, dataset, fraction * symprec)
            except ValueError as error:  # _NotAGroupError, LinAlgError
                logger.debug("symprec %g A: %s", fraction * symprec, error)
    return identity_operations(cell, positions)


def operations_of_row(table: StructureTable, row: int, symprec: float) -> Operations:
    """Return :func:`find_operations` of ``row`` of ``table``."""
    atoms = table.atoms_of(row)
    return find_operations(table.cells[row], table.positions[atoms], table.numbers[atoms], symprec)


@dataclass(frozen=True)
class _Crystal:
    """A crystal with volume and finite numbers: (3, 3) cell, (A, 3) fractional coordinates, (A,) numbers."""

    cell: Floats
    fractional: Floats
    numbers: Integers

    @classmethod
    def of(cls, cell: Floats, positions: Floats, numbers: NDArray[Any]) -> _Crystal | None:
        """Return None where there are no atoms, no volume, or numbers that are not finite."""
        if not len(numbers) or not np.isfinite(cell).all() or not np.isfinite(positions).all():
            return None
        lengths = np.linalg.norm(cell, axis=1)
        if not abs(np.linalg.det(cell)) > 1e-8 * np.prod(lengths):
            return None
        fractional = np.linalg.solve(cell.T, positions.T).T
        return cls(np.asarray(cell, dtype=np.float64), fractional, np.asarray(numbers, dtype=np.int64))

    def dataset(self, symprec: float) -> Any | None:
        """Return what moyo finds with a tolerance of at most ``symprec``, None where it finds nothing.

        moyo widens the tolerance by itself where a search fails; then it is asked again with a narrower one.
        """
        given = moyopy.Cell(self.cell.tolist(), self.fractional.tolist(), self.numbers.tolist())
        for fraction in (1.0, 0.7, 0.4, 0.1):
            try:
                dataset = moyopy.MoyoDataset(given, symprec=fraction * symprec)
            except ValueError:
                continue
            except BaseException as error:
                if type(error).__name__ != "PanicException":  # of Rust; does not derive from Exception
                    raise
                logger.warning("moyo gave up on %d atoms: %s", len(self.numbers), error)
                return None
            if dataset.symprec <= symprec * (1 + 1e-9):
                return dataset
        return None


def _operations(crystal: _Crystal, dataset: Any, symprec: float) -> Operations:
    """Return the group of ``dataset``, checked.

    :raises _NotAGroupError: if it is not one, or if an atom would have to move by more than ``symprec``.
    """
    tolerance = _MATCH * symprec
    supercell, sites = _primitive_cell(crystal, dataset)
    fractional = crystal.fractional @ supercell
    site_fractional, whole = site_positions(fractional, sites)
    lattice = np.linalg.solve(supercell.astype(np.float64), crystal.cell)
    if np.abs((site_fractional[sites] + whole - fractional) @ lattice).max() > tolerance:
        raise _NotAGroupError("atoms of one site lie apart")
    site_numbers = np.zeros(len(site_fractional), dtype=np.int64)
    site_numbers[sites] = crystal.numbers
    if (site_numbers[sites] != crystal.numbers).any():
        raise _NotAGroupError("a site has two elements")
    found = dataset
    if len(site_numbers) < len(sites):
        found = _Crystal(lattice, site_fractional, site_numbers).dataset(symprec)
        if found is None or found.number != dataset.number:
            raise _NotAGroupError("the primitive cell has another group than the cell")
    rotations = np.array(found.operations.rotations, dtype=np.int64)
    translations = np.array(found.operations.translations, dtype=np.float64)
    if len({rotation.tobytes() for rotation in rotations}) < len(rotations):
        raise _NotAGroupError("the primitive cell is not primitive")
    symmetric, _ = symmetric_cell(lattice, rotations)
    permutation = _permutation(
        cell=symmetric,
        fractional=site_fractional,
        numbers=site_numbers,
        rotations=rotations,
        translations=translations,
        tolerance=tolerance,
    )
    _check_closed(rotations, permutation)
    cartesian = symmetric.T @ rotations @ np.linalg.inv(symmetric.T)
    translations = fitted_translations(site_fractional, rotations, translations, permutation)
    operations = Operations(
        number=int(dataset.number),
        symprec=symprec,
        rotations=rotations,
        translations=translations,
        cartesian=cartesian,
        permutation=permutation,
        sites=sites,
        supercell=supercell,
        cell=crystal.cell,
        positions=crystal.fractional @ crystal.cell,
    )
    cell, positions = symmetrize_structure(operations.cell, operations.positions, operations)
    moved = np.linalg.norm(positions - crystal.fractional @ cell, axis=1).max()
    if moved > symprec:
        raise _NotAGroupError(f"an atom would have to move by {moved:.3g} A")
    return replace(operations, cell=cell, positions=positions)


def _primitive_cell(crystal: _Crystal, dataset: Any) -> tuple[Integers, Integers]:
    """Return supercell (3, 3) with cell = supercell @ primitive cell, and the site (A,) of each atom.

    :raises _NotAGroupError: if the sites are not shared out evenly.
    """
    n_atoms = len(crystal.numbers)
    columns = np.array(dataset.prim_std_linear, dtype=np.float64)  # primitive^T = cell^T @ columns
    if abs(abs(np.linalg.det(columns)) - 1) < 1e-6:
        return np.eye(3, dtype=np.int64), np.arange(n_atoms)
    exact = np.linalg.inv(columns).T
    supercell = np.round(exact).astype(np.int64)
    if np.abs(exact - supercell).max() > 1e-5:
        raise _NotAGroupError("the cell is no supercell of its primitive cell")
    _, sites, counts = np.unique(dataset.mapping_std_prim, return_inverse=True, return_counts=True)
    if (counts != round(abs(np.linalg.det(supercell)))).any():
        raise _NotAGroupError("sites have different numbers of atoms")
    return supercell, sites.astype(np.int64)


def _permutation(
    *,
    cell: Floats,
    fractional: Floats,
    numbers: Integers,
    rotations: Integers,
    translations: Floats,
    tolerance: float,
) -> Integers:
    """Return (n, P): the site nearest to the image of each site, among those of its element.

    :raises _NotAGroupError: if an image is farther than ``tolerance`` from all of them, or two share one.
    """
    n_sites = len(numbers)
    images = np.einsum("kab,sb->ksa", rotations, fractional) + translations[:, None]
    permutation = np.full((len(rotations), n_sites), -1, dtype=np.int64)
    for number in np.unique(numbers):
        members = np.flatnonzero(numbers == number)
        wanted = images[:, members].reshape(-1, 3)
        nearest = np.empty(len(wanted), dtype=np.int64)
        step = max(1, _BLOCK // len(members))
        for start in range(0, len(wanted), step):
            apart = wanted[start : start + step, None] - fractional[members]
            apart = (apart - np.round(apart)) @ cell
            squared = np.einsum("ija,ija->ij", apart, apart)
            nearest[start : start + step] = squared.argmin(axis=1)
            if np.sqrt(squared.min(axis=1).max()) > tolerance:
                raise _NotAGroupError(f"no atom within {tolerance:g} A of an image")
        permutation[:, members] = members[nearest].reshape(len(rotations), -1)
    if (np.sort(permutation, axis=1) != np.arange(n_sites)).any():
        raise _NotAGroupError("two atoms have the same image")
    return permutation


def _check_closed(rotations: Integers, permutation: Integers) -> None:
    """:raises _NotAGroupError: if a product of two operations is not among them, or permutes otherwise."""
    codes = rotations.reshape(-1, 9) @ _HASH
    order = np.argsort(codes)
    for rotation, places in zip(rotations, permutation, strict=True):
        products = (rotation @ rotations).reshape(-1, 9) @ _HASH
        index = order[np.searchsorted(codes, products, sorter=order) % len(codes)]
        if (codes[index] != products).any():
            raise _NotAGroupError("the product of two operations is not among them")
        if (permutation[index] != places[permutation]).any():
            raise _NotAGroupError("the operations permute the atoms, but not as a group")

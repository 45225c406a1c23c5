"""A faster way through the operations of a supercell, of which phonopy takes one after the other.

A supercell of 64 primitive cells of bcc has 3,072 operations: 48 rotations times 64 translations. phonopy 4 searches
for each of them anew which atom it takes to which place, and compares its rotation with all that came before; for two
supercells that is most of the second that planning the displacements of third order takes. Here each rotation and
each translation is searched for once, by phonopy itself, and the others are their products.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
from phonopy.structure import symmetry as phonopy_symmetry

from aiida_pet.tables.arrays import Floats, Integers

__all__ = ["quick_supercell_symmetry"]

_Permutations = Callable[..., Integers]
_SAME = (
    1e-3  # of a lattice vector: translations of a supercell of a thousand cells are ten times as far apart
)


@contextmanager
def quick_supercell_symmetry() -> Iterator[None]:
    """Let phonopy find permutations, point groups and site symmetries of supercells faster; results stay the same."""
    permutations = _by_products(phonopy_symmetry.compute_all_sg_permutations)
    with (
        patch.object(phonopy_symmetry, "compute_all_sg_permutations", permutations),
        patch.object(phonopy_symmetry, "collect_unique_rotations", unique_rotations),
        patch.object(phonopy_symmetry.Symmetry, "_get_site_symmetry", _site_symmetry),
    ):
        yield


def _by_products(search: _Permutations) -> _Permutations:
    """Return phonopy's ``compute_all_sg_permutations``, which is ``search``, with fewer searches."""

    def permutations(
        positions: Floats, rotations: Integers, translations: Floats, *given: Any, **options: Any
    ) -> Integers:
        _, first, which = np.unique(
            np.asarray(rotations).reshape(len(rotations), 9), axis=0, return_index=True, return_inverse=True
        )
        which = which.reshape(-1)
        pure = np.flatnonzero((rotations == np.eye(3, dtype=int)).all(axis=(1, 2)))
        beyond = translations - translations[first[which]]  # (n, 3) of each after the first with its rotation
        off = beyond[:, None] - translations[pure]
        distances = np.abs(off - np.rint(off)).max(axis=2)
        shift = distances.argmin(axis=1)
        if len(pure) * len(first) != len(rotations) or (distances.min(axis=1) > _SAME).any():
            return search(positions, rotations, translations, *given, **options)
        wanted = np.concatenate([first, pure])
        found = search(positions, rotations[wanted], translations[wanted], *given, **options)
        of_rotations, of_shifts = found[: len(first)], found[len(first) :]
        return np.take_along_axis(of_shifts[shift], of_rotations[which], axis=1)

    return permutations


def unique_rotations(rotations: Integers) -> Integers:
    """Return the (u, 3, 3) different matrices of ``rotations`` (n, 3, 3), in the order in which they come."""
    _, first = np.unique(np.asarray(rotations).reshape(len(rotations), 9), axis=0, return_index=True)
    return np.array(rotations[np.sort(first)], dtype=np.int64, order="C")


def _site_symmetry(  # noqa: PLR0917 - as phonopy calls it
    _: Any,
    atom_number: int,
    lattice: Floats,
    positions: Floats,
    rotations: Integers,
    translations: Floats,
    symprec: float,
) -> Integers:
    position = positions[atom_number]
    off = position - (rotations @ position + translations)
    stays = np.linalg.norm((off - np.rint(off)) @ lattice, axis=1) < symprec
    return np.asarray(rotations, dtype=np.int64)[stays]

"""A faster way through the operations of a supercell, of which phonopy takes one after the other.

A supercell of 64 primitive cells of bcc has 3,072 operations: 48 rotations times 64 translations. phonopy 4 searches
for each of them anew which atom it takes to which place, and compares its rotation with all that came before; phono3py
4 compares all pairs of atoms one by one. That is most of the second that planning the displacements of third order
takes. Here each rotation and each translation is searched for once, by phonopy itself, and the others are their
products; pairs are compared all at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
from phonopy.structure import symmetry as phonopy_symmetry
from phonopy.structure.atoms import PhonopyAtoms

from aiida_pet.tables.arrays import Floats, Integers

__all__ = ["quick_supercell_symmetry"]

_Permutations = Callable[..., Integers]
_SAME = 1e-3
"""Of a lattice vector: translations of a supercell of a thousand cells are ten times as far apart."""


@contextmanager
def quick_supercell_symmetry() -> Iterator[None]:
    """Let phonopy and phono3py find permutations, point groups, site symmetries and orbits faster; these stay the same.

    Functions that a release does not have are left out.
    """
    from phono3py.phonon3 import displacement_fc3  # noqa: PLC0415 - an extra

    quick: list[tuple[Any, str, Any]] = [
        (phonopy_symmetry, "compute_all_sg_permutations", _by_products),
        (phonopy_symmetry, "collect_unique_rotations", lambda _: unique_rotations),
        (phonopy_symmetry.Symmetry, "_get_site_symmetry", lambda _: _site_symmetry),
        (displacement_fc3, "_get_orbits", lambda _: _orbits),
    ]
    with ExitStack() as stack:
        for owner, name, make in quick:
            if hasattr(owner, name):
                stack.enter_context(patch.object(owner, name, make(getattr(owner, name))))
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


def _orbits(atom_index: int, cell: PhonopyAtoms, site_symmetry: Integers, symprec: float = 1e-5) -> Integers:
    positions = cell.scaled_positions
    center = positions[atom_index]
    orbits = np.empty((len(positions), len(site_symmetry)), dtype=np.int64)
    image = np.arange(len(positions))
    for number, rotation in enumerate(site_symmetry):
        off = positions - ((positions - center) @ rotation.T + center)[:, None]
        near = np.linalg.norm((off - np.rint(off)) @ cell.cell, axis=2) < symprec
        if not near.any(axis=1).all():
            raise ValueError(f"the site symmetry of atom {atom_index} is broken at {symprec:g} A")
        image = near.argmax(axis=1)[image]  # phono3py 4 rotates what it rotated before: the orbit is the same
        orbits[:, number] = image
    return orbits

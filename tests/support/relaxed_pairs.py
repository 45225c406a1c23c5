"""Pairs of crystals as relaxed by a model and by a reference, made from seeds so that others can make them too."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.spacegroup import crystal


def relaxed_pairs() -> list[tuple[str, Atoms, Atoms]]:
    """Id, predicted and reference crystal: unchanged, grown, rattled, sheared, symmetrised and other than expected."""
    rng = np.random.default_rng(0)
    rutile = crystal(
        ["Ti", "O"], [(0, 0, 0), (0.305, 0.305, 0)], spacegroup=136, cellpar=[4.6, 4.6, 2.95, 90, 90, 90]
    )
    rattled = rutile.copy()
    rattled.positions += rng.normal(0, 0.05, rattled.positions.shape)
    b2 = bulk("Mo", cubic=True, a=3.2)
    b2.numbers[1] = 73
    sheared = b2.copy()
    sheared.set_cell(b2.cell.array @ np.array([[1, 0.02, 0], [0.02, 1, 0], [0, 0, 1]]), scale_atoms=True)
    moved = b2.copy()
    moved.positions[1] += [0.3, 0, 0]
    fcc = bulk("Cu", cubic=True, a=3.6)
    other = fcc.copy()
    other.numbers[:] = 47
    return [
        ("same", rutile, rutile.copy()),
        ("grown", fcc.copy(), bulk("Cu", cubic=True, a=3.7)),
        ("rattled", rattled, rutile),
        ("symmetrised", rutile, rattled),
        ("sheared", sheared, b2),
        ("moved", moved, b2),
        ("primitive", bulk("Cu", a=3.6), fcc),
        ("unmatched", other, fcc),
    ]

"""Warnings about a group that depends on the tolerance, or differs from the group of the start.

A workflow that looks at one tolerance takes another path (standard cell, band path) if the crystal has a
lower group there. The warning stands in the table, so that this does not happen unseen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from aiida_pet.crystals.symmetry.search import KINDS
from aiida_pet.tables.table import Array

_NAMES = {
    3: "space group",
    2: "layer group",
}  # by the number of periodic directions; of others the order is told


def symmetry_warnings(
    groups: Mapping[str, Array], initial: Mapping[str, Array] | None = None, pbc: Array | None = None
) -> Array:
    """Return (N,) str, empty for a row of which there is nothing to say.

    :param groups: tolerance as :func:`~aiida_pet.crystals.symmetry.spacegroup.groups_of` labels it (``0_01``) -> (N,)
        its ``kind`` of each row, 0 where there is none, NaN where it is not known.
    :param initial: the same before the relaxation; None if there was none.
    :param pbc: (N, 3), which says what kind of group it is; crystals if not given.
    """
    tolerances = [label.replace("_", ".") for label in groups]
    after = np.stack(list(groups.values()), axis=1)
    before = after if initial is None else np.stack([initial[at] for at in groups], axis=1)
    differs = (after != after[:, :1]).any(axis=1)
    changed = (after != before).any(axis=1)
    none = ((after == 0) | np.isnan(after) | np.isnan(before)).any(axis=1)
    periodic = np.full(len(after), 3) if pbc is None else pbc.sum(axis=1)
    texts = np.full(len(after), "", dtype=object)
    for row in np.flatnonzero((differs | changed) & ~none).tolist():
        name = _NAMES.get(int(periodic[row]), "group")
        ends, starts = (_shown(values[row].tolist(), name) for values in (after, before))
        parts = []
        if differs[row]:
            parts.append(
                f"{name} " + ", ".join(f"{end} at {at} A" for at, end in zip(tolerances, ends, strict=True))
            )
        if changed[row]:
            moved = [
                f"{start} -> {end} at {at} A"
                for at, start, end, is_new in zip(
                    tolerances, starts, ends, after[row] != before[row], strict=True
                )
                if is_new
            ]
            parts.append("relaxation changed it: " + ", ".join(moved))
        texts[row] = "; ".join(parts)
    return texts.astype(str)


def _shown(kinds: Sequence[float], name: str) -> list[str]:
    """Return the numbers of groups as texts; of a wire or a molecule, whose groups have none here, their orders."""
    whole = map(int, kinds)  # numbers where some row has none
    return [str(kind) if name in _NAMES.values() else f"of order {kind // KINDS}" for kind in whole]

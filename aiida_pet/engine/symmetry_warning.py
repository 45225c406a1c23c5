"""What there is to say of a space group that depends on the tolerance, or is not that of the start.

A workflow that looks at one tolerance takes another path (standard cell, band path) if the crystal has a
lower group there. The warning stands in the table, so that this does not happen unseen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from aiida_pet.engine.table import Array


def symmetry_warnings(groups: Mapping[str, Array], initial: Mapping[str, Array] | None = None) -> Array:
    """Return (N,) str, empty for a crystal of which there is nothing to say.

    :param groups: tolerance as :func:`~aiida_pet.engine.spacegroup.spacegroup_numbers` labels it (``0_01``) ->
        numbers (N,) of space groups, 0 where there is none.
    :param initial: the same before the relaxation; None if there was none.
    """
    tolerances = [label.replace("_", ".") for label in groups]
    after = np.stack(list(groups.values()), axis=1)
    before = after if initial is None else np.stack([initial[at] for at in groups], axis=1)
    differs = (after != after[:, :1]).any(axis=1)
    changed = (after != before).any(axis=1)
    none = (after == 0).any(axis=1)
    texts = np.full(len(after), "", dtype=object)
    for row in np.flatnonzero((differs | changed) & ~none).tolist():
        parts = []
        if differs[row]:
            parts.append(f"space group {_listed(tolerances, after[row])}")
        if changed[row]:
            moved = {
                at: f"{old} -> {new}"
                for at, old, new in zip(tolerances, before[row].tolist(), after[row].tolist(), strict=True)
                if old != new
            }
            parts.append(
                "relaxation changed it: " + ", ".join(f"{text} at {at} A" for at, text in moved.items())
            )
        texts[row] = "; ".join(parts)
    return texts.astype(str)


def _listed(tolerances: Sequence[str], numbers: Array) -> str:
    return ", ".join(f"{number} at {at} A" for at, number in zip(tolerances, numbers.tolist(), strict=True))

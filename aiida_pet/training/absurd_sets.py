"""Sets whose labels as a whole cannot be right: all of one kind zero, or too many out of bounds."""

from __future__ import annotations

import numpy as np

from aiida_pet.crystals.symmetry.spacegroup import operations_of_row
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.table import Array
from aiida_pet.training.labels import LIMITS, Labels
from aiida_pet.training.parameters import TrainingError

MOST_OUTLIERS = 0.25
_LOOKED_AT = 20  # rows whose symmetry is searched for
_SYMPREC = 1e-3  # A


def outliers(labels: Labels) -> Array:
    """Return (N,) whether a row is refused since a label is above a bound."""
    named = [np.char.find(labels.kinds, option) >= 0 for option in LIMITS]
    return np.logical_or.reduce(named)


def has_many_outliers(labels: Labels) -> bool:
    """Return whether more rows are outliers than can be."""
    far = int(outliers(labels).sum())
    return far > MOST_OUTLIERS * (far + int(labels.taken.sum()))


def check_outliers(labels: Labels, name: str) -> None:
    """:raises TrainingError: if so many rows of the set ``name`` are out of bounds that units must be wrong."""
    if not has_many_outliers(labels):
        return
    far = outliers(labels)
    rows = int(far.sum()) + int(labels.taken.sum())
    kinds, counts = np.unique(labels.kinds[far], return_counts=True)
    order = np.argsort(-counts)
    told = "; ".join(f"{counts[place]} rows: {kinds[place]}" for place in order)
    raise TrainingError(
        f"{int(far.sum())} of {rows} rows of the {name} set have labels out of bounds, more than a quarter, so that "
        f"units are likely wrong ({told}). Expected are eV of the cell, eV/A and eV/A^3; if the labels are right, "
        "raise the bounds"
    )


def check_not_zero(table: StructureTable, labels: Labels, name: str) -> None:
    """:raises TrainingError: if all forces or all stresses are exactly zero, and no symmetry demands it."""
    taken = labels.taken
    atoms = np.repeat(taken, np.diff(table.offsets))
    if labels.stress is not None and _all_zero(labels.stress[taken]):
        raise TrainingError(
            f"all stresses of the {name} set are exactly zero: column {labels.columns['stress']} holds no stresses; "
            "stress=null trains without them"
        )
    if labels.forces is None or not _all_zero(labels.forces[atoms]):
        return
    rows = np.flatnonzero(taken)
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _LOOKED_AT)).astype(int))]
    for row in rows.tolist():
        if not _is_at_rest(table, row):
            raise TrainingError(
                f"all forces of the {name} set are exactly zero, which the symmetry of {table.ids[row]} does not "
                f"explain: column {labels.columns['forces']} holds no forces; forces=null trains without them"
            )


def _all_zero(values: Array) -> bool:
    known = values[np.isfinite(values)]
    return bool(len(known)) and not known.any()


def _is_at_rest(table: StructureTable, row: int) -> bool:
    """Return whether symmetry demands that all forces on the atoms of ``row`` are zero."""
    operations = operations_of_row(table, row, _SYMPREC)
    if operations.n_sites == 1:
        return True
    for site in range(operations.n_sites):
        kept = operations.cartesian[operations.permutation[:, site] == site]
        if np.abs(kept.mean(axis=0)).max() > 1e-6:  # what a vector on the site keeps under its own symmetry
            return False
    return True

"""Which rows train, which validate, which are kept for errors: by seed and group, one crystal never on two sides."""

from __future__ import annotations

from enum import StrEnum

import numpy as np

from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.table import Array
from aiida_pet.training.parameters import TrainingError, TrainingParameters


class Split(StrEnum):
    """What a row is used for."""

    TRAINING = "training"
    VALIDATION = "validation"  # chooses the best epoch and calibrates the uncertainty
    TEST = "test"  # never seen: errors
    REFUSED = "refused"


def groups_of(table: StructureTable, column: str | None) -> Array:
    """Return (N,) the name of the crystal that each row comes from; its own id without a column, or where it is empty.

    :raises TrainingError: if there is no such column.
    """
    ids = table.ids.astype(str)
    if column is None:
        return ids
    if column not in table.columns:
        raise TrainingError(
            f"group = {column!r}: the set has no such column; it has {', '.join(table.columns) or 'none'}"
        )
    values = table.columns[column].astype(str)
    return np.where(np.isin(values, ("", "nan")), np.char.add("id:", ids), values)


def split_rows(
    groups: Array, taken: Array, parameters: TrainingParameters, *, validation: bool, test: bool
) -> Array:
    """Return (N,) the :class:`Split` of each row.

    Groups are drawn at random, by ``parameters.seed``; the same groups give the same split in whatever order they are.

    :param groups: (N,) as :func:`groups_of`.
    :param taken: (N,) whether a row can be used.
    :param validation: whether rows are to validate, as there is no set for that.
    :param test: whether rows are to be kept for errors.
    """
    names = np.unique(groups[taken])
    order = np.random.default_rng(parameters.seed).permutation(len(names))
    shares = (
        (Split.VALIDATION, parameters.validation_fraction if validation else 0.0),
        (Split.TEST, parameters.test_fraction if test else 0.0),
    )
    chosen = dict.fromkeys(names.tolist(), Split.TRAINING.value)
    first = 0
    for split, fraction in shares:
        count = min(int(np.ceil(fraction * len(names))), len(names) - first)
        for place in order[first : first + count]:
            chosen[names[place]] = split.value
        first += count
    found = [chosen[name] if ok else Split.REFUSED.value for name, ok in zip(groups, taken, strict=True)]
    return np.array(found, dtype=str)

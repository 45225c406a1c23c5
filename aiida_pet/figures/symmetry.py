"""Space groups before and after a relaxation, at each tolerance."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pandas as pd

from aiida_pet.figures.source import NotDrawnError, Source, as_frame, framed

_BEFORE, _AFTER, _KEPT = "initial_spacegroup_", "spacegroup_", "symmetry_kept_"


@dataclass(frozen=True)
class SymmetryChanges:
    """How many rows went from which space group to which, at K tolerances.

    :ivar tolerances: (K,) A, ascending.
    :ivar changes: changes of each tolerance, (before, after) -> rows; rows that kept their group are among them.
    :ivar not_relaxed: number of rows that were left out, since they were not relaxed or have no space group.
    """

    tolerances: tuple[float, ...]
    changes: tuple[dict[tuple[int, int], int], ...]
    not_relaxed: int

    @property
    def kept(self) -> tuple[int, ...]:
        """Rows of the same group before and after, at each tolerance."""
        return tuple(
            sum(rows for (before, after), rows in one.items() if before == after) for one in self.changes
        )

    @property
    def changed(self) -> tuple[int, ...]:
        """Rows of another group after than before, at each tolerance."""
        return tuple(
            sum(rows for (before, after), rows in one.items() if before != after) for one in self.changes
        )

    def to_frame(self) -> pd.DataFrame:
        """Return a row per tolerance and pair: ``tolerance``, ``before``, ``after``, ``rows``; most rows first."""
        records = [
            (tolerance, before, after, rows)
            for tolerance, one in zip(self.tolerances, self.changes, strict=True)
            for (before, after), rows in sorted(one.items(), key=lambda item: -item[1])
        ]
        names = ("tolerance", "before", "after", "rows")
        columns: dict[str, object] = {n: [record[i] for record in records] for i, n in enumerate(names)}
        return framed(columns, {"tolerance": "A"})


def symmetry_changes(source: Source) -> SymmetryChanges:
    """Return how space groups changed.

    :param source: with ``initial_spacegroup_{symprec}`` and ``spacegroup_{symprec}``; rows whose ``symmetry_kept_*`` is
        missing were not relaxed, and are left out.
    :raises NotDrawnError: if there is no such pair of columns.

    >>> frame = pd.DataFrame({"initial_spacegroup_0_01": [229, 139], "spacegroup_0_01": [229, 8]})
    >>> found = symmetry_changes(frame)
    >>> found.tolerances, found.kept, found.changed
    ((0.01,), (1,), (1,))
    """
    frame = as_frame(source)
    labels = [str(name).removeprefix(_BEFORE) for name in frame.columns if str(name).startswith(_BEFORE)]
    labels = [label for label in labels if _AFTER + label in frame.columns]
    if not labels:
        raise NotDrawnError(
            "the space groups before and after a relaxation are missing (columns initial_spacegroup_0_01 and "
            "spacegroup_0_01)"
        )
    labels.sort(key=tolerance_of)
    changes, left_out = [], 0
    for label in labels:
        pairs = frame[[_BEFORE + label, _AFTER + label]]
        known = pairs.notna().all(axis=1)
        if _KEPT + label in frame.columns:
            known &= frame[_KEPT + label].notna()
        left_out = max(left_out, int((~known).sum()))
        pair_of = pairs[known].to_numpy(dtype=int).tolist()
        changes.append(dict(Counter((before, after) for before, after in pair_of)))
    return SymmetryChanges(tuple(map(tolerance_of, labels)), tuple(changes), left_out)


def tolerance_of(label: str) -> float:
    """Return the tolerance (A) of a label of columns: ``0_01`` -> 0.01."""
    return float(label.replace("_", "."))


def group_symbol(number: int) -> str:
    """Return the short symbol of Hermann and Mauguin of a space group: 225 -> ``Fm-3m``; ``-`` for none."""
    from pymatgen.symmetry.groups import sg_symbol_from_int_number  # noqa: PLC0415 - slow to import

    return str(sg_symbol_from_int_number(number)) if 1 <= number <= 230 else "-"

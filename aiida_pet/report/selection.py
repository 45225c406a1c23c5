"""Which rows the page holds: all of them, or of very many the extremes of each column and a sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aiida_pet.analysis.funnel import OK_STATUSES
from aiida_pet.tables.columns import first_look

_SEED = 0
_EXTREME_SHARE = 0.5  # of the rows that may be extremes; the rest is the sample
_KEY_COLUMNS = ("e_above_hull", "min_frequency", "bulk_modulus", "shear_modulus", "fmax", "energy", "volume")


@dataclass(frozen=True)
class Selection:
    """Rows of a launch that the page holds.

    :ivar positions: (M,) ascending.
    :ivar best: (B,) positions of the crystals shown with all their figures, the best first.
    :ivar total: rows that there are.
    """

    positions: NDArray[np.int64]
    best: NDArray[np.int64]
    total: int

    @property
    def n_left_out(self) -> int:
        """Rows that the page does not hold."""
        return self.total - len(self.positions)


def select(
    frame: pd.DataFrame, most: int, best: int, sort: str | None = None, ids: tuple[str, ...] = ()
) -> Selection:
    """Return which rows of ``frame`` the page holds.

    :param frame: all rows, indexed by id.
    :param most: rows that it may hold.
    :param best: crystals with all their figures.
    :param sort: column that says which are best, with a minus before it largest first.
    :param ids: crystals with all their figures, before the best; those that are not there are passed over.
    """
    first = best_of(frame, sort)
    asked = frame.index.get_indexer(pd.Index(list(ids), dtype=object))
    chosen = np.array(
        list(dict.fromkeys([*asked[asked >= 0].tolist(), *first[:best].tolist()])), dtype=np.int64
    )
    if len(frame) <= most:
        return Selection(np.arange(len(frame)), chosen, len(frame))
    extremes = _extremes(frame, max(1, int(most * _EXTREME_SHARE) - len(chosen)))
    kept = np.union1d(chosen, extremes)
    rest = np.setdiff1d(np.arange(len(frame)), kept)
    sample = np.random.default_rng(_SEED).choice(
        rest, size=max(0, min(most - len(kept), len(rest))), replace=False
    )
    return Selection(np.union1d(kept, sample).astype(np.int64), chosen, len(frame))


def best_of(frame: pd.DataFrame, sort: str | None = None) -> NDArray[np.int64]:
    """Return the positions of the rows with an answer, the best first.

    Rows that came through a screening go before those that did not, then the nearest to the hull; without either the
    order is that of the rows.
    """
    there = np.ones(len(frame), bool)
    for name in ("status", "hull_status"):
        if name in frame.columns:
            there = frame[name].isin(OK_STATUSES).to_numpy()
            break
    keys: list[NDArray[np.float64]] = []  # the last is the first to decide
    by = sort or ("e_above_hull" if "e_above_hull" in frame.columns else None)
    if by:
        values = pd.to_numeric(frame[by.removeprefix("-")], errors="coerce").to_numpy(
            np.float64, na_value=np.nan
        )
        keys.append(np.nan_to_num(-values if by.startswith("-") else values, nan=np.inf))
    if "passed" in frame.columns and not sort:
        keys.append(-frame["passed"].fillna(False).to_numpy(np.float64))
    order = np.lexsort(keys) if keys else np.arange(len(frame))
    return order[there[order]].astype(np.int64)


def _extremes(frame: pd.DataFrame, most: int) -> NDArray[np.int64]:
    """Return positions of the rows with the lowest and highest values of each key column, and rows of each status."""
    names = [
        name
        for name in dict.fromkeys([*_KEY_COLUMNS, *first_look(map(str, frame.columns))])
        if name in frame.columns
    ]
    numeric = [
        name
        for name in names
        if pd.api.types.is_numeric_dtype(frame[name].dtype)
        and not pd.api.types.is_bool_dtype(frame[name].dtype)
    ]
    each = max(1, most // (2 * (len(numeric) + 2)))
    found: list[NDArray[np.int64]] = []
    for name in numeric:
        values = frame[name].to_numpy(np.float64, na_value=np.nan)
        known = np.flatnonzero(np.isfinite(values))
        order = known[np.argsort(values[known], kind="stable")]
        found += [order[:each], order[-each:]]
    for name in ("status", "stage"):
        if name in frame.columns:
            places = (
                pd.Series(np.arange(len(frame)))
                .groupby(frame[name].to_numpy(), sort=True)
                .head(max(1, each // 4))
            )
            found.append(places.to_numpy())
    return np.unique(np.concatenate(found))[:most] if found else np.array([], np.int64)

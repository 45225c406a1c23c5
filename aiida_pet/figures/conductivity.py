"""The thermal conductivity of a row over the temperature, and which of its modes carry it at 300 K."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from aiida_pet.figures.source import Source, array_of_row, framed
from aiida_pet.tables.arrays import Floats

REMEDY = "`aiida-pet launch conductivity SET` makes this column, or the stage conductivity of a screening"
SMALLEST_SHARE = 1e-3
"""Part of the conductivity below which a cumulative curve is as good as zero."""
_KAPPA = "W/(m K)"


@dataclass(frozen=True)
class HeatCurves:
    """Conductivity at T temperatures, and cumulative conductivity at 300 K up to C frequencies or mean free paths.

    :ivar id: id of the row.
    :ivar temperatures: (T,) K.
    :ivar kappa: (T,) mean of the diagonal, W/(m K).
    :ivar frequencies: (C,) THz.
    :ivar by_frequency: (C,) W/(m K).
    :ivar paths: (C,) A; none if they are not known.
    :ivar by_path: (C,) W/(m K).
    """

    id: str
    temperatures: Floats
    kappa: Floats
    frequencies: Floats
    by_frequency: Floats
    paths: Floats
    by_path: Floats

    @property
    def shortest_path(self) -> float:
        """Mean free path (A) of the last point before the paths that carry heat; NaN if no path does."""
        carried = self.by_path > SMALLEST_SHARE * self.by_path.max(initial=0.0)
        if not carried.any():
            return float("nan")
        return float(self.paths[max(int(carried.argmax()) - 1, 0)])

    def to_frame(self) -> pd.DataFrame:
        """Return ``curve``, ``at`` and ``kappa``: three curves, one below the other."""
        curves = (
            ("temperature (K)", self.temperatures, self.kappa),
            ("frequency (THz)", self.frequencies, self.by_frequency),
            ("mean free path (A)", self.paths, self.by_path),
        )
        columns: dict[str, object] = {
            "curve": np.concatenate([np.full(len(at), name) for name, at, _ in curves]),
            "at": np.concatenate([at for _, at, _ in curves]),
            "kappa": np.concatenate([kappa for _, _, kappa in curves]),
        }
        return framed(columns, {"kappa": _KAPPA})


def heat_curves_of_row(source: Source, row_id: str) -> HeatCurves:
    """Return the conductivity of a row by temperature, and its cumulative curves.

    :param source: with the columns of the task ``conductivity``.
    :raises NotDrawnError: if the row has no such results.

    .. code-block:: python

        from aiida_pet.campaigns import rows

        curves = heat_curves_of_row(rows("conductivity of alloys").to_table(), "MoTa-0013")
        print(curves.to_frame())
    """
    names = (
        ("kappa_temperatures", "kappa"),
        ("cumulative_frequencies", "cumulative_kappa"),
        ("cumulative_paths", "cumulative_kappa_paths"),
    )
    curves = [array for pair in names for array in _curve(source, pair, row_id)]
    return HeatCurves(row_id, *curves)


def _curve(source: Source, names: tuple[str, str], row_id: str) -> tuple[Floats, Floats]:
    kappa, at = (array_of_row(source, name, row_id, REMEDY) for name in reversed(names))
    known = np.isfinite(at) & np.isfinite(kappa)
    order = np.argsort(at[known], kind="stable")
    return at[known][order], kappa[known][order]

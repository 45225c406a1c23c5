"""The periodic table of a campaign: crystals, failures, and errors where there are references."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from aiida_pet.analysis.funnel import OK_STATUSES
from aiida_pet.figures.elements import elements_of
from aiida_pet.report.figure import Figure, Kind, columns_of
from aiida_pet.report.parities import Compared
from aiida_pet.report.source import Source
from aiida_pet.words import plural


def element_figures(source: Source, compared: Sequence[Compared] = ()) -> list[Figure]:
    """Return the periodic table of the crystals that were given."""
    given = source.given
    if given is None or not len(given):
        return []
    geometry = given.geometry()
    ids = pd.Index(given.ids)
    errors, unit, what = _errors(ids, compared)
    frame = elements_of(geometry["numbers"], geometry["offsets"], _failed(source, ids), errors, unit)
    failed = frame[frame["failed"] > 0]
    told = ", ".join(
        f"{one.element} {one.count}"
        for one in frame.sort_values("count", ascending=False).head(8).itertuples()
    )
    caption = "Number of crystals with each element"
    caption += "; below it, with ✗, the number of crystals that failed" if len(failed) else ""
    caption += f"; at the bottom the mean absolute error of {what} in {unit}" if what else ""
    return [
        Figure(
            name="elements",
            kind=Kind.PERIODIC,
            title=f"{plural(len(frame), 'element')}",
            alt=f"Periodic table of {plural(len(given), 'crystal')}; most hold {told}",
            columns=columns_of(frame, 4),
            options={"error_unit": unit},
            caption=f"{caption}.",
            wide=True,
        )
    ]


def _failed(source: Source, ids: pd.Index[Any]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return (N,) whether a crystal ended without an answer; one that is not computed yet has not failed."""
    frame = source.frame
    name = next((one for one in ("status", "hull_status") if one in frame.columns), None)
    failed = np.zeros(len(ids), bool)
    if name is None:
        return failed
    bad = frame.index[~frame[name].isin(OK_STATUSES)]
    places = ids.get_indexer(bad)
    failed[places[places >= 0]] = True
    return failed


def _errors(
    ids: pd.Index[Any], compared: Sequence[Compared]
) -> tuple[np.ndarray[tuple[int], np.dtype[np.float64]] | None, str, str]:
    """Return the absolute errors of the first comparison, their unit, and what they are of."""
    if not compared:
        return None, "", ""
    parity = compared[0].parity
    errors = np.full(len(ids), np.nan)
    places = ids.get_indexer(pd.Index(parity.ids))
    known = places >= 0
    errors[places[known]] = np.abs(parity.value - parity.reference)[known]
    return errors, parity.unit, parity.column.replace("_", " ")

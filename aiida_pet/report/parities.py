"""Values of the first launch against values of other launches or of references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from aiida_pet.campaigns.references import Reference
from aiida_pet.figures import NotDrawnError, Parity, parity_of
from aiida_pet.report.figure import Figure, Kind, columns_of
from aiida_pet.report.source import Source
from aiida_pet.tables.columns import compared
from aiida_pet.words import plural

MOST = 6
"""Columns that are compared with each reference, unless pairs are named."""
MOST_POINTS = 2_000
"""Points of one plot: the outliers and a sample."""
_PER_CELL = ("energy", "enthalpy", "initial_energy", "volume", "initial_volume")
_FIRST = (
    "e_above_hull",
    "formation_energy",
    "energy",
    "volume",
    "bulk_modulus",
    "shear_modulus",
    "min_frequency",
)


@dataclass(frozen=True)
class Compared:
    """A column against references.

    :ivar name: name of the references.
    :ivar parity: its pairs.
    """

    name: str
    parity: Parity


def compared_of(
    source: Source, reference: Reference, pairs: Mapping[str, str] | None = None
) -> list[Compared]:
    """Return the columns of a launch against the columns of a reference.

    :param pairs: column -> column of the reference; the important ones of the same name if empty.
    :raises NotDrawnError: if a pair that is named cannot be compared.
    """
    if pairs:
        return [
            Compared(
                reference.name,
                parity_of(source.frame, reference.frame, one, other, per_atom=one in _PER_CELL),
            )
            for one, other in pairs.items()
        ]
    found = []
    for name in _both(source.frame, reference.frame):
        try:
            parity = parity_of(source.frame, reference.frame, name, per_atom=name in _PER_CELL)
        except NotDrawnError:
            continue
        found.append(Compared(reference.name, parity))
    return found[:MOST]


def _both(ours: pd.DataFrame, theirs: pd.DataFrame) -> list[str]:
    names = [
        name for name in dict.fromkeys([*_FIRST, *compared(map(str, ours.columns))]) if name in ours.columns
    ]
    return [
        name
        for name in names
        if name in theirs.columns
        and all(
            pd.api.types.is_numeric_dtype(one[name].dtype) and not pd.api.types.is_bool_dtype(one[name].dtype)
            for one in (ours, theirs)
        )
    ]


def parity_figures(found: Sequence[Compared]) -> list[Figure]:
    """Return a plot of each comparison."""
    return [_figure(index, one.name, one.parity) for index, one in enumerate(found)]


def _figure(index: int, name: str, parity: Parity) -> Figure:
    table = parity.to_frame()
    if len(table) > MOST_POINTS:
        rest = np.flatnonzero(~parity.outliers)
        sample = np.random.default_rng(0).choice(rest, size=min(len(rest), MOST_POINTS), replace=False)
        table = table.iloc[np.union1d(np.flatnonzero(parity.outliers)[:MOST_POINTS], sample)]
    unit = f" ({parity.unit})" if parity.unit else ""
    column = parity.column.replace("_", " ")
    told = (
        f"mean absolute error {parity.mae:.4g} {parity.unit}, root mean square {parity.rmse:.4g}, "
        f"bias {parity.bias:+.4g}"
    )
    shown = f" {len(table):,} of them are shown, all outliers among them." if len(table) < len(parity) else ""
    return Figure(
        name=f"parity-{index}-{parity.column}",
        kind=Kind.PARITY,
        title=f"{column} against {name}",
        alt=f"Parity plot of {column} of {plural(len(parity), 'row')} against {name}: {told}",
        columns=columns_of(table),
        options={
            "x_title": f"{name}{unit}",
            "y_title": f"{column}{unit}",
            "hover": ["id", "reference", "value", "difference"],
        },
        caption=f"{plural(len(parity), 'pair')}: {told}.{shown}",
    )

"""Values of a column against the values of another launch or of references, row by row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aiida_pet.figures.source import NotDrawnError, Source, as_frame, framed, missing_columns
from aiida_pet.tables.arrays import Floats
from aiida_pet.tables.columns import unit_of

WIDE = 5.0
"""A difference is an outlier if it is further from the median than so many robust standard deviations."""
_ROBUST = 1.4826  # a normal distribution's standard deviation over its median absolute deviation


@dataclass(frozen=True)
class Parity:
    """N pairs.

    :ivar column: column of the values.
    :ivar other: column of the references.
    :ivar unit: unit of both; empty for none.
    :ivar ids: (N,).
    :ivar reference: (N,) horizontal axis.
    :ivar value: (N,) vertical axis.
    :ivar mae: mean absolute error.
    :ivar rmse: root mean square error.
    :ivar bias: mean of value minus reference.
    :ivar outliers: (N,) bool.
    :ivar only_values: rows without a reference, or whose reference has no value.
    :ivar only_references: references without a row, or whose row has no value.
    """

    column: str
    other: str
    unit: str
    ids: NDArray[np.str_]
    reference: Floats
    value: Floats
    mae: float
    rmse: float
    bias: float
    outliers: NDArray[np.bool_]
    only_values: int
    only_references: int

    def __len__(self) -> int:
        return len(self.ids)

    def to_frame(self) -> pd.DataFrame:
        """Return a row per pair: ``id``, ``reference``, ``value``, ``difference``, ``outlier``."""
        columns: dict[str, object] = {
            "id": self.ids,
            "reference": self.reference,
            "value": self.value,
            "difference": self.value - self.reference,
            "outlier": self.outliers,
        }
        named = ("reference", "value", "difference")
        return framed(columns, dict.fromkeys(named, self.unit) if self.unit else {})


def parity_of(
    values: Source, references: Source, column: str, other: str | None = None, *, per_atom: bool = False
) -> Parity:
    """Return the pairs of a column, by id.

    :param references: indexed by the same ids.
    :param other: column of the references; if not given, it has the same name as the column of the values.
    :param per_atom: divide both by the ``n_atoms`` of the values: for energies of cells.
    :raises NotDrawnError: if a column is missing or holds no numbers, or no row is in both.

    >>> ours = pd.DataFrame({"bulk_modulus": [300.0, 260.0, 190.0]}, index=["W", "Mo", "Ta"])
    >>> theirs = pd.DataFrame({"bulk_modulus": [310.0, 260.0]}, index=["W", "Mo"])
    >>> found = parity_of(ours, theirs, "bulk_modulus")
    >>> found.mae, found.unit, found.only_values
    (5.0, 'GPa', 1)
    """
    ours, theirs = as_frame(values), as_frame(references)
    other = other or column
    missing_columns(
        ours, [column], "a parity plot of the values", "`aiida-pet columns` lists what each task writes"
    )
    missing_columns(
        theirs, [other], "a parity plot of the references", "name another column of the references"
    )
    unit = ours.attrs.get("units", {}).get(column) or unit_of(column)
    first, second = (_numbers(frame, name) for frame, name in ((ours, column), (theirs, other)))
    if per_atom:
        missing_columns(ours, ["n_atoms"], "a parity plot per atom", "name a launch that holds crystals")
        n_atoms = ours["n_atoms"].astype(float)
        first, second = first / n_atoms, second / n_atoms.reindex(second.index)
        unit = f"{unit}/atom" if unit else ""
    pairs = pd.DataFrame({"value": first, "reference": second.reindex(first.index)}).replace(
        [np.inf, -np.inf], np.nan
    )
    known = pairs.dropna()
    if known.empty:
        raise NotDrawnError(
            f"no row has both {column!r} and a reference {other!r}: {len(ours)} rows and {len(theirs)} references "
            f"share {len(ours.index.intersection(theirs.index))} ids"
        )
    off = (known["value"] - known["reference"]).to_numpy(np.float64)
    return Parity(
        column=column,
        other=other,
        unit=unit,
        ids=np.asarray(known.index, dtype=str),
        reference=known["reference"].to_numpy(np.float64),
        value=known["value"].to_numpy(np.float64),
        mae=float(np.abs(off).mean()),
        rmse=float(np.sqrt((off**2).mean())),
        bias=float(off.mean()),
        outliers=_outliers(off),
        only_values=int(first.notna().sum()) - len(known),
        only_references=int(second.notna().sum()) - len(known),
    )


def _numbers(frame: pd.DataFrame, name: str) -> pd.Series[float]:
    try:
        return frame[name].astype(float)
    except (TypeError, ValueError) as error:
        raise NotDrawnError(
            f"column {name!r} has no numbers, so nothing can be plotted against it"
        ) from error


def _outliers(off: Floats) -> NDArray[np.bool_]:
    centre = np.median(off)
    width = _ROBUST * np.median(np.abs(off - centre))
    found: NDArray[np.bool_] = np.abs(off - centre) > WIDE * max(float(width), 1e-300)
    return found if width > 0 else np.zeros(len(off), bool)

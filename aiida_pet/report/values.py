"""How the values of the important columns are distributed, of several launches one over the other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from aiida_pet.figures import Counts, Histogram, distribution_of
from aiida_pet.figures.histogram import histogram
from aiida_pet.figures.source import framed
from aiida_pet.report.figure import Figure, Kind, columns_of
from aiida_pet.report.source import Source
from aiida_pet.tables.columns import find_columns, unit_of
from aiida_pet.words import plural

MOST = 24
"""Histograms in a page."""
PER_ATOM = {"energy": "energy per atom", "volume": "volume per atom"}
_MARKED = {"min_frequency": 0.0, "min_eigenvalue": 0.0}
_PASSED_OVER = (
    "n_elements",
    "heads",
    "message",
    "reason",
    "decomposition",
    "formula",
    "id",
    "stage",
    "passed",
    "n_strains",
    "n_atoms_primitive",
)
_WORDS = ("crystal_system",)


def value_figures(sources: Sequence[Source]) -> list[Figure]:
    """Return a histogram of each important column that varies, and counts of important words."""
    frames = [with_values_per_atom(source.frame) for source in sources]
    found = []
    for name in _important(frames[0]):
        figure = _figure(name, [frame[name] for frame in frames if name in frame.columns], sources)
        if figure is not None:
            found.append(figure)
    return found[:MOST]


def with_values_per_atom(frame: pd.DataFrame) -> pd.DataFrame:
    """Return ``frame`` with energies and volumes per atom where it has them per cell."""
    if "n_atoms" not in frame.columns:
        return frame
    more = {PER_ATOM[name]: frame[name] / frame["n_atoms"] for name in PER_ATOM if name in frame.columns}
    return frame.assign(**more)


def _important(frame: pd.DataFrame) -> list[str]:
    """Return the columns of numbers that people look at or compare, in the order of the stages."""
    names = []
    for name in map(str, frame.columns):
        known = any(column.shown or column.compared for column in find_columns(name))
        per_atom = name in PER_ATOM.values()
        if not (known or per_atom) or name in PER_ATOM or name in _PASSED_OVER or "spacegroup" in name:
            continue
        dtype = frame[name].dtype
        if pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype):
            names.append(name)
    names += [name for name in _WORDS if name in frame.columns]
    first = [name for name in ("e_above_hull", *PER_ATOM.values()) if name in names]
    return [*first, *(name for name in names if name not in first)]


def _figure(name: str, columns: list[pd.Series[float]], sources: Sequence[Source]) -> Figure | None:
    together = pd.concat(columns)
    if together.dropna().nunique() < 2:
        return None
    frame = pd.DataFrame({name: together})
    unit = _unit(name)
    if unit:
        frame.attrs["units"] = {name: unit}
    found = distribution_of(frame, name)
    if isinstance(found, Counts):
        return _words(found)
    labels = [source.name for source in sources][: len(columns)] if len(columns) > 1 else ["rows"]
    counts = {
        label: np.histogram(column.to_numpy(np.float64, na_value=np.nan), found.edges)[0]
        for label, column in zip(labels, columns, strict=True)
    }
    table = framed({"low": found.edges[:-1], "high": found.edges[1:], **counts})
    beyond = found.below + found.above
    caption = f"median {found.median:.4g} {unit}".rstrip()
    caption += f"; {plural(beyond, 'row')} beyond the picture" if beyond else ""
    caption += f"; {plural(found.missing, 'row')} without a value" if found.missing else ""
    return Figure(
        name=f"histogram-{name.replace(' ', '-')}",
        kind=Kind.HISTOGRAM,
        title=name.replace("_", " "),
        alt=_alt(name, unit, found),
        columns=columns_of(table),
        options={
            "name": name.replace("_", " "),
            "unit": unit,
            "series": labels,
            "marks": [_MARKED[name]] if name in _MARKED else [],
        },
        caption=f"{caption}.",
    )


def _unit(name: str) -> str:
    for base, per_atom in PER_ATOM.items():
        if name == per_atom:
            return f"{unit_of(base)}/atom"
    return unit_of(name)


def _alt(name: str, unit: str, found: Histogram) -> str:
    return (
        f"Histogram of {name}: {found.n_values:,} rows from {found.edges[0]:.4g} to {found.edges[-1]:.4g} {unit}, "
        f"median {found.median:.4g}"
    )


def _words(found: Counts) -> Figure:
    told = ", ".join(f"{value} {count:,}" for value, count in zip(found.values, found.counts, strict=True))
    return Figure(
        name=f"counts-{found.column}",
        kind=Kind.BARS,
        title=found.column.replace("_", " "),
        alt=f"Bars of {found.column}: {told}",
        columns=columns_of(found.to_frame()),
        options={
            "category": found.column,
            "series": ["rows"],
            "across": True,
            "stacked": False,
            "x_title": "rows",
        },
    )


__all__ = ["MOST", "PER_ATOM", "histogram", "value_figures", "with_values_per_atom"]

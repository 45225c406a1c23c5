"""The table of rows, and the crystals behind them, as the page's script reads them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from ase.data import chemical_symbols, covalent_radii
from ase.data.colors import jmol_colors
from numpy.typing import NDArray

from aiida_pet.report.figure import plain_list
from aiida_pet.report.private import without_places
from aiida_pet.report.source import Source
from aiida_pet.tables.columns import Kind, find_columns, first_look, kinds_of, told_in_words
from aiida_pet.words import plural

MOST_ATOMS = 60_000
"""Atoms of crystals in the page, about 30 bytes each; crystals of further rows are left out, but for the best."""
_WORDS = (
    *("message", "reason", "warnings", "symmetry_warning", "decomposition", "hull_message"),
    "conductivity_skipped",
)
_LONG = 16  # characters of a text that needs a wide column


def table_of(
    source: Source, positions: NDArray[np.int64], best: NDArray[np.int64], total: int
) -> dict[str, Any]:
    """Return the rows at ``positions`` and their crystals.

    :param best: positions of the crystals that are shown with all their figures; among ``positions``.
    :param total: rows that there are.
    """
    frame = source.frame.iloc[positions]
    places = {int(position): index for index, position in enumerate(positions)}
    chosen = [places[int(position)] for position in best]
    return {
        "ids": [str(one) for one in frame.index],
        "total": total,
        "columns": [_column(frame, name, source.units) for name in _ordered(frame)],
        "structures": structures_of(source, frame.index.to_numpy(dtype=str), chosen),
        "no_structure": "The page does not contain the structure of this row, because the campaign has too many rows. "
        f"`aiida-pet report {source.node.pk} --id ID` makes a page that holds it.",
        "best": chosen,
    }


def _ordered(frame: pd.DataFrame) -> list[str]:
    """Return the columns, those that people want to see first, without those that say nothing of any row."""
    names = [str(name) for name in frame.columns]
    first = [name for name in dict.fromkeys(["formula", *_few(names)]) if name in names]
    return [name for name in [*first, *(n for n in names if n not in first)] if _says_something(frame[name])]


def _few(names: list[str]) -> list[str]:
    look = first_look(names) or names[:12]
    return [*look, *(name for name in told_in_words(names) if name not in look)]


def _says_something(series: pd.Series[Any]) -> bool:
    if pd.api.types.is_numeric_dtype(series.dtype):
        return bool(series.notna().any())
    return bool((series.fillna("").astype(str) != "").any())


def _column(frame: pd.DataFrame, name: str, units: dict[str, str]) -> dict[str, Any]:
    series = frame[name]
    is_text = not pd.api.types.is_numeric_dtype(series.dtype)
    is_flag = pd.api.types.is_bool_dtype(series.dtype) or (kinds_of(name) == {Kind.FLAG} and not is_text)
    values = plain_list(series)
    if is_flag:
        values = [None if value is None else bool(value) for value in values]
    if is_text and name in _WORDS:
        known: dict[str, str] = {}
        values = [
            known.setdefault(text, without_places(text)) for text in ("" if v is None else v for v in values)
        ]
    found = find_columns(name)
    few = name == "formula" or name in _few([str(one) for one in frame.columns])
    return {
        "name": name,
        "unit": units.get(name, ""),
        "kind": "text" if is_text else "flag" if is_flag else "number",
        "long": is_text and max((len(str(value or "")) for value in values), default=0) > _LONG,
        "digits": 5,
        "meaning": found[0].meaning.replace("`", "") if found else "",
        "few": few,
        "values": values,
    }


def structures_of(source: Source, ids: NDArray[Any], first: list[int]) -> list[dict[str, Any] | None]:
    """Return the crystal of each of ``ids``, None where it is not known, or beyond :data:`MOST_ATOMS`.

    :param first: indices of those that come first, so that they are there in any case.
    """
    found: list[dict[str, Any] | None] = [None] * len(ids)
    places = source.places(ids)
    if source.crystals is None or not (places >= 0).any():
        return found
    geometry = source.crystals.geometry()
    offsets, atoms = geometry["offsets"], 0
    for index in dict.fromkeys([*first, *range(len(ids))]):
        place = int(places[index])
        if place < 0:
            continue
        part = slice(int(offsets[place]), int(offsets[place + 1]))
        atoms += part.stop - part.start
        if atoms > MOST_ATOMS and index not in first:
            continue
        found[index] = {
            "numbers": geometry["numbers"][part].astype(int).tolist(),
            "cell": np.round(geometry["cells"][place], 4).ravel().tolist(),
            "positions": np.round(geometry["positions"][part], 3).ravel().tolist(),
            "pbc": geometry["pbc"][place].astype(bool).tolist(),
        }
    return found


def elements() -> dict[int, dict[str, Any]]:
    """Return by atomic number: symbol, Jmol's colour, covalent radius (A), and place in the periodic table."""
    found = {}
    for number, symbol in enumerate(chemical_symbols[1:104], 1):
        colour = "#" + "".join(f"{round(255 * part):02x}" for part in jmol_colors[number])
        found[number] = {
            "symbol": symbol,
            "colour": colour,
            "radius": round(float(covalent_radii[number]), 2),
            "place": _place(number),
        }
    return found


def _place(number: int) -> list[int]:
    """Return row and column of an element in the periodic table of 18 columns; lanthanides and actinides are below."""
    if 57 <= number <= 71 or 89 <= number <= 103:
        return [8 if number <= 71 else 9, 3 + number - (57 if number <= 71 else 89)]
    noble = [0, 2, 10, 18, 36, 54, 86, 118]
    row = next(r for r in range(1, 8) if number <= noble[r])
    inside = number - noble[row - 1]
    if row == 1:
        return [1, 1 if number == 1 else 18]
    if inside <= 2:
        return [row, inside]
    return [row, 18 - (noble[row] - number)]


def told_of_rows(shown: int, total: int, pk: int) -> str:
    """Return what the page holds of the rows, in a sentence."""
    if shown == total:
        return f"All {plural(total, 'row')}."
    return (
        f"The page holds {shown:,} of {total:,} rows: the rows with the lowest and highest values of each important "
        f"column, some rows for each status, and a random sample. {total - shown:,} rows are not in this table; the "
        f"histograms, the funnel and the counts above include them. `aiida-pet results {pk} -o rows.csv` writes all "
        f"rows, and `aiida-pet report {pk} --rows N` makes a page with more rows."
    )

"""Puts what readers yield, crystal by crystal, together to the columns of a table. No AiiDA."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from ase import Atoms

from aiida_pet.io.crystal import MISSING_WORDS, Crystal, column_name
from aiida_pet.io.given_values import GIVEN_COLUMNS, value_of
from aiida_pet.io.left_out import LeftOut
from aiida_pet.tables.arrays import Array
from aiida_pet.tables.ragged import Ragged

# A longer text is no label or formula, and a fixed-width column of such would take N times its length in
# memory.
MAX_TEXT = 1000


class ColumnCollector:
    """Columns that grow row by row; a row may lack any of them.

    Types of a column: bool, int64, float64, str or arrays of float64. What is missing is NaN or the empty text,
    and makes a column of int or bool one of float64. A column of numbers and texts is one of texts.
    """

    def __init__(self, left_out: LeftOut | None = None) -> None:
        self._left_out = LeftOut() if left_out is None else left_out
        self._values: dict[str, list[Any]] = {}
        self._clean: dict[str, str] = {}
        self._atom_values: dict[str, dict[int, Array]] = {}
        self._units: dict[str, set[str]] = {}
        self._ragged: dict[str, dict[int, Array]] = {}
        self.own: set[str] = set()  # names of columns that this program wrote, which say their units

    def add(
        self,
        row: int,
        columns: Mapping[str, Any],
        atom_columns: Mapping[str, Array],
        units: Mapping[str, str] | None = None,
    ) -> None:
        """Append the values of row number ``row``; rows come in ascending order."""
        self.add_crystal(row, Crystal(None, Atoms(), dict(columns), dict(atom_columns), dict(units or {})))

    def add_crystal(self, row: int, crystal: Crystal) -> None:
        """Append what stands beside ``crystal``, row number ``row``; rows come in ascending order."""
        is_own = crystal.is_own
        for name, unit in crystal.units.items():
            self._units.setdefault(self._name(name, is_own), set()).add(unit)
        given = {} if is_own else self._settings(crystal)
        for name, value in (crystal.columns | given).items():
            if value is None:
                continue
            if name in given and GIVEN_COLUMNS[name].shape is None:
                self._ragged.setdefault(self._name(name, is_own), {})[row] = value
                continue
            values = self._values.setdefault(self._name(name, is_own), [])
            values.extend([None] * (row - len(values)))
            values.append(value)
        for name, array in crystal.atom_columns.items():
            self._atom_values.setdefault(self._name(name, is_own), {})[row] = array
        for name, array in crystal.ragged.items():
            self._ragged.setdefault(self._name(name, is_own), {})[row] = array

    def _settings(self, crystal: Crystal) -> dict[str, Array | None]:
        """Return the settings that ``crystal`` brings; None, and say so, where a value is none."""
        found: dict[str, Array | None] = {}
        for name in [name for name in GIVEN_COLUMNS if name in crystal.columns]:
            try:
                value = crystal.columns[name]
                is_missing = isinstance(value, str) and value.strip().lower() in MISSING_WORDS
                found[name] = None if is_missing else value_of(name, value)
            except ValueError as error:
                found[name] = None
                self._left_out.add_unfit(name, str(crystal.id), crystal.columns[name], str(error))
        return found

    def names(self) -> set[str]:
        """Return the names of all columns so far."""
        return set(self._clean.values())

    def _name(self, name: str, is_own: bool) -> str:
        if is_own:
            self.own.add(name)
        if name not in self._clean:
            kept = is_own and name != "id" and re.fullmatch(r"[a-zA-Z][0-9a-zA-Z_]*", name)
            base = clean = name if kept else column_name(name)
            number = 2
            while clean in self._clean.values():
                clean, number = f"{base}_{number}", number + 1
            self._clean[name] = clean
        return self._clean[name]

    def build(self, n_rows: int) -> dict[str, Array]:
        """Return name -> array of ``n_rows`` values; what cannot be one is left out and counted."""
        built = {}
        for name, values in self._values.items():
            kept = self._without_words(name, values)
            try:
                built[name] = _column(kept + [None] * (n_rows - len(kept)))
            except ValueError as error:
                self._leave_out(name, str(error), sum(value is not None for value in values))
        return built

    def _without_words(self, name: str, values: list[Any]) -> list[Any]:
        """Return ``values``, words for what is missing as None where the others are numbers; say what was changed."""
        texts = {value for value in values if isinstance(value, str)}
        if not texts or all(value is None or isinstance(value, str) for value in values):
            return values
        if all(text.strip().lower() in MISSING_WORDS for text in texts):
            for value in values:
                if isinstance(value, str):
                    self._left_out.note(
                        f"{value!r} in column {name!r} is not a number, so it counts as missing"
                    )
            return [None if isinstance(value, str) else value for value in values]
        self._left_out.remark(
            f"column {name!r} holds numbers and texts, so all its values were read as texts"
        )
        return values

    def build_atoms(self, offsets: Array) -> dict[str, Array]:
        """Return name -> (A, ...) array; row i owns ``offsets[i]:offsets[i + 1]``.

        Columns of bool are False where a row lacks them, columns of texts are empty. Columns of integers that every row
        has are int64; others of numbers are float64, and NaN where a row lacks them.
        """
        built = {}
        for name, by_row in self._atom_values.items():
            if len({array.shape[1:] for array in by_row.values()}) != 1:
                self._leave_out(name, "its values per atom have different shapes", len(by_row))
                continue
            shape = next(iter(by_row.values())).shape[1:]
            column = _blank((int(offsets[-1]), *shape), by_row, len(by_row) == len(offsets) - 1)
            for row, array in by_row.items():
                column[offsets[row] : offsets[row + 1]] = array
            built[name] = column
        return built

    def build_ragged(self, n_rows: int) -> dict[str, Ragged]:
        """Return name -> column of ``n_rows`` arrays of any length, empty where a row has none."""
        built = {}
        for name, by_row in self._ragged.items():
            filled = {row: array for row, array in by_row.items() if len(array)} or by_row
            try:
                built[name] = Ragged.of([filled.get(row) for row in range(n_rows)])
            except ValueError as error:
                self._leave_out(name, str(error), len(by_row))
        return built

    def units(self) -> dict[str, str]:
        """Return the unit of each column that the files say one of.

        :raises ValueError: if they say several of one column.
        """
        for name, found in self._units.items():
            if len(found) > 1:
                raise ValueError(
                    f"column {name!r} has several units, {', '.join(sorted(found))}: expected one unit; import each "
                    "file as a set of its own"
                )
        return {name: next(iter(found)) for name, found in self._units.items()}

    def _leave_out(self, name: str, reason: str, count: int) -> None:
        self._left_out.notes[f"column {name!r} is left out, since {reason}"] += count


def _blank(shape: tuple[int, ...], by_row: Mapping[int, Array], everywhere: bool) -> Array:
    """Return a column per atom without values, of the type that holds those of all rows."""
    kinds = {array.dtype.kind for array in by_row.values() if len(array)}
    if kinds <= {"b"}:
        return np.zeros(shape, dtype=bool)
    if kinds <= {"i", "u"} and everywhere:
        return np.zeros(shape, dtype=np.int64)
    if "U" in kinds:
        return np.zeros(
            shape, dtype=np.result_type(*(a.dtype for a in by_row.values() if a.dtype.kind == "U"))
        )
    return np.full(shape, np.nan)


def _column(values: list[Any]) -> Array:
    types = {type(value) for value in values if value is not None}
    missing = any(value is None for value in values)
    if np.ndarray in types:
        if types != {np.ndarray}:
            raise ValueError("some crystals have an array and others a scalar")
        shapes = {value.shape for value in values if value is not None}
        if len(shapes) != 1:
            raise ValueError("its arrays have different shapes")
        if not missing:
            return np.stack(values)
        blank = np.full(shapes.pop(), np.nan)
        return np.stack([blank if value is None else value for value in values])
    if str in types:
        texts = ["" if value is None else str(value) for value in values]
        longest = max(map(len, texts))
        if longest > MAX_TEXT:
            raise ValueError(f"a text has {longest} characters, but at most {MAX_TEXT} are kept")
        return np.array(texts, dtype=str)
    if types <= {bool} and not missing:
        return np.array(values, dtype=bool)
    if types <= {int} and not missing:
        return np.array(values, dtype=np.int64)
    return np.array([np.nan if value is None else float(value) for value in values], dtype=np.float64)

"""What a reader yields, crystal by crystal, and how the rest of a file's row becomes columns. No AiiDA.

A reader yields :class:`Crystal` or, for one that is broken, :class:`ImportProblem`: one bad structure never
sinks the others. Scalars of a row keep their value, name and unit; results that ASE attached to a structure
are kept under the prefix ``input_``, so that they are never taken for results of a calculation made here.

Writers put the id (:mod:`~aiida_pet.io.ids`) under ``id``, as a quoted text, which every reader prefers to all other
keys; an ASE database, whose key-value pairs refuse texts that look like numbers,
has it in ``data[OWN_KEY]["id"]``. What a format cannot say by itself stands beside the crystal under
:data:`OWN_KEY`, an object that :mod:`~aiida_pet.io.own_record` writes and reads.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import Atoms

from aiida_pet.io.ids import without_empty_ids
from aiida_pet.io.left_out import LeftOut
from aiida_pet.tables.arrays import Array
from aiida_pet.tables.ragged import Ragged

# The key of an object in which this program writes what a format cannot say by itself.
OWN_KEY = "aiida_pet"

# Units of columns by exact name: what pymatgen and matbench-discovery write, and the results of ASE.
KNOWN_UNITS = {
    "energy": "eV",
    "corrected_energy": "eV",
    "uncorrected_energy": "eV",
    "correction": "eV",
    "formation_energy_per_atom": "eV/atom",
    "corrected_formation_energy_per_atom": "eV/atom",
    "energy_per_atom": "eV/atom",
    "energy_above_hull": "eV/atom",
    "e_above_hull": "eV/atom",
    "input_energy": "eV",
    "input_free_energy": "eV",
    "input_stress": "eV/A^3",
    "input_forces": "eV/A",
    "born_charges": "e",
}

# A longer text is no label or formula, and a fixed-width column of such would take N times its length in
# memory.
MAX_TEXT = 1000

# What stands for a missing value among numbers, in small letters.
MISSING_WORDS = frozenset({"", "nan", "na", "n/a", "null", "none", "<na>"})

_VOIGT_KEYS = ("stress", "input_stress")
_FORCE_KEYS = ("forces", "input_forces")
_TENSOR, _ATOM_TENSORS = "dielectric_tensor", "born_charges"


class StructureFileError(ValueError):
    """Raised for a file or structure that cannot be imported; names file, id, value and expectation.

    :ivar reason: what is wrong, without the remedy.
    :ivar remedy: what helps, in words of Python arguments (``skip_invalid=True imports the rest``), which the
        command line words as options; empty where there is none.
    """

    def __init__(self, reason: str, remedy: str = "") -> None:
        super().__init__(f"{reason} ({remedy})" if remedy else reason)
        self.reason = reason
        self.remedy = remedy


@dataclass(frozen=True)
class ImportProblem:
    """One structure, or what is left of a file, that could not be imported.

    :ivar file: path of the file; ``archive.zip:member`` for a member of an archive.
    :ivar id: id of the structure; empty if the problem concerns the file.
    :ivar reason: the value found and what was expected.
    :ivar remedy: what helps, in words of Python arguments; empty where there is none.
    """

    file: str
    id: str
    reason: str
    remedy: str = ""

    @property
    def sentence(self) -> str:
        """File, id and reason, without the remedy."""
        return (
            f"{self.file}: structure {self.id!r}: {self.reason}" if self.id else f"{self.file}: {self.reason}"
        )

    def __str__(self) -> str:
        return f"{self.sentence} ({self.remedy})" if self.remedy else self.sentence


@dataclass
class Crystal:
    """One crystal of a file.

    :ivar id: as the file says; None where it does not.
    :ivar atoms: the geometry.
    :ivar columns: name -> scalar or (6,) array (stress).
    :ivar atom_columns: name -> (n_atoms, ...) array, of bool or of numbers.
    :ivar units: name of a column -> unit, where the file says it.
    :ivar ragged: name -> array whose length differs from crystal to crystal.
    :ivar is_own: whether this program wrote it, so that names of columns are kept as they stand.
    """

    id: str | None
    atoms: Atoms
    columns: dict[str, Any] = field(default_factory=dict)
    atom_columns: dict[str, Array] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    ragged: dict[str, Array] = field(default_factory=dict)
    is_own: bool = False


@dataclass(frozen=True)
class Broken:
    """A crystal that a reader could not make sense of; ``id`` None where the file does not say."""

    id: str | None
    reason: str
    whole_file: bool = False  # the reader cannot go on in this file
    remedy: str = ""


Item = Crystal | Broken


def reason_of(error: BaseException) -> str:
    """Return the text of ``error`` in one line, or its type where there is no text."""
    text = " ".join(str(error).split())
    if isinstance(error, KeyError):
        return f"{text} is missing or not known"
    return text or type(error).__name__


def checked(atoms: Atoms, may_be_empty: bool = False) -> Atoms:
    """Return ``atoms``; geometry is left to the engine to judge, but there must be atoms, each of an element.

    :param may_be_empty: whether there may be none, which the engine judges too; in a file it means damage.
    :raises ValueError: if there are none, or naming those that are not.
    """
    if not len(atoms) and not may_be_empty:
        raise ValueError("it has no atoms: expected at least one")
    wrong = np.flatnonzero((atoms.numbers < 1) | (atoms.numbers > 118))
    if len(wrong):
        raise ValueError(
            f"atom {wrong[0]} has atomic number {atoms.numbers[wrong[0]]}: expected an element, 1 to 118"
        )
    return atoms


def scalar(value: Any) -> bool | int | float | str | None:
    """Return ``value`` as a Python scalar, None for null.

    :raises TypeError: if it is not a scalar.
    """
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        value = value.item()
    if isinstance(value, bool | float | str) or value is None:
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**63 else float(value)
    raise TypeError(f"not a scalar: {type(value).__name__}")


def split_fields(
    fields: Mapping[str, Any], n_atoms: int, dropped: LeftOut
) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return the columns and the columns per atom among ``fields``.

    Kept are scalars, ``stress`` as six numbers, ``forces`` as (n_atoms, 3), ``dielectric_tensor`` and, per atom,
    ``born_charges`` as nine numbers each, row by row; names of others are counted in ``dropped``.
    """
    columns: dict[str, Any] = {}
    atom_columns: dict[str, Array] = {}
    for name, value in without_empty_ids(fields).items():
        try:
            columns[name] = scalar(value)
            continue
        except TypeError:
            pass
        tensors = name in (_TENSOR, _ATOM_TENSORS)
        array = _numbers(value) if tensors or name in _VOIGT_KEYS + _FORCE_KEYS else None
        if array is not None and name in _VOIGT_KEYS and array.shape == (6,):
            columns[name] = array
        elif array is not None and name in _FORCE_KEYS and array.shape == (n_atoms, 3):
            atom_columns[name] = array
        elif array is not None and name == _TENSOR and array.size == 9:
            columns[name] = array.reshape(3, 3)
        elif array is not None and name == _ATOM_TENSORS and array.size == 9 * n_atoms:
            atom_columns[name] = array.reshape(n_atoms, 3, 3)
        else:
            dropped.add(name)
    return columns, atom_columns


def _numbers(value: Any) -> Array | None:
    try:
        return np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        return None


def column_name(name: str) -> str:
    """Return ``name`` as a name that can stand in files, in queries and in Python: ``E (eV)`` -> ``E_eV``."""
    clean = re.sub(r"[^0-9a-zA-Z_]+", "_", name).strip("_") or "column"
    if clean[0].isdigit():
        clean = f"c_{clean}"
    return f"{clean}_" if keyword.iskeyword(clean) or clean == "id" else clean


class ColumnCollector:
    """Columns that grow row by row; a row may lack any of them.

    Types of a column: bool, int64, float64, str or (6,) float64. What is missing is NaN or the empty text,
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
        for name, value in crystal.columns.items():
            if value is None:
                continue
            values = self._values.setdefault(self._name(name, is_own), [])
            values.extend([None] * (row - len(values)))
            values.append(value)
        for name, array in crystal.atom_columns.items():
            self._atom_values.setdefault(self._name(name, is_own), {})[row] = array
        for name, array in crystal.ragged.items():
            self._ragged.setdefault(self._name(name, is_own), {})[row] = array

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

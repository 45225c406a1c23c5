"""What a reader yields, crystal by crystal, and how the rest of a file's row becomes columns. No AiiDA.

A reader yields :class:`Crystal` or, for one that is broken, :class:`ImportProblem`: one bad structure never
sinks the others. Scalars of a row keep their value, name and unit; results that ASE attached to a structure
are kept under the prefix ``input_``, so that they are never taken for results of a calculation made here.
"""

from __future__ import annotations

import keyword
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import Atoms
from ase.stress import full_3x3_to_voigt_6_stress

from aiida_pet.engine.table import Array

logger = logging.getLogger(__name__)

# Names that may hold the id of a crystal, in order of preference.
ID_KEYS = ("material_id", "entry_id", "id", "name")

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
}

# A longer text is no label or formula, and a fixed-width column of such would take N times its length in
# memory.
MAX_TEXT = 1000

_VOIGT_KEYS = ("stress", "input_stress")
_FORCE_KEYS = ("forces", "input_forces")


class StructureFileError(ValueError):
    """Raised for a file or structure that cannot be imported; names file, id, value and expectation."""


@dataclass(frozen=True)
class ImportProblem:
    """One structure, or what is left of a file, that could not be imported.

    :ivar file: path of the file; ``archive.zip:member`` for a member of an archive.
    :ivar id: of the structure; empty where the problem is that of the file.
    :ivar reason: the value found and what was expected.
    """

    file: str
    id: str
    reason: str

    def __str__(self) -> str:
        return (
            f"{self.file}: structure {self.id!r}: {self.reason}" if self.id else f"{self.file}: {self.reason}"
        )


@dataclass
class Crystal:
    """One crystal of a file.

    :ivar id: as the file says; None where it does not.
    :ivar atoms: the geometry.
    :ivar columns: name -> scalar or (6,) array (stress).
    :ivar atom_columns: name -> (n_atoms, ...) array.
    """

    id: str | None
    atoms: Atoms
    columns: dict[str, Any] = field(default_factory=dict)
    atom_columns: dict[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Broken:
    """A crystal that a reader could not make sense of; ``id`` None where the file does not say."""

    id: str | None
    reason: str
    whole_file: bool = False  # the reader cannot go on in this file


Item = Crystal | Broken


def reason_of(error: BaseException) -> str:
    """Return the text of ``error`` in one line, or its type where there is no text."""
    text = " ".join(str(error).split())
    if isinstance(error, KeyError):
        return f"{text} is missing or not known"
    return text or type(error).__name__


def checked(atoms: Atoms) -> Atoms:
    """Return ``atoms``; geometry is left to the engine to judge, but every atom must be of an element.

    :raises ValueError: naming the atoms that are not.
    """
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


def id_of(fields: Mapping[str, Any], id_key: str | None) -> tuple[str | None, str | None]:
    """Return the id in ``fields`` and the key it stood under, (None, None) if there is none.

    :param id_key: the key to look under; None for :data:`ID_KEYS`, empty for no key at all.
    """
    for key in ID_KEYS if id_key is None else ([id_key] if id_key else []):
        value = fields.get(key)
        if value is None or isinstance(value, bool | dict | list):
            continue
        text = str(value).strip()
        if text:
            return text, key
    return None, None


def split_fields(
    fields: Mapping[str, Any], n_atoms: int, dropped: set[str]
) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return the columns and the columns per atom among ``fields``.

    Kept are scalars, ``stress`` as six numbers and ``forces`` as (n_atoms, 3); names of others go to
    ``dropped``.
    """
    columns: dict[str, Any] = {}
    atom_columns: dict[str, Array] = {}
    for name, value in fields.items():
        try:
            columns[name] = scalar(value)
            continue
        except TypeError:
            pass
        array = _numbers(value) if name in _VOIGT_KEYS + _FORCE_KEYS else None
        if array is not None and name in _VOIGT_KEYS and array.shape == (6,):
            columns[name] = array
        elif array is not None and name in _FORCE_KEYS and array.shape == (n_atoms, 3):
            atom_columns[name] = array
        else:
            dropped.add(name)
    return columns, atom_columns


def _numbers(value: Any) -> Array | None:
    try:
        return np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        return None


def input_results(results: Mapping[str, Any], n_atoms: int) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return columns and columns per atom of results in ASE's units: energy, free_energy, stress, forces.

    Stress is (6,) eV/A^3 in the order xx yy zz yz xz xy; what has another shape than it should is left out.
    """
    columns: dict[str, Any] = {}
    atom_columns: dict[str, Array] = {}
    for name in ("energy", "free_energy"):
        if results.get(name) is not None:
            columns[f"input_{name}"] = float(results[name])
    stress = _numbers(results.get("stress"))
    if stress is not None and stress.shape == (3, 3):
        stress = full_3x3_to_voigt_6_stress(stress)
    if stress is not None and stress.shape == (6,):
        columns["input_stress"] = stress
    forces = _numbers(results.get("forces"))
    if forces is not None and forces.shape == (n_atoms, 3):
        atom_columns["input_forces"] = forces
    return columns, atom_columns


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

    def __init__(self) -> None:
        self._values: dict[str, list[Any]] = {}
        self._clean: dict[str, str] = {}
        self._atom_values: dict[str, dict[int, Array]] = {}

    def add(self, row: int, columns: Mapping[str, Any], atom_columns: Mapping[str, Array]) -> None:
        """Append the values of row number ``row``; rows come in ascending order."""
        for name, value in columns.items():
            if value is None:
                continue
            values = self._values.setdefault(self._name(name), [])
            values.extend([None] * (row - len(values)))
            values.append(value)
        for name, array in atom_columns.items():
            self._atom_values.setdefault(self._name(name), {})[row] = array

    def _name(self, name: str) -> str:
        if name not in self._clean:
            base = clean = column_name(name)
            number = 2
            while clean in self._clean.values():
                clean, number = f"{base}_{number}", number + 1
            self._clean[name] = clean
        return self._clean[name]

    def build(self, n_rows: int) -> dict[str, Array]:
        """Return name -> array of ``n_rows`` values; what cannot be one is left out with a warning."""
        built = {}
        for name, values in self._values.items():
            try:
                built[name] = _column(values + [None] * (n_rows - len(values)))
            except ValueError as error:
                logger.warning("column %r is left out: %s", name, error)
        return built

    def build_atoms(self, offsets: Array) -> dict[str, Array]:
        """Return name -> (A, ...) float64, NaN where missing; row i owns ``offsets[i]:offsets[i + 1]``."""
        built = {}
        for name, by_row in self._atom_values.items():
            shape = next(iter(by_row.values())).shape[1:]
            column = np.full((int(offsets[-1]), *shape), np.nan)
            for row, array in by_row.items():
                column[offsets[row] : offsets[row + 1]] = array
            built[name] = column
        return built


def _column(values: list[Any]) -> Array:
    types = {type(value) for value in values if value is not None}
    missing = any(value is None for value in values)
    if np.ndarray in types:
        if types != {np.ndarray}:
            raise ValueError("some rows hold an array and others a scalar")
        return np.stack([np.full(6, np.nan) if value is None else value for value in values])
    if str in types:
        texts = ["" if value is None else str(value) for value in values]
        longest = max(map(len, texts))
        if longest > MAX_TEXT:
            raise ValueError(f"a text of {longest} characters, at most {MAX_TEXT} are kept")
        return np.array(texts, dtype=str)
    if types <= {bool} and not missing:
        return np.array(values, dtype=bool)
    if types <= {int} and not missing:
        return np.array(values, dtype=np.int64)
    return np.array([np.nan if value is None else float(value) for value in values], dtype=np.float64)

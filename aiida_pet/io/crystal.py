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

from aiida_pet.io.given_values import GIVEN_COLUMNS
from aiida_pet.io.ids import without_empty_ids
from aiida_pet.io.left_out import LeftOut
from aiida_pet.tables.arrays import Array

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
    "velocities": "A/fs",
}

# What stands for a missing value among numbers, in small letters.
MISSING_WORDS = frozenset({"", "nan", "na", "n/a", "null", "none", "<na>"})

# Names that speak of forces and stresses, but mean other quantities: second derivatives, errors, a single number.
_NO_RESULT = re.compile(
    r"constant|displace|uncertain|error|std|sigma|variance|residual|max|mean|rms|(?<![a-z])fc[23]",
    re.IGNORECASE,
)
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


class OtherFileError(ValueError):
    """Raised for a file that is sound, but holds something else than crystals, as files of its format may.

    A folder may hold such files, so that they are passed over there; a damaged file is not.
    """


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
    :ivar columns: name -> scalar or array; settings that it brings are in any form that files have.
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
    """A crystal that a reader could not make sense of; ``id`` None where the file does not say.

    :ivar whole_file: whether the reader cannot go on in this file.
    :ivar is_other: whether the file is sound, but holds something else.
    """

    id: str | None
    reason: str
    whole_file: bool = False
    remedy: str = ""
    is_other: bool = False


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
    ``born_charges`` as nine numbers each, row by row; names of others are counted in ``dropped``. Settings that a
    crystal brings (:data:`~aiida_pet.job.given_columns.GIVEN_COLUMNS`) are kept as they stand: a
    :class:`~aiida_pet.io.column_collector.ColumnCollector` reads them, which can name the crystal.
    """
    columns: dict[str, Any] = {}
    atom_columns: dict[str, Array] = {}
    for name, value in without_empty_ids(fields).items():
        if name in GIVEN_COLUMNS:
            columns[name] = value
            continue
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
            dropped.add(name, meaning_of(name, value, n_atoms))
    return columns, atom_columns


def meaning_of(name: str, value: Any, n_atoms: int) -> str:
    """Return the result of a crystal that a field may be by its name and its shape; empty if it can be none."""
    if _NO_RESULT.search(name):
        return ""
    shape = np.shape(array) if (array := _numbers(value)) is not None else ()
    for word, meaning in (("force", "forces"), ("stress", "stress"), ("virial", "virial")):
        fits = shape == (n_atoms, 3) if meaning == "forces" else shape in ((6,), (9,), (3, 3))
        if word in name.lower() and fits:
            return meaning
    return ""


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

"""Reads reference phases from the JSON files that people have, as a stream: of each entry its energy alone is kept.

Understood are, plain or compressed (.gz, .bz2, .xz): a list of pymatgen entries (ComputedEntry, ComputedStructureEntry,
PDEntry), an object ``id -> entry``, records that hold an entry in a field, a data frame by columns one of which holds
entries, a PhaseDiagram or PatchedPhaseDiagram (``as_dict``), and records with ``structure`` (or ``composition``) and
``energy`` or ``energy_per_atom``. A table written by :meth:`~aiida_pet.engine.table.Table.save` (.npz) is read as well.
Nothing is ever unpickled, and no class is looked up by the name that a file gives it.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any, NoReturn, TypeGuard

import numpy as np
from ase.data import atomic_numbers

from aiida_pet.analysis.compositions import Compositions
from aiida_pet.analysis.levels import Theory
from aiida_pet.analysis.references import References
from aiida_pet.data.json_stream import JsonStream, JsonStreamError
from aiida_pet.data.pymatgen_json import structure_of
from aiida_pet.data.sources import COMPRESSION
from aiida_pet.engine.table import Table

_ENTRY_FIELDS = ("entry", "computed_structure_entry", "computed_entry")
_ID_FIELDS = ("entry_id", "material_id", "task_id", "id", "name")
_ISOTOPES = {"D": 1, "T": 1}
_PICKLES = (".pkl", ".pickle", ".p")
# pymatgen corrects entries in batches: objects of so many entries stand in memory at once.
_BATCH = 2000


class ReferenceFileError(ValueError):
    """Raised when a file of references cannot be read; the message names file, entry, value and what was expected."""


class EnergyKind(StrEnum):
    """Which energy of an entry counts.

    ``corrected``: with the corrections that the entry carries (those of its ``energy_adjustments``), as pymatgen's
    ``entry.energy``. ``uncorrected``: as calculated. ``mp2020``: as calculated, with the corrections that pymatgen's
    MaterialsProject2020Compatibility gives; entries that it rejects are left out, with a warning.
    """

    CORRECTED = "corrected"
    UNCORRECTED = "uncorrected"
    MP2020 = "mp2020"


@dataclass(frozen=True)
class _Phase:
    row_id: str | None
    composition: dict[int, float]
    energy_per_atom: float
    corrected: bool


def read_references(
    path: str | Path,
    *,
    label: str | None = None,
    level_of_theory: str = "",
    energies: EnergyKind | str = EnergyKind.CORRECTED,
) -> References:
    """Return the reference phases in the file ``path``.

    :param label: names the source; the file's name without suffixes if not given.
    :param level_of_theory: of the energies as calculated; ", corrected" is added to it where corrections are on.
    :param energies: which energy of an entry counts.
    :raises ReferenceFileError: if it is no such file, is a pickle, or an entry is damaged.
    """
    path, energies = Path(path), EnergyKind(energies)
    if not path.is_file():
        raise ReferenceFileError(f"{path}: no such file")
    label = label or path.name.split(".", 1)[0]
    if path.suffix == ".npz":
        return _read_table(path)
    _refuse_pickle(path)
    warnings: list[str] = []
    phases = list(_read_phases(path, energies, warnings))
    if not phases:
        raise ReferenceFileError(f"{path}: no entries in it. {_EXPECTED}")
    corrected = any(phase.corrected for phase in phases)
    if corrected and not level_of_theory:
        warnings.append(f"{path.name}: energies carry corrections, those of the crystals must have them too")
    level = f"{level_of_theory}, corrected" if corrected and level_of_theory else level_of_theory
    return References(
        np.array(_unique_ids(phases), dtype=str),
        Compositions.of_mappings([phase.composition for phase in phases]),
        np.array([phase.energy_per_atom for phase in phases]),
        np.full(len(phases), label),
        {label: Theory(level)},
        warnings,
    )


_EXPECTED = "Expected pymatgen entries, a PhaseDiagram, or records with a structure and an energy, as JSON"


def _read_table(path: Path) -> References:
    try:
        return References.of_table(Table.load(path))
    except Exception as error:  # zip, numpy and the table itself say it in many ways
        raise ReferenceFileError(f"{path}: no table of references: {error}") from error


def _refuse_pickle(path: Path) -> None:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    named = any(suffix in _PICKLES for suffix in suffixes)
    try:
        with _open(path) as content:
            # a pickle of protocol 2 or later begins with \x80 and its number
            start = content.read(2)
    except (OSError, EOFError) as error:
        raise ReferenceFileError(f"{path}: cannot be read: {error}") from error
    if named or (start[:1] == b"\x80" and start[1:] < b"\x10"):
        raise ReferenceFileError(
            f"{path} is a pickle, which is a program and is not opened. If you trust it, convert it once: "
            "python -c \"import gzip, json, pickle; d = pickle.load(gzip.open('FILE.pkl.gz')); "
            "json.dump([e.as_dict() for e in d.all_entries], gzip.open('FILE.json.gz', 'wt'))\""
        )


def _open(path: Path) -> Any:
    suffix = path.suffix.lower()
    return COMPRESSION[suffix](path) if suffix in COMPRESSION else path.open("rb")


def _read_phases(path: Path, energies: EnergyKind, warnings: list[str]) -> Iterator[_Phase]:
    records = _read_records(path)
    if energies is not EnergyKind.MP2020:
        for label, record in records:
            yield _phase_of(record, label, energies, path)
        return
    from pymatgen.entries.compatibility import MaterialsProject2020Compatibility  # noqa: PLC0415 - seconds

    scheme = MaterialsProject2020Compatibility(check_potcar=False)
    rejected = []
    while batch := list(islice(records, _BATCH)):
        for label, record in batch:
            entry = _corrected_entry(record, label, scheme, path)
            if entry is None:
                rejected.append(str(_id_of(_entry_in(record), label)))
            else:
                yield _phase_of(entry, label, EnergyKind.CORRECTED, path)
    if rejected:
        warnings.append(
            f"{path.name}: MaterialsProject2020Compatibility rejects {len(rejected)} entries, which are left out: "
            f"{', '.join(rejected[:10])}"
        )


def _corrected_entry(record: Any, label: str | None, scheme: Any, path: Path) -> dict[str, Any] | None:
    raw = _entry_in(record)
    try:
        found = scheme.process_entries([_computed_entry(raw)], clean=True, verbose=False)
    except Exception as error:  # pymatgen raises whatever its parts raise
        raise ReferenceFileError(
            f"{path}: entry {_id_of(raw, label)} cannot be corrected, expected a ComputedEntry with its parameters: "
            f"{error}"
        ) from error
    if not found:
        return None
    energy = {"composition": raw.get("composition") or found[0].composition.as_dict()}
    return (
        energy
        | {"energy": found[0].uncorrected_energy, "correction": found[0].correction}
        | {name: raw[name] for name in _ID_FIELDS if name in raw}
    )


def _computed_entry(raw: Any) -> Any:
    """Return pymatgen's entry of its dictionary, without the corrections that it carries.

    Not by monty's decoder, which imports any module that the file names: ``data`` and ``parameters`` stay the plain
    values that they are in the file, and the scheme reads names and numbers from them.

    :raises Exception: whatever pymatgen and its parts raise if it is none.
    """
    from pymatgen.entries.computed_entries import ComputedEntry, ComputedStructureEntry  # noqa: PLC0415 - seconds

    if not isinstance(raw, dict):
        raise TypeError(f"got {type(raw).__name__} {str(raw)[:40]!r}")
    # copies, as the scheme notes the oxidation states that it guesses in data
    fields: dict[str, Any] = {name: dict(raw.get(name) or {}) for name in ("parameters", "data")}
    fields |= {"energy": raw["energy"], "composition": raw.get("composition"), "entry_id": _id_of(raw, None)}
    kind = raw.get("@class")
    if kind == ComputedStructureEntry.__name__:
        return ComputedStructureEntry(structure_of(raw["structure"]), **fields)
    if kind == ComputedEntry.__name__:
        return ComputedEntry(**fields)
    raise TypeError(f"got '@class' {kind!r}")


# -- the forms that files come in --------------------------------------------------------------------------------------


def _read_records(path: Path) -> Iterator[tuple[str | None, Any]]:
    """Yield the key (if any) and the value of each entry in the file."""
    try:
        with _open(path) as content, io.TextIOWrapper(content, encoding="utf-8-sig") as text:
            stream = JsonStream(text)
            if stream.peek() == "[":
                for _ in stream.array():
                    yield None, stream.value()
            elif stream.peek() == "{":
                yield from _in_object(stream)
            else:
                raise ReferenceFileError(f"{path}: {_EXPECTED}, got {stream.peek()!r} at its start")
            stream.end()
    except (JsonStreamError, UnicodeDecodeError, OSError, EOFError) as error:
        raise ReferenceFileError(f"{path}: {error}") from error


def _in_object(stream: JsonStream) -> Iterator[tuple[str | None, Any]]:
    fields: dict[str, Any] = {}
    for key in stream.object():
        if key in ("all_entries", "entries") and stream.peek() == "[":
            for _ in stream.array():
                yield None, stream.value()
        elif key == "computed_data" and stream.peek() == "{":
            yield from _in_diagram(stream)
        elif stream.peek() == "{" and key not in ("composition", "structure", "parameters", "data"):
            yield from _in_value(stream, key)
        else:
            fields[key] = stream.value()
    if "energy" in fields or "energy_per_atom" in fields:
        yield None, fields  # the file is one entry


def _in_diagram(stream: JsonStream) -> Iterator[tuple[str | None, Any]]:
    """Yield the entries of a diagram; the facets beside them are passed over."""
    for key in stream.object():
        if key == "all_entries":
            for _ in stream.array():
                yield None, stream.value()
        else:
            stream.value()


def _in_value(stream: JsonStream, key: str) -> Iterator[tuple[str | None, Any]]:
    """Yield the record under ``key``, or the entries of a column: objects under keys that are no fields of a record."""
    fields: dict[str, Any] = {}
    is_column = False
    for inner in stream.object():
        value = stream.value()
        if _is_entry(value) and inner not in _ENTRY_FIELDS:
            is_column = True
            yield inner, value
        else:
            fields[inner] = value
    if not is_column and (_is_entry(fields) or _is_entry(_entry_in(fields))):
        yield from _in_record(key, fields)


def _in_record(key: str | None, fields: dict[str, Any]) -> Iterator[tuple[str | None, Any]]:
    """Yield the record, or each phase of one with lists of structures and energies, as matcalc's elements have them."""
    structures, energies = fields.get("structure"), fields.get("energy_per_atom")
    if not isinstance(structures, list) or not isinstance(energies, list):
        yield key, fields
        return
    for structure, energy in zip_longest(structures, energies):
        yield key, {"structure": structure, "energy_per_atom": energy}


def _is_entry(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and ("energy" in value or "energy_per_atom" in value)
        and ("composition" in value or "structure" in value)
    )


# -- one entry ---------------------------------------------------------------------------------------------------------


def _entry_in(record: Any) -> Any:
    """Return the entry that a record holds in one of its fields, else the record."""
    if isinstance(record, dict):
        for name in _ENTRY_FIELDS:
            if isinstance(record.get(name), dict):
                return {key: record[key] for key in _ID_FIELDS if key in record} | record[name]
    return record


def _phase_of(record: Any, label: str | None, energies: EnergyKind, path: Path) -> _Phase:
    entry = _entry_in(record)
    row_id = _id_of(entry, label)

    def refuse(what: str) -> NoReturn:
        raise ReferenceFileError(f"{path}: entry {row_id or 'without id'}: {what}")

    if not isinstance(entry, dict):
        refuse(f"{_EXPECTED}, got {type(entry).__name__} {str(entry)[:40]!r}")
    try:
        composition = _composition_of(entry)
    except (ValueError, TypeError, KeyError) as error:
        refuse(f"no composition: {error}")
    n_atoms = sum(composition.values())
    if not n_atoms > 0 or min(composition.values()) < 0:
        refuse(f"composition {composition}, expected positive amounts")
    per_atom = "energy" not in entry
    value = entry.get("energy_per_atom" if per_atom else "energy")
    correction = 0.0 if energies is EnergyKind.UNCORRECTED else entry.get("correction") or 0.0
    if not _is_number(value):
        refuse(f"energy {value!r}, expected a number in eV")
    if not _is_number(correction):
        refuse(f"correction {correction!r}, expected a number in eV")
    energy = float(value) if per_atom else (value + correction) / n_atoms
    return _Phase(row_id, composition, energy, bool(correction))


def _is_number(value: Any) -> TypeGuard[float]:
    # integers of JSON may be larger than any float
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _id_of(entry: Any, label: str | None) -> str | None:
    if isinstance(entry, dict):
        data = entry.get("data") if isinstance(entry.get("data"), dict) else {}
        for name in _ID_FIELDS:
            value = entry.get(name) or (data or {}).get(name)
            if isinstance(value, str | int) and not isinstance(value, bool):
                return str(value)
    return label


def _composition_of(entry: Mapping[str, Any]) -> dict[int, float]:
    found = entry.get("composition")
    if isinstance(found, str):
        from pymatgen.core import Composition  # noqa: PLC0415 - seconds to import, hardly ever needed

        found = Composition(found).as_dict()
    if found is None:
        sites = entry["structure"]["sites"]
        pairs = [(part["element"], part["occu"]) for site in sites for part in site["species"]]
    else:
        pairs = list(found.items())
    composition: dict[int, float] = {}
    for symbol, amount in pairs:
        match = re.match(r"[A-Z][a-z]?", str(symbol))  # an oxidation state may follow
        number = _ISOTOPES.get(match[0], atomic_numbers.get(match[0], 0)) if match else 0
        if not number:
            raise ValueError(f"unknown element {symbol!r}")
        composition[number] = composition.get(number, 0.0) + float(amount)
    return {number: amount for number, amount in composition.items() if amount}


def _unique_ids(phases: list[_Phase]) -> list[str]:
    """Return the ids of ``phases``; where they lack or repeat, the place in the file is part of it."""
    counts: dict[str, int] = {}
    for phase in phases:
        if phase.row_id is not None:
            counts[phase.row_id] = counts.get(phase.row_id, 0) + 1
    return [
        phase.row_id
        if phase.row_id is not None and counts[phase.row_id] == 1
        else f"{phase.row_id or 'entry'}#{place}"
        for place, phase in enumerate(phases)
    ]

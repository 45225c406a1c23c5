"""Reads reference phases from the JSON files that people have, as a stream: of each entry its energy alone is kept.

Understood are, plain or compressed (.gz, .bz2, .xz): a list of pymatgen entries (ComputedEntry, ComputedStructureEntry,
PDEntry), an object ``id -> entry``, records that hold an entry in a field, a data frame by columns one of which holds
entries, a PhaseDiagram or PatchedPhaseDiagram (``as_dict``), and records with ``structure`` (or ``composition``) and
``energy`` or ``energy_per_atom``. A table written by :meth:`~aiida_pet.tables.table.Table.save` (.npz) is read as well.
Nothing is ever unpickled, and no class is looked up by the name that a file gives it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from aiida_pet.analysis.hull.compositions import Compositions
from aiida_pet.analysis.hull.entry_levels import MixedLevelsError, choose_level
from aiida_pet.analysis.hull.levels_of_theory import Theory
from aiida_pet.analysis.hull.mp2020 import NAME
from aiida_pet.analysis.hull.reference_entries import (
    ENTRY_FIELDS,
    EXPECTED,
    ID_FIELDS,
    EnergyKind,
    Phase,
    ReferenceFileError,
    entry_in,
    id_of_entry,
    phase_of,
)
from aiida_pet.analysis.hull.references import References
from aiida_pet.io.json_stream import JsonStream, JsonStreamError
from aiida_pet.io.pymatgen_json import structure_of
from aiida_pet.io.sources import COMPRESSION
from aiida_pet.tables.table import Table

__all__ = ["EnergyKind", "MixedLevelsError", "ReferenceFileError", "read_references"]

_PICKLES = (".pkl", ".pickle", ".p")
# pymatgen corrects entries in batches: objects of so many entries stand in memory at once.
_BATCH = 2000


def read_references(
    path: str | Path,
    *,
    label: str | None = None,
    level_of_theory: str = "",
    energies: EnergyKind | str = EnergyKind.CORRECTED,
    level: str | None = None,
) -> References:
    """Return the reference phases in the file ``path``.

    :param label: names the source; the file's name without suffixes if not given.
    :param level_of_theory: level of theory of the energies as calculated; ", corrected" is added to it where
        corrections are on. Empty takes what the entries say themselves.
    :param energies: which energy of an entry counts.
    :param level: keep the entries of this level of theory alone (``r2SCAN``); what was left out is a warning.
    :raises MixedLevelsError: if entries are of several levels of theory and ``level`` names none.
    :raises ReferenceFileError: if it is no such file, is a pickle, or an entry is damaged.

    >>> import json, tempfile
    >>> entries = [{"composition": {"Mo": 1}, "energy": -10.85, "correction": 0.0, "entry_id": "Mo"}]
    >>> path = Path(tempfile.mkdtemp()) / "mp.json"
    >>> _ = path.write_text(json.dumps(entries))
    >>> read_references(path, level_of_theory="PBE").energy_per_atom.tolist()
    [-10.85]
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
        raise ReferenceFileError(f"{path}: no entries in it. {EXPECTED}")
    phases, found = choose_level(phases, str(path), level=level, stated=level_of_theory, warnings=warnings)
    if not found and any(phase.corrected for phase in phases):
        warnings.append(
            f"{path.name}: energies carry corrections, so the energies of the crystals must carry them too"
        )
    return References(
        np.array(_unique_ids(phases), dtype=str),
        Compositions.of_mappings([phase.composition for phase in phases]),
        np.array([phase.energy_per_atom for phase in phases]),
        np.full(len(phases), label),
        {label: Theory(found)},
        warnings,
        np.array([phase.pressure for phase in phases]),
    )


def _read_table(path: Path) -> References:
    try:
        return References.of_table(Table.load(path))
    except Exception as error:  # zip, numpy and the table itself say it in many ways
        # numpy takes what is no archive for a pickle, and says how to open it
        reason = "it is no archive of numpy" if "pickle" in str(error) else str(error)
        raise ReferenceFileError(f"{path} is not a table of references: {reason}") from error


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


def _read_phases(path: Path, energies: EnergyKind, warnings: list[str]) -> Iterator[Phase]:
    records = _read_records(path)
    if energies is not EnergyKind.MP2020:
        for label, record in records:
            yield phase_of(record, label, energies, path)
        return
    from pymatgen.entries.compatibility import MaterialsProject2020Compatibility  # noqa: PLC0415 - seconds

    scheme = MaterialsProject2020Compatibility(check_potcar=False)
    rejected = []
    while batch := list(islice(records, _BATCH)):
        for label, record in batch:
            entry = _corrected_entry(record, label, scheme, path)
            if entry is None:
                rejected.append(str(id_of_entry(entry_in(record), label)))
            else:
                yield phase_of(entry, label, EnergyKind.CORRECTED, path)
    if rejected:
        warnings.append(
            f"{path.name}: MaterialsProject2020Compatibility rejects {len(rejected)} entries, which are left out: "
            f"{', '.join(rejected[:10])}"
        )


def _corrected_entry(record: Any, label: str | None, scheme: Any, path: Path) -> dict[str, Any] | None:
    raw = entry_in(record)
    try:
        found = scheme.process_entries([_computed_entry(raw)], clean=True, verbose=False)
    except Exception as error:  # pymatgen raises whatever its parts raise
        raise ReferenceFileError(
            f"{path}: entry {id_of_entry(raw, label)} cannot be corrected, expected a ComputedEntry with its "
            f"parameters: {error}"
        ) from error
    if not found:
        return None
    energy = {"composition": raw.get("composition") or found[0].composition.as_dict()}
    return (
        energy
        | {"energy": found[0].uncorrected_energy, "correction": found[0].correction}
        | {"parameters": {"run_type": "GGA"}, "energy_adjustments": [{"name": NAME}]}
        | {name: raw[name] for name in ID_FIELDS if name in raw}
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
    fields |= {
        "energy": raw["energy"],
        "composition": raw.get("composition"),
        "entry_id": id_of_entry(raw, None),
    }
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
                    yield from _opened(None, stream.value())
            elif stream.peek() == "{":
                yield from _in_object(stream)
            else:
                raise ReferenceFileError(f"{path}: {EXPECTED}, got {stream.peek()!r} at its start")
            stream.end()
    except (JsonStreamError, UnicodeDecodeError, OSError, EOFError) as error:
        raise ReferenceFileError(f"{path}: {error}") from error


def _in_object(stream: JsonStream) -> Iterator[tuple[str | None, Any]]:
    fields: dict[str, Any] = {}
    for key in stream.object():
        if key in ("all_entries", "entries", "data") and stream.peek() == "[":
            for _ in stream.array():
                yield from _opened(None, stream.value())
        elif key == "computed_data" and stream.peek() == "{":
            yield from _in_diagram(stream)
        elif stream.peek() == "{" and key not in ("composition", "structure", "parameters", "data"):
            yield from _in_value(stream, key)
        else:
            fields[key] = stream.value()
    if "energy" in fields or "energy_per_atom" in fields:
        yield None, fields  # the file is one entry


def _opened(key: str | None, record: Any) -> Iterator[tuple[str | None, Any]]:
    """Yield a record, or the entries by run type that a document of the Materials Project holds."""
    entries = record.get("entries") if isinstance(record, dict) else None
    if not isinstance(entries, dict) or not all(map(_is_entry, entries.values())):
        yield key, record
        return
    outer = {name: record[name] for name in (*ID_FIELDS, "thermo_type") if record.get(name) is not None}
    for run_type, entry in entries.items():
        yield key, {"run_type": run_type} | outer | entry


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
        if _is_entry(value) and inner not in ENTRY_FIELDS:
            is_column = True
            yield inner, value
        else:
            fields[inner] = value
    if not is_column and (_is_entry(fields) or _is_entry(entry_in(fields))):
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


def _unique_ids(phases: list[Phase]) -> list[str]:
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

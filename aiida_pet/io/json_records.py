"""One record of JSON or csv becomes one crystal: which field holds the structure, which the id, what else it says.

A record is a crystal in one of the forms of :mod:`~aiida_pet.io.json_crystals`, an entry, or an object with one field
that holds either. The other scalars of record, entry, entry's ``data`` and structure's ``properties`` are its columns.
No AiiDA.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from ase import Atoms

from aiida_pet.io.crystal import Broken, Crystal, Item, reason_of, split_fields
from aiida_pet.io.given_values import GIVEN_COLUMNS
from aiida_pet.io.ids import id_of
from aiida_pet.io.input_results import ResultOptions, take_fields
from aiida_pet.io.json_crystals import (
    Found,
    crystal_of_dict,
    crystal_of_text,
    holds_crystal,
    is_crystal,
    is_crystal_text,
    is_entry,
)
from aiida_pet.io.json_stream import FloatText
from aiida_pet.io.left_out import LeftOut
from aiida_pet.io.own_json import own_item
from aiida_pet.tables.table import Array

# Of which nothing is left out: the correction is their sum, the formula that of the structure.
_PARTS_OF_ENTRIES = frozenset({"energy_adjustments", "composition"})
_FORMS = (
    "aiida-pet reads pymatgen Structures and entries, attributes of OPTIMADE, atoms of JARVIS, and texts of CIF or "
    "POSCAR: fetch the crystals in one of these forms, for instance from the OPTIMADE interface of the database"
)
_OPTIMADE_OTHERS = frozenset({"info", "references", "calculations", "files", "links"})


class AmbiguousStructureError(ValueError):
    """Raised when a row holds several structures and nobody said which one to take.

    :ivar remedy: the argument that chooses one.
    """

    def __init__(self, names: Iterable[str]) -> None:
        found = sorted(names)
        self.remedy = f"structure_key={found[0]!r} chooses one"
        super().__init__(f"several fields hold a structure: {', '.join(found)}")


@dataclass
class JsonOptions:
    """What to take of a row.

    :ivar id_key: field of the id; None tries the usual ones, empty takes none.
    :ivar structure_key: field of the structure, or a path to it such as ``entries.R2SCAN``; None where there is only
        one.
    :ivar dropped: counts of fields that were left out, filled while reading.
    :ivar results: which fields are energies, forces and stresses.
    """

    id_key: str | None = None
    structure_key: str | None = None
    dropped: LeftOut = field(default_factory=LeftOut)
    results: ResultOptions = field(default_factory=ResultOptions)


def is_no_structure(raw: Any) -> bool:
    """Return whether ``raw`` is what stands between structures in OPTIMADE's JSON lines: its header and other kinds."""
    if not isinstance(raw, dict):
        return False
    return "x-optimade" in raw or (
        raw.get("type") in _OPTIMADE_OTHERS and not holds_crystal(raw.get("attributes"))
    )


def item_of_record(
    raw: Any, options: JsonOptions, label: str | None = None, text: Callable[[], str] | None = None
) -> Item:
    """Return the crystal of a structure, entry or record.

    :param label: what names it from outside; counts before fields of the record, unless ``id_key`` says otherwise.
    :param text: returns the JSON that ``raw`` was read from, to take an id as it is written.
    :raises AmbiguousStructureError: if the record holds several structures and ``structure_key`` is None.
    """
    if not isinstance(raw, dict):
        kind = f"{type(raw).__name__} {str(raw)[:40]!r}"
        if is_crystal_text(raw):
            return _made(lambda: crystal_of_text(raw), {}, options, label)
        return Broken(label, f"expected an object with a structure, got {kind}")
    own = own_item(raw, options.id_key, options.dropped)
    if own is not None:
        return own
    if is_crystal(raw):
        return _named(lambda: crystal_of_dict(raw), {}, options, label, text)
    name = options.structure_key or _only(_candidates(raw), raw)
    fields = _beside(raw, name)
    value = None if name is None else at_path(raw, name)
    make = None
    if isinstance(value, dict) and holds_crystal(value):
        make = partial(crystal_of_dict, value)
    elif isinstance(value, str) and value.strip():
        make = partial(crystal_of_text, value)
    if make is not None:
        return _named(make, fields, options, label, text)
    row_id, _ = _id_of(fields, options, label)
    return Broken(row_id, _nothing(raw, name, value), remedy=_FORMS if value is None else "")


def _candidates(raw: Mapping[str, Any]) -> list[str]:
    """Return the fields that hold a crystal: dictionaries, or where there is none, texts."""
    found = [name for name, value in raw.items() if holds_crystal(value)]
    entries = raw.get("entries")
    if not found and isinstance(entries, dict):
        found = [f"entries.{name}" for name, value in entries.items() if is_entry(value)]
    return found or [name for name, value in raw.items() if is_crystal_text(value)]


def _only(candidates: list[str], raw: Mapping[str, Any]) -> str | None:
    """Return the one candidate. A document of the Materials Project says itself which of its entries it is about.

    :raises AmbiguousStructureError: if there are several.
    """
    if len(candidates) > 1:
        stated = f"entries.{raw.get('energy_type')}"
        if stated in candidates:
            return stated
        raise AmbiguousStructureError(candidates)
    return candidates[0] if candidates else None


def at_path(raw: Mapping[str, Any], path: str) -> Any:
    """Return field ``path`` of ``raw``; a dot leads into an object, unless a field is called so. None if not there."""
    if path in raw:
        return raw[path]
    head, _, rest = path.partition(".")
    inner = raw.get(head)
    return at_path(inner, rest) if rest and isinstance(inner, dict) else None


def _beside(raw: Mapping[str, Any], name: str | None) -> dict[str, Any]:
    """Return the other fields of a record, those of its ``data`` among them."""
    data = raw.get("data")
    fields = dict(data) if isinstance(data, dict) and name != "data" else {}
    taken = () if name is None else (name, name.partition(".")[0])
    fields |= {key: value for key, value in raw.items() if key not in ("data", *taken)}
    if name is not None and name not in raw and name.startswith("entries."):
        fields["entry_type"] = name.removeprefix("entries.")
    return fields


def _nothing(raw: Mapping[str, Any], name: str | None, value: Any) -> str:
    where = f"in field {name!r}" if name else "in one of its fields"
    expected = f"expected a Structure or ComputedStructureEntry {where}"
    if name is not None and value is not None:
        return f"{expected}, got {type(value).__name__} {str(value)[:40]!r}"
    if "composition" in raw and "energy" in raw:
        return (
            "it is an entry with composition and energy, but without a structure: it cannot be imported as a crystal, "
            "but it can be a reference of a hull"
        )
    return f"{expected}, got {sorted(map(str, raw))[:12]}"


def _id_of(
    fields: Mapping[str, Any], options: JsonOptions, label: str | None
) -> tuple[str | None, str | None]:
    """Return the id and the field it stood in; a label counts first, but a row's number is no id."""
    if label is not None and options.id_key is None and not label.isdigit():
        return label, None
    return id_of(fields, options.id_key)


def _named(
    make: Callable[[], Found],
    fields: dict[str, Any],
    options: JsonOptions,
    label: str | None,
    text: Callable[[], str] | None,
) -> Item:
    """Return the crystal that ``make`` makes; where its id is a number, as that is written in ``text``."""
    item = _made(make, fields, options, label)
    if text is None or label is not None or item.id is None or not looks_typed(item.id):
        return item
    return item_of_record(json.loads(text(), parse_float=FloatText), options, label)


def looks_typed(row_id: str) -> bool:
    """Return whether an id may be the text of a floating-point number, which JSON may write otherwise."""
    try:
        float(row_id)
    except ValueError:
        return False
    return not row_id.isdigit()


def _made(make: Callable[[], Found], fields: dict[str, Any], options: JsonOptions, label: str | None) -> Item:
    reason = ""
    found = None
    try:
        found = make()
    except ValueError as error:
        reason = reason_of(error)
    everything = {} if found is None else dict(found.fields)
    everything = {key: item for key, item in (everything | fields).items() if not str(key).startswith("@")}
    row_id, key = _id_of(everything, options, label)
    if found is None:
        return Broken(row_id, reason)
    everything.pop(key or "", None)
    columns, atom_columns = columns_of(everything, found.atoms, options)
    return Crystal(row_id, found.atoms, columns, atom_columns | found.atom_columns)


def columns_of(
    fields: Mapping[str, Any], atoms: Atoms, options: JsonOptions
) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return the columns and the columns per atom among ``fields``, those first that options say the meaning of."""
    rest = {name: value for name, value in fields.items() if name not in _PARTS_OF_ENTRIES}
    meant = options.results.column_map
    wanted = {name: rest.pop(name) for name in list(rest) if name in meant}
    if options.results.virial_sign is not None and "virial" in rest:
        wanted["virial"] = rest.pop("virial")
    found: tuple[dict[str, Any], dict[str, Array]] = {}, {}
    if wanted:
        per_atom = {
            name: np.asarray(value)
            for name, value in wanted.items()
            if isinstance(value, list)
            and len(value) == len(atoms)
            and meant.get(name) not in ("stress", "virial", *GIVEN_COLUMNS)
        }
        whole = {name: value for name, value in wanted.items() if name not in per_atom}
        geometry = (len(atoms), atoms.cell.array)
        found = take_fields(whole, per_atom, geometry, options.results, options.dropped)
    columns, atom_columns = split_fields(rest, len(atoms), options.dropped)
    return columns | found[0], atom_columns | found[1]

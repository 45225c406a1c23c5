"""One entry of a file of references: composition, energy, and what it says of its level of theory and pressure.

Run types and U values stand in ``parameters`` or ``data`` of an entry, or in the record around it; so does the
``thermo_type`` of the Materials Project's documents, which is that of the mixing scheme and counts before the run type.
An entry competes under pressure if it states ``enthalpy`` (eV) and ``pressure`` (GPa).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, NoReturn, TypeGuard

from ase.data import atomic_numbers, chemical_symbols

from aiida_pet.analysis.hull.levels_of_theory import functional_of
from aiida_pet.analysis.hull.mp2020 import NAME, needs_correction

ENTRY_FIELDS = ("entry", "computed_structure_entry", "computed_entry")
ID_FIELDS = ("entry_id", "material_id", "task_id", "mat_id", "id", "name")
EXPECTED = "Expected pymatgen entries, a PhaseDiagram, or records with a structure and an energy, as JSON"
_LEVEL_FIELDS = ("thermo_type", "run_type", "functional")
_ISOTOPES = {"D": 1, "T": 1}


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
class Phase:
    """One reference phase as its file has it.

    :ivar row_id: None if the entry has none.
    :ivar composition: atomic number -> atoms.
    :ivar energy_per_atom: eV/atom, or the enthalpy at ``pressure``.
    :ivar pressure: GPa.
    :ivar functional: ``PBE``, ``PBE+U``, ``r2SCAN``, ...; empty if the entry does not say.
    :ivar corrected: True or False for energies with or without corrections, None where there is nothing to correct or
        the entry does not say.
    :ivar scheme: whether the entry names the Materials Project's scheme of 2020.
    """

    row_id: str | None
    composition: dict[int, float]
    energy_per_atom: float
    pressure: float = 0.0
    functional: str = ""
    corrected: bool | None = None
    scheme: bool = False


def entry_in(record: Any) -> Any:
    """Return the entry that a record holds in one of its fields, else the record."""
    if isinstance(record, dict):
        for name in ENTRY_FIELDS:
            if isinstance(record.get(name), dict):
                outer = {
                    key: record[key] for key in (*ID_FIELDS, *_LEVEL_FIELDS) if record.get(key) is not None
                }
                return outer | record[name]
    return record


def phase_of(record: Any, label: str | None, energies: EnergyKind, path: Path) -> Phase:
    """Return the phase that a record of the file ``path`` is.

    :param label: the key under which it stands in the file, if any.
    :param energies: which energy counts; ``mp2020`` is applied before.
    :raises ReferenceFileError: naming the entry and what is wrong with it.
    """
    entry = entry_in(record)
    row_id = id_of_entry(entry, label)

    def refuse(what: str) -> NoReturn:
        raise ReferenceFileError(f"{path}: entry {row_id or 'without id'}: {what}")

    if not isinstance(entry, dict):
        refuse(f"{EXPECTED}, got {type(entry).__name__} {str(entry)[:40]!r}")
    try:
        composition = _composition_of(entry)
    except (ValueError, TypeError, KeyError) as error:
        refuse(f"no composition: {error}")
    n_atoms = sum(composition.values())
    if not n_atoms > 0 or min(composition.values()) < 0:
        refuse(f"composition {composition}, expected positive amounts")
    pressure = _pressure_in(entry)
    per_atom, value = _energy_in(entry, pressure, energies)
    correction = 0.0 if energies is EnergyKind.UNCORRECTED else entry.get("correction") or 0.0
    if not _is_number(value):
        refuse(f"{'enthalpy' if pressure else 'energy'} {value!r}, expected a number in eV")
    if not _is_number(correction):
        refuse(f"correction {correction!r}, expected a number in eV")
    energy = float(value) + (correction / n_atoms) if per_atom else (value + correction) / n_atoms
    functional = functional_in(entry)
    scheme = _names_scheme(entry)
    corrected: bool | None = None
    if energies is not EnergyKind.UNCORRECTED:
        before = entry.get("uncorrected_energy_per_atom")
        changed = per_atom and _is_number(before) and abs(float(value) - before) > _ROUNDING
        symbols = {chemical_symbols[number] for number in composition}
        if correction or changed:
            corrected = True
        elif ("correction" in entry or before is not None) and not scheme and needs_correction(symbols):
            corrected = False
    return Phase(row_id, composition, energy, pressure, functional, corrected, scheme)


# Energies per atom that differ by less than this, in eV, are equal.
_ROUNDING = 1e-7


def functional_in(entry: Mapping[str, Any]) -> str:
    """Return the functional that an entry names, with ``+U`` where it has a U; empty if it names none."""
    parts = [part for part in (entry, entry.get("parameters"), entry.get("data")) if isinstance(part, dict)]
    found = ""
    for name in _LEVEL_FIELDS:
        for part in parts:
            value = part.get(name)
            if isinstance(value, dict):
                value = value.get("value")  # an enumeration, as monty writes it
            if isinstance(value, str) and value.strip() and not found:
                found = functional_of(value)
                if name == "thermo_type":
                    return found
    hubbards = [value for part in parts for value in (part.get("hubbards"), part.get("is_hubbard"))]
    with_u = any(
        any(u for u in given.values()) if isinstance(given, dict) else given is True for given in hubbards
    )
    return f"{found}+U" if found and with_u and not found.endswith("+U") else found


def _names_scheme(entry: Mapping[str, Any]) -> bool:
    adjustments = entry.get("energy_adjustments")
    names = (
        [str(one.get("name")) for one in adjustments or () if isinstance(one, dict)]
        if isinstance(adjustments, list)
        else []
    )
    return any(name.startswith(NAME) for name in names)


def _pressure_in(entry: Mapping[str, Any]) -> float:
    """Return the pressure (GPa) at which an entry states an enthalpy; 0 if it states none."""
    data = entry.get("data") if isinstance(entry.get("data"), dict) else {}
    pressure = entry.get("pressure", (data or {}).get("pressure"))
    return float(pressure) if _is_number(pressure) and _enthalpy_in(entry) is not None else 0.0


def _enthalpy_in(entry: Mapping[str, Any]) -> tuple[bool, Any] | None:
    """Return whether the enthalpy of an entry is per atom, and its value; None if it states none."""
    data = entry.get("data") if isinstance(entry.get("data"), dict) else {}
    for part in (entry, data or {}):
        for name, per_atom in (("enthalpy", False), ("enthalpy_per_atom", True)):
            if part.get(name) is not None:
                return per_atom, part[name]
    return None


def _energy_in(entry: Mapping[str, Any], pressure: float, energies: EnergyKind) -> tuple[bool, Any]:
    """Return whether the energy that counts is per atom, and its value."""
    enthalpy = _enthalpy_in(entry)
    if pressure and enthalpy is not None:
        return enthalpy
    if "energy" in entry:
        return False, entry["energy"]
    raw = entry.get("uncorrected_energy_per_atom")
    if energies is EnergyKind.UNCORRECTED and raw is not None:
        return True, raw
    return True, entry.get("energy_per_atom")


def _is_number(value: Any) -> TypeGuard[float]:
    # integers of JSON may be larger than any float
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def id_of_entry(entry: Any, label: str | None) -> str | None:
    """Return the id of an entry, of its fields or of ``data`` in it, else ``label``."""
    if isinstance(entry, dict):
        data = entry.get("data") if isinstance(entry.get("data"), dict) else {}
        for name in ID_FIELDS:
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
        structure = entry.get("structure")
        if not isinstance(structure, dict) or not isinstance(structure.get("sites"), list):
            raise ValueError(
                "expected a field 'composition', such as {'Mo': 1, 'O': 2} or 'MoO2', or a pymatgen 'structure', got "
                f"fields {', '.join(sorted(map(str, entry)))}"
            )
        sites = structure["sites"]
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

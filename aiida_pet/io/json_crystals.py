"""The forms that a crystal has within JSON and csv: pymatgen's, OPTIMADE's, JARVIS' and text. No AiiDA.

A form is a dictionary (a pymatgen Structure, the ``attributes`` of an OPTIMADE structure, the ``atoms`` of JARVIS) or
a text (a CIF, a POSCAR, or JSON of one of these dictionaries). Nothing that a file names is imported or run.
"""

from __future__ import annotations

import ast
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

from aiida_pet.io.cif import read_cif
from aiida_pet.io.crystal import Broken, checked, reason_of
from aiida_pet.io.left_out import LeftOut
from aiida_pet.io.poscar import read_poscar
from aiida_pet.io.pymatgen_structures import (
    ISOTOPES,
    OCCUPANCY_TOLERANCE,
    atoms_from_structure,
    beside_sites,
    held_of,
)
from aiida_pet.tables.table import Array

# A text of less is no crystal; looking at short texts would cost as much as reading them.
_SHORTEST_TEXT = 40
_OPTIMADE_GEOMETRY = frozenset(
    {
        "lattice_vectors", "cartesian_site_positions", "species_at_sites", "species", "dimension_types",
        "nperiodic_dimensions", "structure_features",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Found:
    """A crystal in one of the forms.

    :ivar atoms: its geometry.
    :ivar fields: what the form says beside it.
    :ivar atom_columns: name -> (n_atoms, ...) array.
    """

    atoms: Atoms
    fields: dict[str, Any] = field(default_factory=dict)
    atom_columns: dict[str, Array] = field(default_factory=dict)


def is_crystal(value: Any) -> bool:
    """Return whether ``value`` is the dictionary of a crystal, in any of the forms."""
    return isinstance(value, dict) and (_is_structure(value) or _is_jarvis(value) or _is_optimade(value))


def is_entry(value: Any) -> bool:
    """Return whether ``value`` is a dictionary with a crystal in its field ``structure``, as an entry is."""
    return isinstance(value, dict) and is_crystal(value.get("structure"))


def holds_crystal(value: Any) -> bool:
    """Return whether ``value`` is a crystal or an entry."""
    return is_crystal(value) or is_entry(value)


def is_crystal_text(value: Any) -> bool:
    """Return whether ``value`` is a text that looks like a CIF, a POSCAR or the JSON of a crystal."""
    if not isinstance(value, str) or len(value) < _SHORTEST_TEXT:
        return False
    start = value.lstrip()[:1]
    if start == "{":
        return "lattice" in value and ("sites" in value or "elements" in value or "species" in value)
    return "_cell_length_a" in value or _is_poscar(value)


def crystal_of_dict(raw: Mapping[str, Any]) -> Found:
    """Return the crystal of a dictionary for which :func:`is_crystal` or :func:`is_entry` is true.

    :raises ValueError: if it is damaged or a site is disordered.
    """
    try:
        return _crystal_of_dict(raw)
    except (KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError) as error:
        raise ValueError(f"its structure is damaged: {reason_of(error)}") from error


def _crystal_of_dict(raw: Mapping[str, Any]) -> Found:
    if not is_crystal(raw):
        inner = _crystal_of_dict(raw["structure"])
        fields = {name: item for name, item in raw.items() if name not in ("structure", "data")}
        data = raw.get("data")
        fields = (data if isinstance(data, dict) else {}) | fields
        return Found(inner.atoms, inner.fields | fields, inner.atom_columns)
    if _is_structure(raw):
        atoms = atoms_from_structure(raw)
        held = held_of(raw)
        fields = beside_sites(raw)
        return Found(atoms, fields, {} if held is None else {"fixed_scaled": held})
    if _is_jarvis(raw):
        return Found(_jarvis_atoms(raw))
    fields = {name: item for name, item in raw.items() if name not in _OPTIMADE_GEOMETRY}
    return Found(_optimade_atoms(raw), fields)


def crystal_of_text(text: str) -> Found:
    """Return the crystal that ``text`` holds: a CIF, a POSCAR or JSON.

    :raises ValueError: if it holds none, or more than one.
    """
    if text.lstrip().startswith("{"):
        raw = _dict_of(text)
        if not holds_crystal(raw):
            raise ValueError(
                f"its JSON text is not a structure; it has the fields {sorted(map(str, raw))[:10]}"
            )
        return crystal_of_dict(raw)
    reader = read_cif if "_cell_length_a" in text else read_poscar
    items = list(reader(io.StringIO(text), None, LeftOut()))
    if len(items) != 1:
        raise ValueError(f"its text holds {len(items)} structures: expected one")
    item = items[0]
    if isinstance(item, Broken):
        raise ValueError(item.reason)
    return Found(item.atoms, dict(item.columns), dict(item.atom_columns))


def _dict_of(text: str) -> dict[str, Any]:
    """Return the dictionary of JSON, or of what Python prints, which pandas writes to csv; nothing is run."""
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        try:
            raw = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            raise ValueError(f"its text is not valid JSON: {reason_of(error)}") from error
    if not isinstance(raw, dict):
        raise ValueError(f"its text is a {type(raw).__name__}: expected an object")
    return raw


# -- pymatgen ------------------------------------------------------------------------------------------------


def _is_structure(value: Mapping[str, Any]) -> bool:
    return "lattice" in value and "sites" in value


# -- POSCAR --------------------------------------------------------------------------------------------------


def _is_poscar(text: str) -> bool:
    lines = text.lstrip("\n").splitlines()[:5] if text.count("\n") >= 6 else []
    try:
        return len(lines) == 5 and all(
            len([float(word) for word in line.split()[:3]]) == 3 for line in lines[2:]
        )
    except ValueError:
        return False


# -- JARVIS --------------------------------------------------------------------------------------------------


def _is_jarvis(value: Mapping[str, Any]) -> bool:
    return "lattice_mat" in value and "coords" in value and "elements" in value


def _jarvis_atoms(raw: Mapping[str, Any]) -> Atoms:
    """Return the crystal of JARVIS' ``atoms``: ``coords`` are fractional unless ``cartesian`` is true."""
    symbols = raw["elements"]
    if not isinstance(symbols, list):
        raise ValueError(f"'elements' is {symbols!r}: expected a list of symbols")
    cell = _array(raw, "lattice_mat", (3, 3))
    coordinates = _array(raw, "coords", (len(symbols), 3))
    positions = coordinates if raw.get("cartesian") else coordinates @ cell
    return checked(Atoms(_numbers(symbols), positions, cell=cell, pbc=True))


# -- OPTIMADE ------------------------------------------------------------------------------------------------


def _is_optimade(value: Mapping[str, Any]) -> bool:
    return "lattice_vectors" in value and ("cartesian_site_positions" in value or "species_at_sites" in value)


def _optimade_atoms(raw: Mapping[str, Any]) -> Atoms:
    """Return the crystal of OPTIMADE's attributes, as its specification 1.2 has them (section 7.2).

    :raises ValueError: if positions or species are missing, or a site is not one whole atom.
    """
    names = raw.get("species_at_sites")
    if not isinstance(names, list):
        raise ValueError("it has no species_at_sites: expected the name of a species for each site")
    if raw.get("cartesian_site_positions") is None:
        raise ValueError("it has no cartesian_site_positions (some servers send them only if asked)")
    _check_optimade_whole(raw, len(names))
    species = _optimade_species(raw.get("species") or [])
    symbols = [_optimade_symbol(index, name, species) for index, name in enumerate(names)]
    positions = _array(raw, "cartesian_site_positions", (len(names), 3))
    vectors = raw["lattice_vectors"]
    cell = np.zeros((3, 3)) if vectors is None else np.nan_to_num(_array(raw, "lattice_vectors", (3, 3)))
    types = raw.get("dimension_types")
    if types is None:
        types = [int(vectors is not None)] * 3
    if not isinstance(types, list) or len(types) != 3 or any(one not in (0, 1) for one in types):
        raise ValueError(f"dimension_types is {types}: expected three numbers, each 0 or 1")
    pbc = [bool(one) for one in types]
    return checked(Atoms(_numbers(symbols), positions, cell=cell, pbc=pbc))


def _check_optimade_whole(raw: Mapping[str, Any], n_sites: int) -> None:
    """:raises ValueError: if the sites are not the crystal: some are missing, or stand for one another."""
    stated = raw.get("nsites")
    if isinstance(stated, int) and stated != n_sites:
        raise ValueError(f"nsites is {stated}, but species_at_sites names {n_sites}: expected all sites")
    features = raw.get("structure_features") or []
    if raw.get("assemblies") or "assemblies" in features:
        raise ValueError(
            "some of its sites are alternatives to each other (assemblies): expected an ordered crystal, in which "
            "every site is occupied"
        )
    if "implicit_atoms" in features:
        raise ValueError(
            "some of its atoms are not among its sites (implicit_atoms): expected a site for every atom"
        )


def _optimade_species(listed: Any) -> dict[str, Mapping[str, Any]]:
    if not isinstance(listed, list) or not all(isinstance(one, dict) and "name" in one for one in listed):
        raise ValueError("'species' is not a list of objects with a name")
    return {one["name"]: one for one in listed}


def _optimade_symbol(index: int, name: Any, species: Mapping[str, Mapping[str, Any]]) -> str:
    one = species.get(name)
    if one is None:
        if species:
            raise ValueError(f"site {index} holds the species {name!r}, which is not among its species")
        return str(name)
    symbols = one.get("chemical_symbols") or []
    shares = one.get("concentration") or [1.0] * len(symbols)
    if len(shares) == len(symbols):  # an occupancy of 0 is none
        present = [place for place, share in enumerate(shares) if float(share) > OCCUPANCY_TOLERANCE]
        symbols, shares = [symbols[place] for place in present], [shares[place] for place in present]
    whole = len(symbols) == 1 and len(shares) == 1 and abs(float(shares[0]) - 1) <= OCCUPANCY_TOLERANCE
    if not whole or symbols[0] == "vacancy":
        held = ", ".join(f"{symbol} {share}" for symbol, share in zip(symbols, shares, strict=False))
        raise ValueError(f"site {index} is disordered ({held}): expected one species of occupancy 1")
    if any(one.get("nattached") or []):
        raise ValueError(f"site {index} has atoms attached to it ({name!r}) whose positions are not given")
    return str(symbols[0])


def _array(raw: Mapping[str, Any], name: str, shape: tuple[int, ...]) -> Array:
    try:
        array = np.array(raw[name], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{name!r} is not {shape[0]} times {shape[1]} numbers: {reason_of(error)}"
        ) from error
    if array.shape != shape:
        raise ValueError(f"{name!r} has shape {array.shape}: expected {shape}")
    return array


def _numbers(symbols: list[Any]) -> list[int]:
    numbers = []
    for index, symbol in enumerate(symbols):
        text = symbol.strip() if isinstance(symbol, str) else symbol
        number = ISOTOPES.get(text) or atomic_numbers.get(text) if isinstance(text, str) else None
        if not number:
            raise ValueError(f"site {index} holds {symbol!r}: expected a chemical element")
        numbers.append(number)
    return numbers

"""Crystals of pymatgen's dictionaries, without the modules that a file names. No AiiDA.

What a file calls a class (``@module``, ``@class``) is never looked up: pymatgen's ``from_dict`` would import the
module, and so run it. Where pymatgen's objects are needed, they are made of the numbers and names in the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

from aiida_pet.io.crystal import checked, reason_of
from aiida_pet.tables.table import Array

if TYPE_CHECKING:
    from pymatgen.core import DummySpecies, Element, Lattice, Species, Structure

ISOTOPES = {"D": 1, "T": 1}
OCCUPANCY_TOLERANCE = 1e-6
# Cartesian coordinates that agree so well with the fractional ones (A) are taken as they stand, without a product
# that rounds them.
_SAME_PLACE = 1e-6


def atoms_from_structure(raw: Mapping[str, Any]) -> Atoms:
    """Return the crystal of a pymatgen Structure's dictionary, without pymatgen's objects where possible.

    :raises ValueError: if it is not one, or a site is disordered.
    """
    if "lattice" not in raw or "sites" not in raw:
        raise ValueError(f"expected a Structure with 'lattice' and 'sites', got fields {sorted(raw)[:10]}")
    try:
        atoms = _atoms_directly(raw)
    except (KeyError, TypeError, IndexError):
        atoms = None
    return checked(_atoms_by_pymatgen(raw) if atoms is None else atoms)


def _atoms_directly(raw: Mapping[str, Any]) -> Atoms | None:
    """Return the atoms, or None for a form that only pymatgen knows."""
    lattice, sites = raw["lattice"], raw["sites"]
    cell = np.array(lattice["matrix"], dtype=np.float64)
    numbers = []
    for index, site in enumerate(sites):
        species = site["species"]
        if len(species) != 1 or abs(species[0]["occu"] - 1) > OCCUPANCY_TOLERANCE:
            raise _disorder(index, species)
        symbol = species[0]["element"]
        number = ISOTOPES.get(symbol) or atomic_numbers.get(symbol)
        if not number:
            return None
        numbers.append(number)
    if cell.shape != (3, 3):
        return None
    positions = _positions(sites, cell)
    return Atoms(numbers=numbers, positions=positions, cell=cell, pbc=lattice.get("pbc", True))


def _positions(sites: list[Mapping[str, Any]], cell: Array) -> Array:
    """(n, 3) A: of fractional coordinates as in pymatgen; of Cartesian ones where these say the same or stand alone."""
    if not sites:
        return np.zeros((0, 3))
    if "abc" not in sites[0]:
        return np.array([site["xyz"] for site in sites], dtype=np.float64)
    fractional = np.array([site["abc"] for site in sites], dtype=np.float64)
    positions = fractional @ cell
    if "xyz" not in sites[0]:
        return positions
    stated = np.array([site.get("xyz", (np.nan,) * 3) for site in sites], dtype=np.float64)
    same = stated.shape == positions.shape and bool((np.abs(stated - positions) <= _SAME_PLACE).all())
    return stated if same or not np.isfinite(fractional).all() else positions


def held_of(raw: Mapping[str, Any]) -> Array | None:
    """Return (n, 3) bool, True where a site is held along a lattice vector; None where none is.

    pymatgen's ``selective_dynamics`` are the flags of a POSCAR: along a, b and c, True for what may move.

    :raises ValueError: if the flags of a site are not three.
    """
    flags = [(site.get("properties") or {}).get("selective_dynamics") for site in raw["sites"]]
    if all(flag is None for flag in flags):
        return None
    for index, flag in enumerate(flags):
        if flag is not None and (not isinstance(flag, list) or len(flag) != 3):
            raise ValueError(
                f"site {index}: selective_dynamics is {flag!r}: expected three of true and false"
            )
    held = ~np.array([[True] * 3 if flag is None else flag for flag in flags], dtype=bool)
    return held if held.any() else None


def beside_sites(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a Structure says beside lattice and sites: its properties, a charge, and lists of values per site."""
    per_site: dict[str, list[Any]] = {}
    for place, site in enumerate(raw["sites"]):
        for name, value in (site.get("properties") or {}).items():
            if value is not None and name != "selective_dynamics":
                per_site.setdefault(name, [None] * len(raw["sites"]))[place] = value
    properties = raw.get("properties")
    charge = {"charge": raw["charge"]} if raw.get("charge") else {}
    return per_site | charge | (dict(properties) if isinstance(properties, dict) else {})


def _disorder(index: int, species: Any) -> ValueError:
    return ValueError(f"site {index} is disordered ({species}): expected one species of occupancy 1")


def structure_of(raw: Mapping[str, Any]) -> Structure:
    """Return pymatgen's Structure of its dictionary; lattice, species and coordinates only.

    Not ``Structure.from_dict``, which hands properties of sites to monty's decoder, and that imports any module which
    the file names.

    :raises Exception: whatever pymatgen and its parts raise if it is none.
    """
    from pymatgen.core import Structure  # noqa: PLC0415 - seconds to import, hardly ever needed

    sites = raw["sites"]
    if not sites:
        raise ValueError("it has no sites")
    coordinates = np.array([site["abc"] for site in sites], dtype=np.float64)
    if coordinates.shape != (len(sites), 3):
        raise ValueError(f"coordinates 'abc' have shape {coordinates.shape}, expected {(len(sites), 3)}")
    species = [{_specie_of(part): float(part["occu"]) for part in site["species"]} for site in sites]
    return Structure(_lattice_of(raw["lattice"]), species, coordinates)


def _lattice_of(raw: Mapping[str, Any]) -> Lattice:
    """Return the lattice of a matrix in A or of lengths in A and angles in degrees."""
    from pymatgen.core import Lattice  # noqa: PLC0415

    pbc = raw.get("pbc", (True, True, True))
    if "matrix" in raw:
        return Lattice(raw["matrix"], pbc=pbc)
    return Lattice.from_parameters(
        *(float(raw[name]) for name in ("a", "b", "c", "alpha", "beta", "gamma")), pbc=pbc
    )


def _specie_of(raw: Mapping[str, Any]) -> Element | Species | DummySpecies:
    from pymatgen.core import DummySpecies, Element, Species  # noqa: PLC0415

    symbol = raw["element"]
    if "oxidation_state" not in raw:
        return Element(symbol)
    kind = Species if Element.is_valid_symbol(symbol) else DummySpecies
    return kind(symbol, raw["oxidation_state"], spin=raw.get("spin"))


def _atoms_by_pymatgen(raw: Mapping[str, Any]) -> Atoms:
    try:
        structure = structure_of(raw)
    except Exception as error:  # pymatgen raises whatever its parts raise
        raise ValueError(f"pymatgen cannot build the structure: {reason_of(error)}") from error
    numbers = []
    for index, site in enumerate(structure):
        if not site.is_ordered:
            raise _disorder(index, site.species_string)
        symbol = getattr(site.specie, "symbol", str(site.specie))
        number = ISOTOPES.get(symbol) or atomic_numbers.get(symbol)
        if not number:
            raise ValueError(f"site {index} holds {symbol!r}: expected a chemical element")
        numbers.append(number)
    lattice = structure.lattice
    return Atoms(numbers=numbers, positions=structure.cart_coords, cell=lattice.matrix, pbc=lattice.pbc)

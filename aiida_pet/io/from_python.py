"""Crystals that a Python program has: ASE Atoms, pymatgen Structures and entries, AiiDA's StructureData. No AiiDA.

Objects are told by what they can do, so that neither pymatgen nor AiiDA is imported for it. Of Atoms the geometry,
velocities, held atoms (``FixAtoms``, ``FixCartesian``, ``FixScaled``) and results that its calculator has for this very
geometry come along, as columns ``input_*``, and of ``info`` the settings of a crystal (``q_mesh``, ``fc3_supercell``,
...); nothing is calculated. Of pymatgen's objects come what their dictionaries say.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from ase import Atoms
from ase.constraints import FixAtoms, FixCartesian, FixScaled

from aiida_pet.io.column_collector import ColumnCollector
from aiida_pet.io.crystal import KNOWN_UNITS, Broken, Crystal, checked, reason_of
from aiida_pet.io.given_values import GIVEN_COLUMNS
from aiida_pet.io.ids import id_of
from aiida_pet.io.input_results import ResultOptions, take_fields
from aiida_pet.io.json_records import JsonOptions, item_of_record
from aiida_pet.io.left_out import LeftOut
from aiida_pet.io.masses import MASSES_NOTE, are_natural
from aiida_pet.io.velocities import MASSES, MOMENTA, with_velocities
from aiida_pet.job.dynamics_columns import VELOCITIES
from aiida_pet.tables.crystals import StructureTable, StructureTableBuilder
from aiida_pet.tables.table import Array

_EXPECTED = (
    "expected ASE Atoms, a pymatgen Structure or ComputedStructureEntry or the dictionary of one, an AiiDA "
    "StructureData, or a pair (id, one of these)"
)
_PAIR = 2


def table_of_crystals(crystals: Any) -> StructureTable:
    """Return the table of ``crystals``.

    :param crystals: an iterable of crystals or of pairs (id, crystal), or a mapping id -> crystal. A crystal without an
        id is called by what it says itself (``info["id"]``, ``entry_id``), else ``structure-<place>``, from 0 on.
    :raises TypeError: naming the place and type of what is no crystal.
    :raises ValueError: naming the crystal that cannot be taken, as a disordered one, or has settings that do not fit.
    :raises DuplicateIdError: if two have the same id.

    >>> from ase.build import bulk
    >>> table = table_of_crystals({"W": bulk("W"), "Mo": bulk("Mo")})
    >>> table.ids.tolist(), table.n_atoms.tolist()
    (['W', 'Mo'], [1, 1])
    """
    left_out = LeftOut()
    builder, collector = StructureTableBuilder(), ColumnCollector(left_out)
    for crystal in iter_python(crystals):
        collector.add_crystal(len(builder), crystal)
        builder.add(str(crystal.id), crystal.atoms)
    if left_out.unfit:  # nobody would read a summary
        raise ValueError("; ".join(left_out.unfit_lines()))
    table = builder.build(collector.build(len(builder)))
    table.atom_columns = collector.build_atoms(table.offsets)
    table.ragged = collector.build_ragged(len(table))
    table.units = {
        name: KNOWN_UNITS[name] for name in (*table.columns, *table.atom_columns) if name in KNOWN_UNITS
    }
    return table


def iter_python(crystals: Any) -> Iterator[Crystal]:
    """Yield each crystal with an id, one at a time."""
    if _is_crystal(crystals) or isinstance(crystals, str | bytes) or not isinstance(crystals, Iterable):
        raise TypeError(
            f"a {type(crystals).__name__} is not a list of crystals: expected a list, an iterator or a mapping id -> "
            "crystal. Put a single crystal into a list"
        )
    pairs = crystals.items() if isinstance(crystals, Mapping) else (_pair(one) for one in crystals)
    for place, (row_id, one) in enumerate(pairs):
        name = f"crystal {place}" if row_id is None else f"crystal {place}, {str(row_id)!r},"
        try:
            found = _crystal_of(one)
        except ValueError as error:
            raise ValueError(f"{name} cannot be taken: {error}") from error
        if found is None:
            raise TypeError(f"{name} is a {type(one).__module__}.{type(one).__qualname__}: {_EXPECTED}")
        if row_id is not None:
            yield replace(found, id=str(row_id))
        else:
            yield found if found.id is not None else replace(found, id=f"structure-{place}")


def _pair(one: Any) -> tuple[Any, Any]:
    """Return (id, crystal), id None where there is none."""
    if isinstance(one, tuple | list) and len(one) == _PAIR and not _is_crystal(one):
        return one[0], one[1]
    return None, one


def _is_crystal(one: Any) -> bool:
    is_dict = isinstance(one, Mapping) and ("lattice" in one or "structure" in one) and "@class" in one
    return is_dict or isinstance(one, Atoms) or _is_structure_data(one) or _is_pymatgen(one)


def _is_structure_data(one: Any) -> bool:
    return all(hasattr(one, name) for name in ("get_ase", "kinds", "sites", "is_alloy"))


def _is_pymatgen(one: Any) -> bool:
    has_crystal = hasattr(one, "structure") or (hasattr(one, "lattice") and hasattr(one, "sites"))
    return hasattr(one, "as_dict") and has_crystal and not isinstance(one, type)


def _crystal_of(one: Any) -> Crystal | None:
    """Return the crystal that ``one`` is, None if it is none.

    :raises ValueError: if it cannot be taken.
    """
    if isinstance(one, Atoms):
        return _of_atoms(one)
    if _is_structure_data(one):
        if one.is_alloy or one.has_vacancies:
            raise ValueError("a site is disordered: expected one species of occupancy 1")
        atoms = one.get_ase()
        _tell_masses(atoms)
        return Crystal(None, Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=one.pbc))
    raw = one.as_dict() if _is_pymatgen(one) else one
    if not isinstance(raw, Mapping):
        return None
    item = item_of_record(dict(raw), JsonOptions())
    if isinstance(item, Broken):
        raise ValueError(item.reason)
    return item


def _tell_masses(atoms: Atoms) -> None:
    """Warn of masses that are not kept."""
    if not are_natural(atoms.get_masses(), atoms.numbers):
        warnings.warn(MASSES_NOTE, stacklevel=2)


def _of_atoms(atoms: Atoms) -> Crystal:
    _tell_masses(atoms)
    row_id, _ = id_of(atoms.info, None)
    held = held_in_atoms(atoms)
    results: dict[str, Any] = {}
    calculator = atoms.calc
    stored = getattr(calculator, "results", None)
    if calculator is not None and isinstance(stored, dict) and not _is_stale(calculator, atoms):
        results = {
            name: stored[name] for name in ("energy", "free_energy", "stress", "forces") if name in stored
        }
    arrays = {"forces": np.asarray(results.pop("forces"))} if "forces" in results else {}
    moving = {name: atoms.arrays[name] for name in (MOMENTA, MASSES, VELOCITIES) if name in atoms.arrays}
    moving = with_velocities(moving, atoms.numbers, LeftOut())
    arrays |= {VELOCITIES: moving[VELOCITIES]} if VELOCITIES in moving else {}
    geometry = (len(atoms), atoms.cell.array)
    given = {name: atoms.info[name] for name in GIVEN_COLUMNS if name in atoms.info}
    columns, atom_columns = take_fields(given | results, arrays | held, geometry, ResultOptions(), LeftOut())
    bare = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    others = _other_constraints(atoms)
    if others:
        columns["constraints_not_read"] = others
    return Crystal(row_id, checked(bare, may_be_empty=True), columns, atom_columns)


def _is_stale(calculator: Any, atoms: Atoms) -> bool:
    """Return whether the results of ``calculator`` are of another geometry than that of ``atoms``."""
    try:
        return bool(calculator.check_state(atoms))
    except Exception as error:  # calculators of others may do anything
        return bool(reason_of(error))


def held_in_atoms(atoms: Atoms) -> dict[str, Array]:
    """Return what constraints hold, (n, 3) bool: ``fixed_cartesian`` along x y z, ``fixed_scaled`` along a b c."""
    found = {name: np.zeros((len(atoms), 3), dtype=bool) for name in ("fixed_cartesian", "fixed_scaled")}
    for constraint in atoms.constraints:
        if isinstance(constraint, FixAtoms):
            found["fixed_cartesian"][constraint.index] = True
        elif isinstance(constraint, FixCartesian):
            found["fixed_cartesian"][constraint.index] |= np.asarray(constraint.mask, dtype=bool)
        elif isinstance(constraint, FixScaled):
            found["fixed_scaled"][constraint.index] |= np.asarray(constraint.mask, dtype=bool)
    return {name: held for name, held in found.items() if held.any()}


def _other_constraints(atoms: Atoms) -> str:
    known = (FixAtoms, FixCartesian, FixScaled)
    return " ".join(sorted({type(one).__name__ for one in atoms.constraints if not isinstance(one, known)}))

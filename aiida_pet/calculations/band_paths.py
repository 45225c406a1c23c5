"""On which band path a crystal is put, and what has to be said of that.

The small forces of an unconstrained model can cost a crystal its space group, or leave it with one at one tolerance and
another at the next. Its bands would then be along another path, under other labels, than the bands of the crystal that
was asked about. So: a crystal whose space group at ``path_symprec`` is not the one it started with is put on the path
of its start, on its own lattice; where there is no start to take it from, there is no path, unless another one is
allowed.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import seekpath
from ase import Atoms
from phonopy import Phonopy

from aiida_pet.calculations.harmonic_parameters import BandsParameters
from aiida_pet.crystals.phonons.bands import BandPath, band_path
from aiida_pet.crystals.symmetry.spacegroup import spacegroup_numbers
from aiida_pet.tables.columns import symprec_label
from aiida_pet.tables.crystals import StructureTable

_AFTER = "spacegroup_"
_BEFORE = "initial_spacegroup_"


class OtherPathError(ValueError):
    """Raised where the only available path belongs to another space group than the group with which the crystal
    started.
    """


class PathOf(StrEnum):
    """Whose path it is."""

    CRYSTAL = "crystal"
    PARENT = "parent"
    START = "start"


@dataclass(frozen=True)
class ChosenPath:
    """A band path, and what has to be said of it.

    :ivar path: in the reciprocal basis of the crystal's primitive cell.
    :ivar of: whose path it is.
    :ivar spacegroup: space group of the crystal at ``path_symprec``; 0 if none is found.
    :ivar warnings: in words; empty if the space group is the same at all tolerances and the same as at the start.
    """

    path: BandPath
    of: PathOf
    spacegroup: int
    warnings: tuple[str, ...]


def choose_path(
    row: StructureTable,
    phonopy: Phonopy,
    parameters: BandsParameters,
    *,
    parent: Atoms | None = None,
    start: Atoms | None = None,
) -> ChosenPath:
    """Return the path of a crystal.

    :param row: the one row of results, with its columns of space groups.
    :param phonopy: phonopy object of the row.
    :param parent: a structure whose path is wanted, with the same lattice but for a strain of up to 10 %.
    :param start: the crystal before its relaxation, whose path is taken if the relaxation changed the space group.
    :raises OtherPathError: if the relaxation changed the space group, and the path of the start cannot be had.
    :raises ValueError: if the lattice of ``parent`` is another, or there is no path.
    """
    crystal, symprec = _primitive(phonopy), parameters.path_symprec
    own = _spacegroup(crystal, symprec)
    begun = _start_group(row, symprec, start)
    said = symmetry_remarks(row, phonopy, parameters)
    changed = f"space group at path_symprec = {symprec:g} A is {own}, at the start it was {begun}"

    if parent is not None:
        path = _path(crystal, symprec, parent)
        of = PathOf.PARENT
        if path.spacegroup != own:
            said.append(
                f"bands are along the path of the parent structure, space group {path.spacegroup}; the crystal has "
                f"{own} at path_symprec = {symprec:g} A"
            )
    elif begun in (own, None):
        path, of = _path(crystal, symprec), PathOf.CRYSTAL
    elif parameters.allow_other_path:
        path, of = _path(crystal, symprec), PathOf.CRYSTAL
        said.append(
            f"{changed}: bands are along the path of space group {path.spacegroup}, since allow_other_path is set"
        )
    else:
        path, of = _path_of_start(crystal, symprec, start, changed), PathOf.START
        said.append(
            f"{changed}: bands are along the path of the unrelaxed crystal, space group {path.spacegroup}"
        )
    if of is PathOf.CRYSTAL and path.spacegroup != own:
        said.append(
            f"bands are along the path of space group {path.spacegroup}, since not all atoms obey {own}"
        )
    if path.is_supercell:
        said.append(
            f"at path_symprec = {symprec:g} A the crystal has a smaller primitive cell; the labels of the bands "
            "belong to this smaller cell"
        )
    return ChosenPath(path, of, own, tuple(said))


def symmetry_remarks(row: StructureTable, phonopy: Phonopy, parameters: BandsParameters) -> list[str]:
    """Return what there is to say of the space groups of a row, whatever path it is put on.

    Its column ``symmetry_warning``, and what is found now at the same tolerances and at ``path_symprec`` if that
    differs from one to the other, or from the columns.

    :param row: the one row of results.
    :param phonopy: phonopy object of the row.
    """
    crystal, symprec = _primitive(phonopy), parameters.path_symprec
    said = [str(row.columns["symmetry_warning"][0])] if "symmetry_warning" in row.columns else []
    stored = _columns(row, _AFTER)
    found = {at: _spacegroup(crystal, at) for at in sorted({*stored, symprec})}
    if len(set(found.values())) > 1 or any(found[at] != number for at, number in stored.items()):
        listed = ", ".join(f"{number} at {at:g} A" for at, number in found.items())
        said.append(f"the primitive cell has space group {listed}")
    return [text for text in said if text]


def _start_group(row: StructureTable, symprec: float, start: Atoms | None) -> int | None:
    """Return the space group before the relaxation; None if there was none, or nobody knows.

    That of the table at this tolerance; else that of ``start``; else that of the table at the nearest tolerance.
    """
    known = _columns(row, _BEFORE)
    for at, number in known.items():
        if symprec_label(at) == symprec_label(symprec):
            return number
    if start is not None:
        return _spacegroup(start, symprec)
    return known[min(known, key=lambda at: abs(np.log(at / symprec)))] if known else None


def _primitive(phonopy: Phonopy) -> Atoms:
    cell = phonopy.primitive
    return Atoms(cell.numbers, positions=cell.positions, cell=cell.cell, pbc=True)


def _columns(row: StructureTable, prefix: str) -> Mapping[float, int]:
    """Return tolerance (A) -> space group of the columns that begin with ``prefix``."""
    return {
        float(name.removeprefix(prefix).replace("_", ".")): int(values[0])
        for name, values in row.columns.items()
        if name.startswith(prefix) and not np.isnan(values[0])
    }


def _spacegroup(atoms: Atoms, symprec: float) -> int:
    """Return the number that the engine would find, 0 for none."""
    (numbers,) = spacegroup_numbers(StructureTable.from_ase([("crystal", atoms)]), [symprec]).values()
    return int(numbers[0])


def _path(crystal: Atoms, symprec: float, parent: Atoms | None = None) -> BandPath:
    given = None if parent is None else (parent.cell.array, parent.positions, parent.numbers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", seekpath.SupercellWarning)  # said in words: is_supercell
        return band_path(
            crystal.cell.array, crystal.positions, crystal.numbers, symprec=symprec, parent=given
        )


def _path_of_start(crystal: Atoms, symprec: float, start: Atoms | None, changed: str) -> BandPath:
    remedy = "give a structure with the right path as `parent`, or set allow_other_path"
    if start is None:
        raise OtherPathError(f"{changed}, and the path of the unrelaxed crystal is not known: {remedy}")
    try:
        return _path(crystal, symprec, start)
    except ValueError as error:
        raise OtherPathError(
            f"{changed}, and the path of the unrelaxed crystal does not fit ({error}): {remedy}"
        ) from error

"""Reads yaml files of phonopy and phono3py: the crystal, its settings, displacements, forces and charges. No AiiDA.

``phonopy_disp.yaml``, ``phonopy_params.yaml``, ``phonopy.yaml`` and those of phono3py. The crystal is the unit cell.
Columns of phonopy are ``primitive_matrix`` (3, 3), relative to it, ``supercell_matrix`` (3, 3), relative to the
primitive cell as in results of phonons, ``q_mesh`` where the file names one, and as ragged columns ``displacements``
and ``displacement_forces`` (:mod:`~aiida_pet.io.phonopy_displacements`). Those of phono3py are ``fc2_supercell`` and
``fc3_supercell``, relative to the unit cell, and ``fc2_displacements``, ``fc2_forces``, ``fc3_displacements`` and
``fc3_forces``. Born charges of the primitive cell are spread over the unit cell.

Lengths and forces are converted from the units that the file names. The file is read by PyYAML's safe loader.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, TextIO

import numpy as np
import yaml
from ase import Atoms
from ase.units import Bohr, Hartree, Rydberg

from aiida_pet.io.crystal import Broken, Crystal, Item, OtherFileError, checked, reason_of
from aiida_pet.io.left_out import LeftOut
from aiida_pet.io.masses import MASSES_NOTE, are_natural
from aiida_pet.io.phonopy_displacements import dataset_of, pairs_of
from aiida_pet.io.symbols import ISOTOPE_NOTE, ISOTOPES, atomic_number
from aiida_pet.tables.arrays import Array, Floats

_LENGTHS = {"angstrom": 1.0, "au": Bohr}
_FORCES = {
    "ev/angstrom": 1.0,
    "hartree/au": Hartree / Bohr,
    "ry/au": Rydberg / Bohr,
    "mry/au": Rydberg / Bohr / 1000,
}
_PROGRAMS = ("phonopy", "phono3py")
_NOT_TAKEN = ("force_constants", "supercell_energies")
_ANCHOR = re.compile(r"^[^#'\"\n]*&\w", re.MULTILINE)  # files of phonopy have none, and bombs do
# With what files of phonopy begin: one that cannot be read although it begins so is damaged.
_HEADER = re.compile(
    r"^(phonopy|phono3py):\s*\n +version:|^(unit_cell|primitive_cell|supercell):\s*\n +lattice:", re.M
)
_SAME = 1e-3  # share of a lattice vector by which an atom may lie beside its image
_TRIES = (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError)


def read_phonopy_yaml(text: TextIO, left_out: LeftOut) -> Iterator[Item]:
    """Yield the crystal of a file.

    :raises OtherFileError: if it is no yaml of phonopy or phono3py.
    :raises ValueError: if it is, and damaged.
    """
    document = _document(text.read())
    try:
        yield _crystal(document, left_out)
    except _TRIES as error:
        yield Broken(None, reason_of(error))


def _document(text: str) -> Mapping[str, Any]:
    if _ANCHOR.search(text):
        raise OtherFileError("it is yaml with anchors (&name), which phonopy does not write")
    kind = ValueError if _HEADER.search(text) else OtherFileError
    try:
        document = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise kind(f"expected yaml of phonopy or phono3py: {reason_of(error)}") from error
    if not isinstance(document, Mapping) or not ("unit_cell" in document or "lattice" in document):
        raise kind("expected yaml of phonopy or phono3py, with a unit_cell")
    return document


def _crystal(document: Mapping[str, Any], left_out: LeftOut) -> Crystal:
    units = document.get("physical_unit") or {}
    length = _factor(units, "length", _LENGTHS, _default_length(document))
    atoms = _atoms(document.get("unit_cell", document), length, left_out)
    crystal = Crystal(None, atoms)
    primitive = _matrix(document, "primitive_matrix")
    _take_settings(crystal, document, primitive, left_out)
    _take_charges(crystal, document, primitive, left_out)
    force = _factor(units, "force", _FORCES, _FORCES["ev/angstrom"] if length == 1.0 else None)
    _take_displacements(crystal, document, length, force, left_out)
    left_out.update(name for name in _NOT_TAKEN if document.get(name))
    return crystal


def _default_length(document: Mapping[str, Any]) -> float | None:
    """Return the unit of a file that names none; None if its calculator may mean any."""
    header = _header(document)
    return 1.0 if str(header.get("calculator") or "vasp").lower() == "vasp" else None


def _factor(units: Mapping[str, Any], name: str, known: Mapping[str, float], default: float | None) -> float:
    """Return what a number is multiplied by; NaN where the file does not say, and it is not needed for the crystal."""
    if name not in units:
        if default is None and name == "length":
            raise ValueError(
                "the file was made for another calculator than VASP and has no physical_unit: length"
            )
        return float("nan") if default is None else default
    unit = str(units[name]).lower()
    if unit not in known:
        raise ValueError(f"physical_unit: {name} is {units[name]!r}: expected {' or '.join(known)}")
    return known[unit]


def _header(document: Mapping[str, Any]) -> Mapping[str, Any]:
    header: Any = next((document[name] for name in _PROGRAMS if document.get(name)), {})
    return header if isinstance(header, Mapping) else {}


def _is_of_phono3py(document: Mapping[str, Any]) -> bool:
    return any(name in document for name in ("phono3py", "phonon_supercell_matrix", "displacement_pairs"))


def _atoms(block: Mapping[str, Any], length: float, left_out: LeftOut) -> Atoms:
    points = block.get("points", block.get("atoms"))
    if not points:
        raise ValueError("the unit_cell has no points")
    if any("mixture" in point or float(point.get("weight", 1.0)) != 1.0 for point in points):
        raise ValueError("several elements share a site of its unit_cell: expected ordered sites")
    if any("magnetic_moment" in point for point in points):
        left_out.add("magnetic_moment")
    # yaml takes the symbol of nobelium for a flag
    symbols = ["No" if point["symbol"] is False else str(point["symbol"]) for point in points]
    if any(symbol.capitalize() in ISOTOPES for symbol in symbols):
        left_out.note(ISOTOPE_NOTE)
    masses = [point.get("mass", np.nan) for point in points]
    if not are_natural(masses, np.array([atomic_number(symbol) for symbol in symbols])):
        left_out.note(MASSES_NOTE)
    cell = np.array(block["lattice"], dtype=np.float64) * length
    if cell.shape != (3, 3):
        raise ValueError(f"the lattice has shape {cell.shape}: expected three vectors")
    places = [point["coordinates"] if "coordinates" in point else point["position"] for point in points]
    scaled = np.array(places, dtype=np.float64)
    return checked(
        Atoms([atomic_number(one) for one in symbols], cell=cell, scaled_positions=scaled, pbc=True)
    )


def _matrix(document: Mapping[str, Any], name: str) -> Floats | None:
    if document.get(name) is None:
        return None
    matrix = np.array(document[name], dtype=np.float64)
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-6:
        raise ValueError(
            f"{name} = {document[name]}: expected a matrix of 3 x 3 whose determinant is not zero"
        )
    return matrix


def _take_settings(
    crystal: Crystal, document: Mapping[str, Any], primitive: Floats | None, left_out: LeftOut
) -> None:
    supercell, second = (_matrix(document, name) for name in ("supercell_matrix", "phonon_supercell_matrix"))
    if _is_of_phono3py(document):
        if supercell is not None:
            crystal.columns["fc3_supercell"] = supercell
            crystal.columns["fc2_supercell"] = supercell if second is None else second
    elif supercell is not None:
        unit = np.eye(3) if primitive is None else primitive
        matrix = np.linalg.solve(unit, supercell)
        if np.abs(matrix - np.round(matrix)).max() < 1e-4:
            crystal.columns |= {"supercell_matrix": np.round(matrix), "primitive_matrix": unit}
        else:
            left_out.add("supercell_matrix")
    configuration = _header(document).get("configuration")
    words = configuration.get("mesh", "") if isinstance(configuration, Mapping) else ""
    numbers = str(words).split()
    if len(numbers) == 3 and all(number.isdecimal() for number in numbers):
        crystal.columns["q_mesh"] = np.array(numbers, dtype=np.float64)


def _take_charges(
    crystal: Crystal, document: Mapping[str, Any], primitive: Floats | None, left_out: LeftOut
) -> None:
    block = document.get("nac") or document  # phonopy before 2.18 has them at the top
    if block.get("born_effective_charge") is None or block.get("dielectric_constant") is None:
        return
    charges = np.array(block["born_effective_charge"], dtype=np.float64)
    if charges.ndim != 3 or charges.shape[1:] != (3, 3):
        raise ValueError(f"born_effective_charge has shape {charges.shape}: expected (atoms, 3, 3)")
    sites = _sites(crystal.atoms, document, primitive)
    if sites is None or sites.max() >= len(charges):
        left_out.add("born_effective_charge")
        return
    dielectric = np.array(block["dielectric_constant"], dtype=np.float64)
    if dielectric.shape != (3, 3):
        raise ValueError(f"dielectric_constant has shape {dielectric.shape}: expected (3, 3)")
    crystal.columns["dielectric_tensor"] = dielectric
    crystal.atom_columns["born_charges"] = charges[sites]


def _sites(atoms: Atoms, document: Mapping[str, Any], primitive: Floats | None) -> Array | None:
    """Return (A,): which atom of the primitive cell each atom of the unit cell is; None if that is not to be seen."""
    block = document.get("primitive_cell")
    if block is None:
        return np.arange(len(atoms)) if primitive is None or np.allclose(primitive, np.eye(3)) else None
    places = np.array([point["coordinates"] for point in block["points"]], dtype=np.float64)
    unit = np.eye(3) if primitive is None else primitive
    scaled = np.linalg.solve(unit, atoms.get_scaled_positions(wrap=False).T).T
    apart = scaled[:, None] - places[None]
    distances = np.linalg.norm(apart - np.round(apart), axis=2)
    sites: Array = distances.argmin(axis=1)
    return sites if (distances.min(axis=1) < _SAME).all() else None


def _take_displacements(
    crystal: Crystal, document: Mapping[str, Any], length: float, force: float, left_out: LeftOut
) -> None:
    if _is_of_phono3py(document):
        parts = {"fc2_": dataset_of(document, "phonon_"), "fc3_": pairs_of(document)}
    else:
        parts = {"": dataset_of(document)}
    for prefix, found in parts.items():
        if found is None:
            continue
        displacements, forces = found
        displacements[:, 2:] *= length
        crystal.ragged[f"{prefix}displacements"] = displacements
        if forces is None:
            continue
        name = f"{prefix}forces" if prefix else "displacement_forces"
        if not np.isfinite(force):
            left_out.add(name)  # of another calculator, in a unit that nobody names
            continue
        crystal.ragged[name] = forces * force
        crystal.units[name] = "eV/A"

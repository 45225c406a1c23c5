"""Energies, forces, stresses and virials that a file brings, as columns ``input_*``: names, signs and units.

Taken without being asked: ``energy`` and ``free_energy`` (eV), ``forces`` (eV/A) and ``stress`` (eV/A^3, tension
positive; six numbers in ASE's order xx yy zz yz xz xy, or nine). A virial, and what stands under other names, is taken
where :class:`ResultOptions` says what it is: its sign and unit cannot be seen from the numbers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase.units import GPa

from aiida_pet.io.crystal import meaning_of, scalar, split_fields
from aiida_pet.io.left_out import LeftOut
from aiida_pet.job.dynamics_columns import VELOCITIES
from aiida_pet.names import Sign, StressUnit
from aiida_pet.tables.fixed_atoms import COLUMNS
from aiida_pet.tables.table import Array
from aiida_pet.units import VOIGT_PAIRS

STRESS_UNITS: dict[str, float] = {StressUnit.EV_PER_A3: 1.0, StressUnit.GPA: GPa, StressUnit.KBAR: 0.1 * GPa}
"""Units that stresses are read in, in eV/A^3."""

SIGNS: dict[str, float] = {Sign.PLUS: 1.0, Sign.MINUS: -1.0}
"""Signs of stresses and virials by name."""

TARGETS = ("energy", "free_energy", "forces", "stress", "virial")
"""Quantities that a field can be mapped to; any other target is the name of a column."""

BORN_CHARGES = "born_charges"
"""Born effective charges (e), nine numbers per atom: Z_xx, Z_xy and so on, row by row."""

_OTHER_ENERGY = re.compile(r"(ref|dft)_?energy\Z", re.IGNORECASE)
# Of the largest element: two halves of a symmetric tensor differ by less.
_ASYMMETRY = 1e-3


@dataclass(frozen=True)
class ResultOptions:
    """What fields of a file mean.

    :ivar column_map: name of a field -> one of :data:`TARGETS`, or the name of the column that it becomes.
    :ivar virial_sign: reads ``virial`` as stress = sign * virial / volume; None leaves virials out, unless they are
        mapped, in which case the sign is ASE's, ``minus``.
    :ivar stress_unit: unit of stresses in the file, one of :data:`STRESS_UNITS`; virials are in eV.
    :ivar stress_sign: ``minus`` where the file counts compression positive, as VASP's output does.
    """

    column_map: Mapping[str, str] = field(default_factory=dict)
    virial_sign: str | None = None
    stress_unit: str = "eV/A^3"
    stress_sign: str = "plus"

    def __post_init__(self) -> None:
        """:raises ValueError: naming the argument that has another value than it can have."""
        for name, value, known in (
            ("virial_sign", self.virial_sign or "minus", SIGNS),
            ("stress_sign", self.stress_sign, SIGNS),
            ("stress_unit", self.stress_unit, STRESS_UNITS),
        ):
            if value not in known:
                raise ValueError(f"{name} is {value!r}: expected {' or '.join(known)}")
        targets = list(self.column_map.values())
        twice = sorted({target for target in targets if targets.count(target) > 1})
        if twice:
            raise ValueError(f"column_map maps several fields to {twice[0]!r}: expected one")
        if self.column_map.get("virial") == "stress":
            raise ValueError(
                "column_map maps virial to stress, but they are different quantities: virial_sign='minus' reads a "
                "virial as stress = -virial / volume"
            )


def take_fields(
    fields: Mapping[str, Any],
    atom_fields: Mapping[str, Array],
    geometry: tuple[int, Array],
    options: ResultOptions,
    left_out: LeftOut,
) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return the columns and the columns per atom of a crystal: its results as ``input_*``, and other scalars.

    :param fields: values of the crystal, by their names in the file.
    :param atom_fields: arrays (n_atoms, ...), by their names in the file.
    :param geometry: number of atoms, and (3, 3) cell in A.
    :param left_out: counts what is not taken.
    """
    fields, atom_fields = _mapped(fields, options, left_out), _mapped(atom_fields, options, left_out)
    n_atoms, cell = geometry
    columns: dict[str, Any] = {}
    atom_columns: dict[str, Array] = {}
    for name in ("energy", "free_energy"):
        if name in fields:
            _keep(columns, f"input_{name}", _number(fields.pop(name)), name, left_out)
    stress = _stress_of(fields, cell, options, left_out)
    if stress is not None:
        columns["input_stress"] = stress
    for name in ("forces", "input_forces"):
        if name in atom_fields:
            forces = _floats(atom_fields.pop(name), (n_atoms, 3))
            _keep(atom_columns, "input_forces", forces, name, left_out)
    for name in [name for name in COLUMNS if name in atom_fields]:
        flags = np.asarray(atom_fields.pop(name))
        _keep(atom_columns, name, flags if _are_flags(flags, n_atoms) else None, name, left_out)
    if VELOCITIES in atom_fields:
        velocities = _floats(atom_fields.pop(VELOCITIES), (n_atoms, 3))
        _keep(atom_columns, VELOCITIES, velocities, VELOCITIES, left_out)
    targets = set(options.column_map.values())
    for name in [name for name in atom_fields if name in targets]:
        values = np.asarray(atom_fields.pop(name))
        _keep(atom_columns, name, values if values.dtype.kind in "biuf" else None, name, left_out)
    if BORN_CHARGES in atom_fields:
        fields[BORN_CHARGES] = atom_fields.pop(BORN_CHARGES)
    for name, value in atom_fields.items():
        left_out.add(name, meaning_of(name, value, n_atoms) if "force" in name.lower() else "")
    for name in filter(_OTHER_ENERGY.match, fields):
        left_out.note(
            f"{name} became a column without a unit, since only column_map={{{name!r}: 'energy'}} makes it "
            "the energy"
        )
    others, other_atoms = split_fields(fields, n_atoms, left_out)
    return others | columns, other_atoms | atom_columns


def _mapped(fields: Mapping[str, Any], options: ResultOptions, left_out: LeftOut) -> dict[str, Any]:
    """Return ``fields`` under the names that they are mapped to; what had such a name before is left out."""
    renamed = {name: target for name, target in options.column_map.items() if name in fields}
    left_out.mapped.update(renamed)
    targets = set(renamed.values())
    replaced = [name for name in fields if name in targets and name not in renamed]
    left_out.update(f"{name} (another field is mapped to it)" for name in replaced)
    return {renamed.get(name, name): value for name, value in fields.items() if name not in replaced}


def _stress_of(
    fields: dict[str, Any], cell: Array, options: ResultOptions, left_out: LeftOut
) -> Array | None:
    """Take ``stress`` or ``virial`` from ``fields`` and return (6,) eV/A^3 in ASE's order, None if there is none."""
    stress = None
    if "stress" in fields:
        stress = _voigt(fields.pop("stress"))
        if stress is None:
            left_out.add("stress (expected six numbers, or nine that are symmetric)")
        else:
            stress = stress * (STRESS_UNITS[options.stress_unit] * SIGNS[options.stress_sign])
    wanted = options.virial_sign is not None or "virial" in options.column_map.values()
    if "virial" in fields and wanted:
        virial, volume = _voigt(fields.pop("virial")), abs(float(np.linalg.det(cell)))
        if stress is not None:
            left_out.add("virial (the stress is read instead)")
        elif virial is None or not volume > 0:
            left_out.add("virial (expected six or nine numbers, and a cell with a volume)")
        else:
            stress = virial * (SIGNS[options.virial_sign or "minus"] / volume)
    elif "virial" in fields:
        left_out.add("virial", "" if _voigt(fields.pop("virial")) is None else "virial")
    return stress


def _voigt(value: Any) -> Array | None:
    """(6,) of six numbers or of nine that are symmetric, None of anything else."""
    try:
        array = np.array(value, dtype=np.float64).ravel()
    except (TypeError, ValueError):
        return None
    if array.shape == (6,):
        return array
    if array.shape != (9,):
        return None
    matrix = array.reshape(3, 3)
    if np.isfinite(matrix).all() and np.abs(matrix - matrix.T).max() > _ASYMMETRY * np.abs(matrix).max():
        return None
    matrix = 0.5 * (matrix + matrix.T)
    return matrix[tuple(np.array(VOIGT_PAIRS).T)]


def _number(value: Any) -> float | None:
    try:
        found = scalar(value)
    except TypeError:
        return None
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None


def _floats(value: Any, shape: tuple[int, ...]) -> Array | None:
    array = np.asarray(value)
    return array.astype(np.float64) if array.shape == shape and array.dtype.kind in "iuf" else None


def _are_flags(values: Array, n_atoms: int) -> bool:
    return values.dtype.kind == "b" and values.shape == (n_atoms, 3)


def _keep(kept: dict[str, Any], name: str, value: Any, source: str, left_out: LeftOut) -> None:
    if value is None:
        left_out.add(source)
    else:
        kept[name] = value


def remedy_of(left_out: LeftOut) -> str:
    """Return how fields of results that were left out are read, in words of Python arguments."""
    others = [name for name in left_out.meanings if name not in TARGETS and name.lower() != "virial"]
    parts = []
    if others:
        target = left_out.meanings[others[0]]
        parts.append(f"column_map={{{others[0]!r}: {target!r}}} reads such a field as {target}")
    if any(name.lower() == "virial" for name in left_out.meanings):
        parts.append("virial_sign='minus' reads virials as stress = -virial / volume")
    return "; ".join(parts)

"""Whether labels are enough for metatrain to take errors, and scales of direct heads where labels do not give them.

metatrain divides the labels of a direct head by their root mean square over the training rows, that of forces for each
element. An element of which all forces vanish by symmetry would have the scale 0. Then its labels are not finite,
and a validation part of such atoms has no error, by which metatrain divides.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from aiida_pet.tables.table import Array
from aiida_pet.training.parameters import TrainingError, TrainingParameters
from aiida_pet.training.prepare import TRAINING, VALIDATION, Part, Prepared
from aiida_pet.training.split import Split


def check_label_counts(prepared: Prepared) -> None:
    """Check that rows that train and rows that validate have forces and stresses, if any row has them.

    :raises TrainingError: if they have none.
    """
    wanted = prepared.parts[TRAINING].labels
    for name, values in (("forces", wanted.forces), ("stress", wanted.stress)):
        if values is None:
            continue
        for split, remedy in (
            (Split.TRAINING, "give more rows with them"),
            (Split.VALIDATION, "give a validation set, or set a larger validation_fraction or another seed"),
        ):
            if not any(_has(part, name, split) for part in _used(prepared)):
                raise TrainingError(
                    f"no row of the {split.value} part has {'forces' if name == 'forces' else 'a stress'}, though "
                    f"other rows have: {remedy}, or leave them out with {name}=null"
                )


def fixed_scales(
    prepared: Prepared, parameters: TrainingParameters, elements: Collection[int]
) -> dict[str, float | dict[int, float]]:
    """Return direct head -> its scale, for heads whose labels do not give one; forces by element (eV/A).

    An element whose forces vanish gets the scale of all atoms.

    :param elements: atomic numbers that the model knows; metatrain wants a scale of each, and of no other.
    """
    forces, stress = _rows_of(prepared)
    found: dict[str, float | dict[int, float]] = {}
    if forces is not None:
        numbers, values = forces
        by_element = {z: _rms(values[numbers == z]) for z in np.unique(numbers).tolist()}
        if not all(by_element.values()):
            common = _rms(values) or parameters.force_delta
            found["non_conservative_force"] = {z: by_element.get(z) or common for z in elements}
    if stress is not None and not _rms(stress):
        found["non_conservative_stress"] = parameters.direct_stress_delta
    return found


def _rows_of(prepared: Prepared) -> tuple[tuple[Array, Array] | None, Array | None]:
    """Return atomic numbers and forces (A, 3), and stresses (N, 6) of the rows that train; None without labels."""
    part = prepared.parts[TRAINING]
    rows = part.rows(Split.TRAINING)
    forces, stress = part.labels.forces, part.labels.stress
    atoms = np.isin(np.repeat(np.arange(len(part.table)), np.diff(part.table.offsets)), rows)
    return (
        None if forces is None else (part.table.numbers[atoms], forces[atoms]),
        None if stress is None else stress[rows],
    )


def _rms(values: Array) -> float:
    """Return the root mean square of what is finite, 0 for nothing."""
    known = values[np.isfinite(values)]
    return float(np.sqrt((known**2).mean())) if len(known) else 0.0


def _used(prepared: Prepared) -> list[Part]:
    return [part for name, part in prepared.parts.items() if name in (TRAINING, VALIDATION)]


def _has(part: Part, name: str, split: Split) -> bool:
    """Return whether a row of ``part`` that is used for ``split`` has the label ``name``."""
    rows = part.rows(split)
    if name == "stress":
        periodic = part.table.pbc[rows].all(axis=1)
        return part.labels.stress is not None and bool(np.isfinite(part.labels.stress[rows[periodic]]).any())
    if part.labels.forces is None:
        return False
    atoms = np.isin(np.repeat(np.arange(len(part.table)), np.diff(part.table.offsets)), rows)
    return bool(np.isfinite(part.labels.forces[atoms]).any())

"""Whether energies of a set are counted from the zero of the model that a training begins with.

A model has an energy for each element, to which its weights add what the crystal gains or loses, an eV/atom or two.
Formation energies, or all-electron totals, are much farther from the sum of these energies than any crystal is. The
model is not evaluated.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from aiida_pet.job.checkpoint import ModelError, load_checkpoint
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.table import Array
from aiida_pet.training.parameters import TrainingError, TrainingParameters
from aiida_pet.training.prepare import TRAINING, Prepared
from aiida_pet.training.variants import energies_of_elements
from aiida_pet.words import plural

_OFF, _OF_ONE = 2.5, 2.5
"""eV/atom: by how much the typical crystal may be off, and by how much more a single composition."""


def check_zero(prepared: Prepared, parameters: TrainingParameters, path: Path, sha256: str) -> None:
    """Check that energies of the training set are near those that a model expects from the composition.

    Outputs of a new variant, or outputs that begin anew, have a zero of their own, and any is right. Without torch
    nothing is checked; the job does it.

    :param path: of the checkpoint of the model, with or without an uncertainty.
    :param sha256: that it must have; nothing is opened unless it has.
    :raises TrainingError: if most are far off.
    """
    if not parameters.inherit_heads:
        return
    try:
        checkpoint = load_checkpoint(path, sha256)
    except ModelError:
        return
    output = "energy" if parameters.variant is None else f"energy/{parameters.variant}"
    check_energies(prepared, energies_of_elements(checkpoint, output))


def check_energies(prepared: Prepared, known: Mapping[int, float]) -> None:
    """Check that energies of the training set are near sums of energies of elements.

    :param known: atomic number -> its energy, eV; empty for none.
    :raises TrainingError: if most are far off.
    """
    part = prepared.parts[TRAINING]
    rows = np.flatnonzero(part.labels.taken)
    typical = _typical_differences(part.table.take(rows), part.labels.energy[rows], known)
    if not len(typical):
        return
    off, most = float(np.median(typical)), _OFF + _OF_ONE / len(typical) ** 0.5
    if abs(off) <= most:
        return
    raise TrainingError(
        f"the energies are {abs(off):,.3g} eV/atom {'above' if off > 0 else 'below'} what the model expects for their "
        f"composition (median of {plural(len(typical), 'composition')}; up to {most:.2g} eV/atom is common). They seem "
        "to have another zero, as formation energies, cohesive energies or energies of all electrons have, or to be of "
        "another level of theory. Give total energies as those that the model was trained on, or give these labels "
        "outputs of their own in a fine-tuning (variant=NAME)"
    )


def _typical_differences(table: StructureTable, energy: Array, known: Mapping[int, float]) -> Array:
    """Return label minus expectation, eV/atom, the median for each composition; without elements that are not known."""
    expected = np.array([known.get(z, np.nan) for z in table.numbers.tolist()])
    by_composition: dict[tuple[tuple[int, float], ...], list[float]] = {}
    for row, (first, last) in enumerate(zip(table.offsets[:-1], table.offsets[1:], strict=True)):
        difference = (energy[row] - expected[first:last].sum()) / (last - first)
        if np.isfinite(difference):
            elements, counts = np.unique(table.numbers[first:last], return_counts=True)
            shares = np.round(counts / (last - first), 3)
            key = tuple(zip(elements.tolist(), shares.tolist(), strict=True))
            by_composition.setdefault(key, []).append(float(difference))
    return np.array([np.median(values) for values in by_composition.values()])

"""From sets with labels to what is trained on: labels read, rows refused, rows split, and whether that is enough.

Done before a launch to refuse what cannot work, and again on the compute node, from the same files: the same result.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from ase.data import chemical_symbols

from aiida_pet.analysis.hull.levels_of_theory import same_level
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.table import Array
from aiida_pet.training.labels import Labels, read_labels
from aiida_pet.training.parameters import TrainingError, TrainingParameters
from aiida_pet.training.split import Split, groups_of, split_rows
from aiida_pet.training.stress_sign import StressCheck, check_stress


@dataclass(frozen=True)
class Part:
    """One set, its labels and what becomes of its rows.

    :ivar table: the rows.
    :ivar labels: labels of all of them.
    :ivar groups: (N,) the crystal that a row comes from.
    :ivar split: (N,) what a row is used for, see :class:`~aiida_pet.training.split.Split`.
    """

    table: StructureTable
    labels: Labels
    groups: Array
    split: Array

    def rows(self, split: Split) -> Array:
        """Return the places of the rows that are used for ``split``."""
        return np.flatnonzero(self.split == split.value)


@dataclass(frozen=True)
class Prepared:
    """What a training is made of.

    :ivar parts: name of the input (training, validation, test, old) -> its part.
    :ivar stress_check: what energies of the training rows say of their stresses.
    :ivar level_of_theory: level of theory of the labels, empty if unknown.
    """

    parts: dict[str, Part]
    stress_check: StressCheck
    level_of_theory: str

    def count(self, split: Split) -> int:
        """Return how many rows of all sets are used for ``split``."""
        return sum(len(part.rows(split)) for name, part in self.parts.items() if name != OLD)

    def atoms(self, split: Split) -> int:
        """Return how many atoms they have."""
        return sum(
            int(np.diff(part.table.offsets)[part.rows(split)].sum())
            for name, part in self.parts.items()
            if name != OLD
        )

    @property
    def elements(self) -> list[int]:
        """Atomic numbers among the training rows, rising."""
        part = self.parts[TRAINING]
        owner = np.repeat(part.split, np.diff(part.table.offsets))
        return [int(z) for z in np.unique(part.table.numbers[owner == Split.TRAINING.value])]

    @property
    def refused(self) -> dict[str, int]:
        """Why -> how many rows are refused for it, figures in it left out, the most frequent first."""
        counts: Counter[str] = Counter()
        for part in self.parts.values():
            counts.update(_without_figures(text) for text in part.labels.reasons.tolist() if text)
        return dict(counts.most_common())


TRAINING, VALIDATION, TEST, OLD = "training", "validation", "test", "old"
SETS = (TRAINING, VALIDATION, TEST, OLD)
"""Names of the sets: of ``old`` only errors are taken, before and after."""


def prepare(
    tables: dict[str, StructureTable],
    parameters: TrainingParameters,
    *,
    elements: Collection[int] | None = None,
    known_level: str = "",
) -> Prepared:
    """Return what is trained on, validated with and kept for errors.

    :param tables: ``training`` and, if there are, ``validation``, ``test`` and ``old``.
    :param elements: atomic numbers that the model that is begun from knows; None for a new model.
    :param known_level: level of theory of the model that is begun from, empty if unknown or of no matter.
    :raises TrainingError: if the set is too small, its rows are of two levels of theory, or stresses have another sign
        or unit.
    """
    parts: dict[str, Part] = {}
    known = None if elements is None else list(elements)
    for name in SETS:
        if name not in tables:
            continue
        table = tables[name]
        labels = read_labels(table, parameters, known)
        groups = groups_of(table, parameters.group if name == TRAINING or _has(table, parameters) else None)
        if name == TRAINING:
            split = split_rows(
                groups,
                labels.taken,
                parameters,
                validation=VALIDATION not in tables,
                test=TEST not in tables,
            )
        else:
            used = Split.VALIDATION if name == VALIDATION else Split.TEST
            split = np.where(labels.taken, used.value, Split.REFUSED.value)
        parts[name] = Part(table, labels, groups, split)
        if name == TRAINING and known is None:  # what the training set lacks cannot be learnt
            rows = np.repeat(split == Split.TRAINING.value, np.diff(table.offsets))
            known = np.unique(table.numbers[rows]).tolist()
            parts[name] = _without_foreign(parts[name], known)
    part = parts[TRAINING]
    # without a column that names the crystal, cells of the same atoms are compared
    crystals = part.groups if parameters.group is not None else np.full(len(part.table), "")
    stress_check = check_stress(part.table, part.labels.energy, part.labels.stress, crystals)
    if stress_check.problem:
        raise TrainingError(stress_check.problem)
    prepared = Prepared(parts, stress_check, _level(parts, parameters, known_level))
    check_size(prepared, parameters)
    return prepared


def check_size(prepared: Prepared, parameters: TrainingParameters) -> None:
    """:raises TrainingError: if there are too few rows to train on, or none to validate with."""
    count, least = prepared.count(Split.TRAINING), max(parameters.min_rows, len(prepared.elements) + 1)
    why = "; ".join(f"{n} refused: {text}" for text, n in list(prepared.refused.items())[:3])
    if count < least:
        raise TrainingError(
            f"{count} rows to train on, expected {least} or more for {len(prepared.elements)} elements"
            + (f" ({why})" if why else "")
        )
    if not prepared.count(Split.VALIDATION):
        raise TrainingError(
            "no rows to validate with: give a validation set, or a validation_fraction above 0"
            + (f" ({why})" if why else "")
        )


def _has(table: StructureTable, parameters: TrainingParameters) -> bool:
    return parameters.group is not None and parameters.group in table.columns


def _without_foreign(part: Part, known: list[int]) -> Part:
    """Return ``part`` without validation and test rows of elements that no training row has."""
    offsets = part.table.offsets
    reasons, split = part.labels.reasons.astype(object), part.split.astype(object)
    for row in np.flatnonzero(np.isin(split, (Split.VALIDATION.value, Split.TEST.value))).tolist():
        foreign = np.setdiff1d(part.table.numbers[offsets[row] : offsets[row + 1]], known)
        if len(foreign):
            reasons[row] = f"no training row has {' '.join(chemical_symbols[z] for z in foreign)}"
            split[row] = Split.REFUSED.value
    labels = part.labels
    labels = Labels(
        labels.energy, labels.forces, labels.stress, reasons.astype(str), labels.levels, labels.columns
    )
    return Part(part.table, labels, part.groups, split.astype(str))


def _level(parts: dict[str, Part], parameters: TrainingParameters, known_level: str) -> str:
    """Return the level of theory of all labels.

    :raises TrainingError: if there are two, or another than that of the model and no variant of its own.
    """
    told = sorted({level for name, part in parts.items() if name != OLD for level in part.labels.levels})
    if len(told) > 1:
        raise TrainingError(
            f"rows of {len(told)} levels of theory ({', '.join(told)}) cannot be trained together: `aiida-pet data "
            f"export SET -o FILE --where \"{parameters.level_column} == '{told[0]}'\"` makes a file of the first "
            "level; the other level gets a variant of its own in a fine-tuning (variant=NAME)"
        )
    level = parameters.level_of_theory or (told[0] if told else "")
    if parameters.level_of_theory and told and not same_level(told[0], parameters.level_of_theory):
        raise TrainingError(
            f"level_of_theory = {parameters.level_of_theory!r}, but the rows say {told[0]!r}: leave it out"
        )
    if level and known_level and not same_level(level, known_level) and parameters.variant is None:
        raise TrainingError(
            f"the labels are {level}, the model is {known_level}: two levels of theory in one head spoil both. Give "
            "the new level a variant of its own (variant=NAME)"
        )
    return level or known_level


def _without_figures(text: str) -> str:
    """Return ``text`` with its first figure left out, so that rows refused for one thing are counted together."""
    words = text.split()
    return " ".join("..." if _is_figure(word) and place < 5 else word for place, word in enumerate(words))


def _is_figure(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True

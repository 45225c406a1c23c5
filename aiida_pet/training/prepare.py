"""From sets with labels to what is trained on: labels read, rows refused, rows split, and whether that is enough.

Done before a launch to refuse what cannot work, and again on the compute node, from the same files: the same result.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
from ase.data import chemical_symbols

from aiida_pet.analysis.hull.levels_of_theory import same_level
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.table import Array
from aiida_pet.training.absurd_sets import check_not_zero, check_outliers, has_many_outliers, outliers
from aiida_pet.training.label_checks import LabelCheck, LabelChecks, check_units
from aiida_pet.training.label_notes import missing_labels, unchecked
from aiida_pet.training.label_pairs import label_pairs
from aiida_pet.training.labels import Labels, read_labels
from aiida_pet.training.parameters import TrainingError, TrainingParameters
from aiida_pet.training.same_frames import frame_keys, joined_groups, told_groups, told_shared, told_twice
from aiida_pet.training.split import Split, groups_of, split_rows
from aiida_pet.words import plural


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
class RefusedRows:
    """Rows of a set that are refused for one thing.

    :ivar name: name of the set.
    :ivar why: reason, without what differs from row to row.
    :ivar rows: (id, value) of each, the worst first; the value in words, empty if there is none.
    """

    name: str
    why: str
    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Prepared:
    """What a training is made of.

    :ivar parts: name of the input (training, validation, test, old) -> its part.
    :ivar stress_check: what energies of the training set say of its stresses.
    :ivar force_check: what they say of its forces.
    :ivar level_of_theory: level of theory of the labels, empty if unknown.
    :ivar notes: what is odd, in words.
    """

    parts: dict[str, Part]
    stress_check: LabelCheck
    force_check: LabelCheck
    level_of_theory: str
    notes: tuple[str, ...] = ()

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
    def unchecked(self) -> dict[str, str]:
        """Label -> that its sign and unit were not checked, and why, in words."""
        return unchecked(self.parts[TRAINING].labels, self.stress_check, self.force_check)

    @property
    def refused(self) -> dict[str, int]:
        """Why -> how many rows are refused for it, the most frequent first."""
        counts: Counter[str] = Counter()
        for one in self.refused_rows:
            counts[one.why] += len(one.rows)
        return dict(counts.most_common())

    @property
    def refused_rows(self) -> list[RefusedRows]:
        """Which rows are refused, by set and reason, the most frequent first."""
        found = []
        for name, part in self.parts.items():
            labels, ids = part.labels, part.table.ids.astype(str)
            for why in np.unique(labels.kinds[labels.kinds != ""]).tolist():
                rows = np.flatnonzero(labels.kinds == why)
                rows = rows[np.argsort(-labels.excess[rows], kind="stable")]
                told = tuple(zip(ids[rows].tolist(), labels.values[rows].tolist(), strict=True))
                found.append(RefusedRows(name, why, told))
        return sorted(found, key=lambda one: -len(one.rows))


FOREIGN = "no training row has its elements"
"""Why rows that were drawn for validation or test are refused."""
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
    :raises TrainingError: if a column that is named is missing, the set is too small, its rows are of two levels of
        theory, labels have another sign or unit, or a set of others is the training set.
    """
    check_columns(tables, parameters)
    parts: dict[str, Part] = {}
    known = None if elements is None else list(elements)
    keys = {name: frame_keys(table) for name, table in tables.items()}
    for name in SETS:
        if name not in tables:
            continue
        table = tables[name]
        labels = read_labels(table, parameters, known)
        groups = groups_of(table, parameters.group if name == TRAINING or _has(table, parameters) else None)
        if name == TRAINING:
            split = split_rows(
                joined_groups(groups, keys[name]),
                labels.taken,
                parameters,
                validation=VALIDATION not in tables,
                test=TEST not in tables,
            )
        else:
            used = Split.VALIDATION if name == VALIDATION else Split.TEST
            split = np.where(labels.taken, used.value, Split.REFUSED.value)
        parts[name] = Part(table, labels, groups, split)
        if name == TRAINING and known is None and (split == Split.TRAINING.value).any():
            # what the training set lacks cannot be learnt
            rows = np.repeat(split == Split.TRAINING.value, np.diff(table.offsets))
            known = np.unique(table.numbers[rows]).tolist()
            parts[name] = _without_foreign(parts[name], known)
    checks = _check_labels(parts, parameters)
    level = _level(parts, parameters, known_level)
    own, trained = checks[TRAINING], parts[TRAINING]
    notes = [
        *_odd_ratios(checks),
        *missing_labels(trained.table, trained.labels, parameters),
        *_told_columns(tables, parameters),
        *_same_frames(parts, keys, parameters),
    ]
    prepared = Prepared(parts, own.stress, own.forces, level, tuple(notes))
    check_size(prepared, parameters)
    for name, part in parts.items():
        check_outliers(part.labels, name)
    return prepared


def check_columns(tables: dict[str, StructureTable], parameters: TrainingParameters) -> None:
    """:raises TrainingError: if a column by which rows are grouped, told or compared is in no set."""
    training = tables[TRAINING]
    groups_of(training, parameters.group)
    default = TrainingParameters.model_fields["level_column"].default
    for option, column, where in (
        ("report_by", parameters.report_by, list(tables.values())),
        ("level_column", parameters.level_column, [training]),
    ):
        if column is None or (option == "level_column" and column == default):
            continue
        if not any(column in table.columns for table in where):
            raise TrainingError(
                f"{option} = {column!r}: the set has no such column; it has {', '.join(training.columns) or 'none'}"
            )


def _told_columns(tables: dict[str, StructureTable], parameters: TrainingParameters) -> list[str]:
    """Return which sets lack a column that others have."""
    return [
        f"the {name} set has no column {column!r} ({option})"
        for option, column in (
            ("group", parameters.group),
            ("report_by", parameters.report_by),
            ("level_column", parameters.level_column),
        )
        if column is not None and any(column in table.columns for table in tables.values())
        for name, table in tables.items()
        if column not in table.columns
    ]


def _check_labels(parts: dict[str, Part], parameters: TrainingParameters) -> dict[str, LabelChecks]:
    """Return what energies say of the other labels of each set.

    :raises TrainingError: if they say that signs or units are wrong, or labels are all zero.
    """
    found = {}
    for name, part in parts.items():
        labels = part.labels
        check_not_zero(part.table, labels, name)
        # without a column that names the crystal, cells of the same atoms are compared
        crystals = part.groups if _has(part.table, parameters) else np.full(len(part.table), "")
        rows = labels.taken
        if has_many_outliers(labels):  # those that another unit put out of bounds tell which it is
            rows = rows | (outliers(labels) & np.isfinite(labels.energy))
        checks = check_units(label_pairs(part.table, labels, crystals, rows))
        if checks.problem:
            raise TrainingError(f"{name} set: {checks.problem}")
        found[name] = checks
    return found


def _odd_ratios(checks: dict[str, LabelChecks]) -> list[str]:
    """Return ratios that are not 1, but near it, and sets of which a part has other ratios."""
    told = []
    for name, one in checks.items():
        for what, check in (("stresses", one.stress), ("forces", one.forces)):
            if check.is_odd:
                told.append(
                    f"{name} set: energies change {check.ratio:.2f} times as much as the {what} predict, expected 1: "
                    f"either the energies or the {what} may be of another unit, or not of the same calculation"
                )
            if check.is_mixed:
                told.append(
                    f"{name} set: in {check.misfits} of {check.pairs} pairs of frames the energies do not fit the "
                    f"{what}, though they do in the others: rows may be of several units or calculations"
                )
    return told


def _same_frames(parts: dict[str, Part], keys: dict[str, Array], parameters: TrainingParameters) -> list[str]:
    """Return which frames, or crystals, are in a set that is to judge the training and in the training set.

    :raises TrainingError: if all frames of such a set are.
    """
    training = parts[TRAINING]
    told = told_twice(training.table, training.labels.energy, training.labels.taken, keys[TRAINING])
    trained = training.rows(Split.TRAINING)
    own = keys[TRAINING][training.labels.taken]
    for name in (VALIDATION, TEST):
        if name not in parts:
            continue
        part = parts[name]
        used = np.flatnonzero(part.labels.taken)
        count, shared = told_shared(part.table.ids[used], keys[name][used], own, name)
        if count and count == len(used):
            raise TrainingError(
                f"{shared}. Errors on crystals that were trained on say nothing; give other crystals, or leave the "
                f"{name} set out, so that a part of the training set is kept for this"
            )
        told += [shared] if shared else []
        if parameters.group is not None and _has(part.table, parameters):
            crystals = told_groups(part.groups[used], training.groups[trained], name, parameters.group)
            told += [crystals] if crystals else []
    if VALIDATION in parts and TEST in parts:
        used, validated = (np.flatnonzero(parts[name].labels.taken) for name in (TEST, VALIDATION))
        _, shared = told_shared(
            parts[TEST].table.ids[used],
            keys[TEST][used],
            keys[VALIDATION][validated],
            TEST,
            VALIDATION,
        )
        told += [shared] if shared else []
    return told


def check_size(prepared: Prepared, parameters: TrainingParameters) -> None:
    """:raises TrainingError: if there are too few rows to train on, or none to validate with."""
    count, least = prepared.count(Split.TRAINING), max(parameters.min_rows, len(prepared.elements) + 1)
    causes = [f"{n} refused: {text}" for text, n in list(prepared.refused.items())[:3]]
    why = "; ".join([*_told_split(prepared, parameters), *causes])
    if count < least:
        raise TrainingError(
            f"{count} rows to train on, expected {least} or more"
            + (f" for {len(prepared.elements)} elements" if prepared.elements else "")
            + (f" ({why})" if why else "")
        )
    if not prepared.count(Split.VALIDATION):
        remedy = "give a validation set, or a validation_fraction above 0"
        if (prepared.parts[TRAINING].labels.kinds == FOREIGN).any() and VALIDATION not in prepared.parts:
            remedy = (
                "rows that were drawn for validation have elements that no training row has; set another seed or a "
                "smaller validation_fraction, or give a larger set or a validation set"
            )
        raise TrainingError(f"no rows to validate with: {remedy}" + (f" ({why})" if why else ""))


def _told_split(prepared: Prepared, parameters: TrainingParameters) -> list[str]:
    """Return how the rows that can be used were split, where that takes some away from the training."""
    part = prepared.parts[TRAINING]
    taken = part.split != Split.REFUSED.value
    if not taken.any():
        return []
    of_what = "frames" if parameters.group is None else f"crystals of the column {parameters.group}"
    counts = {
        split.value: (
            len(np.unique(part.groups[part.split == split.value])),
            int((part.split == split.value).sum()),
        )
        for split in (Split.TRAINING, Split.VALIDATION, Split.TEST)
    }
    if not counts["validation"][1] and not counts["test"][1]:
        return []
    told = ", ".join(f"{groups} to {name} ({plural(rows, 'row')})" for name, (groups, rows) in counts.items())
    return [
        f"the split gives whole {of_what}, of which there are {len(np.unique(part.groups[taken]))}: {told}; give more "
        "of them, a validation set and a test set of their own, or other values of validation_fraction and "
        "test_fraction"
    ]


def _has(table: StructureTable, parameters: TrainingParameters) -> bool:
    return parameters.group is not None and parameters.group in table.columns


def _without_foreign(part: Part, known: list[int]) -> Part:
    """Return ``part`` without validation and test rows of elements that no training row has."""
    offsets = part.table.offsets
    split = part.split.astype(object)
    labels = part.labels
    reasons, kinds, values = (array.astype(object) for array in (labels.reasons, labels.kinds, labels.values))
    for row in np.flatnonzero(np.isin(split, (Split.VALIDATION.value, Split.TEST.value))).tolist():
        foreign = np.setdiff1d(part.table.numbers[offsets[row] : offsets[row + 1]], known)
        if len(foreign):
            values[row] = " ".join(chemical_symbols[z] for z in foreign)
            reasons[row], kinds[row] = (
                f"no training row has {values[row]}",
                FOREIGN,
            )
            split[row] = Split.REFUSED.value
    labels = replace(labels, reasons=reasons.astype(str), kinds=kinds.astype(str), values=values.astype(str))
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

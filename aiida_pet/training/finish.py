"""What a training leaves: the model without what only training needs, card, errors, and what each row was for."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import numpy as np

from aiida_pet.job.checkpoint import (
    TRAINED_PAIRS,
    UNCERTAINTY_LIMIT,
    load_checkpoint,
    pairs_in_words,
    trained_pairs,
)
from aiida_pet.job.folder import write_atomically
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.table import Array, Table
from aiida_pet.training import checkpoints, folder
from aiida_pet.training.errors import Judged, error_table
from aiida_pet.training.evaluate import residuals_of
from aiida_pet.training.folder import TrainingJob
from aiida_pet.training.labels import Labels
from aiida_pet.training.levels import levels_in_words, levels_of
from aiida_pet.training.parameters import Stage, TrainingParameters
from aiida_pet.training.prepare import OLD, Part, Prepared
from aiida_pet.training.split import Split

LIMIT_QUANTILE = 0.99
_CHECK = "check"  # a folder for the engine


@dataclass(frozen=True)
class Work:
    """What a training is about when its weights are done.

    :ivar path: path of the folder.
    :ivar job: the content of its ``train.json``.
    :ivar parameters: parameters of the training.
    :ivar prepared: what it was trained on.
    """

    path: Path
    job: TrainingJob
    parameters: TrainingParameters
    prepared: Prepared

    @property
    def begun_from(self) -> tuple[Path, str] | None:
        """File and SHA-256 of the model that was begun from, None without one."""
        return (self.path / self.job.model_path, self.job.model_sha256) if self.job.model_sha256 else None


def finish(work: Work, last: Path, outcome: dict[str, Any]) -> None:
    """Write model, card, errors and outcome into the folder.

    :param last: the last checkpoint.
    :param outcome: outcome of the training; the model's hash is added.
    """
    about = _about(work)
    target = work.path / folder.TRAINED_FILE
    card = checkpoints.write_model(last, target, about, work.begun_from)
    judged = _judged(work, card["sha256"])
    error_table(judged).save(work.path / folder.ERRORS_FILE)
    limit = _uncertainty_limit(work, judged)
    if limit is not None:
        about["extra"][UNCERTAINTY_LIMIT] = f"{limit:.6g}"
        card = checkpoints.write_model(last, target, about, work.begun_from)
    card |= {
        "name": work.job.name,
        "version": work.parameters.version,
        "licence": about["extra"]["licence"],
    }
    outcome |= {"model_sha256": card["sha256"], "licence": card["licence"]}
    for name, content in ((folder.CARD_FILE, card), (folder.OUTCOME_FILE, outcome)):
        write_atomically(work.path / name, json.dumps(content, indent=2, sort_keys=True).encode())


def _about(work: Work) -> dict[str, Any]:
    """Return what the model says of itself: what the one it was begun from said, under its own name."""
    known = checkpoints.about_of(*work.begun_from) if work.begun_from else {}
    levels = levels_of(work.job.known_level) | {work.parameters.variant: work.prepared.level_of_theory}
    extra = dict(known.get("extra", {}))
    extra.pop(UNCERTAINTY_LIMIT, None)  # of weights that are others now
    extra |= {
        "version": work.parameters.version,
        "level_of_theory": levels_in_words(levels),
        "licence": work.parameters.licence or work.job.licence,
    }
    pairs = _pairs(work)
    if pairs:
        extra[TRAINED_PAIRS] = pairs_in_words(pairs)
    return known | {"name": work.job.name, "extra": extra}


def _pairs(work: Work) -> set[tuple[int, int]]:
    """Return which elements training rows hold together, those of the model that was begun from included.

    Empty if that model does not say, unless this set is all that it saw: what it saw would be called unknown.
    """
    before: frozenset[tuple[int, int]] | None = frozenset()
    if work.begun_from is not None:
        before = trained_pairs(load_checkpoint(*work.begun_from))
    if before is None and not work.parameters.whole_training_set:
        return set()
    part = work.prepared.parts["training"]
    held = {
        tuple(np.unique(part.table.numbers[part.table.offsets[row] : part.table.offsets[row + 1]]).tolist())
        for row in part.rows(Split.TRAINING).tolist()
    }
    return set(before or ()) | {
        pair for numbers in held for pair in combinations_with_replacement(numbers, 2)
    }


def _uncertainty_limit(work: Work, judged: list[Judged]) -> float | None:
    """Return the uncertainty, eV/atom, that one in a hundred rows that were not trained on passes; None without one."""
    found = [one.now.uncertainty for one in judged if one.name != OLD and one.now.uncertainty is not None]
    values = np.concatenate(found) if found else np.zeros(0)
    values = values[np.isfinite(values)]
    if work.job.stage is not Stage.CALIBRATE or not len(values):
        return None
    return float(np.quantile(values, LIMIT_QUANTILE))


def _judged(work: Work, sha256: str) -> list[Judged]:
    """Return the errors over what was not trained on: the test rows, or else those of validation; and over old ones."""
    split = Split.TEST if work.prepared.count(Split.TEST) else Split.VALIDATION
    models = {"now": (work.path / folder.TRAINED_FILE, sha256)}
    if work.begun_from is not None and work.job.stage is not Stage.CALIBRATE:
        models["before"] = work.begun_from
    found = []
    for name, part in work.prepared.parts.items():
        rows = part.rows(Split.TEST if name == OLD else split)
        if not len(rows):
            continue
        table, labels, kinds = _taken(part, rows, work.parameters)
        residuals = {
            when: residuals_of(
                model,
                table,
                labels,
                work.path / _CHECK / f"{name}-{when}",
                work.job.settings,
                variant=work.parameters.variant,
            )
            for when, model in models.items()
        }
        now = residuals["now"]
        if now is not None:
            told = OLD if name == OLD else split.value
            found.append(Judged(told, table, now, residuals.get("before"), kinds))
    return found


def _taken(
    part: Part, rows: Array, parameters: TrainingParameters
) -> tuple[StructureTable, Labels, Array | None]:
    """Return ``rows`` of ``part``, their labels and the kinds by which errors are told."""
    table = part.table.take(rows)
    atoms = np.concatenate(
        [np.arange(part.table.offsets[row], part.table.offsets[row + 1]) for row in rows.tolist()]
    )
    labels = replace(
        part.labels,
        energy=part.labels.energy[rows],
        forces=None if part.labels.forces is None else part.labels.forces[atoms],
        stress=None if part.labels.stress is None else part.labels.stress[rows],
        reasons=part.labels.reasons[rows],
        kinds=part.labels.kinds[rows],
        values=part.labels.values[rows],
        excess=part.labels.excess[rows],
    )
    column = parameters.report_by
    kinds = None if column is None or column not in table.columns else table.columns[column].astype(str)
    return table, labels, kinds


def rows_table(prepared: Prepared) -> Table:
    """Return a row for each row of all sets: ``set``, ``row`` (its id there), ``split``, ``reason`` of a refusal.

    Ids of the training set are kept; ids of other sets have the name of the set in front: ``validation:fcc-1``.
    """
    ids, columns = [], {name: [] for name in ("set", "row", "split", "reason")}  # type: ignore[var-annotated]
    for name, part in prepared.parts.items():
        own = part.table.ids.astype(str).tolist()
        ids += own if name == "training" else [f"{name}:{one}" for one in own]
        columns["set"] += [name] * len(own)
        columns["row"] += own
        columns["split"] += part.split.tolist()
        columns["reason"] += part.labels.reasons.tolist()
    table = Table(ids=np.array(ids, dtype=str))
    for name, values in columns.items():
        table.set_column(name, np.array(values, dtype=str))
    return table

"""The checkpoint that a fine-tuning begins with: it holds the outputs that are trained, and no others."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from aiida_pet.job.checkpoint import load_checkpoint, sha256_of
from aiida_pet.job.folder import write_atomically
from aiida_pet.tables.table import Array
from aiida_pet.training import variants
from aiida_pet.training.evaluate import residuals_of
from aiida_pet.training.folder import TrainingJob
from aiida_pet.training.levels import variant_of
from aiida_pet.training.options import START_FILE
from aiida_pet.training.parameters import TrainingParameters
from aiida_pet.training.prepare import TRAINING, Prepared
from aiida_pet.training.split import Split

logger = logging.getLogger(__name__)

_ROWS = 1000  # that tell how energies of elements differ
_FOLDER = "check"  # for the engine


def prepare_start(
    path: Path,
    job: TrainingJob,
    parameters: TrainingParameters,
    prepared: Prepared,
    targets: Iterable[str],
) -> None:
    """Let ``start.ckpt`` in ``path`` hold the outputs ``targets``: those of the model, or exact copies of them.

    Where labels of a new variant differ from the model mostly by an energy for each element, as those of another
    functional do, the energies of elements of the copy are moved by it.

    :param job: job of the folder, which names the model that is begun from.
    :param parameters: of the training; without ``inherit_heads`` metatrain makes new outputs anew.
    :raises TrainingError: if the model has nothing that could be copied.
    """
    wanted = list(targets)
    file = path / START_FILE
    checkpoint = load_checkpoint(file, sha256_of(file))
    outputs = list(checkpoint["model_data"]["dataset_info"].targets)
    sources = variants.sources_of(wanted, outputs)
    if not parameters.inherit_heads:
        sources = {name: source for name, source in sources.items() if name == source}
    if not sources or (set(sources) == set(outputs) and all(name == one for name, one in sources.items())):
        return
    begun = variants.with_targets(variants.upgraded(checkpoint), sources)
    for name, source in sources.items():
        if name != source and name.partition("/")[0] == "energy":
            logger.info("%s begins as a copy of %s", name, source)
            shifts = _shifts(path, job, variant_of(source), prepared)
            if shifts:
                logger.info("energies of elements are moved, eV: %s", shifts)
                variants.move_energies(begun, name, shifts)
    import torch  # noqa: PLC0415

    buffer = io.BytesIO()
    torch.save(begun, buffer)
    write_atomically(file, buffer.getvalue())


def _shifts(path: Path, job: TrainingJob, variant: str | None, prepared: Prepared) -> dict[int, float]:
    """Return atomic number -> how far the energy of the element is to be moved, eV; empty for none."""
    part = prepared.parts[TRAINING]
    rows = part.rows(Split.TRAINING)[:_ROWS]
    table = part.table.take(rows)
    labels = replace(
        part.labels,
        energy=part.labels.energy[rows],
        forces=None,
        stress=None,
        reasons=part.labels.reasons[rows],
    )
    model = (path / job.model_path, job.model_sha256)
    found = residuals_of(model, table, labels, path / _FOLDER / "start", job.settings, variant=variant)
    if found is None:
        return {}
    elements, counts = _counts(table.numbers, table.offsets)
    shifts = variants.shifts_of_elements(-found.values["energy"] * counts.sum(axis=1), counts)
    return {} if shifts is None else dict(zip(elements, shifts.tolist(), strict=True))


def _counts(numbers: Array, offsets: Array) -> tuple[list[int], Array]:
    """Return the elements, and (N, Z) how many atoms of each a row has."""
    elements = np.unique(numbers)
    rows = [numbers[first:last] for first, last in pairwise(offsets.tolist())]
    return elements.tolist(), np.array([(row[:, None] == elements).sum(axis=0) for row in rows], dtype=float)

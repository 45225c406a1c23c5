"""The state of rows in flight in one file of the job folder, so that a job that was killed goes on from there.

``state.npz`` is a table of structures: the rows as the job was given them, and in their columns what the task keeps of
each (:mod:`aiida_pet.engine.tasks.row_state`). With it goes what it was made for; another model, other parameters or
other structures make it foreign. The file only saves work: one that cannot be used is ignored, and its rows start
again. Free of torch.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np

from aiida_pet.job.folder import JobSpec, write_atomically
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.fixed_atoms import is_fixed
from aiida_pet.tables.table import Array

STATE_VERSION = 2  # raise it when the same columns mean something else

_PURPOSE = "purpose"
_GEOMETRY = ("numbers", "positions", "cells", "pbc", "offsets")


class StateError(ValueError):
    """Raised for a file of states that cannot be used; the message says why."""


def purpose_of(spec: JobSpec, parameters: Any) -> dict[str, Any]:
    """Return what decides the path of a row, by name.

    :param parameters: parameters of the task, defaults filled in.
    """
    return {
        "version": STATE_VERSION,
        "task": spec.task.value,
        "model_sha256": spec.model_sha256,
        **parameters.model_dump(mode="json"),
    }


def write_state(path: Path, rows: StructureTable, purpose: dict[str, Any]) -> None:
    """Write ``rows`` with their state to ``path``, whole or not at all."""
    content = io.BytesIO()
    arrays = rows.to_arrays()
    arrays[_PURPOSE] = np.frombuffer(json.dumps(purpose).encode(), dtype=np.uint8)
    np.savez(content, allow_pickle=False, **arrays)
    write_atomically(path, content.getvalue())


def read_state(path: Path, purpose: dict[str, Any], structures: StructureTable) -> StructureTable | None:
    """Return the rows with their state that ``path`` holds of ``structures``; None if there is no such file.

    :raises StateError: if the file is damaged, or of another model, other parameters or other structures.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays: dict[str, Array] = {name: file[name] for name in file.files}
        found = dict(json.loads(bytes(arrays.pop(_PURPOSE)).decode()))
        rows = StructureTable.from_arrays(arrays)
    except FileNotFoundError:
        return None
    except Exception as error:  # whatever is in it: a file that only saves work must not fail a job
        raise StateError(f"it is damaged: {type(error).__name__}: {error}") from error
    if found != purpose:
        names = sorted(name for name in {*found, *purpose} if found.get(name) != purpose.get(name))
        differences = [f"{name} = {found.get(name)!r} and not {purpose.get(name)!r}" for name in names]
        raise StateError(f"it belongs to a job with {', '.join(differences)}")
    wanted = set(structures.ids.tolist())
    rows = rows.take([place for place, name in enumerate(rows.ids.tolist()) if name in wanted])
    given = structures.select(rows.ids)
    if not all(np.array_equal(getattr(rows, name), getattr(given, name)) for name in _GEOMETRY) or (
        not np.array_equal(is_fixed(rows), is_fixed(given))
    ):
        raise StateError("it belongs to other structures with the same ids")
    return rows

"""Writes the two files of a submission to matbench-discovery: formation energies and relaxed structures. No AiiDA.

Riebesell et al., Nat. Mach. Intell. 7, 836 (2025), https://matbench-discovery.materialsproject.org/contribute, as of
2026: ``<yyyy-mm-dd>-discovery.csv.gz`` with the columns ``material_id`` and ``e_form_per_atom`` (eV/atom, four
decimals), and ``<yyyy-mm-dd>-geo-opt.jsonl.gz`` of one object per line with ``material_id``, ``structure``
(pymatgen's dictionary), ``energy`` (eV per cell, as the model gives it), ``converged`` and ``n_steps``. A relaxation
that ran out of steps is among the structures; a row without an answer is not.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aiida_pet.io.frame_writers import stream_csv
from aiida_pet.io.whole_files import open_whole
from aiida_pet.io.writers import structure_dict
from aiida_pet.job.folder import RowStatus
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.table import Table

ENERGY_COLUMN = "formation_energy"
DISCOVERY = "-discovery.csv.gz"
GEO_OPT = "-geo-opt.jsonl.gz"
# Digits after the point of a formation energy.
DECIMALS = 4
# How a row ended whose crystal is a prediction.
_RELAXED = (RowStatus.CONVERGED, RowStatus.MAX_STEPS)


class SubmissionError(ValueError):
    """Raised when a table cannot be submitted; the message says what it lacks."""


@dataclass(frozen=True)
class Submission:
    """What was written.

    :ivar energies: the csv.gz.
    :ivar structures: the jsonl.gz.
    :ivar n_rows: lines of the csv.
    :ivar n_missing: of these, rows without a formation energy, empty there.
    :ivar n_structures: lines of the jsonl.
    :ivar n_unconverged: of these, relaxations that ran out of steps.
    """

    energies: Path
    structures: Path
    n_rows: int
    n_missing: int
    n_structures: int
    n_unconverged: int


def submission_paths(path: Path) -> tuple[Path, Path]:
    """Return the names of the two files.

    :param path: the first of them.
    :raises SubmissionError: if it is not called so.
    """
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    if not re.fullmatch(r"\d{4}-\d\d-\d\d" + re.escape(DISCOVERY), path.name):
        raise SubmissionError(
            f"{path.name!r} is not the name of a submission: expected a date and {DISCOVERY}, such as "
            f"{today}{DISCOVERY}"
        )
    return path, path.with_name(path.name.removesuffix(DISCOVERY) + GEO_OPT)


def write_submission(energies: Table, crystals: StructureTable, path: Path) -> Submission:
    """Write the two files of a submission; neither is there if one fails.

    :param energies: rows with a column ``formation_energy``, eV/atom.
    :param crystals: the same rows, relaxed, with ``energy``, ``status`` and ``n_steps``, in any order and possibly
        among others.
    :param path: path of the energies, called ``<yyyy-mm-dd>-discovery.csv.gz``.
    :raises SubmissionError: if the name does not fit, or there are no formation energies.
    :raises KeyError: naming ids without a crystal.
    """
    path, structures = submission_paths(path)
    if ENERGY_COLUMN not in energies.columns:
        raise SubmissionError(
            f"there is no column {ENERGY_COLUMN!r} (eV/atom): submit the results of a hull, or of a screening with a "
            "hull"
        )
    values = np.asarray(energies.columns[ENERGY_COLUMN], dtype=float)
    frame = pd.DataFrame({"material_id": energies.ids, "e_form_per_atom": np.round(values, DECIMALS)})
    places = crystals.positions_of(energies.ids)
    relaxed = _relaxed(crystals, places, values)
    with open_whole(path) as csv, open_whole(structures) as lines:
        stream_csv(frame, csv)
        for row_id, place in zip(energies.ids[relaxed].tolist(), places[relaxed].tolist(), strict=True):
            lines.write(json.dumps(_record(row_id, crystals, place), allow_nan=False) + "\n")
    status = crystals.columns.get("status")
    unconverged = 0 if status is None else int((status[places[relaxed]] == RowStatus.MAX_STEPS.value).sum())
    return Submission(
        energies=path,
        structures=structures,
        n_rows=len(values),
        n_missing=int((~np.isfinite(values)).sum()),
        n_structures=int(relaxed.sum()),
        n_unconverged=unconverged,
    )


def _relaxed(
    crystals: StructureTable, places: NDArray[np.int64], values: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Return (N,) which rows have a relaxed crystal: by their status, else by their formation energy."""
    status = crystals.columns.get("status")
    if status is None:
        return np.isfinite(values)
    found: NDArray[np.bool_] = np.isin(status[places], [one.value for one in _RELAXED])
    return found


def _record(row_id: str, crystals: StructureTable, place: int) -> dict[str, Any]:
    """Return the line of one crystal; what its table does not say is null."""
    columns = crystals.columns
    energy = float(columns["energy"][place]) if "energy" in columns else float("nan")
    return {
        "material_id": row_id,
        "structure": structure_dict(crystals, place),
        "energy": energy if np.isfinite(energy) else None,
        "converged": str(columns["status"][place]) == RowStatus.CONVERGED.value
        if "status" in columns
        else None,
        "n_steps": int(columns["n_steps"][place]) if "n_steps" in columns else None,
    }

"""Writes the two files of a submission to matbench-discovery: formation energies and relaxed structures. No AiiDA.

Riebesell et al., Nat. Mach. Intell. 7, 836 (2025), https://matbench-discovery.materialsproject.org/contribute: a
``csv.gz`` with the columns ``material_id`` and ``e_form_per_atom_<model>`` (``pred_col`` in the YAML of the model,
eV/atom), and a ``jsonl.gz`` of one object per line with ``material_id`` and ``<model>_structure`` (``struct_col``), a
pymatgen structure. Both are read there with pandas.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from aiida_pet.data.frame_writers import stream_csv
from aiida_pet.data.whole_files import open_whole
from aiida_pet.data.writers import structure_dict
from aiida_pet.engine.table import StructureTable, Table

ENERGY_COLUMN = "formation_energy"
SUFFIX = ".csv.gz"


class SubmissionError(ValueError):
    """Raised when a table cannot be submitted; the message says what it lacks."""


@dataclass(frozen=True)
class Submission:
    """What was written.

    :ivar energies: the csv.gz.
    :ivar structures: the jsonl.gz.
    :ivar energy_column: the model's ``pred_col``.
    :ivar structure_column: the model's ``struct_col``.
    :ivar n_rows: lines of the csv.
    :ivar n_missing: of these, rows without a formation energy: empty there, and without a structure.
    """

    energies: Path
    structures: Path
    energy_column: str
    structure_column: str
    n_rows: int
    n_missing: int


def write_submission(energies: Table, crystals: StructureTable, path: Path, model: str) -> Submission:
    """Write ``path`` and, beside it under the same name, the structures; neither is there if one fails.

    :param energies: rows with a column ``formation_energy``, eV/atom.
    :param crystals: the same rows, relaxed, in any order and possibly among others.
    :param path: ends in ``.csv.gz``.
    :param model: what the columns are called by.
    :raises SubmissionError: if the name does not fit, or there are no formation energies.
    :raises KeyError: naming ids without a crystal.
    """
    if not path.name.endswith(SUFFIX) or path.name == SUFFIX:
        raise SubmissionError(
            f"{path.name!r} is not the name of a submission: expected one that ends in {SUFFIX}"
        )
    if ENERGY_COLUMN not in energies.columns:
        raise SubmissionError(
            f"there is no column {ENERGY_COLUMN!r} (eV/atom): submit the results of a hull or of a screening with one"
        )
    values = np.asarray(energies.columns[ENERGY_COLUMN], dtype=float)
    name = column_name(model)
    frame = pd.DataFrame({"material_id": energies.ids, f"e_form_per_atom_{name}": values})
    places = crystals.positions_of(energies.ids)
    structures = path.with_name(f"{path.name.removesuffix(SUFFIX)}.jsonl.gz")
    known = np.isfinite(values)
    with open_whole(path) as csv, open_whole(structures) as lines:
        stream_csv(frame, csv)
        for row_id, place in zip(energies.ids[known].tolist(), places[known].tolist(), strict=True):
            record = {"material_id": row_id, f"{name}_structure": structure_dict(crystals, place)}
            lines.write(json.dumps(record, allow_nan=False) + "\n")
    return Submission(
        energies=path,
        structures=structures,
        energy_column=f"e_form_per_atom_{name}",
        structure_column=f"{name}_structure",
        n_rows=len(values),
        n_missing=int((~known).sum()),
    )


def column_name(model: str) -> str:
    """Return ``model`` as part of a column's name: ``PET-OAM XL`` is ``pet_oam_xl``."""
    return re.sub(r"[^0-9a-z]+", "_", model.lower()).strip("_") or "model"

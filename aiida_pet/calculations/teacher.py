"""Labels of a teacher: what a static launch computed becomes labels of the crystals that it was given."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from aiida.engine import calcfunction
from ase.data import chemical_symbols

from aiida_pet.data.model import PetModelData
from aiida_pet.data.structures import StructureSetData
from aiida_pet.job.folder import RowStatus
from aiida_pet.tables.table import Array
from aiida_pet.words import plural, shortened

LABELS = {"energy": "eV", "stress": "eV/A^3"}
FORCES = "forces"


def unknown_to(teacher: PetModelData, structures: StructureSetData) -> tuple[list[str], int]:
    """Return the symbols of the elements among ``structures`` that ``teacher`` does not know, and how many rows have
    one: rows that it cannot label.
    """
    table = structures.to_table()
    foreign = np.setdiff1d(table.numbers, teacher.elements)
    rows = np.repeat(np.arange(len(table)), table.n_atoms)[np.isin(table.numbers, foreign)]
    return [chemical_symbols[z] for z in foreign.tolist()], len(np.unique(rows))


def why_not_labelled(teacher: PetModelData, structures: StructureSetData, least: int) -> str | None:
    """Return that too few rows have only elements that the teacher knows; None if there are enough.

    :param least: smallest number of rows to train on.
    """
    elements, count = unknown_to(teacher, structures)
    left = len(structures) - count
    if not count or left >= least:
        return None
    return (
        f"the teacher {teacher.name} does not know {shortened(elements)}: {count:,} of "
        f"{plural(len(structures), 'row')} cannot be labelled, and {left:,} are left, expected {least:,} or more. "
        "Leave these elements out, or take another teacher"
    )


@calcfunction
def take_labels(structures: StructureSetData, results: StructureSetData) -> StructureSetData:
    """Return the crystals with energies, forces and stresses of the teacher as labels.

    A row that the teacher has no answer for has no label, and ``status`` and ``message`` say why, so that the training
    refuses it with this reason. Other columns, such as the one that names the crystal of a row, stay; labels that rows
    had are replaced.

    :param structures: that were labelled.
    :param results: results of the static launch.
    :return: the rows with ``input_energy`` (eV), ``input_forces`` (eV/A) and ``input_stress`` (eV/A^3), and with
        ``status`` and ``message`` if some have no label.
    """
    rows = structures.to_table()
    answers = results.to_table().select(rows.ids)
    answered = answers.columns["status"] == RowStatus.CONVERGED.value
    columns = {name: values for name, values in rows.columns.items() if not name.startswith("input_")}
    for name in ("status", "message", "level_of_theory"):
        columns.pop(name, None)
    units = {name: unit for name, unit in rows.units.items() if name in columns}
    for name, unit in LABELS.items():
        if name in answers.columns:
            values = answers.columns[name]
            columns[f"input_{name}"] = np.where(_like(answered, values), values, np.nan)
            units[f"input_{name}"] = unit
    if not answered.all():
        columns |= {name: answers.columns[name] for name in ("status", "message") if name in answers.columns}
    forces = answers.atom_columns[FORCES]
    of_atoms = np.repeat(answered, answers.n_atoms)
    labelled = replace(
        rows,
        columns=columns,
        atom_columns={f"input_{FORCES}": np.where(_like(of_atoms, forces), forces, np.nan)},
        units=units | {f"input_{FORCES}": "eV/A"},
        ragged={},
    )
    return StructureSetData.from_table(labelled)


def _like(chosen: Array, values: Array) -> Array:
    """Return ``chosen`` (N,) with as many axes as ``values`` (N, ...)."""
    return chosen.reshape(-1, *(1,) * (values.ndim - 1))

"""Labels of a teacher: what a static launch computed becomes labels of the crystals that it was given."""

from __future__ import annotations

from dataclasses import replace

from aiida.engine import calcfunction

from aiida_pet.data.structures import StructureSetData
from aiida_pet.job.folder import RowStatus

LABELS = {"energy": "eV", "stress": "eV/A^3"}
FORCES = "forces"


@calcfunction
def take_labels(structures: StructureSetData, results: StructureSetData) -> StructureSetData:
    """Return the crystals that the teacher has an answer for, with its energies, forces and stresses as labels.

    Other columns of theirs, such as the one that names the crystal of a row, stay; labels that they had are replaced.

    :param structures: that were labelled.
    :param results: results of the static launch.
    :return: the rows whose status is converged, with ``input_energy`` (eV), ``input_forces`` (eV/A) and
        ``input_stress`` (eV/A^3).
    :raises ValueError: if the teacher has no answer for any of them.
    """
    answers = results.to_table()
    answers = answers.take((answers.columns["status"] == RowStatus.CONVERGED.value).nonzero()[0])
    if not len(answers):
        raise ValueError(
            f"the teacher has no answer for any of the {len(structures)} crystals of {structures}"
        )
    rows = structures.select(answers.ids)
    columns = {name: values for name, values in rows.columns.items() if not name.startswith("input_")}
    units = {name: unit for name, unit in rows.units.items() if name in columns}
    for name, unit in LABELS.items():
        if name in answers.columns:
            columns[f"input_{name}"] = answers.columns[name]
            units[f"input_{name}"] = unit
    columns.pop("status", None)
    columns.pop("level_of_theory", None)
    atoms = {f"input_{FORCES}": answers.atom_columns[FORCES]}
    labelled = replace(
        rows, columns=columns, atom_columns=atoms, units=units | {f"input_{FORCES}": "eV/A"}, ragged={}
    )
    return StructureSetData.from_table(labelled)

"""What is to be known of the labels of a set before it is trained on: what it lacks, and what is unchecked.

Free of torch and AiiDA.
"""

from __future__ import annotations

import numpy as np

from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.table import Array
from aiida_pet.training.label_checks import LEAST_PAIRS, LabelCheck
from aiida_pet.training.labels import Labels
from aiida_pet.training.parameters import TrainingParameters
from aiida_pet.words import plural

_NEUTRAL = {
    "charge": 0.0,
    "total_charge": 0.0,
    "net_charge": 0.0,
    "spin": 0.0,
    "total_spin": 0.0,
    "multiplicity": 1.0,
    "spin_multiplicity": 1.0,
}
"""Column that says of a row that it has a charge or a spin -> its value if the row has none."""


def missing_labels(table: StructureTable, labels: Labels, parameters: TrainingParameters) -> list[str]:
    """Return which labels were looked for and are not there, so that the training does without them."""
    wanted = []
    if labels.forces is None and parameters.forces is not None:
        wanted.append("forces")
    if labels.stress is None and parameters.stress is not None and bool(table.pbc.all(axis=1).any()):
        wanted.append("stresses")
    if not wanted:
        return []
    left = ["energies", *(["forces"] if "forces" not in wanted and labels.forces is not None else [])]
    left += ["stresses"] if "stresses" not in wanted and labels.stress is not None else []
    return [
        f"the training set has no {' and no '.join(wanted)}: the model is trained on {' and '.join(left)} only, so "
        f"that its {' and '.join(wanted)} may be far off"
    ]


def unchecked(labels: Labels, stress: LabelCheck, forces: LabelCheck) -> dict[str, str]:
    """Return label -> that its sign and unit were not checked, and why, for those of which this is so.

    :param stress: what energies say of stresses.
    :param forces: what they say of forces.
    """
    if labels.forces is None and labels.stress is None:
        return {
            "energy": "sign and unit of the energies were not checked: the set has neither forces nor stresses that "
            "they could be compared with"
        }
    found = {}
    for name, what, check in (("stress", "stresses", stress), ("forces", "forces", forces)):
        if name in labels.columns and not check.is_clear:
            found[name] = f"sign and unit of the {what} were not checked: {_why(what, check)}"
    return found


def _why(what: str, check: LabelCheck) -> str:
    if check.independent < LEAST_PAIRS:
        frames = "near frames of one crystal" + (" with different cells" if what == "stresses" else "")
        return (
            f"this takes {LEAST_PAIRS} independent pairs of {frames} that tell something of them, but there are "
            f"{check.independent}"
        )
    return (
        f"the energies do not follow them: over {plural(check.pairs, 'pair')} of frames of one crystal the correlation "
        f"is {check.correlation:.2f}, and it is near 1 if energies and {what} belong together"
    )


def charged_rows(tables: dict[str, StructureTable]) -> list[str]:
    """Return which sets have rows with a charge or a spin, of which a model knows nothing.

    :param tables: name of a set -> its rows with all their columns.
    """
    told = []
    for name, table in tables.items():
        for column, values in table.columns.items():
            neutral = _NEUTRAL.get(column.lower().removeprefix("input_"))
            count = 0 if neutral is None else _count_other(values, neutral)
            if count:
                told.append(
                    f"{name} set: column {column!r} is not {neutral:g} in {plural(count, 'row')}. The model knows "
                    "neither charge nor spin: rows with a charge or a spin are trained as if they were neutral and "
                    "without spin"
                )
    return told


def _count_other(values: Array, neutral: float) -> int:
    """Return how many of ``values`` are numbers other than ``neutral``."""
    array = np.asarray(values)
    if array.ndim != 1 or array.dtype.kind not in "iuf":
        return 0
    known = array[np.isfinite(array.astype(float))]
    return int((np.abs(known - neutral) > 1e-6).sum())

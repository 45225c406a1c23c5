"""All numbers that a table of results allows for, given which of its columns hold references.

Names are ``family/number``: ``hull/F1``, ``hull/unique_prototypes/DAF``, ``phonons/mae_max_frequency``,
``elastic/failed_bulk_modulus``; columns of no family get ``<column>/MAE``, ``RMSE`` and ``R2``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from aiida_pet.analysis.metrics import conductivity, elastic, equation_of_state, phonons, stability

HULL = ("e_above_hull", "formation_energy")
MIN_FREQUENCY = "min_frequency"


@dataclass(frozen=True)
class Metric:
    """One number.

    :ivar value: NaN where no row allows for it.
    :ivar unit: empty for shares, counts and scores.
    """

    value: float
    unit: str = ""


def compare_with_references(
    frame: pd.DataFrame,
    references: Mapping[str, str],
    *,
    unique_prototype: str | None = None,
    n_atoms: str | None = None,
    stability_threshold: float = stability.STABILITY_THRESHOLD,
    units: Mapping[str, str] | None = None,
) -> dict[str, Metric]:
    """Return the numbers that the field reports.

    With references for both ``formation_energy`` and ``e_above_hull`` the hull is the references' own, fixed, as in
    matbench-discovery; with the latter alone the energies above hull are compared as they are.

    :param frame: results, one row per crystal.
    :param references: column of results -> column of references, in the same unit.
    :param unique_prototype: column that says which rows are unique prototypes; adds the subsets of these.
    :param n_atoms: column of atoms of the primitive cells: errors of thermal quantities are then per atom.
    :param stability_threshold: eV/atom above the hull, for energies compared as they are.
    :param units: units of columns that belong to no family, for their errors.
    :raises ValueError: if columns are missing.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"bulk_modulus": [260.0, 190.0], "dft": [255.0, 200.0]})
    >>> compare_with_references(frame, {"bulk_modulus": "dft"})["elastic/mae_bulk_modulus"]
    Metric(value=7.5, unit='GPa')
    """
    wanted = [*references, *references.values(), *(name for name in (unique_prototype, n_atoms) if name)]
    missing = [name for name in wanted if name not in frame.columns]
    if missing:
        raise ValueError(
            f"columns {', '.join(missing)} are missing: there are {', '.join(map(str, frame.columns))}"
        )
    found = _hull_metrics(frame, references, unique_prototype, stability_threshold)
    ours = {name: frame[name] for name in references}
    theirs = {name: frame[column] for name, column in references.items()}
    atoms = frame[n_atoms] if n_atoms else None
    per_atom = " per atom" if n_atoms else ""
    for name, value in phonons.phonon_metrics(ours, theirs, n_atoms=atoms).items():
        quantity = name.removeprefix("mae_")
        unit = phonons.UNITS.get(quantity, "")
        found[f"phonons/{name}"] = Metric(
            value, unit if quantity == "max_frequency" or not unit else unit + per_atom
        )
    if MIN_FREQUENCY in references:
        stable = phonons.dynamic_stability_metrics(ours[MIN_FREQUENCY], theirs[MIN_FREQUENCY])
        found |= {f"phonons/stable_{name}": Metric(value) for name, value in stable.items()}
    for name, value in elastic.elastic_metrics(ours, theirs).items():
        unit = "log10(GPa)" if "log10" in name else "GPa" if name.startswith("mae_") else ""
        found[f"elastic/{name}"] = Metric(value, unit)
    sizes = frame["n_atoms"] if "n_atoms" in frame.columns else np.ones(len(frame))
    found |= {
        f"eos/{name}": Metric(value, equation_of_state.UNITS.get(name, ""))
        for name, value in equation_of_state.eos_metrics(ours, theirs, sizes).items()
    }
    if conductivity.KAPPA in references:
        kappas = ours[conductivity.KAPPA], theirs[conductivity.KAPPA]
        means = conductivity.conductivity_metrics(*kappas)
        found |= {f"conductivity/{name}": Metric(value) for name, value in means.items()}
    families = {*HULL, *phonons.UNITS, MIN_FREQUENCY, *elastic.MODULI, conductivity.KAPPA}
    for name in references:
        if name not in families:
            numbers = stability.regression_metrics(theirs[name], ours[name])
            unit = (units or {}).get(name, "")
            found |= {
                f"{name}/{key}": Metric(value, unit if key in stability.UNITS else "")
                for key, value in numbers.items()
            }
    return found


def _hull_metrics(
    frame: pd.DataFrame, references: Mapping[str, str], unique_prototype: str | None, threshold: float
) -> dict[str, Metric]:
    distance, energy = (references.get(name) for name in HULL)
    if distance and energy:
        column = unique_prototype or "unique_prototype"
        given = frame if unique_prototype else frame.assign(unique_prototype=True)
        subsets = stability.discovery_metrics(
            given,
            frame["formation_energy"],
            e_above_hull=distance,
            formation_energy=energy,
            unique_prototype=column,
        )
        found = {"hull": subsets.pop(stability.FULL_TEST_SET)}
        if unique_prototype:
            found |= {f"hull/{name}": numbers for name, numbers in subsets.items()}
    elif distance:
        numbers = stability.stable_metrics(
            frame[distance], frame["e_above_hull"], stability_threshold=threshold
        )
        found = {"hull": numbers}
    elif energy:
        found = {"formation_energy": stability.regression_metrics(frame[energy], frame["formation_energy"])}
    else:
        found = {}
    return {
        f"{family}/{name}": Metric(value, stability.UNITS.get(name, ""))
        for family, numbers in found.items()
        for name, value in numbers.items()
    }

"""The codes of the column ``warnings`` that follow from the other columns of a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from aiida_pet.tables.table import Array
from aiida_pet.tables.warnings import Warned, joined

#: Share of its volume that a relaxation may change without a word.
VOLUME_CHANGE = 0.1


def row_warnings(
    columns: Mapping[str, Array],
    codes: Sequence[set[str]] | None = None,
    uncertainty_limit: float | None = None,
) -> Array:
    """Return (N,) str, the column ``warnings``.

    :param columns: columns of N rows: ``symmetry_warning``, and ``volume`` beside ``initial_volume``, where they exist.
        A row whose ``energy`` is not finite has no answer, and so no code that follows from these.
    :param codes: N further codes, those that the task gives.
    :param uncertainty_limit: eV/atom, above which a row is unlike those that the model was trained on; None if unknown.
    """
    size = len(columns["status"])
    found: list[set[str]] = (
        [set(some) for some in codes] if codes is not None else [set() for _ in range(size)]
    )
    holds = {
        Warned.SYMMETRY_CHANGED: columns["symmetry_warning"] != "" if "symmetry_warning" in columns else None,
        Warned.EXTRAPOLATED: _is_unsure(columns, uncertainty_limit),
        Warned.VOLUME_CHANGE: _volume_changed(columns) if "initial_volume" in columns else None,
    }
    has_answer = np.isfinite(columns["energy"]) if "energy" in columns else np.ones(size, dtype=bool)
    for code, which in holds.items():
        for row in [] if which is None else np.flatnonzero(which & has_answer).tolist():
            found[row].add(code)
    return np.array([joined(some) for some in found], dtype=str)


def _volume_changed(columns: Mapping[str, Array]) -> Array:
    after, before = columns["volume"], columns["initial_volume"]
    return np.asarray(np.abs(after - before) > VOLUME_CHANGE * before)


def _is_unsure(columns: Mapping[str, Array], limit: float | None) -> Array | None:
    if limit is None or "uncertainty" not in columns:
        return None
    return np.asarray(columns["uncertainty"] > limit * np.maximum(columns["n_atoms"], 1))

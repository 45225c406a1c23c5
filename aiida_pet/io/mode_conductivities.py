"""Conductivities mode by mode, from the JSON files of the kappa_SRME benchmark and of matbench-discovery.

Such a file holds one crystal, ``{"mp_id": ..., "weights": ...}``, or many by column, as pandas writes a table:
``{"mp_id": {"0": ...}, "weights": {"0": ...}}``. Of the names that are in use for a quantity each is understood.
Frequencies are in THz, conductivities in W/(m K); of several temperatures 300 K is taken.
"""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aiida_pet.tables.arrays import Floats, Integers

__all__ = ["ModeConductivity", "holds_mode_conductivities", "read_mode_conductivities"]

_OPENERS = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_HEAD = 1 << 16  # characters in which a file shows what it is
_IDS = ("mp_id", "material_id", "id")
_WEIGHTS = ("weights", "mode_weights")
_FREQUENCIES = ("frequencies", "ph_freqs")
_MODES = (
    "mode_kappa_TOT_ave",
    "mode_kappa_tot_avg",
    "mode_kappa_TOT",
    "mode_kappa_tot_rta",
    "mode_kappa_tot",
)
_IMAGINARY = ("imaginary_freqs", "has_imag_ph_modes", "imaginary")
_ROOM = 300.0  # K


@dataclass(frozen=True)
class ModeConductivity:
    """What the modes of a crystal carry at 300 K; Q q-points, B bands.

    :ivar modes: (Q, B) mean of the diagonal of the conductivity of each mode, W/(m K).
    :ivar weights: (Q,) weights of the q-points; the sum of ``modes`` divided by the sum of ``weights`` is the
        conductivity.
    :ivar frequencies: (Q, B), THz; None if they are not known at these q-points.
    """

    modes: Floats
    weights: Integers
    frequencies: Floats | None = None

    @property
    def kappa(self) -> float:
        """Mean of the diagonal of the conductivity, W/(m K)."""
        return float(self.modes.sum() / self.weights.sum())


def holds_mode_conductivities(path: Path) -> bool:
    """Return whether a file is of this kind, by its beginning."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if ".json" not in suffixes[-2:]:
        return False
    try:
        with _open(path) as handle:
            head = handle.read(_HEAD)
    except (OSError, EOFError, UnicodeDecodeError, lzma.LZMAError):
        return False
    return any(f'"{name}"' in head for name in _IDS) and any(
        f'"{name}"' in head for name in (*_FREQUENCIES, *_MODES)
    )


def read_mode_conductivities(path: Path) -> dict[str, ModeConductivity | None]:
    """Return id -> modes of each crystal of a file, None for one that has no conductivity.

    :raises ValueError: if it is no such file, or an entry has not the shape that it should have.
    """
    try:
        with _open(path) as handle:
            raw = json.load(handle)
    except (OSError, EOFError, ValueError, lzma.LZMAError) as error:
        raise ValueError(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(raw, dict) or not any(name in raw for name in _IDS):
        raise ValueError(f"{path}: expected an object with {' or '.join(_IDS)}")
    found: dict[str, ModeConductivity | None] = {}
    for record in _records(raw):
        name = str(_first(record, _IDS))
        if name in found:
            raise ValueError(f"{path}: {name} occurs twice")
        try:
            found[name] = _modes_of(record)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}: {name}: {error}") from error
    return found


def _open(path: Path) -> Any:
    opener: Any = _OPENERS.get(path.suffix.lower(), open)
    return opener(path, "rt", encoding="utf-8")


def _records(raw: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    ids = _first(raw, _IDS)
    if not isinstance(ids, dict):
        yield raw
        return
    for place in ids:
        yield {name: column.get(place) for name, column in raw.items() if isinstance(column, dict)}


def _first(record: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((record[name] for name in names if record.get(name) is not None), None)


def _modes_of(record: Mapping[str, Any]) -> ModeConductivity | None:
    modes, weights = _first(record, _MODES), _first(record, _WEIGHTS)
    if modes is None or weights is None or _first(record, _IMAGINARY) is True:
        return None
    values = np.asarray(modes, dtype=np.float64)
    counts = np.asarray(weights, dtype=np.int64)
    temperatures = np.atleast_1d(np.asarray(record.get("temperatures") or [_ROOM], dtype=np.float64))
    if values.ndim == 3 and values.shape[-1] == 6 and values.shape[0] == len(counts):
        values = values[None]  # (Q, B, 6): of one temperature
    if values.ndim not in (3, 4) or values.shape[1] != len(counts):
        raise ValueError(f"conductivities of modes have shape {values.shape} with {len(counts)} weights")
    if len(temperatures) != len(values) or _ROOM not in temperatures:
        raise ValueError(
            f"there are {len(values)} temperatures, {temperatures.tolist()} K: expected 300 K among them"
        )
    values = values[int(np.flatnonzero(temperatures == _ROOM)[0])]
    if values.ndim == 3:
        values = values[..., :3].mean(axis=-1)
    frequencies = np.asarray(_first(record, _FREQUENCIES), dtype=np.float64)
    return ModeConductivity(values, counts, frequencies if frequencies.shape == values.shape else None)

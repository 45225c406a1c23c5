"""Sizes of new models by name, from one for tests to those that are published.

``xl`` is the published PET-OAM-XL (its options in matbench-discovery's ``models/pet``). Of the other published sizes
the numbers of parameters are known (documentation of upet, "Available models"): ``xs``, ``s``, ``m`` and ``l`` have
dimensions in the proportions of ``xl`` that come within 4 % of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class Architecture(StrEnum):
    """Names of the sizes."""

    TINY = "tiny"
    XXS = "xxs"
    XS = "xs"
    S = "s"
    M = "m"
    L = "l"
    XL = "xl"


def _size(d_pet: int, gnn_layers: int, attention_layers: int, num_heads: int = 8) -> dict[str, int]:
    return {
        "d_pet": d_pet,
        "d_head": d_pet,
        "d_node": 4 * d_pet,
        "d_feedforward": 2 * d_pet,
        "num_heads": num_heads,
        "num_gnn_layers": gnn_layers,
        "num_attention_layers": attention_layers,
    }


PRESETS: Mapping[Architecture, Mapping[str, int]] = {
    # a thousand weights: to try a set-up, not to be believed
    Architecture.TINY: _size(4, 1, 1, num_heads=1),
    Architecture.XXS: _size(64, 2, 1, num_heads=4),  # 1.1 million parameters: hours on a CPU
    Architecture.XS: _size(96, 2, 2),  # 4.5 million; a GPU from here on
    Architecture.S: _size(192, 3, 2),  # 26 million
    Architecture.M: _size(384, 3, 2),  # 106 million
    Architecture.L: _size(512, 4, 2),  # 250 million
    Architecture.XL: _size(640, 5, 3),  # 722 million
}

_COUNTS = (
    "d_pet",
    "d_head",
    "d_node",
    "d_feedforward",
    "num_heads",
    "num_attention_layers",
    "num_gnn_layers",
)
HYPERS = frozenset(_COUNTS) | {
    "cutoff",
    "num_neighbors_adaptive",
    "adaptive_cutoff_method",
    "cutoff_function",
    "cutoff_width",
    "cutoff_width_adaptive",
    "normalization",
    "activation",
    "attention_temperature",
    "transformer_type",
    "featurizer_type",
}
"""Of metatrain's hyperparameters of PET those that the batched engine evaluates itself."""


def merged_hypers(
    architecture: Architecture,
    cutoff: float,
    cutoff_width: float,
    neighbors: int | None,
    hypers: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the hyperparameters of a new model, as metatrain names them.

    :param hypers: hyperparameters that replace the others.
    """
    found: dict[str, Any] = dict(PRESETS[architecture])
    found |= {"cutoff": cutoff, "cutoff_width": cutoff_width, "num_neighbors_adaptive": neighbors}
    return found | dict(hypers)


def check_hypers(hypers: Mapping[str, Any], merged: Mapping[str, Any]) -> None:
    """Check hyperparameters before metatrain does it on the compute node.

    :param hypers: those that were given.
    :param merged: all of them, see :func:`merged_hypers`.
    :raises ValueError: for a hyperparameter that there is not, that the engine does not evaluate, or that does not fit
        the others.
    """
    unknown = sorted(set(hypers) - HYPERS)
    if unknown:
        raise ValueError(f"unknown hypers {unknown}; known are {', '.join(sorted(HYPERS))}")
    for name in _COUNTS:
        value = merged[name]
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"hypers {name} = {value!r}: expected a whole number >= 1")
    d_pet, heads = merged["d_pet"], merged["num_heads"]
    if d_pet % heads:
        raise ValueError(
            f"d_pet {d_pet} is not a multiple of num_heads {heads}: set both in hypers, such as "
            f"{{d_pet: {heads * max(1, round(d_pet / heads))}, num_heads: {heads}}}"
        )
    cutoff, width = merged["cutoff"], merged["cutoff_width"]
    for name, value in (("cutoff", cutoff), ("cutoff_width", width)):
        if not isinstance(value, int | float) or isinstance(value, bool) or not value > 0:
            raise ValueError(f"{name} = {value!r}: expected a number > 0 (A)")
    if width >= cutoff:
        raise ValueError(
            f"cutoff_width {width:g} A is not below the cutoff {cutoff:g} A: over this width, inside the cutoff, "
            "neighbours fade out"
        )

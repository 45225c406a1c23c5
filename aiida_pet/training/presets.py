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

HYPERS = frozenset(
    {
        "cutoff",
        "num_neighbors_adaptive",
        "adaptive_cutoff_method",
        "cutoff_function",
        "cutoff_width",
        "cutoff_width_adaptive",
        "d_pet",
        "d_head",
        "d_node",
        "d_feedforward",
        "num_heads",
        "num_attention_layers",
        "num_gnn_layers",
        "normalization",
        "activation",
        "attention_temperature",
        "transformer_type",
        "featurizer_type",
    }
)
"""Of metatrain's hyperparameters of PET those that the batched engine evaluates itself."""


def check_hypers(hypers: Mapping[str, Any]) -> None:
    """:raises ValueError: for a hyperparameter that there is not, or that the engine does not evaluate."""
    unknown = sorted(set(hypers) - HYPERS)
    if unknown:
        raise ValueError(f"unknown hypers {unknown}; known are {', '.join(sorted(HYPERS))}")
    d_pet, heads = hypers.get("d_pet"), hypers.get("num_heads")
    if d_pet is not None and heads is not None and d_pet % heads:
        raise ValueError(f"d_pet {d_pet} is not a multiple of num_heads {heads}")

"""PET of the published sizes with random weights: as fast and as large as the published ones, and of no other use.

Edge dimension, layers, cutoff and neighbours are those of table IV of arXiv:2601.16195 (in upet's documentation,
"Model sizes"); node, feed-forward and head dimensions are 4, 2 and 1 times the edge's, as matbench-discovery lists them
of PET-OAM-XL, with eight attention heads. The numbers of parameters come out 1 to 7 % below those published, whose
models also have direct heads.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.engine import ELEMENTS


@dataclass(frozen=True)
class Size:
    """Hyperparameters of a published size.

    :ivar d_pet: edge feature dimension.
    :ivar gnn_layers: of message passing.
    :ivar attention_layers: of each of these.
    :ivar cutoff: A.
    :ivar neighbors: that the adaptive cutoff aims at.
    :ivar n_parameters: as published.
    """

    d_pet: int
    gnn_layers: int
    attention_layers: int
    cutoff: float
    neighbors: int
    n_parameters: float

    @property
    def hypers(self) -> dict[str, Any]:
        """Return them under metatrain's names."""
        return {
            "cutoff": self.cutoff,
            "num_neighbors_adaptive": self.neighbors,
            "d_pet": self.d_pet,
            "d_head": self.d_pet,
            "d_node": 4 * self.d_pet,
            "d_feedforward": 2 * self.d_pet,
            "num_heads": 8,
            "num_gnn_layers": self.gnn_layers,
            "num_attention_layers": self.attention_layers,
        }


SIZES = {
    "XS": Size(128, 2, 1, 7.5, 8, 4.5e6),
    "S": Size(256, 3, 1, 8.0, 16, 25.9e6),
    "M": Size(384, 3, 2, 8.5, 24, 109e6),
    "L": Size(512, 4, 2, 9.0, 32, 255e6),
    "XL": Size(640, 5, 3, 10.0, 40, 730e6),
}


def random_pet(size: str) -> Any:
    """Return metatrain's PET of ``size`` with an energy head and random weights, float32 in eval mode.

    Its forces are some 0.01 eV/A: too small to throw crystals apart within the steps that are timed.
    """
    from metatrain.pet import PET
    from metatrain.utils.architectures import get_default_hypers
    from metatrain.utils.data import DatasetInfo
    from metatrain.utils.data.target_info import get_energy_target_info
    from omegaconf import OmegaConf

    hypers = copy.deepcopy(get_default_hypers("pet")["model"]) | SIZES[size].hypers
    description = {"quantity": "energy", "unit": "eV", "description": "of random weights"}
    target = get_energy_target_info("energy", OmegaConf.create(description))
    info = DatasetInfo(length_unit="angstrom", atomic_types=list(ELEMENTS), targets={"energy": target})
    with _without_initialisation():
        model = PET(hypers, info)
    _fill(model, seed=0)
    return model.eval()


def _fill(model: torch.nn.Module, seed: int) -> None:
    """Fill matrices with uniform numbers of metatrain's width, and leave vectors as they are where they are finite."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim >= 2:
                bound = 1.0 / math.sqrt(parameter.shape[-1])
                parameter.uniform_(-bound, bound, generator=generator)
            elif name.endswith("bias"):
                parameter.zero_()
            else:
                parameter.fill_(1.0)


class _without_initialisation:  # noqa: N801 - used as a function
    """Lets modules be made without their own random weights, which take half a minute for the largest size."""

    _names = ("kaiming_uniform_", "uniform_", "normal_", "xavier_uniform_")

    def __enter__(self) -> None:
        self._kept = {name: getattr(torch.nn.init, name) for name in self._names}
        for name in self._names:
            setattr(torch.nn.init, name, lambda tensor, *args, **options: tensor)

    def __exit__(self, *reason: object) -> None:
        for name, function in self._kept.items():
            setattr(torch.nn.init, name, function)

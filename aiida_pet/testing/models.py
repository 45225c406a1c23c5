"""PET models of random weights in memory: small, and with everything that a published one may have.

Scales and composition energies are of a size that shows where one is left out; direct forces have a scale of each
element.
"""

from __future__ import annotations

import copy
from typing import Any

import metatensor.torch as mts
import torch
from metatensor.torch import TensorMap
from metatrain.llpr import LLPRUncertaintyModel
from metatrain.pet import PET
from metatrain.utils.architectures import get_default_hypers
from metatrain.utils.data import DatasetInfo
from metatrain.utils.data.target_info import get_energy_target_info, get_generic_target_info
from omegaconf import OmegaConf

ELEMENTS = (41, 42, 73, 74)
SMALL = {
    "cutoff": 4.0, "d_pet": 16, "d_head": 12, "d_node": 24, "d_feedforward": 16, "num_heads": 2,
    "num_attention_layers": 1, "num_gnn_layers": 2,
}  # fmt: skip
ADAPTIVE = {"cutoff": 6.0, "num_neighbors_adaptive": 10, "cutoff_width_adaptive": 1.0}
FLAVOURS: dict[str, dict[str, Any]] = {
    "fixed": {},
    "grid": ADAPTIVE | {"adaptive_cutoff_method": "grid"},
    "solver": ADAPTIVE | {"adaptive_cutoff_method": "solver"},
    # of the first generation of published models
    "old": {
        "transformer_type": "PostLN", "normalization": "LayerNorm", "activation": "SiLU",
        "featurizer_type": "residual", "cutoff_function": "Cosine",
    },
}  # fmt: skip


def tiny_pet(
    flavour: str = "fixed",
    *,
    variants: tuple[str | None, ...] = (None,),
    length_unit: str = "angstrom",
    **hypers: Any,
) -> PET:
    """Return a PET in float64 and eval mode with an energy and direct heads of each variant."""
    torch.manual_seed(7)
    all_hypers = copy.deepcopy(get_default_hypers("pet")["model"]) | SMALL | FLAVOURS[flavour]
    for name, value in hypers.items():
        all_hypers[name] = all_hypers[name] | value if isinstance(value, dict) else value
    targets = {}
    for variant in variants:
        suffix = "" if variant is None else f"/{variant}"
        targets[f"energy{suffix}"] = get_energy_target_info(
            f"energy{suffix}",
            OmegaConf.create({"quantity": "energy", "unit": "eV", "description": f"energy of {variant}"}),
        )
        targets[f"non_conservative_force{suffix}"] = _tensor(
            f"non_conservative_force{suffix}", 1, "atom", "eV/A"
        )
        targets[f"non_conservative_stress{suffix}"] = _tensor(
            f"non_conservative_stress{suffix}", 2, "system", "eV/A^3"
        )
    model = PET(
        all_hypers, DatasetInfo(length_unit=length_unit, atomic_types=list(ELEMENTS), targets=targets)
    )
    for place, name in enumerate(targets):
        _fill(
            model.scaler, f"{name}_scaler_buffer", model.scaler.model.scales[name], (1.3 + 0.4 * place, 0.2)
        )
    composition = model.additive_models[0]
    for place, name in enumerate(composition.dataset_info.targets):
        _fill(composition, f"{name}_composition_buffer", composition.model.weights[name], (-9.0 - place, 1.7))
    return model.to(torch.float64).eval()


def tiny_llpr(pet: PET, members: int = 0) -> LLPRUncertaintyModel:
    """Return LLPR around ``pet``, as if calibrated: random covariances, factorised by its own method.

    ``members``: of an ensemble of energies.
    """
    ensemble = {"energy": members} if members else {}
    model = LLPRUncertaintyModel({"num_ensemble_members": ensemble}, pet.dataset_info)
    model.set_wrapped_model(pet)
    generator = torch.Generator().manual_seed(3)
    for place, (name, buffer) in enumerate(model.named_buffers()):
        if name.startswith("covariance_"):
            seen = torch.randn((400, len(buffer)), generator=generator, dtype=torch.float64)
            buffer.copy_(seen.T @ seen)
        elif name.startswith("multiplier_"):
            buffer.fill_(1.5 + 0.1 * place)
    model.compute_cholesky_decomposition()
    if members:
        torch.manual_seed(5)
        model.generate_ensemble()
    return model.eval()


def _tensor(name: str, rank: int, sample_kind: str, unit: str) -> Any:
    return get_generic_target_info(
        name,
        OmegaConf.create(
            {
                "quantity": "",
                "description": name,
                "unit": unit,
                "type": {"cartesian": {"rank": rank}},
                "num_subtargets": 1,
                "sample_kind": sample_kind,
            }
        ),
    )


def _fill(owner: Any, buffer: str, tensors: TensorMap, line: tuple[float, float]) -> None:
    """Set ``tensors`` for element k to ``line[0] + k line[1]``, there and in what a checkpoint holds."""
    values = tensors.block(0).values
    values += line[0] - values + line[1] * torch.arange(len(values), dtype=values.dtype)[:, None]
    setattr(owner, buffer, mts.save_buffer(mts.make_contiguous(tensors)))

"""Checkpoints of older versions, with the names of now: what metatrain's ``pet.checkpoints`` does to evaluate them.

Versions of PET are 1 to 16, of LLPR 1 to 4; hyperparameters that came later get the values that were built in before.
What only a training needs is left as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from aiida_pet.engine.batch.batch import Tensor
from aiida_pet.engine.model.plain.stored import NotPlainError

NEWEST_PET, NEWEST_LLPR = 16, 4

_BEFORE = {  # values that were built in before there was a hyperparameter
    "normalization": "LayerNorm",
    "activation": "SiLU",
    "transformer_type": "PostLN",
    "featurizer_type": "residual",
    "num_neighbors_adaptive": None,
    "cutoff_function": "Cosine",
    "attention_temperature": 1.0,
    "adaptive_cutoff_method": "grid",
    "system_conditioning": False,
}
_FULL = ("full", "heads")  # ways of fine-tuning that leave the network as it is


def pet_now(checkpoint: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return hyperparameters and tensors of PET's ``checkpoint`` by their names of now, less the prefix ``backend.``.

    :raises NotPlainError: if the version is not known, or fine-tuning changed the network.
    """
    version = int(checkpoint.get("model_ckpt_version") or 1)
    if version > NEWEST_PET:
        raise NotPlainError(
            f"its version of PET is {version}, but only versions up to {NEWEST_PET} are known"
        )
    hypers = dict(checkpoint["model_data"]["model_hypers"])
    tensors = dict(checkpoint.get("best_model_state_dict") or checkpoint["model_state_dict"])
    tuning = tensors.pop("finetune_config", None) or {}
    if tuning.get("method", "full") not in _FULL:
        raise NotPlainError(f"it was fine-tuned by the method {tuning['method']}")
    if version < 8:
        if "node_embedding.weight" in checkpoint["model_state_dict"]:
            hypers, tensors = _large_before_8(hypers, dict(checkpoint["model_state_dict"]))
        else:
            tensors = _before_8(tensors)
    hypers = _BEFORE | {"d_node": hypers["d_pet"], "cutoff_width_adaptive": hypers["cutoff_width"]} | hypers
    return hypers, {name.removeprefix("backend."): values for name, values in tensors.items()}


def _before_8(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a usual checkpoint before version 8; tables of elements had a row for padding."""
    renamed = {}
    for name, values in tensors.items():
        new = name.replace(".mlp.0", ".mlp.w_in").replace(".mlp.3", ".mlp.w_out")
        if "embedding." in new:
            new, values = new.replace("embedding.", "edge_embedder."), values[:-1]  # noqa: PLW2901
        if ".node_embedder." in new:
            parts = new.split(".")
            new, values = f"node_embedders.{parts[1]}.{parts[-1]}", values[:-1]  # noqa: PLW2901
        if ".neighbor_embedder." in new:
            values = values[:-1]  # noqa: PLW2901
        renamed[new] = values
    return renamed


def _large_before_8(
    hypers: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return hyperparameters and tensors of a checkpoint of the large models before version 8: always the last ones."""
    size = hypers["d_pet"]
    kinds = {
        "normalization": "RMSNorm",
        "activation": "SwiGLU",
        "transformer_type": "PreLN",
        "featurizer_type": "feedforward",
        "d_node": 4 * size,
        "d_feedforward": 2 * size,
    }
    renamed = {}
    for name, values in tensors.items():
        new = name
        if "embedding." in new and "node" not in new:
            new, values = new.replace("embedding.", "edge_embedder."), values[:-1]  # noqa: PLW2901
        if "node_embedding." in new:
            new, values = new.replace("node_embedding.", "node_embedders.0."), values[:-1]  # noqa: PLW2901
        if ".neighbor_embedder." in new:
            values = values[:-1]  # noqa: PLW2901
        renamed[new.replace("combination_rmsnorms", "combination_norms")] = values
    renamed.pop("finetune_config", None)
    return {**hypers, **kinds}, renamed


def llpr_now(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the tensors of LLPR's ``checkpoint`` by their names of now, in the precision that metatrain keeps them in.

    :raises NotPlainError: if the version is not known, or a covariance has no Cholesky factor.
    """
    version = int(checkpoint.get("model_ckpt_version") or 1)
    if version > NEWEST_LLPR:
        raise NotPlainError(
            f"its version of LLPR is {version}, but only versions up to {NEWEST_LLPR} are known"
        )
    stored = (
        checkpoint["state_dict"]
        if version < 3
        else checkpoint.get("best_model_state_dict") or checkpoint["model_state_dict"]
    )
    tensors = {name: values for name, values in stored.items() if isinstance(values, torch.Tensor)}
    for name in [name for name in tensors if name.endswith("_ensemble_weights")]:
        target = name.removesuffix("_ensemble_weights").removeprefix("mtt::aux::")
        tensors[f"llpr_ensemble_layers.{target}.weight"] = tensors.pop(name).T
    for name in [name for name in tensors if name.startswith("inv_covariance_")]:
        target = name.removeprefix("inv_covariance_")
        tensors[f"cholesky_{target}"] = _cholesky(tensors[f"covariance_{target}"])
        del tensors[name]
    dtype = list(tensors.values())[1].dtype
    return {
        name: values.to(dtype) if values.is_floating_point() else values for name, values in tensors.items()
    }


def _cholesky(covariance: Tensor) -> Tensor:
    """Return the lower factor of ``covariance``, with as little as is needed added to its diagonal."""
    symmetric = 0.5 * (covariance + covariance.T)
    identity = torch.eye(len(covariance), dtype=torch.float64)
    regularizer = 1e-20
    while regularizer < 1e16:
        factor, failed = torch.linalg.cholesky_ex(symmetric + regularizer * identity)
        if not failed:
            return factor.to(covariance.dtype)
        regularizer *= 10.0
    raise NotPlainError("the covariance of its features has no Cholesky factor")

"""Checkpoints of older versions against metatrain, which brings them up to date and loads them.

metatrain writes the newest version only, so what older ones look like is made here: a checkpoint is taken back step by
step, with the names and the numbers that the version had.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from aiida_pet.testing.models import tiny_llpr, tiny_pet
from support.plain_checkpoints import LLPR, compare, written

OLD = "old"  # PostLN, LayerNorm, SiLU, residual, cosine: the only kind of network until version 7


def each_state(checkpoint: dict[str, Any], change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    for name in ("model_state_dict", "best_model_state_dict"):
        checkpoint[name] = change(dict(checkpoint[name]))


def padded(values: torch.Tensor) -> torch.Tensor:
    """Return a table of elements with the row for padding that it had."""
    return torch.cat([values, torch.full_like(values[:1], 7.0)])


def back_to_15(checkpoint: dict[str, Any]) -> None:
    each_state(checkpoint, lambda state: {name.removeprefix("backend."): state[name] for name in state})
    checkpoint["model_ckpt_version"] = 15


def back_to_12(checkpoint: dict[str, Any]) -> None:
    """Scales of a target were not taken apart yet, and some hyperparameters came later."""

    def change(state: dict[str, Any]) -> dict[str, Any]:
        return {
            name: state[name] for name in state if "_per_target_" not in name and "_per_property_" not in name
        }

    each_state(checkpoint, change)
    hypers = checkpoint["model_data"]["model_hypers"]
    for name in ("cutoff_width_adaptive", "system_conditioning", "max_charge", "max_spin_multiplicity"):
        del hypers[name]
    checkpoint["model_ckpt_version"] = 12


def back_to_9(checkpoint: dict[str, Any]) -> None:
    hypers = checkpoint["model_data"]["model_hypers"]
    for name in (
        "num_neighbors_adaptive",
        "cutoff_function",
        "attention_temperature",
        "adaptive_cutoff_method",
    ):
        del hypers[name]
    checkpoint["model_ckpt_version"] = 9


def back_to_7(checkpoint: dict[str, Any]) -> None:
    """Layers had other names, and tables of elements one row more."""

    def change(state: dict[str, Any]) -> dict[str, Any]:
        older = {}
        for name, values in state.items():
            new = name.replace(".mlp.w_in", ".mlp.0").replace(".mlp.w_out", ".mlp.3")
            if name == "edge_embedder.weight":
                new, values = "embedding.weight", padded(values)  # noqa: PLW2901
            elif name.startswith("node_embedders."):
                new = f"gnn_layers.{name.split('.')[1]}.node_embedder.weight"
                values = padded(values)  # noqa: PLW2901
            elif ".neighbor_embedder." in name:
                values = padded(values)  # noqa: PLW2901
            older[new] = values
        return older

    each_state(checkpoint, change)
    hypers = checkpoint["model_data"]["model_hypers"]
    for name in ("normalization", "activation", "d_node", "transformer_type", "featurizer_type"):
        del hypers[name]
    checkpoint["model_ckpt_version"] = 7


def back_to_6(checkpoint: dict[str, Any]) -> None:
    """One scale for each target, in one tensor."""
    targets = list(checkpoint["model_data"]["dataset_info"].targets)

    def change(state: dict[str, Any]) -> dict[str, Any]:
        older = {name: values for name, values in state.items() if not name.startswith("scaler.")}
        return older | {"scaler.scales": torch.linspace(0.3, 1.1, len(targets), dtype=torch.float32)}

    each_state(checkpoint, change)
    checkpoint["model_ckpt_version"] = 6


def back_to_1(checkpoint: dict[str, Any]) -> None:
    def change(state: dict[str, Any]) -> dict[str, Any]:
        state.pop("finetune_config", None)
        older = {
            name.replace("additive_models.0.model.type", "additive_models.0.type"): state[name]
            for name in state
        }
        return dict(sorted(older.items(), key=lambda item: item[0] != "species_to_species_index"))

    each_state(checkpoint, change)
    checkpoint["best_model_state_dict"] = (
        checkpoint["best_model_state_dict"] or checkpoint["model_state_dict"]
    )
    checkpoint["model_ckpt_version"] = 1


STEPS = {15: back_to_15, 12: back_to_12, 9: back_to_9, 7: back_to_7, 6: back_to_6, 1: back_to_1}


def taken_back(version: int, **hypers: Any) -> dict[str, Any]:
    checkpoint = tiny_pet(OLD, **hypers).get_checkpoint()
    for step, change in STEPS.items():
        if step >= version:
            change(checkpoint)
    assert checkpoint["model_ckpt_version"] == version
    return checkpoint


@pytest.mark.parametrize("version", STEPS)
def test_older_version_equals_metatrain(tmp_path, version):
    # until version 7 atoms and neighbours had features of one width
    widths = {"d_node": 8, "d_pet": 8} if version < 8 else {}
    content = written(taken_back(version, **widths))
    for options in ({"outputs": ["features"]}, {"forces": "direct", "stress": "direct"}):
        compare(content, tmp_path / "model.ckpt", **options)


def test_large_model_before_version_8_equals_metatrain(tmp_path):
    """They had a network of today's kind, which no hyperparameter told, and their last weights were the best."""
    checkpoint = tiny_pet(d_pet=8, d_node=32, d_feedforward=16).get_checkpoint()
    back_to_15(checkpoint)
    back_to_12(checkpoint)
    back_to_9(checkpoint)
    checkpoint["model_data"]["model_hypers"] |= {"num_neighbors_adaptive": None, "cutoff_function": "Bump"}

    def change(state: dict[str, Any]) -> dict[str, Any]:
        older = {}
        for name, values in state.items():
            new = name.replace("combination_norms", "combination_rmsnorms")
            new = new.replace("node_embedders.0.", "node_embedding.")
            if name == "edge_embedder.weight":
                new = "embedding.weight"
            has_padding = (new != name and "norms" not in name) or ".neighbor_embedder." in name
            older[new] = padded(values) if has_padding else values
        return older

    each_state(checkpoint, change)
    for name in ("normalization", "activation", "d_node", "transformer_type", "featurizer_type"):
        del checkpoint["model_data"]["model_hypers"][name]
    checkpoint["best_model_state_dict"] = {}
    checkpoint["model_ckpt_version"] = 7
    compare(written(checkpoint), tmp_path / "model.ckpt", forces="direct", stress="direct")


@pytest.mark.parametrize("version", [3, 2])
def test_older_llpr_equals_metatrain(tmp_path, version):
    checkpoint = tiny_llpr(tiny_pet(), members=3).get_checkpoint()
    state = checkpoint["model_state_dict"]
    for name in [name for name in state if name.startswith("cholesky_")]:
        cholesky = state.pop(name)
        state[name.replace("cholesky_", "inv_covariance_")] = torch.cholesky_inverse(cholesky)
    checkpoint["best_model_state_dict"] = None
    checkpoint["model_ckpt_version"] = version
    if version == 2:
        state["energy_ensemble_weights"] = state.pop("llpr_ensemble_layers.energy.weight").T
        checkpoint["state_dict"] = checkpoint.pop("model_state_dict")
    compare(written(checkpoint), tmp_path / "model.ckpt", **LLPR)

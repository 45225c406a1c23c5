"""A plain PET model, or LLPR around one, that metatrain loaded: its parts, read off once as metatrain applies them.

What more a model may have than plain PET (long-range features, ZBL repulsion, conditioning on charge and spin, other
units) is named by :func:`why_not_plain`; :mod:`aiida_pet.engine.model.metatomic` evaluates such models.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from aiida_pet.engine.batch.batch import Tensor
from aiida_pet.engine.model.attention import lighten_attention
from aiida_pet.engine.model.heads import (
    KEPT,
    UNITS,
    Ensemble,
    Head,
    Uncertainty,
    UnsupportedModelError,
    no_ensemble,
    no_uncertainty,
    uncertainty_name,
)


class MetatrainPet:
    """A loaded model as a :class:`~aiida_pet.engine.model.heads.PetSource`.

    :param model: as loaded for export; its heads that are not asked for are removed.
    :raises UnsupportedModelError: if the model is not plain PET.
    """

    def __init__(self, model: Any) -> None:
        reasons = why_not_plain(model)
        if reasons:
            raise UnsupportedModelError(
                f"the model cannot be evaluated as plain PET: {', '.join(reasons)}; make_model evaluates such models "
                "too"
            )
        self._whole, pet = model, pet_of(model).eval()
        self._pet = pet
        self.cutoff, self.adaptive_width = float(pet.cutoff), float(pet.cutoff_width_adaptive)
        self.neighbors_kept = neighbors_kept(pet)
        self.atomic_types = [int(number) for number in pet.atomic_types]
        self.n_features = int(pet.last_layer_feature_size)
        self.target_names: list[str] = list(pet.target_names)

    def backend(self, names: Sequence[str]) -> torch.nn.Module:
        """Return the network with the outputs ``names``; the others are gone from the model."""
        for name in set(self._pet.target_names) - set(names):
            self._pet.backend.remove_output(name)
        backend: torch.nn.Module = self._pet.backend
        lighten_attention(backend)
        return backend

    def head(self, name: str) -> Head:
        """Return head ``name`` with its scale of each element, as metatrain's own scaler applies it."""
        from metatomic.torch import ModelOutput  # noqa: PLC0415 - torch extension, loaded with the model

        system, numbers = self._one_of_each()
        scaler = self._pet.scaler
        kind = str(scaler.target_infos[name].sample_kind)
        scales = scaler.get_scales([system], {name: ModelOutput(sample_kind=kind)})
        values = scales[name].block(0).values.reshape(-1)
        values = (
            values[:1].expand(len(numbers)) if kind == "system" else values.reshape(len(numbers), -1)[:, 0]
        )
        return Head(name, values.to(torch.float64).contiguous())

    def composition(self, energy: str) -> Tensor:
        """Return the (largest atomic number + 1,) energies of the elements, eV, float64."""
        from metatomic.torch import ModelOutput  # noqa: PLC0415

        system, numbers = self._one_of_each()
        table = torch.zeros(max(numbers) + 1, dtype=torch.float64)
        additive = self._pet.additive_models[0]
        if energy not in additive.outputs:  # an energy that was trained without
            return table
        energies = additive([system], {energy: ModelOutput(sample_kind="atom")})[energy].block(0).values
        table[torch.tensor(numbers)] = energies.reshape(-1).to(torch.float64).cpu()
        return table

    def uncertainty(self, energy: str) -> Uncertainty:
        """Return the uncertainty that LLPR has of ``energy``.

        :raises UnsupportedModelError: if there is none.
        """
        buffers = dict(self._whole.named_buffers())
        name = uncertainty_name(energy)
        if f"cholesky_{name}" not in buffers:
            raise no_uncertainty(type(self._whole).__name__)
        cholesky, multiplier = buffers[f"cholesky_{name}"], buffers[f"multiplier_{name}"]
        return Uncertainty(cholesky.detach().double(), multiplier.detach().double().reshape(()))

    def ensemble(self, energy: str) -> Ensemble:
        """Return the last layers of LLPR; its energies are centred on the energy of the model.

        :raises UnsupportedModelError: if there are none.
        """
        layers = getattr(self._whole, "llpr_ensemble_layers", {})
        if energy not in layers:
            raise no_ensemble(type(self._whole).__name__)
        weights = layers[energy].weight.detach().double()
        return Ensemble(weights - weights.mean(dim=0))

    def _one_of_each(self) -> tuple[Any, list[int]]:
        """Return a metatomic system with one atom of each element the model knows, and their atomic numbers."""
        from metatomic.torch import System  # noqa: PLC0415

        numbers = self.atomic_types
        system = System(
            types=torch.tensor(numbers, dtype=torch.int32),
            positions=torch.zeros((len(numbers), 3), dtype=torch.float64),
            cell=torch.zeros((3, 3), dtype=torch.float64),
            pbc=torch.zeros(3, dtype=torch.bool),
        )
        return system, numbers


def pet_of(model: Any) -> Any:
    """Return the model that metatrain's LLPR model is put around; any other model as it is."""
    return model.model if type(model).__name__ == "LLPRUncertaintyModel" else model


def why_not_plain(model: Any) -> list[str]:
    """Return what keeps ``model`` from being evaluated as plain PET or LLPR around it; empty if nothing does."""
    from metatomic.torch import unit_conversion_factor  # noqa: PLC0415 - torch extension, loaded with the model

    model = pet_of(model)
    if type(model).__name__ != "PET":
        return [f"it is of type {type(model).__name__}"]
    reasons = []
    if model.long_range:
        reasons.append("it has long-range features")
    if model.system_conditioning is not None:
        reasons.append("it is conditioned on charge and spin")
    reasons += [f"it adds {type(additive).__name__}" for additive in model.additive_models[1:]]
    if unit_conversion_factor(model.dataset_info.length_unit, "angstrom") != 1:
        reasons.append(f"its unit of length is {model.dataset_info.length_unit}")
    for name in model.target_names:
        ours, unit = UNITS.get(name.split("/")[0], ""), model.outputs[name].unit
        if unit_conversion_factor(unit, ours) != 1:
            reasons.append(f"its {name} is in {unit}")
    return reasons


def neighbors_kept(model: Any) -> float:
    """Return how many neighbours an atom keeps at most, as an estimate; infinite with a fixed cutoff."""
    adaptive = getattr(pet_of(model), "num_neighbors_adaptive", None)
    return math.inf if adaptive is None else KEPT * adaptive

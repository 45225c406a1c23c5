"""A plain PET checkpoint, or LLPR around one, as a source of a network, heads and energies of elements."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from aiida_pet.engine.batch.batch import Tensor
from aiida_pet.engine.model.heads import (
    DIRECT_STRESS,
    ENERGY,
    KEPT,
    UNITS,
    Ensemble,
    Head,
    Uncertainty,
    no_ensemble,
    no_uncertainty,
    uncertainty_name,
)
from aiida_pet.engine.model.plain.cutoffs import FUNCTIONS, METHODS
from aiida_pet.engine.model.plain.geometry import Cutoffs
from aiida_pet.engine.model.plain.layers import Shape
from aiida_pet.engine.model.plain.network import Network
from aiida_pet.engine.model.plain.stored import Described, NotPlainError, only_block
from aiida_pet.engine.model.plain.versions import llpr_now, pet_now
from aiida_pet.engine.model.plain.weights import Weights

_KINDS = {
    "normalization": ("LayerNorm", "RMSNorm"),
    "activation": ("SiLU", "SwiGLU"),
    "transformer_type": ("PreLN", "PostLN"),
    "featurizer_type": ("residual", "feedforward"),
}
_EXTRAS = ("zbl", "system_conditioning", "long_range")  # hyperparameters of what is not plain
_WITHOUT_MEANING = {"max_charge", "max_spin_multiplicity"}  # here: they belong to the conditioning
_NOT_OF_THE_NETWORK = ("additive_models.0.", "scaler.")
_HEADS = ("node_heads.", "edge_heads.", "node_last_layers.", "edge_last_layers.")


class PlainPet:
    """What the engine needs of a plain checkpoint; see :class:`~aiida_pet.engine.model.sources.PetSource`.

    :param checkpoint: as :func:`~aiida_pet.engine.model.plain.stored.read_stored` returns it.
    :ivar tensors: of the checkpoint by metatrain's names of now.
    :ivar index: (largest atomic number + 1,) int64, the model's own index of each element; -1 for those unknown.
    :raises NotPlainError: if there is more to it than is known here.
    """

    def __init__(self, checkpoint: Mapping[str, Any]) -> None:
        try:
            self._read(checkpoint)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise NotPlainError(f"its structure is not known: {type(error).__name__}: {error}") from error

    def _read(self, checkpoint: Mapping[str, Any]) -> None:
        core = checkpoint.get("wrapped_model_checkpoint", checkpoint)
        self.kind = "LLPR model" if core is not checkpoint else "PET"
        names = (checkpoint.get("architecture_name"), core["architecture_name"])
        if names not in (("pet", "pet"), ("llpr", "pet")):
            raise NotPlainError(f"its architecture is {names[0]}")
        hypers, tensors = pet_now(core)
        self._llpr = llpr_now(checkpoint) if core is not checkpoint else {}
        own = {name.removeprefix("model."): values for name, values in self._llpr.items()}
        tensors |= {
            name.removeprefix("backend."): own[name]
            for name in own
            if name.removeprefix("backend.") in tensors
        }
        self.tensors: dict[str, Tensor] = tensors
        self.shape, self.limits = _checked(hypers)
        info: Described = core["model_data"]["dataset_info"]
        self._check_units(info)
        self.target_names = list(info.targets)
        self.index: Tensor = tensors["species_to_species_index"]
        #: Atomic numbers in the order of the model's own index.
        self.atomic_types: list[int] = torch.nonzero(self.index >= 0).squeeze(-1).tolist()
        if self.index[self.atomic_types].tolist() != list(range(len(self.atomic_types))):
            raise NotPlainError("its elements are not in order")
        self._version = int(core.get("model_ckpt_version") or 1)
        self.cutoff, self.adaptive_width = self.limits.cutoff, self.limits.cutoff_width_adaptive
        kept = self.limits.num_neighbors_adaptive
        self.neighbors_kept = math.inf if kept is None else KEPT * kept
        n_readouts = 1 if self.shape.featurizer_type == "feedforward" else self.shape.num_gnn_layers
        self.n_features = 2 * n_readouts * self.shape.d_head

    def _check_units(self, info: Described) -> None:
        if info.length_unit.lower() not in ("", "angstrom"):
            raise NotPlainError(f"its unit of length is {info.length_unit}")
        for name, target in info.targets.items():
            ours = UNITS.get(name.split("/")[0])
            unit = re.sub(r"\ba\b", "angstrom", target.unit.lower())
            if ours and unit not in ("", ours.lower()):
                raise NotPlainError(f"its {name} is in {target.unit}")

    def backend(self, names: Sequence[str]) -> torch.nn.Module:
        """Return the network with the outputs ``names``.

        :raises NotPlainError: if the checkpoint has tensors that it has no place for, or lacks some.
        """
        weights = Weights(self.tensors)
        sizes = {name: 1 if name.split("/")[0] == ENERGY else self._size(name) for name in names}
        network = Network(weights, self.shape, self.limits, self.index, sizes)
        known = (*_NOT_OF_THE_NETWORK, *_HEADS, "species_to_species_index")
        left = [name for name in weights.left() if not name.startswith(known)]
        if left:
            raise NotPlainError(f"it has a tensor {left[0]}, which is not known")
        return network

    @staticmethod
    def _size(name: str) -> int:
        return 9 if name.split("/", maxsplit=1)[0] == DIRECT_STRESS else 3

    def head(self, name: str) -> Head:
        """Return head ``name`` with its scale of each element."""
        if self._version < 7 and "scaler.scales" in self.tensors:
            scale = self.tensors["scaler.scales"][self.target_names.index(name)].double()
            return Head(name, scale.expand(len(self.atomic_types)).contiguous())
        values, samples = only_block(self.tensors[f"scaler.{name}_scaler_buffer"])
        if samples.tolist() not in ([-1], list(range(len(self.atomic_types)))) or values.shape[1] != 1:
            raise NotPlainError(f"its scales of {name} are not one for each element")
        return Head(name, torch.from_numpy(values[:, 0]).expand(len(self.atomic_types)).contiguous())

    def composition(self, energy: str) -> Tensor:
        """Return the (largest atomic number + 1,) energies of the elements, eV, float64."""
        table = torch.zeros(max(self.atomic_types) + 1, dtype=torch.float64)
        buffer = self.tensors.get(f"additive_models.0.{energy}_composition_buffer")
        if buffer is None:  # an energy that was trained without
            return table
        values, numbers = only_block(buffer)
        table[torch.from_numpy(numbers)] = torch.from_numpy(values[:, 0])
        return table

    def uncertainty(self, energy: str) -> Uncertainty:
        """Return the uncertainty of ``energy``.

        :raises UnsupportedModelError: if there is none.
        """
        name = uncertainty_name(energy)
        cholesky = self._llpr.get(f"cholesky_{name}")
        if cholesky is None:
            raise no_uncertainty(self.kind)
        return Uncertainty(cholesky.double(), self._llpr[f"multiplier_{name}"].double().reshape(()))

    def ensemble(self, energy: str) -> Ensemble:
        """Return the last layers of an ensemble of ``energy``, centred.

        :raises UnsupportedModelError: if there is none.
        """
        weights = self._llpr.get(f"llpr_ensemble_layers.{energy}.weight")
        if weights is None:
            raise no_ensemble(self.kind)
        return Ensemble(weights.double() - weights.double().mean(dim=0))


def _checked(hypers: Mapping[str, Any]) -> tuple[Shape, Cutoffs]:
    """Return what the hyperparameters say of the network and of its sight.

    :raises NotPlainError: if they say what is not known.
    """
    shapes, limits = Shape.__dataclass_fields__, Cutoffs.__dataclass_fields__
    unknown = sorted(set(hypers) - {*shapes, *limits, *_EXTRAS, *_WITHOUT_MEANING})
    if unknown:
        raise NotPlainError(f"its hyperparameter {unknown[0]} is not known")
    long_range = (hypers.get("long_range") or {}).get("enable", False)
    there = [name for name in _EXTRAS if (dict(hypers) | {"long_range": long_range}).get(name)]
    if there:
        raise NotPlainError(f"it has {there[0]}")
    kinds = _KINDS | {"adaptive_cutoff_method": tuple(METHODS), "cutoff_function": tuple(FUNCTIONS)}
    for name, known in kinds.items():
        if hypers[name] not in known and str(hypers[name]).lower() not in known:
            raise NotPlainError(f"its {name} is {hypers[name]}")
    numbers = {name: float(hypers[name]) for name in ("cutoff", "cutoff_width", "cutoff_width_adaptive")} | {
        "num_neighbors_adaptive": None
        if hypers["num_neighbors_adaptive"] is None
        else float(hypers["num_neighbors_adaptive"])
    }
    return (
        Shape(**{name: hypers[name] for name in shapes}),
        Cutoffs(**{name: numbers.get(name, hypers[name]) for name in limits}),
    )

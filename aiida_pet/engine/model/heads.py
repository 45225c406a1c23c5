"""What metatrain's ``PET`` does around its backend, read off the loaded model once: which heads it has, the scale of
each for each element, the composition energies, and the uncertainty that metatrain's LLPR model puts around it.

Only plain PET can be driven this way. What more a model may have (long-range features, ZBL repulsion, conditioning on
charge and spin, other units) is named by :func:`why_not_plain`; :mod:`aiida_pet.engine.model.metatomic` evaluates
such models.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from aiida_pet.engine.batch.batch import Tensor
from aiida_pet.job.parameters import Derivation, Output

ENERGY = "energy"
DIRECT_FORCES = (
    "non_conservative_force",
    "non_conservative_forces",
)  # today's name, and that of older models
DIRECT_STRESS = "non_conservative_stress"
UNITS = {ENERGY: "eV", **dict.fromkeys(DIRECT_FORCES, "eV/Angstrom"), DIRECT_STRESS: "eV/Angstrom^3"}


# Most neighbours that an atom keeps with adaptive cutoffs, in units of the number they aim at: 99 % of 260 crystals and
# slabs keep fewer, with either method and 8 to 32 neighbours of 27 to 111.
KEPT = 2.0


class UnsupportedModelError(ValueError):
    """Raised for a checkpoint that cannot be evaluated in batches or lacks a head that was asked for."""


@dataclass(frozen=True)
class Head:
    """One output of the model.

    :ivar name: as the model has it.
    :ivar scale: (number of elements,) factor of a prediction, by the model's own index of the element.
    """

    name: str
    scale: Tensor

    def scaled(self, values: Tensor, element: Tensor) -> Tensor:
        """Return the predictions ``values`` (A, ...) of atoms whose element has index ``element`` (A,), scaled."""
        return values * self.scale[element].reshape(-1, *([1] * (values.ndim - 1)))


@dataclass(frozen=True)
class Uncertainty:
    """Standard deviation of an energy by the rigidity of the last layer: multiplier x sqrt(f^T C^-1 f), with f the
    features of the structure and C their covariance in training (Bigi et al., doi:10.1088/2632-2153/ad805f).

    :ivar cholesky: (d, d) float64, lower factor of C.
    :ivar multiplier: () float64, calibrated.
    """

    cholesky: Tensor
    multiplier: Tensor

    def of(self, features: Tensor) -> Tensor:
        """Return the (N,) standard deviations, eV, given the (N, d) float64 features."""
        whitened = torch.linalg.solve_triangular(self.cholesky, features.mT, upper=False)
        return self.multiplier * torch.linalg.vector_norm(whitened, dim=0)


@dataclass(frozen=True)
class Ensemble:
    """Energies of an ensemble of last layers, drawn from the distribution that the uncertainty describes.

    :ivar weights: (M, d) float64, of each member less the mean of all: the mean of the energies is that of the model.
    """

    weights: Tensor

    def of(self, energies: Tensor, features: Tensor) -> Tensor:
        """Return the (N, M) energies, eV, given the (N,) energies and (N, d) features, float64."""
        return energies[:, None] + features @ self.weights.mT


@dataclass(frozen=True)
class Heads:
    """The outputs that are asked for, and the energies of the elements.

    :ivar energy: always there.
    :ivar forces: None where forces are derivatives of the energy.
    :ivar stress: None where the stress is one.
    :ivar composition: (largest atomic number + 1,) eV, float64.
    :ivar uncertainty: of the energy; None where it is not asked for.
    :ivar ensemble: of energies; None where it is not asked for.
    """

    energy: Head
    forces: Head | None
    stress: Head | None
    composition: Tensor
    uncertainty: Uncertainty | None = None
    ensemble: Ensemble | None = None

    @classmethod
    def of(
        cls,
        model: Any,
        forces: Derivation,
        stress: Derivation,
        variant: str | None = None,
        outputs: Collection[Output] = (),
    ) -> Heads:
        """Return what ``model``, metatrain's ``PET`` or LLPR around one, has of what is asked for.

        :param variant: of the outputs, as in ``energy/pbe``; None for those without one.
        :raises UnsupportedModelError: if the model lacks a head or the uncertainty.
        """
        whole, model = model, pet_of(model)
        names = model.target_names
        energy = head_name(names, (ENERGY,), variant)
        return cls(
            energy=_head(model, energy),
            forces=_head(model, head_name(names, DIRECT_FORCES, variant))
            if forces is Derivation.DIRECT
            else None,
            stress=_head(model, head_name(names, (DIRECT_STRESS,), variant))
            if stress is Derivation.DIRECT
            else None,
            composition=_composition(model, energy),
            uncertainty=_uncertainty(whole, energy) if Output.UNCERTAINTY in outputs else None,
            ensemble=_ensemble(whole, energy) if Output.ENSEMBLE in outputs else None,
        )

    @property
    def all(self) -> list[Head]:
        """Those there are."""
        return [head for head in (self.energy, self.forces, self.stress) if head is not None]

    def to(self, device: torch.device, dtype: torch.dtype) -> Heads:
        """Return them on ``device``, scales in the precision of the model."""

        def moved(head: Head | None) -> Head | None:
            return None if head is None else Head(head.name, head.scale.to(device, dtype))

        energy = moved(self.energy)
        assert energy is not None
        uncertainty = self.uncertainty and Uncertainty(
            self.uncertainty.cholesky.to(device), self.uncertainty.multiplier.to(device)
        )
        ensemble = self.ensemble and Ensemble(self.ensemble.weights.to(device))
        forces, stress = moved(self.forces), moved(self.stress)
        return Heads(energy, forces, stress, self.composition.to(device), uncertainty, ensemble)


def head_name(names: Sequence[str], bases: Sequence[str], variant: str | None) -> str:
    """Return the first of the outputs ``bases`` in their ``variant`` that is among ``names``.

    :raises UnsupportedModelError: if there is none.
    """
    wanted = [base if variant is None else f"{base}/{variant}" for base in bases]
    for name in wanted:
        if name in names:
            return name
    raise UnsupportedModelError(
        f"the model has no head {wanted[0]!r}; it has {', '.join(names)}: "
        "ask for conservative forces and stress and a variant it has, or use another model"
    )


def uncertainty_name(energy: str) -> str:
    """Return the name that metatrain's LLPR model gives to the uncertainty of the output ``energy``."""
    return "energy_uncertainty" if energy == ENERGY else f"mtt::aux::{energy}_uncertainty"


def features_name(energy: str) -> str:
    """Return the name that metatrain gives to the last-layer features of the output ``energy``."""
    return f"mtt::aux::{energy}_last_layer_features"


def no_uncertainty(model: Any) -> UnsupportedModelError:
    """Return the error that says that ``model`` has no uncertainty."""
    return UnsupportedModelError(
        f"outputs has {Output.UNCERTAINTY.value}, but the model, a {type(model).__name__}, has none for this energy: "
        "leave it out, or take a model that metatrain's llpr architecture calibrated"
    )


def no_ensemble(model: Any) -> UnsupportedModelError:
    """Return the error that says that ``model`` has no ensemble."""
    return UnsupportedModelError(
        f"outputs has {Output.ENSEMBLE.value}, but the model, a {type(model).__name__}, has none for this energy: "
        "leave it out, or make one by `aiida-pet launch calibrate --set ensemble=32`"
    )


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


def last_layer_features(nodes: Sequence[Tensor], edges: Sequence[Tensor], cutoff_factors: Tensor) -> Tensor:
    """Return the (A, d) last-layer features of atoms, in metatrain's order.

    :param nodes: of each readout layer, (A, d_head).
    :param edges: of each readout layer, (A, M, d_head) for the M neighbours.
    :param cutoff_factors: (A, M).
    """
    summed = [(edge * cutoff_factors[:, :, None]).sum(dim=1) for edge in edges]
    return torch.cat([values for layer in zip(nodes, summed, strict=True) for values in layer], dim=1)


def _one_of_each(model: Any) -> tuple[Any, list[int]]:
    """Return a metatomic system with one atom of each element the model knows, and their atomic numbers."""
    from metatomic.torch import System  # noqa: PLC0415 - torch extension, loaded with the model

    numbers = [int(number) for number in model.atomic_types]
    system = System(
        types=torch.tensor(numbers, dtype=torch.int32),
        positions=torch.zeros((len(numbers), 3), dtype=torch.float64),
        cell=torch.zeros((3, 3), dtype=torch.float64),
        pbc=torch.zeros(3, dtype=torch.bool),
    )
    return system, numbers


def _head(model: Any, name: str) -> Head:
    """Return head ``name`` with its scale of each element, as metatrain's own scaler applies it."""
    from metatomic.torch import ModelOutput  # noqa: PLC0415

    system, numbers = _one_of_each(model)
    kind = str(model.scaler.target_infos[name].sample_kind)
    scales = model.scaler.get_scales([system], {name: ModelOutput(sample_kind=kind)})
    values = scales[name].block(0).values.reshape(-1)
    values = values[:1].expand(len(numbers)) if kind == "system" else values.reshape(len(numbers), -1)[:, 0]
    return Head(name, values.to(torch.float64).contiguous())


def _composition(model: Any, energy: str) -> Tensor:
    """Return the (largest atomic number + 1,) energies of the elements, eV, float64."""
    from metatomic.torch import ModelOutput  # noqa: PLC0415

    system, numbers = _one_of_each(model)
    table = torch.zeros(max(numbers) + 1, dtype=torch.float64)
    additive = model.additive_models[0]
    if energy not in additive.outputs:  # an energy that was trained without
        return table
    energies = additive([system], {energy: ModelOutput(sample_kind="atom")})[energy].block(0).values
    table[torch.tensor(numbers)] = energies.reshape(-1).to(torch.float64).cpu()
    return table


def _uncertainty(model: Any, energy: str) -> Uncertainty:
    buffers = dict(model.named_buffers())
    name = uncertainty_name(energy)
    if f"cholesky_{name}" not in buffers:
        raise no_uncertainty(model)
    cholesky, multiplier = buffers[f"cholesky_{name}"], buffers[f"multiplier_{name}"]
    return Uncertainty(cholesky.detach().double(), multiplier.detach().double().reshape(()))


def _ensemble(model: Any, energy: str) -> Ensemble:
    """Return the last layers of metatrain's LLPR model: its energies are centred on that of the model around it."""
    layers = getattr(model, "llpr_ensemble_layers", {})
    if energy not in layers:
        raise no_ensemble(model)
    weights = layers[energy].weight.detach().double()
    return Ensemble(weights - weights.mean(dim=0))

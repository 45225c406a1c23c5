"""What metatrain's ``PET`` does around its network: which heads it has, the scale of each for each element, the
composition energies, and the uncertainty that metatrain's LLPR model puts around it.

They are read once from where the model is (:class:`PetSource`): a checkpoint that is opened here
(:mod:`aiida_pet.engine.model.plain.pet`), or a model that metatrain loaded
(:mod:`aiida_pet.engine.model.metatrain_pet`). Only plain PET can be driven this way.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from aiida_pet.engine.batch.batch import Tensor
from aiida_pet.job import model_outputs
from aiida_pet.job.parameters import Derivation, Output

ENERGY, DIRECT_FORCES = model_outputs.ENERGY, model_outputs.DIRECT_FORCES
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


class PetSource(Protocol):
    """Where the parts of a plain PET model come from.

    :ivar cutoff: A.
    :ivar adaptive_width: width of the step of adaptive cutoffs, A.
    :ivar neighbors_kept: how many an atom keeps at most, as an estimate; infinite with a fixed cutoff.
    :ivar atomic_types: atomic numbers in the order of the model's own index.
    :ivar target_names: outputs that it has.
    :ivar n_features: length of the last-layer features.
    """

    cutoff: float
    adaptive_width: float
    neighbors_kept: float
    atomic_types: list[int]
    target_names: list[str]
    n_features: int

    def backend(self, names: Sequence[str]) -> torch.nn.Module:
        """Return the network with the outputs ``names``."""

    def head(self, name: str) -> Head:
        """Return head ``name`` with its scale of each element."""

    def composition(self, energy: str) -> Tensor:
        """Return the (largest atomic number + 1,) energies of the elements, eV, float64."""

    def uncertainty(self, energy: str) -> Uncertainty:
        """:raises UnsupportedModelError: if ``energy`` has none."""

    def ensemble(self, energy: str) -> Ensemble:
        """:raises UnsupportedModelError: if ``energy`` has none."""


@dataclass(frozen=True)
class Heads:
    """The outputs that are asked for, and the energies of the elements.

    :ivar energy: always there.
    :ivar forces: None where forces are derivatives of the energy.
    :ivar stress: None where the stress is one.
    :ivar composition: (largest atomic number + 1,) eV, float64.
    :ivar uncertainty: uncertainty of the energy; None where it is not asked for.
    :ivar ensemble: ensemble of energies; None where it is not asked for.
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
        source: PetSource,
        forces: Derivation,
        stress: Derivation,
        variant: str | None = None,
        outputs: Collection[Output] = (),
    ) -> Heads:
        """Return what ``source`` has of what is asked for.

        :param variant: variant of the outputs, as in ``energy/pbe``; None for those without one.
        :raises UnsupportedModelError: if the model lacks a head or the uncertainty.
        """
        names = source.target_names
        energy = head_name(names, (ENERGY,), variant)

        def direct(bases: Sequence[str], derivation: Derivation) -> Head | None:
            return source.head(head_name(names, bases, variant)) if derivation is Derivation.DIRECT else None

        return cls(
            energy=source.head(energy),
            forces=direct(DIRECT_FORCES, forces),
            stress=direct((DIRECT_STRESS,), stress),
            composition=source.composition(energy),
            uncertainty=source.uncertainty(energy) if Output.UNCERTAINTY in outputs else None,
            ensemble=source.ensemble(energy) if Output.ENSEMBLE in outputs else None,
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
    raise UnsupportedModelError(model_outputs.lacks(wanted[0], names))


def uncertainty_name(energy: str) -> str:
    """Return the name that metatrain's LLPR model gives to the uncertainty of the output ``energy``."""
    return "energy_uncertainty" if energy == ENERGY else f"mtt::aux::{energy}_uncertainty"


def features_name(energy: str) -> str:
    """Return the name that metatrain gives to the last-layer features of the output ``energy``."""
    return f"mtt::aux::{energy}_last_layer_features"


def no_uncertainty(kind: str) -> UnsupportedModelError:
    """Return the error that says that a model of some ``kind`` has no uncertainty."""
    return UnsupportedModelError(
        f"outputs has {Output.UNCERTAINTY.value}, but the model, a {kind}, has no uncertainty for this energy: leave "
        "this output out, or use a model that was calibrated (`aiida-pet launch calibrate`, or metatrain's "
        "architecture llpr)"
    )


def no_ensemble(kind: str) -> UnsupportedModelError:
    """Return the error that says that a model of some ``kind`` has no ensemble."""
    return UnsupportedModelError(
        f"outputs has {Output.ENSEMBLE.value}, but the model, a {kind}, has no ensemble for this energy: leave this "
        "output out, or make an ensemble with `aiida-pet launch calibrate --set ensemble=32`"
    )


def last_layer_features(nodes: Sequence[Tensor], edges: Sequence[Tensor], cutoff_factors: Tensor) -> Tensor:
    """Return the (A, d) last-layer features of atoms, in metatrain's order.

    :param nodes: node features of each readout layer, (A, d_head).
    :param edges: edge features of each readout layer, (A, M, d_head) for the M neighbours.
    :param cutoff_factors: (A, M).
    """
    summed = [(edge * cutoff_factors[:, :, None]).sum(dim=1) for edge in edges]
    return torch.cat([values for layer in zip(nodes, summed, strict=True) for values in layer], dim=1)

"""What metatrain's ``PET`` does around its backend, read off the loaded model once: which heads it has, the scale of
each for each element, and the composition energies.

Only plain PET can be driven this way. Models with more than that (long-range features, ZBL repulsion, conditioning on
charge and spin) are refused by name: :mod:`aiida_pet.engine.wrapper` evaluates those.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from aiida_pet.engine.batch import Tensor
from aiida_pet.engine.parameters import Derivation

ENERGY = "energy"
DIRECT_FORCES = (
    "non_conservative_force",
    "non_conservative_forces",
)  # today's name, and that of older models
DIRECT_STRESS = "non_conservative_stress"


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
class Heads:
    """The outputs that are asked for, and the energies of the elements.

    :ivar energy: always there.
    :ivar forces: None where forces are derivatives of the energy.
    :ivar stress: None where the stress is one.
    :ivar composition: (largest atomic number + 1,) eV, float64.
    """

    energy: Head
    forces: Head | None
    stress: Head | None
    composition: Tensor

    @classmethod
    def of(cls, model: Any, forces: Derivation, stress: Derivation, variant: str | None = None) -> Heads:
        """Return what ``model``, metatrain's ``PET``, has of what is asked for.

        :param variant: of the outputs, as in ``energy/pbe``; None for those without one.
        :raises UnsupportedModelError: if the model lacks a head.
        """
        energy = head_name(model.target_names, (ENERGY,), variant)
        names = model.target_names
        return cls(
            energy=_head(model, energy),
            forces=_head(model, head_name(names, DIRECT_FORCES, variant))
            if forces is Derivation.DIRECT
            else None,
            stress=_head(model, head_name(names, (DIRECT_STRESS,), variant))
            if stress is Derivation.DIRECT
            else None,
            composition=_composition(model, energy),
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
        return Heads(energy, moved(self.forces), moved(self.stress), self.composition.to(device))


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


def refuse_unless_plain(model: Any) -> None:
    """:raises UnsupportedModelError: if ``model`` is not metatrain's PET, or one with more around its backend."""
    if type(model).__name__ != "PET":
        raise UnsupportedModelError(
            f"the checkpoint holds a {type(model).__name__} model, expected metatrain's PET"
        )
    reasons = []
    if getattr(model, "long_range", False):
        reasons.append("long-range features")
    if model.system_conditioning is not None:
        reasons.append("charge and spin conditioning")
    reasons += [type(additive).__name__ for additive in model.additive_models[1:]]
    if reasons:
        raise UnsupportedModelError(f"not a plain PET model, it has {', '.join(reasons)}")


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

"""PET over one concatenated batch: metatrain's pure-tensor backend without a Python loop over systems.

One leaf of positions and one of strain serve the whole batch: E = sum over all rows, forces are -dE/dx and the stress
is dE/d(strain) / V, the symmetric part of it. What metatrain's ``PET`` does around its backend at evaluation (scales,
composition) is read off the model once, as one number per element, and applied here; energies are summed in float64.
Models with more than that (long-range, ZBL, charge conditioning) are refused by name.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from aiida_pet.engine.batch import Batch, Tensor
from aiida_pet.engine.checkpoint import load_checkpoint
from aiida_pet.engine.neighbors import Pairs
from aiida_pet.engine.parameters import Derivation, Dtype

logger = logging.getLogger(__name__)

ENERGY = "energy"
DIRECT_FORCES = ("non_conservative_force", "non_conservative_forces")
DIRECT_STRESS = "non_conservative_stress"


class UnsupportedModelError(ValueError):
    """Raised for a checkpoint that is not plain PET or lacks a head that was asked for."""


@dataclass(frozen=True)
class Evaluation:
    """What the model says of a batch, in float64.

    :ivar energy: (N,) eV.
    :ivar forces: (A, 3) eV/A.
    :ivar stress: (N, 3, 3) eV/A^3, symmetric; NaN for rows that are not periodic in three directions.
    """

    energy: Tensor
    forces: Tensor
    stress: Tensor


@dataclass(frozen=True)
class _Head:
    name: str
    scale: Tensor  # (number of elements, 1, ...) broadcastable to a prediction per atom


class BatchedPet:
    """A plain PET model that evaluates ragged batches.

    :param model: metatrain's ``PET``, as loaded for export.
    :param forces: where forces come from; net force is removed from direct ones.
    :param stress: where the stress comes from.
    :param dtype: precision of the model.
    :param device: where it runs.
    :raises UnsupportedModelError: if the model is not plain PET or lacks a head that is asked for.
    """

    def __init__(
        self,
        model: Any,
        *,
        forces: Derivation = Derivation.CONSERVATIVE,
        stress: Derivation = Derivation.CONSERVATIVE,
        dtype: Dtype = Dtype.FLOAT64,
        device: torch.device | str = "cpu",
    ) -> None:
        _refuse_unless_plain(model)
        self.dtype = {Dtype.FLOAT32: torch.float32, Dtype.FLOAT64: torch.float64}[dtype]
        self.device = torch.device(device)
        self.forces = forces = Derivation(forces)
        self.stress = stress = Derivation(stress)
        self.cutoff = float(model.cutoff)
        self.atomic_numbers = frozenset(int(number) for number in model.atomic_types)
        self._width = float(model.cutoff_width_adaptive)
        model = model.eval()
        self._energy = _head(model, ENERGY)
        self._direct_forces = _head(model, _forces_head(model)) if forces is Derivation.DIRECT else None
        self._direct_stress = _head(model, DIRECT_STRESS) if stress is Derivation.DIRECT else None
        self._heads = [h for h in (self._energy, self._direct_forces, self._direct_stress) if h is not None]
        self._composition = _composition(model).to(self.device)
        wanted = {head.name for head in self._heads}
        for name in list(model.target_names):
            if name not in wanted:
                model.backend.remove_output(name)
        self._backend = model.backend.to(device=self.device, dtype=self.dtype).requires_grad_(False)
        self._heads = [_Head(h.name, h.scale.to(self.device, self.dtype)) for h in self._heads]

    def evaluate(self, batch: Batch, pairs: Pairs) -> Evaluation:
        """Return energies, forces and stresses of ``batch``, whose neighbour pairs are ``pairs``.

        :raises torch.OutOfMemoryError: if the device's memory does not suffice.
        """
        positions = batch.positions.to(self.dtype)
        # metatomic's convention: no lattice vector where a direction is not periodic
        cells = (batch.cells * batch.pbc[:, :, None]).to(self.dtype)
        strain = torch.zeros((len(batch), 3, 3), dtype=self.dtype, device=self.device)
        leaves = []
        if self.forces is Derivation.CONSERVATIVE:
            leaves.append(positions.requires_grad_())
        if self.stress is Derivation.CONSERVATIVE:
            leaves.append(strain.requires_grad_())
        with torch.set_grad_enabled(bool(leaves)):
            if strain.requires_grad:
                positions_now = positions + torch.einsum("ai,aij->aj", positions, strain[batch.row_of_atom])
                cells_now = cells + cells @ strain
            else:
                positions_now, cells_now = positions, cells
            predictions = self._predict(batch, pairs, positions_now, cells_now)
            energies = predictions[ENERGY].reshape(-1)
            gradients = list(torch.autograd.grad(energies.sum(), leaves)) if leaves else []
        energy = batch.row_sum(energies.detach().double() + self._composition[batch.numbers])
        volumes = torch.where(batch.pbc.all(dim=1), batch.volumes(), torch.nan)[:, None, None]
        if self._direct_forces is not None:
            forces = predictions[self._direct_forces.name].detach().reshape(-1, 3).double()
            forces = forces - (batch.row_sum(forces) / batch.n_atoms[:, None])[batch.row_of_atom]
        else:
            forces = -gradients.pop(0).double()
        if self._direct_stress is not None:
            per_atom = predictions[self._direct_stress.name].detach().reshape(-1, 3, 3).double()
            stress = batch.row_sum(per_atom) * (volumes / volumes)
        else:
            virial = gradients.pop(0).double()
            stress = (virial + virial.mT) / (2.0 * volumes)
        return Evaluation(energy, forces, stress)

    def _predict(self, batch: Batch, pairs: Pairs, positions: Tensor, cells: Tensor) -> dict[str, Tensor]:
        """Return the prediction per atom of each head, scaled."""
        backend = self._backend
        data = backend.preprocess(
            positions,
            pairs.centers,
            pairs.neighbors,
            batch.numbers,
            cells,
            pairs.shifts,
            batch.row_of_atom,
            self._width,
        )
        nodes, edges = backend.calculate_features(data)
        names = [head.name for head in self._heads]
        predicted, _, _ = backend.predict(nodes, edges, data, cells, batch.row_of_atom, names)
        kind = data["element_indices_nodes"]
        scaled = {}
        for head in self._heads:
            values = predicted[head.name][0]
            scale = head.scale[kind]
            scaled[head.name] = values * scale.reshape(-1, *([1] * (values.ndim - 1)))
        return scaled


def load_model(path: Path, sha256: str) -> Any:
    """Return metatrain's model of the checkpoint ``path``, in eval mode, unpickled only if its hash is ``sha256``.

    :raises aiida_pet.engine.checkpoint.ModelError: if the file is missing, another or damaged.
    """
    checkpoint = load_checkpoint(path, sha256)
    from metatrain.utils.io import model_from_checkpoint  # noqa: PLC0415 - seconds, and only where a model runs

    model = model_from_checkpoint(checkpoint, context="export")
    return model.eval()


def _refuse_unless_plain(model: Any) -> None:
    reasons = []
    if type(model).__name__ != "PET":
        raise UnsupportedModelError(
            f"the checkpoint holds a {type(model).__name__} model, expected metatrain's PET"
        )
    if getattr(model, "long_range", False):
        reasons.append("long-range features")
    if model.system_conditioning is not None:
        reasons.append("charge and spin conditioning")
    extra = [type(additive).__name__ for additive in model.additive_models[1:]]
    reasons += extra
    if reasons:
        raise UnsupportedModelError(
            f"not a plain PET model, it has {', '.join(reasons)}: not supported in batches yet"
        )


def _forces_head(model: Any) -> str:
    for name in DIRECT_FORCES:
        if name in model.target_names:
            return name
    return DIRECT_FORCES[0]


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


def _head(model: Any, name: str) -> _Head:
    """Return head ``name`` with its scale of each element, as metatrain's own scaler applies it.

    :raises UnsupportedModelError: if the model has no such head.
    """
    from metatomic.torch import ModelOutput  # noqa: PLC0415

    if name not in model.target_names:
        raise UnsupportedModelError(
            f"the model has no head {name!r}; it has {', '.join(model.target_names)}: "
            "ask for conservative forces and stress, or use a model with direct heads"
        )
    system, numbers = _one_of_each(model)
    kind = str(model.scaler.target_infos[name].sample_kind)
    scales = model.scaler.get_scales([system], {name: ModelOutput(sample_kind=kind)})
    values = scales[name].block(0).values.reshape(-1)
    values = values[:1].expand(len(numbers)) if kind == "system" else values.reshape(len(numbers), -1)[:, 0]
    return _Head(name, values.to(torch.float64).contiguous())


def _composition(model: Any) -> Tensor:
    """Return the (largest atomic number + 1,) energies of the elements, eV, float64."""
    from metatomic.torch import ModelOutput  # noqa: PLC0415

    system, numbers = _one_of_each(model)
    additive = model.additive_models[0]
    energies = (
        additive([system], {ENERGY: ModelOutput(sample_kind="atom")})[ENERGY].block(0).values.reshape(-1)
    )
    table = torch.zeros(max(numbers) + 1, dtype=torch.float64)
    table[torch.tensor(numbers)] = energies.to(torch.float64).cpu()
    return table

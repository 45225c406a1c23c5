"""A plain PET model whose weights are free, over frames that lie with their neighbours in the memory of a device.

metatrain's trainer collates batches of some hundred atoms on the host. Here frames are gathered on the device, and the
network is the engine's own (:mod:`aiida_pet.engine.model.plain`), which equals metatrain's.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aiida_pet.engine.batch.batch import Batch, Tensor, flat_indices
from aiida_pet.engine.batch.pair_search import find_pairs
from aiida_pet.engine.model.plain.layers import Attention, Norm
from aiida_pet.engine.model.plain.pet import PlainPet
from aiida_pet.engine.model.plain.stored import read_stored
from aiida_pet.job.checkpoint import read_verified
from benchmarks.recipe.label import batch_of
from benchmarks.recipe.packed import Packed

ENERGY, FORCE, STRESS = "energy", "non_conservative_force", "non_conservative_stress"
SEARCHED_ATOMS = 20_000  # at a time, for neighbours
WEIGHTS = {"energy": 3.0, "forces": 1.0, "virial": 1.5, "direct": 0.03}
DELTAS = {"energy": 0.03, "forces": 0.1, "virial": 0.1, "direct_stress": 0.01}
"""Error above which the loss is linear: eV/atom, eV/A, eV/atom, eV/A^3. Losses are in units of it."""


@dataclass(frozen=True)
class Frames:
    """Frames with their neighbours, in the memory of a device.

    :ivar batch: all of them.
    :ivar energy: (N,) float32, eV, less the energies of the elements.
    :ivar forces: (A, 3) float32, eV/A.
    :ivar virial: (N, 3, 3) float32, eV: stress times volume.
    :ivar centers: (P,) int32, atom of each pair, counted in its frame.
    :ivar neighbors: (P,) int32, the other one.
    :ivar shifts: (P, 3) int8.
    :ivar n_pairs: (N,) int64.
    """

    batch: Batch
    energy: Tensor
    forces: Tensor
    virial: Tensor
    centers: Tensor
    neighbors: Tensor
    shifts: Tensor
    n_pairs: Tensor

    @classmethod
    def of(cls, packed: Packed, composition: Tensor, cutoff: float, device: torch.device) -> Frames:
        """Return ``packed`` with what its ``composition`` (largest atomic number + 1,), eV, does not explain."""
        ends = np.concatenate([[0], np.cumsum(packed.n_atoms.astype(int))])
        cuts = np.searchsorted(ends, np.arange(0, ends[-1], SEARCHED_ATOMS))
        parts = []
        for first, last in zip(cuts, [*cuts[1:], len(packed)], strict=True):
            if last > first:
                part = batch_of(packed, device, int(first), int(last))
                found = find_pairs(part, cutoff)
                starts = torch.cumsum(part.n_atoms, 0) - part.n_atoms
                rows = part.row_of_atom[found.centers]
                parts.append(
                    (
                        (found.centers - starts[rows]).int(),
                        (found.neighbors - starts[rows]).int(),
                        found.shifts.to(torch.int8),
                        torch.bincount(rows, minlength=len(part)),
                    )
                )
        centers, neighbors, shifts, n_pairs = (torch.cat(values) for values in zip(*parts, strict=True))
        batch = batch_of(packed, device)
        explained = batch.row_sum(composition.to(device)[batch.numbers])
        stress = torch.from_numpy(packed.stress.astype(np.float64)).to(device)
        return cls(
            batch,
            (torch.from_numpy(packed.energy.astype(np.float64)).to(device) - explained).float(),
            torch.from_numpy(packed.forces.astype(np.float32)).to(device),
            (stress * batch.volumes()[:, None, None]).float(),
            centers,
            neighbors,
            shifts,
            n_pairs,
        )

    def __len__(self) -> int:
        return len(self.n_pairs)


@dataclass(frozen=True)
class Answer:
    """What a model says of some frames, in the frame of reference in which it saw them; float32, with a graph.

    :ivar energy: (N,) eV.
    :ivar forces: (A, 3) eV/A.
    :ivar virial: (N, 3, 3) eV.
    :ivar direct_forces: (A, 3) eV/A.
    :ivar direct_stress: (N, 3, 3) eV/A^3.
    """

    energy: Tensor
    forces: Tensor
    virial: Tensor
    direct_forces: Tensor
    direct_stress: Tensor


class Student:
    """A plain PET checkpoint whose weights are free.

    :param path: checkpoint; its hash is that of its bytes, so that it has to be one's own.
    """

    def __init__(self, path: Path, device: torch.device) -> None:
        content = path.read_bytes()
        stored = read_stored(read_verified(path, hashlib.sha256(content).hexdigest()))
        self.source = PlainPet(stored)
        network: Any = self.source.backend([ENERGY, FORCE, STRESS])
        names = {tensor.data_ptr(): name for name, tensor in self.source.tensors.items()}
        #: Names of the weights in the checkpoint, in the order of the network's.
        self.names = [names[weight.data_ptr()] for weight in network.parameters()]
        for module in network.modules():  # neither fused kernel can be differentiated twice
            if isinstance(module, Attention):
                module.is_fused = False
            if isinstance(module, Norm) and module.bias is None:
                module.forward = _rms_norm(module)  # type: ignore[method-assign]
        self.network = network.to(device).requires_grad_(True)
        self.scales = {
            name: self.source.head(name).scale.to(device).float() for name in (ENERGY, FORCE, STRESS)
        }
        self.device = device

    @property
    def weights(self) -> list[Tensor]:
        """The free weights."""
        return list(self.network.parameters())

    def prepared(self, frames: Frames, rows: Tensor, turn: Tensor | None) -> tuple[Any, ...]:
        """Return the turned and strained geometry of ``rows`` of ``frames``, and what to differentiate by."""
        batch = frames.batch.take(rows)
        positions, cells = batch.positions.float(), batch.cells.float()
        if turn is not None:
            positions = torch.einsum("ai,aij->aj", positions, turn[batch.row_of_atom])
            cells = cells @ turn
        positions.requires_grad_()
        strain = torch.zeros_like(cells).requires_grad_()
        moved = positions + torch.einsum("ai,aij->aj", positions, strain[batch.row_of_atom])
        pairs = flat_indices(frames.n_pairs, rows)
        n_pairs = frames.n_pairs[rows]
        offset = torch.repeat_interleave(torch.cumsum(batch.n_atoms, 0) - batch.n_atoms, n_pairs)
        data = self.network.preprocess(
            moved,
            frames.centers[pairs].long() + offset,
            frames.neighbors[pairs].long() + offset,
            batch.numbers,
            cells + cells @ strain,
            frames.shifts[pairs].long(),
            batch.row_of_atom,
            self.source.adaptive_width,
        )
        return batch, data, cells, positions, strain

    def __call__(self, frames: Frames, rows: Tensor, turn: Tensor | None, *, learns: bool) -> Answer:
        """Return what the model says of ``rows`` of ``frames``, each turned by its matrix of ``turn`` (N, 3, 3)."""
        batch, data, cells, positions, strain = self.prepared(frames, rows, turn)
        nodes, edges = self.network.calculate_features(data)
        found, _, _ = self.network.predict(
            nodes, edges, data, cells, batch.row_of_atom, [ENERGY, FORCE, STRESS]
        )
        elements = data["element_indices_nodes"]
        scaled = {
            name: values[0].reshape(len(elements), -1) * self.scales[name][elements][:, None]
            for name, values in found.items()
        }
        energy = batch.row_sum(scaled[ENERGY][:, 0])
        slopes = torch.autograd.grad(
            energy.sum(), [positions, strain], create_graph=learns, retain_graph=True
        )
        stress = batch.row_sum(scaled[STRESS].reshape(-1, 3, 3))
        return Answer(energy, -slopes[0], slopes[1], scaled[FORCE], stress)

    def widths(self, frames: Frames) -> Tensor:
        """Return the (N,) largest number of neighbours of an atom that the network is given, of each frame."""
        found = []
        starts = torch.cumsum(frames.batch.n_atoms, 0)
        groups = (starts // SEARCHED_ATOMS).cpu().numpy()
        cuts = np.flatnonzero(np.diff(groups, prepend=-1))
        for first, last in zip(cuts, [*cuts[1:], len(frames)], strict=True):
            rows = torch.arange(int(first), int(last), device=self.device)
            batch, data, *_ = self.prepared(frames, rows, None)
            with torch.no_grad():
                found.append(batch.row_max(data["padding_mask"].sum(dim=1).float()))
        return torch.cat(found)


def _rms_norm(module: Norm) -> Any:
    epsilon = torch.finfo(torch.float32).eps

    def forward(x: Tensor) -> Tensor:
        return x * torch.rsqrt((x * x).mean(dim=-1, keepdim=True) + epsilon) * module.weight

    return forward


def random_turns(number: int, device: torch.device) -> Tensor:
    """Return (number, 3, 3) random rotations, one half with an inversion."""
    quaternions = torch.nn.functional.normalize(torch.randn((number, 4), device=device), dim=1)
    w, x, y, z = quaternions.unbind(1)
    rotation = torch.stack(
        [
            1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w),
            2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w),
            2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y),
        ],
        dim=1,
    ).reshape(-1, 3, 3)  # fmt: skip
    sign = torch.randint(0, 2, (number, 1, 1), device=device) * 2 - 1
    return rotation * sign


def loss_of(found: Answer, frames: Frames, rows: Tensor, turn: Tensor | None) -> Tensor:
    """Return the loss of ``found`` for ``rows``, that were turned by ``turn``."""
    batch = frames.batch.take(rows)
    forces, virial = frames.forces[frames.batch.atoms_of(rows)], frames.virial[rows]
    if turn is not None:
        forces = torch.einsum("ai,aij->aj", forces, turn[batch.row_of_atom])
        virial = turn.mT @ virial @ turn
    sizes = batch.n_atoms.float()
    volumes = batch.volumes().float()
    parts = {
        "energy": ((found.energy - frames.energy[rows]) / sizes, "energy", "energy"),
        "forces": (found.forces - forces, "forces", "forces"),
        "virial": ((found.virial - virial) / sizes[:, None, None], "virial", "virial"),
        "direct forces": (found.direct_forces - forces, "direct", "forces"),
        "direct stress": (
            found.direct_stress - virial / volumes[:, None, None],
            "direct",
            "direct_stress",
        ),
    }
    total: Any = 0.0
    for errors, weight, delta in parts.values():
        known = torch.nn.functional.huber_loss(errors, torch.zeros_like(errors), delta=DELTAS[delta])
        total = total + WEIGHTS[weight] * known / DELTAS[delta]
    return total

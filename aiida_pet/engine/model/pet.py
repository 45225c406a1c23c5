"""PET over one concatenated batch: a network of pure tensors without a Python loop over systems.

One leaf of positions and one of strain serve all rows that go through the model together: forces are -dE/dx and the
stress is the symmetric part of dE/d(strain) / V. The antisymmetric part, zero for an invariant model, is the
``invariance`` diagnostic: with E(G) the energy of positions and cell rotated by exp(G - G^T), dE/dG at G = 0 is
W - W^T, W = dE/d(strain) (Rhodes et al., Orb-v3, arXiv:2504.06231, where its norm is the equivariance regulariser).

In mixed precision only the network is float32: edges are made in float64 and rounded, so that forces and stress, which
go back through that step, are sums in float64 of the rounded gradients by edges.

Scales, composition energies and uncertainties come from :mod:`aiida_pet.engine.model.heads`; energies are summed in
float64. What is no plain PET goes to :mod:`aiida_pet.engine.model.metatomic`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import torch

from aiida_pet.engine.batch.batch import Batch, Tensor, rows_of_atoms
from aiida_pet.engine.batch.evaluation import NET_FORCE, VIRIAL, Evaluation
from aiida_pet.engine.batch.neighbors import NeighborList, Pairs
from aiida_pet.engine.model.base import (
    BatchModel,
    ModelOptions,
    gradients_of,
    net_force_removed,
    stress_volumes,
)
from aiida_pet.engine.model.chunks import Cost
from aiida_pet.engine.model.heads import Heads, PetSource, last_layer_features
from aiida_pet.engine.model.metatrain_pet import MetatrainPet, why_not_plain
from aiida_pet.engine.model.plain.pet import PlainPet
from aiida_pet.engine.model.plain.stored import NotPlainError, read_stored
from aiida_pet.engine.model.quick_imports import import_metatomic
from aiida_pet.engine.model.saved_bytes import KeptBytes
from aiida_pet.engine.symmetry.averaging import Turn
from aiida_pet.job.checkpoint import (
    check_archive,
    load_checkpoint,
    open_checkpoint,
    read_archive,
    read_verified,
    trained_pairs,
    uncertainty_limit,
)
from aiida_pet.job.other_engines import KOKKOS, OtherEngine, is_description, read_description
from aiida_pet.job.parameters import Output

logger = logging.getLogger(__name__)

_EDGES = ("edge_vectors", "edge_distances", "cutoff_factors")  # all through which positions reach the energy
_PER_ATOM = ("element_indices_nodes", "element_indices_neighbors", "padding_mask", "reverse_neighbor_index")


@dataclass(frozen=True)
class _Prepared:
    """A batch after PET's preprocessing.

    :ivar data: what the backend made of it.
    :ivar cells: strained.
    :ivar leaves: what to differentiate by.
    """

    batch: Batch
    data: dict[str, Tensor]
    cells: Tensor
    leaves: dict[str, Tensor]


@dataclass(frozen=True)
class _Predicted:
    """What PET says of the atoms of a batch, scaled.

    :ivar heads: prediction of each head by its name, (A, ...).
    :ivar features: (A, d) of the energy's last layer; None where nothing needs them.
    """

    heads: dict[str, Tensor]
    features: Tensor | None


class BatchedPet(BatchModel):
    """A plain PET model, with or without LLPR around it. Parameters as
    :class:`~aiida_pet.engine.model.base.BatchModel`.

    :param model: a plain checkpoint, or a model as metatrain loads it for export, whose heads that are not asked for
        are removed.
    :raises UnsupportedModelError: if the model is not plain PET or lacks what is asked for.
    :raises NotPlainError: if the checkpoint has parts that are not known.
    """

    def __init__(self, model: Any, **options: Unpack[ModelOptions]) -> None:
        source: PetSource = model if isinstance(model, PlainPet) else MetatrainPet(model)
        super().__init__(
            cutoff=source.cutoff,
            atomic_numbers=source.atomic_types,
            n_features=source.n_features,
            **options,
        )
        self._adaptive_width = source.adaptive_width
        heads = Heads.of(source, self.forces, self.stress, self.variant, self.outputs)
        self._names = [head.name for head in heads.all]
        backend: Any = source.backend(self._names)
        self._backend = backend.to(device=self.device, dtype=self.dtype).requires_grad_(False)
        self._heads = heads.to(self.device, self.geometry_dtype)
        self._n_members = 0 if heads.ensemble is None else len(heads.ensemble.weights)
        self.cost = Cost(source.neighbors_kept, self._pair_cost())

    def _prepared(self, batch: Batch, pairs: Pairs) -> _Prepared:
        strained = self._strained(batch)
        with torch.set_grad_enabled(bool(strained.leaves)):
            data = self._preprocessed(batch, strained.positions, strained.cells, pairs)
        return _Prepared(batch, data, strained.cells, strained.leaves)

    def _preprocessed(
        self, batch: Batch, positions: Tensor, cells: Tensor, pairs: Pairs
    ) -> dict[str, Tensor]:
        data: dict[str, Tensor] = self._backend.preprocess(
            positions,
            pairs.centers,
            pairs.neighbors,
            batch.numbers,
            cells,
            pairs.shifts,
            batch.row_of_atom,
            self._adaptive_width,
        )
        return data

    def _pair_cost(self) -> float:
        """Return what a listed pair costs of what a token costs: memory kept for gradients, measured on a crystal."""
        one = torch.ones(1, dtype=torch.int64, device=self.device)
        edge = self.cutoff / 2  # of a simple cubic crystal: 32 neighbours
        batch = Batch(
            numbers=one * min(self.atomic_numbers),
            positions=torch.zeros((1, 3), dtype=torch.float64, device=self.device),
            cells=edge * torch.eye(3, dtype=torch.float64, device=self.device)[None],
            pbc=torch.ones((1, 3), dtype=torch.bool, device=self.device),
            n_atoms=one,
            row_of_atom=rows_of_atoms(one),
        )
        pairs = NeighborList(self.cutoff).update(batch)
        positions, cells = batch.positions.to(self.geometry_dtype), batch.cells.to(self.geometry_dtype)
        positions.requires_grad_()
        weights = [*self._backend.parameters(), *self._backend.buffers()]
        with KeptBytes(weights) as of_pairs:
            data = self._preprocessed(batch, positions, cells, pairs)
        with KeptBytes(weights) as of_tokens:
            self._predict(data, cells, batch)
        tokens = data["padding_mask"].numel() + len(batch.numbers)
        return (of_pairs.total / len(pairs.centers)) / (of_tokens.total / tokens)

    def _answer(self, prepared: _Prepared, turn: Turn | None) -> Evaluation:
        if turn is not None:
            return self._turned(prepared, turn)
        batch, leaves = prepared.batch, prepared.leaves
        with torch.set_grad_enabled(bool(leaves)):
            predicted = self._predict(prepared.data, prepared.cells, batch)
            gradients = gradients_of([predicted.heads[self._heads.energy.name].sum()], leaves)
        return self._evaluation(batch, predicted, gradients)

    def _turned(self, prepared: _Prepared, turn: Turn) -> Evaluation:
        """Return the answer for the first rows, each rotated by its matrix, turned back.

        Nothing but the edge vectors depends on the rotation; gradients go back through the preprocessing.
        """
        batch, data, leaves = prepared.batch, prepared.data, prepared.leaves
        first = batch if len(turn) == len(batch) else batch.take(torch.arange(len(turn), device=self.device))
        n_atoms = len(first.numbers)
        rotation = turn.matrices.to(self.geometry_dtype)
        edges = {name: data[name][:n_atoms].detach().requires_grad_(bool(leaves)) for name in _EDGES}
        with torch.set_grad_enabled(bool(leaves)):
            vectors = torch.einsum("aej,aij->aei", edges["edge_vectors"], rotation[first.row_of_atom])
            nodes = {name: data[name][:n_atoms] for name in _PER_ATOM}
            predicted = self._predict(
                nodes | edges | {"edge_vectors": vectors}, prepared.cells[: len(turn)], first
            )
            energy = predicted.heads[self._heads.energy.name].sum()
            slopes = gradients_of([energy], edges if leaves else {})
        others = len(batch.numbers) - n_atoms
        slopes = {
            name: torch.nn.functional.pad(values, [0, 0] * (values.ndim - 1) + [0, others])
            for name, values in slopes.items()
        }
        gradients = gradients_of([data[name] for name in slopes], leaves, list(slopes.values()))
        ends = {"positions": n_atoms, "strain": len(turn)}
        gradients = {name: values[: ends[name]] for name, values in gradients.items()}
        return self._evaluation(first, predicted, gradients, rotation)

    def _predict(self, data: dict[str, Tensor], cells: Tensor, batch: Batch) -> _Predicted:
        # of mixed precision the gradients go back through this, and are summed over pairs in float64
        data = data | {name: data[name].to(self.dtype) for name in _EDGES}
        nodes, edges = self._backend.calculate_features(data)
        predicted, of_nodes, of_edges = self._backend.predict(
            nodes, edges, data, cells, batch.row_of_atom, self._names
        )
        element, energy = data["element_indices_nodes"], self._heads.energy.name
        scaled = {head.name: head.scaled(predicted[head.name][0], element) for head in self._heads.all}
        features = None
        if self.outputs & {Output.FEATURES, Output.UNCERTAINTY, Output.ENSEMBLE}:
            with torch.no_grad():
                features = last_layer_features(of_nodes[energy], of_edges[energy], data["cutoff_factors"])
        return _Predicted(scaled, features)

    def _evaluation(
        self,
        batch: Batch,
        predicted: _Predicted,
        gradients: dict[str, Tensor],
        rotation: Tensor | None = None,
    ) -> Evaluation:
        """Return sums per row, forces and stresses; direct ones are turned back by ``rotation``, (N, 3, 3)."""
        heads, of = self._heads, predicted.heads
        energies = of[heads.energy.name].detach().reshape(-1).double() + heads.composition[batch.numbers]
        volumes = stress_volumes(batch, of_slabs=self.stress_of_slabs)
        rows: dict[str, Tensor] = {}
        if heads.forces is None:
            forces = -gradients["positions"].double()
        else:
            forces = of[heads.forces.name].detach().reshape(-1, 3)
            if rotation is not None:
                forces = torch.einsum("ai,aij->aj", forces, rotation[batch.row_of_atom])
            forces, rows[NET_FORCE] = net_force_removed(forces.double(), batch)
        if heads.stress is None:
            stress = gradients["strain"].double() / volumes
        else:
            per_atom = of[heads.stress.name].detach().reshape(-1, 3, 3)
            stress = batch.row_sum(per_atom.double()) * (volumes / volumes)
            if rotation is not None:
                turn = rotation.double()
                stress = turn.mT @ stress @ turn
        if Output.INVARIANCE in self.outputs:
            rows[VIRIAL] = gradients["strain"].double()
        if predicted.features is not None:
            features = batch.row_sum(predicted.features.double())
            if Output.FEATURES in self.outputs:
                rows[Output.FEATURES] = features
            if heads.uncertainty is not None:
                rows[Output.UNCERTAINTY] = heads.uncertainty.of(features)
            if heads.ensemble is not None:
                rows[Output.ENSEMBLE] = heads.ensemble.of(batch.row_sum(energies), features)
        atoms: dict[str, Tensor] = {Output.ENERGIES: energies} if Output.ENERGIES in self.outputs else {}
        return Evaluation(batch.row_sum(energies), forces, (stress + stress.mT) / 2.0, rows, atoms)


def make_model(path: Path, sha256: str, **options: Unpack[ModelOptions]) -> BatchModel:
    """Return the model of the checkpoint ``path``: a :class:`BatchedPet` if it is plain PET, or LLPR around it.

    A plain checkpoint is opened without metatrain, whose import takes longer than the rest of a start. A description
    of a model of another engine (:mod:`aiida_pet.job.other_engines`) gives that model.

    :param options: as of :class:`~aiida_pet.engine.model.base.BatchModel`.
    :raises aiida_pet.job.checkpoint.ModelError: if the file is missing, another or damaged.
    :raises UnsupportedModelError: if the model lacks what is asked for.
    """
    content = read_verified(path, sha256)
    if is_description(content):
        return _of_others(read_description(content, path), **options)
    check_archive(path, content)
    try:
        checkpoint = read_stored(content)
        made: BatchModel = BatchedPet(PlainPet(checkpoint), **options)
    except NotPlainError as error:
        logger.info("%s is opened with metatrain: %s", path.name, error)
        import_metatomic()
        checkpoint = open_checkpoint(path, content)
        said = trained_pairs(checkpoint), uncertainty_limit(checkpoint)  # before metatrain takes it apart
        made = _through_metatrain(path, checkpoint, **options)
    else:
        said = trained_pairs(checkpoint), uncertainty_limit(checkpoint)
    made.trained_pairs, made.uncertainty_limit = said
    made.sibling = partial(make_model, path, sha256, **options)
    return made


def _of_others(described: OtherEngine, **options: Unpack[ModelOptions]) -> BatchModel:
    """Return the model of another engine; what it needs is imported only here, since the user installs it."""
    if described.interface == KOKKOS:
        from aiida_pet.engine.model.kokkos import KokkosModel  # noqa: PLC0415

        return KokkosModel(described, **options)
    from aiida_pet.engine.model.other_engine import OtherEngineModel  # noqa: PLC0415

    return OtherEngineModel(described, **options)


def _through_metatrain(path: Path, checkpoint: dict[str, Any], **options: Unpack[ModelOptions]) -> BatchModel:
    """Return the model that metatrain makes of ``checkpoint``."""
    from aiida_pet.engine.model.metatomic import WrappedModel  # noqa: PLC0415 - a torch extension

    model = _opened(checkpoint)
    reasons = why_not_plain(model)
    if reasons:
        logger.warning("%s is evaluated through metatomic, more slowly: %s", path.name, ", ".join(reasons))
        return WrappedModel(model, **options)
    return BatchedPet(model, **options)


def load_plain(path: Path, sha256: str) -> PlainPet:
    """Return the plain checkpoint ``path``, opened only if its hash is ``sha256``.

    :raises aiida_pet.job.checkpoint.ModelError: if the file is missing, another or damaged.
    :raises NotPlainError: if there is more to it than plain PET.
    """
    return PlainPet(read_stored(read_archive(path, sha256)))


def load_model(path: Path, sha256: str) -> Any:
    """Return metatrain's model of the checkpoint ``path``, in eval mode, unpickled only if its hash is ``sha256``.

    :raises aiida_pet.job.checkpoint.ModelError: if the file is missing, another or damaged.
    """
    import_metatomic()
    return _opened(load_checkpoint(path, sha256))


def _opened(checkpoint: dict[str, Any]) -> Any:
    from metatrain.utils.io import model_from_checkpoint  # noqa: PLC0415 - seconds, and only where a model runs

    model = model_from_checkpoint(checkpoint, context="export")
    return model.eval()

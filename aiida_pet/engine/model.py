"""PET over one concatenated batch: metatrain's pure-tensor backend without a Python loop over systems.

One leaf of positions and one of strain serve all rows that go through the model together: forces are -dE/dx and the
stress is the symmetric part of dE/d(strain) / V. The antisymmetric part, zero for an invariant model, is the
``invariance`` diagnostic: with E(G) the energy of positions and cell rotated by exp(G - G^T), dE/dG at G = 0 is
W - W^T, W = dE/d(strain) (Rhodes et al., Orb-v3, arXiv:2504.06231, where its norm is the equivariance regulariser).

Scales and composition energies are those of :mod:`aiida_pet.engine.heads`; energies are summed in float64. A batch is
evaluated in :mod:`~aiida_pet.engine.chunks`: on a CPU side by side, one core each, since the tensors of small crystals
are too small to share; on a GPU one after another. A chunk for which memory does not suffice is cut in two.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import torch

from aiida_pet.engine.averaging import DEVIATIONS, Average, Rotations, Turn
from aiida_pet.engine.batch import Batch, Tensor
from aiida_pet.engine.checkpoint import load_checkpoint
from aiida_pet.engine.chunks import Chunk, plan
from aiida_pet.engine.evaluation import Evaluation
from aiida_pet.engine.heads import Heads, refuse_unless_plain
from aiida_pet.engine.neighbors import Pairs
from aiida_pet.engine.parameters import Derivation, Dtype

logger = logging.getLogger(__name__)

CPU_TOKENS = (
    3_000.0  # of a chunk: larger ones leave the cache (0.45 against 0.65 s for 24,000 tokens, float64)
)
CHUNKS_PER_CORE = 8  # in flight
CUDA_TOKENS = 2_000_000.0

_EDGES = ("edge_vectors", "edge_distances", "cutoff_factors")  # all through which positions reach the energy
_PER_ATOM = ("element_indices_nodes", "element_indices_neighbors", "padding_mask", "reverse_neighbor_index")


class BatchModel(Protocol):
    """What a task asks of a model."""

    device: torch.device
    cutoff: float
    atomic_numbers: frozenset[int]
    halvings: int

    @property
    def tokens_in_flight(self) -> float:
        """How many tokens, atoms x (neighbours + 1), the rows of a batch should have together."""

    def evaluate(self, batch: Batch, pairs: Pairs, rotations: Rotations | None = None) -> Evaluation:
        """Return energies, forces and stresses of ``batch``, whose neighbour pairs are ``pairs``.

        :raises RowTooLargeError: if memory does not suffice for one row.
        """


class RowTooLargeError(RuntimeError):
    """Raised when a row does not fit into memory even alone.

    :ivar place: of the row in the batch.
    """

    def __init__(self, place: int, reason: str) -> None:
        self.place = place
        super().__init__(f"does not fit into memory alone: {reason}")


class BatchedPet:
    """A plain PET model that evaluates ragged batches.

    :param model: metatrain's ``PET``, as loaded for export; its heads that are not asked for are removed.
    :param forces: where forces come from; net force is removed from direct ones.
    :param stress: where the stress comes from.
    :param variant: of the outputs, as in ``energy/pbe``.
    :param invariance: whether to return ``invariance``, (N,) eV: the norm of dE/dG.
    :param dtype: precision of the model.
    :param device: where it runs.
    :param threads: cores of a CPU to use; None takes torch's number.
    :param max_tokens: of a chunk, atoms x (largest neighbour count + 1); None takes the device's default.
    :raises UnsupportedModelError: if the model is not plain PET or lacks a head that is asked for.
    """

    def __init__(
        self,
        model: Any,
        *,
        forces: Derivation = Derivation.CONSERVATIVE,
        stress: Derivation = Derivation.CONSERVATIVE,
        variant: str | None = None,
        invariance: bool = False,
        dtype: Dtype = Dtype.FLOAT64,
        device: torch.device | str = "cpu",
        threads: int | None = None,
        max_tokens: float | None = None,
    ) -> None:
        refuse_unless_plain(model)
        self.dtype = {Dtype.FLOAT32: torch.float32, Dtype.FLOAT64: torch.float64}[dtype]
        self.device = torch.device(device)
        self.forces, self.stress = Derivation(forces), Derivation(stress)
        self.cutoff = float(model.cutoff)
        self.atomic_numbers = frozenset(int(number) for number in model.atomic_types)
        self.max_tokens = max_tokens or (CUDA_TOKENS if self.device.type == "cuda" else CPU_TOKENS)
        self.halvings = 0
        self._invariance = invariance
        self._adaptive_width = float(model.cutoff_width_adaptive)
        model = model.eval()
        heads = Heads.of(model, self.forces, self.stress, variant)
        self._names = [head.name for head in heads.all]
        for name in set(model.target_names) - set(self._names):
            model.backend.remove_output(name)
        self._backend = model.backend.to(device=self.device, dtype=self.dtype).requires_grad_(False)
        self._heads = heads.to(self.device, self.dtype)
        self._threads = (threads or torch.get_num_threads()) if self.device.type == "cpu" else 1
        self._pool = ThreadPoolExecutor(self._threads, "pet", _one_thread) if self._threads > 1 else None
        self._planned: tuple[Pairs, Rotations | None, list[Chunk]] | None = None

    @property
    def tokens_in_flight(self) -> float:
        """How many tokens the rows of a batch should have together: one chunk on a GPU, enough to share on a CPU."""
        return (
            self.max_tokens
            if self.device.type == "cuda"
            else CHUNKS_PER_CORE * self._threads * self.max_tokens
        )

    def evaluate(self, batch: Batch, pairs: Pairs, rotations: Rotations | None = None) -> Evaluation:
        """Return energies, forces and stresses of ``batch``, whose neighbour pairs are ``pairs``.

        :param rotations: of each row, over which to average; None for the model as it is.
        :raises RowTooLargeError: if memory does not suffice for one row.
        """
        if self._planned is None or self._planned[0] is not pairs or self._planned[1] is not rotations:
            chunks = plan(batch, pairs, range(len(batch)), self.max_tokens, rotations)
            self._planned = (pairs, rotations, chunks)
        work, done = self._planned[2], []
        while work:
            answers = self._side_by_side(work, batch)
            failed = []
            for chunk, answer in zip(work, answers, strict=True):
                if isinstance(answer, Evaluation):
                    done.append((chunk.rows, chunk.atoms, answer))
                else:
                    failed.append((chunk, answer))
            work = self._cut(failed, batch, pairs, rotations)
        return Evaluation.assembled(batch, done)

    # -- chunks --------------------------------------------------------------------------------------------------

    def _side_by_side(self, chunks: list[Chunk], batch: Batch) -> list[Evaluation | RuntimeError]:
        """Return the answer of each chunk, or the error that says that memory does not suffice for it."""

        def answer(chunk: Chunk) -> Evaluation | RuntimeError:
            try:
                return self._evaluate_chunk(chunk, batch)
            except RuntimeError as error:
                if not _is_out_of_memory(error):
                    raise
                return error

        # one chunk alone has all cores for each of its operations
        if self._pool is None or len(chunks) == 1:
            return [answer(chunk) for chunk in chunks]
        return list(self._pool.map(answer, chunks))

    def _cut(
        self,
        failed: list[tuple[Chunk, RuntimeError]],
        batch: Batch,
        pairs: Pairs,
        rotations: Rotations | None,
    ) -> list[Chunk]:
        """Return smaller chunks of the rows of those that ``failed``; chunks stay that small from now on."""
        if not failed:
            return []
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        for chunk, error in failed:
            if len(chunk.rows) == 1:
                raise RowTooLargeError(int(chunk.rows), str(error).splitlines()[0])
        self.halvings += 1
        self.max_tokens = max(chunk.tokens for chunk, _ in failed) / 2.0
        self._planned = None
        logger.warning("out of memory: going on with at most %.0f tokens in a chunk", self.max_tokens)
        rows = torch.cat([chunk.rows for chunk, _ in failed]).tolist()
        return plan(batch, pairs, rows, self.max_tokens, rotations)

    # -- one chunk -----------------------------------------------------------------------------------------------

    def _evaluate_chunk(self, chunk: Chunk, batch: Batch) -> Evaluation:
        part = chunk.of(batch)
        positions = part.positions.to(self.dtype)
        # metatomic's convention: no lattice vector where a direction is not periodic
        cells = (part.cells * part.pbc[:, :, None]).to(self.dtype)
        strain = torch.zeros((len(part), 3, 3), dtype=self.dtype, device=self.device)
        leaves = {}
        if self.forces is Derivation.CONSERVATIVE:
            leaves["positions"] = positions.requires_grad_()
        if self.stress is Derivation.CONSERVATIVE or self._invariance:
            leaves["strain"] = strain.requires_grad_()
            positions = positions + torch.einsum("ai,aij->aj", positions, strain[part.row_of_atom])
            cells = cells + cells @ strain
        with torch.set_grad_enabled(bool(leaves)):
            data = self._backend.preprocess(
                positions,
                chunk.pairs.centers,
                chunk.pairs.neighbors,
                part.numbers,
                cells,
                chunk.pairs.shifts,
                part.row_of_atom,
                self._adaptive_width,
            )
            if not chunk.turns:
                predictions = self._predict(data, cells, part)
                gradients = _gradients([predictions[self._heads.energy.name].sum()], leaves)
                return self._finished(self._evaluation(part, predictions, gradients), chunk)
        assert chunk.averaged is not None
        average = Average(part, chunk.averaged)
        for turn in chunk.turns:
            average.add(turn, self._turned(turn, part, data, cells, leaves))
        return self._finished(average.result(), chunk)

    def _turned(
        self, turn: Turn, batch: Batch, data: dict[str, Tensor], cells: Tensor, leaves: dict[str, Tensor]
    ) -> Evaluation:
        """Return the answer for the first rows of ``batch``, each rotated by its matrix, turned back.

        Nothing but the edge vectors depends on the rotation; gradients go back through the preprocessing.
        """
        first = batch if len(turn) == len(batch) else batch.take(torch.arange(len(turn), device=self.device))
        n_atoms = len(first.numbers)
        rotation = turn.matrices.to(self.dtype)
        edges = {name: data[name][:n_atoms].detach().requires_grad_(bool(leaves)) for name in _EDGES}
        with torch.set_grad_enabled(bool(leaves)):
            vectors = torch.einsum("aej,aij->aei", edges["edge_vectors"], rotation[first.row_of_atom])
            nodes = {name: data[name][:n_atoms] for name in _PER_ATOM}
            predictions = self._predict(nodes | edges | {"edge_vectors": vectors}, cells[: len(turn)], first)
            slopes = _gradients([predictions[self._heads.energy.name].sum()], edges if leaves else {})
        others = len(batch.numbers) - n_atoms
        slopes = {
            name: torch.nn.functional.pad(values, [0, 0] * (values.ndim - 1) + [0, others])
            for name, values in slopes.items()
        }
        gradients = _gradients([data[name] for name in slopes], leaves, list(slopes.values()))
        ends = {"positions": n_atoms, "strain": len(turn)}
        gradients = {name: values[: ends[name]] for name, values in gradients.items()}
        return self._evaluation(first, predictions, gradients, rotation)

    def _predict(self, data: dict[str, Tensor], cells: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return the scaled prediction per atom of each head."""
        nodes, edges = self._backend.calculate_features(data)
        predicted, _, _ = self._backend.predict(nodes, edges, data, cells, batch.row_of_atom, self._names)
        element = data["element_indices_nodes"]
        return {head.name: head.scaled(predicted[head.name][0], element) for head in self._heads.all}

    def _evaluation(
        self,
        batch: Batch,
        predictions: dict[str, Tensor],
        gradients: dict[str, Tensor],
        rotation: Tensor | None = None,
    ) -> Evaluation:
        """Return sums per row, forces and stresses; direct ones are turned back by ``rotation``, (N, 3, 3)."""
        heads = self._heads
        energies = (
            predictions[heads.energy.name].detach().reshape(-1).double() + heads.composition[batch.numbers]
        )
        volumes = torch.where(batch.pbc.all(dim=1), batch.volumes(), torch.nan)[:, None, None]
        if heads.forces is None:
            forces = -gradients["positions"].double()
        else:
            forces = predictions[heads.forces.name].detach().reshape(-1, 3)
            if rotation is not None:
                forces = torch.einsum("ai,aij->aj", forces, rotation[batch.row_of_atom])
            forces = forces.double()
            forces = forces - (batch.row_sum(forces) / batch.n_atoms[:, None])[batch.row_of_atom]
        virial = gradients["strain"].double() if "strain" in gradients else None
        if heads.stress is None:
            assert virial is not None
            stress = virial / volumes
        else:
            per_atom = predictions[heads.stress.name].detach().reshape(-1, 3, 3)
            stress = batch.row_sum(per_atom.double()) * (volumes / volumes)
            if rotation is not None:
                turn = rotation.double()
                stress = turn.mT @ stress @ turn
        rows = {"virial": virial} if virial is not None and self._invariance else {}
        return Evaluation(
            batch.row_sum(energies), forces, (stress + stress.mT) / 2.0, rows, {"energies": energies}
        )

    def _finished(self, answer: Evaluation, chunk: Chunk) -> Evaluation:
        """Return ``answer`` with the columns that are made of others."""
        rows = dict(answer.rows)
        virial = rows.pop("virial", None)
        if virial is not None:
            rows["invariance"] = torch.linalg.matrix_norm(virial - virial.mT)
        if chunk.averaged is not None and not chunk.turns:
            rows |= {name: torch.full_like(answer.energy, torch.nan) for name in DEVIATIONS}
        return replace(answer, rows=rows)


def load_model(path: Path, sha256: str) -> Any:
    """Return metatrain's model of the checkpoint ``path``, in eval mode, unpickled only if its hash is ``sha256``.

    :raises aiida_pet.engine.checkpoint.ModelError: if the file is missing, another or damaged.
    """
    checkpoint = load_checkpoint(path, sha256)
    from metatrain.utils.io import model_from_checkpoint  # noqa: PLC0415 - seconds, and only where a model runs

    model = model_from_checkpoint(checkpoint, context="export")
    return model.eval()


def _gradients(
    outputs: Sequence[Tensor], leaves: dict[str, Tensor], slopes: Sequence[Tensor] | None = None
) -> dict[str, Tensor]:
    """Return the gradients of ``outputs`` by each of ``leaves``; ``slopes`` are those by the outputs, if not scalars.

    With slopes the graph is kept, to be gone through again.
    """
    if not leaves:
        return {}
    found = torch.autograd.grad(
        outputs, list(leaves.values()), slopes, retain_graph=slopes is not None, materialize_grads=True
    )
    return dict(zip(leaves, found, strict=True))


def _one_thread() -> None:
    torch.set_num_threads(1)


def _is_out_of_memory(error: BaseException) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator: can't allocate memory" in str(
        error
    )

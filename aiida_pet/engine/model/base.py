"""What a task asks of a model, and what all models do alike: a batch is answered chunk by chunk.

Chunks (:mod:`~aiida_pet.engine.model.chunks`) run side by side on the cores of a CPU, one core each, since the
tensors of small crystals are too small to share; on a GPU one after another. A chunk for which memory does not
suffice is cut in two, and chunks stay that small. Rows that are averaged over rotations are asked for once per
rotation (:mod:`~aiida_pet.engine.symmetry.averaging`).
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypedDict

import torch

from aiida_pet.engine.batch.batch import Batch, Tensor
from aiida_pet.engine.batch.evaluation import NET_FORCE, VIRIAL, Evaluation
from aiida_pet.engine.batch.neighbors import Pairs
from aiida_pet.engine.model.chunks import MAX_ATOMS, Chunk, Cost, plan
from aiida_pet.engine.symmetry.averaging import DEVIATIONS, Average, Rotations, Turn
from aiida_pet.job.parameters import Derivation, Dtype, Output

logger = logging.getLogger(__name__)

# Of a chunk, by the precision of the network: smaller ones pay for the calls of their operations, larger ones leave the
# cache. Threads take turns to call, so that chunks are twice as large where there are several.
CPU_TOKENS = {torch.float64: 3_000.0, torch.float32: 6_000.0}
CHUNKS_PER_CORE = 8  # in flight
_NO_MEMORY = (  # what says so without being torch.OutOfMemoryError
    "DefaultCPUAllocator: can't allocate memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUSOLVER_STATUS_ALLOC_FAILED",
)
CUDA_TOKENS = 2_000_000.0


@dataclass(frozen=True)
class Strained:
    """Positions and cells of a batch in the precision of the geometry, as functions of what it is differentiated by.

    :ivar positions: (A, 3) A.
    :ivar cells: (N, 3, 3) A; as metatomic wants it, without the lattice vectors of directions that are not periodic.
    :ivar leaves: ``positions`` (A, 3) and ``strain`` (N, 3, 3) at zero, those that are needed.
    """

    positions: Tensor
    cells: Tensor
    leaves: dict[str, Tensor]


class RowTooLargeError(RuntimeError):
    """Raised when a row cannot be evaluated even alone.

    :ivar place: place of the row in the batch.
    """

    def __init__(self, place: int, reason: str) -> None:
        self.place = place
        super().__init__(reason)


def usable_precision(asked: Dtype, possible: Sequence[Dtype], name: str) -> Dtype:
    """Return the precision in which a model runs, if ``asked`` is wanted and it runs in those of ``possible``.

    Protocols take :attr:`Dtype.MIXED`, which only PET has: other models run in float64, and the log says so.

    :param name: the model, for the log.
    """
    if asked is Dtype.MIXED and asked not in possible and Dtype.FLOAT64 in possible:
        logger.warning("%s runs in float64, more slowly, since it has no mixed precision", name)
        return Dtype.FLOAT64
    return asked


class ModelOptions(TypedDict, total=False):
    """How a model is to be evaluated; see :class:`BatchModel`."""

    forces: Derivation
    stress: Derivation
    variant: str | None
    outputs: Sequence[Output]
    dtype: Dtype
    device: torch.device | str
    threads: int | None
    max_tokens: float | None


class BatchModel(ABC):
    """A model that evaluates ragged batches.

    :param cutoff: largest distance of two atoms that see each other directly, A.
    :param atomic_numbers: atomic numbers of the elements it knows.
    :param n_features: length of a row of :attr:`Output.FEATURES`.
    :param forces: where forces come from; net force is removed from direct ones.
    :param stress: where the stress comes from.
    :param variant: variant of the outputs, as in ``energy/pbe``.
    :param outputs: what else it returns, in ``rows`` and ``atoms`` of its evaluations under the name of the output.
    :param dtype: precision of the model.
    :param device: where it runs.
    :param threads: cores of a CPU to use; None takes torch's number.
    :param max_tokens: largest number of tokens of a chunk, atoms x (largest neighbour count + 1); None takes the
        device's default.
    :ivar cost: what rows cost it.
    :ivar n_side_by_side: chunks that run at the same time.
    :ivar halvings: how often memory did not suffice.
    """

    def __init__(
        self,
        *,
        cutoff: float,
        atomic_numbers: Sequence[int],
        n_features: int,
        forces: Derivation = Derivation.CONSERVATIVE,
        stress: Derivation = Derivation.CONSERVATIVE,
        variant: str | None = None,
        outputs: Sequence[Output] = (),
        dtype: Dtype = Dtype.FLOAT64,
        device: torch.device | str = "cpu",
        threads: int | None = None,
        max_tokens: float | None = None,
    ) -> None:
        self.cutoff = cutoff
        self.atomic_numbers = frozenset(int(number) for number in atomic_numbers)
        self.forces, self.stress, dtype = Derivation(forces), Derivation(stress), Dtype(dtype)
        self.variant = variant
        self.outputs = frozenset(Output(name) for name in outputs)
        #: Of the network.
        self.dtype = torch.float64 if dtype is Dtype.FLOAT64 else torch.float32
        #: Of edges, scales, and gradients by positions and strain.
        self.geometry_dtype = torch.float32 if dtype is Dtype.FLOAT32 else torch.float64
        self.device = torch.device(device)
        #: Whether slabs have a stress, per volume of their cell with its vacuum; NaN if not, as of wires and molecules.
        self.stress_of_slabs = False
        #: Pairs of elements that crystals of its training held together, the smaller number first; None if unknown.
        self.trained_pairs: frozenset[tuple[int, int]] | None = None
        #: Uncertainty, eV/atom, above which a crystal is unlike those of its training; None if unknown.
        self.uncertainty_limit: float | None = None
        #: Makes the same model with other options, such as ``forces=direct``; None where that is not known.
        self.sibling: Callable[..., BatchModel] | None = None
        self.cost = Cost()
        self.halvings = 0
        self._n_features = n_features
        self._n_members = 0  # of an ensemble
        self.n_side_by_side = (threads or torch.get_num_threads()) if self.device.type == "cpu" else 1
        self.max_tokens = max_tokens or self._usual_tokens()
        self._pool = (
            ThreadPoolExecutor(self.n_side_by_side, "pet", _one_thread) if self.n_side_by_side > 1 else None
        )
        self._planned: tuple[Pairs, Rotations | None, list[Chunk]] | None = None

    def _usual_tokens(self) -> float:
        if self.device.type == "cuda":
            return CUDA_TOKENS
        return CPU_TOKENS[self.dtype] * (2.0 if self.n_side_by_side > 1 else 1.0)

    @property
    def tokens_in_flight(self) -> float:
        """How many tokens the rows of a batch should have together: one chunk on a GPU, enough to share on a CPU."""
        if self.device.type == "cuda":
            return self.max_tokens
        return CHUNKS_PER_CORE * self.n_side_by_side * self.max_tokens

    @property
    def row_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of what an evaluation has in ``rows``, without the number of rows."""
        shapes: dict[Output, tuple[int, ...]] = {
            Output.FEATURES: (self._n_features,),
            Output.UNCERTAINTY: (),
            Output.ENSEMBLE: (self._n_members,),
            Output.INVARIANCE: (),
        }
        wanted = {str(name): shape for name, shape in shapes.items() if name in self.outputs}
        return wanted | ({NET_FORCE: ()} if self.forces is Derivation.DIRECT else {})

    @property
    def atom_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of what an evaluation has in ``atoms``, without the number of atoms."""
        return {str(Output.ENERGIES): ()} if Output.ENERGIES in self.outputs else {}

    def evaluate(self, batch: Batch, pairs: Pairs, rotations: Rotations | None = None) -> Evaluation:
        """Return energies, forces and stresses of ``batch``, whose neighbour pairs are ``pairs``.

        :param rotations: rotations of each row, over which to average; None for the model as it is.
        :raises RowTooLargeError: if memory does not suffice for one row, or a GPU cannot take so many atoms.
        """
        if self._planned is None or self._planned[0] is not pairs or self._planned[1] is not rotations:
            self._check_sizes(batch)
            self._planned = (pairs, rotations, self._plan(batch, pairs, range(len(batch)), rotations))
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

    # -- for models ----------------------------------------------------------------------------------------------

    @abstractmethod
    def _prepared(self, batch: Batch, pairs: Pairs) -> Any:
        """Return what :meth:`_answer` needs of ``batch`` whatever the rotation."""

    @abstractmethod
    def _answer(self, prepared: Any, turn: Turn | None) -> Evaluation:
        """Return the evaluation of what was prepared, with :data:`VIRIAL` where the invariance is asked for.

        :param turn: rotates the first rows; the answer is that for these, turned back. None for all rows as they are.
        """

    def _strained(self, batch: Batch) -> Strained:
        """Return the geometry of ``batch`` with the leaves that forces, stress and invariance need."""
        positions = batch.positions.to(self.geometry_dtype)
        cells = (batch.cells * batch.pbc[:, :, None]).to(self.geometry_dtype)
        leaves = {}
        if self.forces is Derivation.CONSERVATIVE:
            leaves["positions"] = positions.requires_grad_()
        if self.stress is Derivation.CONSERVATIVE or Output.INVARIANCE in self.outputs:
            strain = torch.zeros_like(cells).requires_grad_()
            leaves["strain"] = strain
            positions = positions + torch.einsum("ai,aij->aj", positions, strain[batch.row_of_atom])
            cells = cells + cells @ strain
        return Strained(positions, cells, leaves)

    def _check_sizes(self, batch: Batch) -> None:
        """:raises RowTooLargeError: if a row has more atoms than the kernels of a GPU take at once."""
        if self.device.type != "cuda" or not len(batch):
            return
        largest, place = batch.n_atoms.max(dim=0)
        if int(largest) > MAX_ATOMS:
            raise RowTooLargeError(
                int(place), f"has {int(largest)} atoms: a GPU takes at most {MAX_ATOMS} atoms of one crystal"
            )

    # -- chunks --------------------------------------------------------------------------------------------------

    def _evaluate_chunk(self, chunk: Chunk, batch: Batch) -> Evaluation:
        part = chunk.of(batch)
        prepared = self._prepared(part, chunk.pairs)
        if not chunk.turns:
            return _finished(self._answer(prepared, None), chunk, part)
        assert chunk.averaged is not None
        average = Average(part, chunk.averaged)
        for turn in chunk.turns:
            average.add(turn, self._answer(prepared, turn))
        return _finished(average.result(), chunk, part)

    def _side_by_side(self, chunks: list[Chunk], batch: Batch) -> list[Evaluation | RuntimeError]:
        """Return the answer of each chunk, or the error that says that memory does not suffice for it."""

        def answer(chunk: Chunk) -> Evaluation | RuntimeError:
            try:
                return self._evaluate_chunk(chunk, batch)
            except RuntimeError as error:
                if not _is_out_of_memory(error):
                    raise
                # its frames hold the tensors of the chunk, for as long as it is there, and memory is what is wanted
                return RuntimeError(str(error))

        if self._pool is None:
            return [answer(chunk) for chunk in chunks]
        if len(chunks) == 1:  # it has all cores, for each of its operations
            with _threads(self.n_side_by_side):
                return [answer(chunks[0])]
        with _threads(1):
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
                reason = str(error).splitlines()[0]
                raise RowTooLargeError(int(chunk.rows), f"does not fit into memory alone: {reason}")
        self.halvings += 1
        self.max_tokens = max(chunk.tokens for chunk, _ in failed) / 2.0
        self._planned = None
        logger.warning("out of memory: continuing with at most %.0f tokens in a chunk", self.max_tokens)
        rows = torch.cat([chunk.rows for chunk, _ in failed]).tolist()
        return self._plan(batch, pairs, rows, rotations)

    def _plan(
        self, batch: Batch, pairs: Pairs, rows: Sequence[int], rotations: Rotations | None
    ) -> list[Chunk]:
        return plan(
            batch,
            pairs,
            rows,
            self.max_tokens,
            rotations,
            cost=self.cost,
            n_side_by_side=self.n_side_by_side,
        )


def gradients_of(
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


def net_force_removed(forces: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the (A, 3) ``forces`` of ``batch`` less the mean of each row, and the (N,) norm of the sum it had."""
    net = batch.row_sum(forces)
    return forces - (net / batch.n_atoms[:, None])[batch.row_of_atom], torch.linalg.vector_norm(net, dim=1)


def stress_volumes(batch: Batch, *, of_slabs: bool) -> Tensor:
    """Return the (N, 1, 1) volumes by which a stress is taken, A^3; NaN for rows that have none.

    :param of_slabs: whether rows that are periodic in two directions have a stress.
    """
    enough = 2 if of_slabs else 3
    return torch.where(batch.pbc.sum(dim=1) >= enough, batch.volumes(), torch.nan)[:, None, None]


def are_sound(batch: Batch, pairs: Pairs) -> Tensor:
    """Return (N,) bool, which rows of ``batch`` are finite and were searched for their ``pairs``."""
    return (
        pairs.searched
        & batch.row_sum(batch.positions.sum(dim=1)).isfinite()
        & batch.cells.sum(dim=(1, 2)).isfinite()
    )


def _finished(answer: Evaluation, chunk: Chunk, batch: Batch) -> Evaluation:
    """Return ``answer`` with the columns that are made of others, and NaN for rows that are not finite or not searched.

    Such a row has no pairs, and would get the energy of free atoms.
    """
    rows = dict(answer.rows)
    virial = rows.pop(VIRIAL, None)
    if virial is not None:
        rows[Output.INVARIANCE] = torch.linalg.matrix_norm(virial - virial.mT)
    if chunk.averaged is not None and not chunk.turns:
        rows |= {name: torch.full_like(answer.energy, torch.nan) for name in DEVIATIONS}
    known = are_sound(batch, chunk.pairs)
    return replace(answer, energy=torch.where(known, answer.energy, torch.nan), rows=rows)


def _one_thread() -> None:
    torch.set_num_threads(1)


@contextmanager
def _threads(number: int) -> Iterator[None]:
    """Let operations of this thread run on ``number`` cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _is_out_of_memory(error: BaseException) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or any(text in str(error) for text in _NO_MEMORY)

"""Models of other engines, through torch-sim's ``ModelInterface``: MACE, SevenNet, Orb, Nequix and what else has one.

The packages are the user's and are installed by the user; what a description names is called, and what comes back is
asked for energies, forces and stress of whole batches. Tasks, guards, warnings and averages over rotations are the same
as for every model; what PET alone has is refused by name: direct heads, variants, uncertainties, features and
ensembles, energies of atoms, the invariance diagnostic. Instead of mixed precision such a model takes float64.

torch-sim has one ``pbc`` for all systems of a state and lattice vectors in columns; stress has ASE's sign and units.
Such a model finds its neighbours itself; the pairs of the engine serve its guards.
"""

from __future__ import annotations

import importlib
import inspect
import logging
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np
import torch
from ase.data import atomic_masses

from aiida_pet.engine.batch.batch import Batch, Tensor
from aiida_pet.engine.batch.evaluation import Evaluation
from aiida_pet.engine.batch.neighbors import Pairs
from aiida_pet.engine.model.base import (
    BatchModel,
    ModelOptions,
    are_sound,
    stress_volumes,
    usable_precision,
)
from aiida_pet.engine.model.heads import UnsupportedModelError
from aiida_pet.engine.symmetry.averaging import Turn
from aiida_pet.job.other_engines import DescriptionError, OtherEngine
from aiida_pet.job.parameters import Derivation, Dtype

logger = logging.getLogger(__name__)


class ModelOfOthers(BatchModel):
    """A model that is asked for energies, forces and stress of whole crystals, which are turned for an average.

    Parameters as :class:`~aiida_pet.engine.model.base.BatchModel`. One chunk at a time has all cores, since such a
    model is not known to bear several side by side.

    :param described: where it comes from.
    :param precisions: that it runs in.
    :raises UnsupportedModelError: if it lacks what is asked for.
    """

    def __init__(
        self, described: OtherEngine, precisions: Sequence[Dtype], **options: Unpack[ModelOptions]
    ) -> None:
        _check_asked(described, options)
        dtype = usable_precision(Dtype(options.get("dtype", Dtype.FLOAT64)), precisions, described.name)
        if dtype not in precisions:
            raise _lacking(described, f"dtype = {dtype}", f"take {' or '.join(map(str, precisions))}")
        options["dtype"], options["threads"] = dtype, 1
        super().__init__(cutoff=described.cutoff, atomic_numbers=described.elements, n_features=0, **options)

    @abstractmethod
    def _evaluated(self, batch: Batch) -> Evaluation:
        """Return the answer for ``batch``, whose rows are finite, as it is."""

    def _prepared(self, batch: Batch, pairs: Pairs) -> tuple[Batch, Tensor]:
        return batch, are_sound(batch, pairs)

    def _answer(self, prepared: tuple[Batch, Tensor], turn: Turn | None) -> Evaluation:
        batch, sound = prepared
        if turn is None:
            return self._of_sound(batch, sound)
        batch = batch.take(torch.arange(len(turn), device=self.device))
        rotation = turn.matrices
        positions = torch.einsum("aj,aij->ai", batch.positions, rotation[batch.row_of_atom])
        answer = self._of_sound(batch.moved(positions, batch.cells @ rotation.mT), sound[: len(turn)])
        return Evaluation(
            answer.energy,
            torch.einsum("ai,aij->aj", answer.forces, rotation[batch.row_of_atom]),
            rotation.mT @ answer.stress @ rotation,
        )

    def _of_sound(self, batch: Batch, sound: Tensor) -> Evaluation:
        """Return the answer for ``batch``: NaN for rows that are not ``sound`` (N,), which the model never sees."""
        if bool(sound.all()):
            return self._evaluated(batch)
        rows, others = (which.nonzero().flatten() for which in (sound, ~sound))
        parts = [(others, batch.atoms_of(others), Evaluation.nothing(batch.take(others)))]
        if len(rows):
            parts.append((rows, batch.atoms_of(rows), self._evaluated(batch.take(rows))))
        return Evaluation.assembled(batch, parts)


class OtherEngineModel(ModelOfOthers):
    """A model with torch-sim's interface. Parameters as :class:`ModelOfOthers`.

    :raises aiida_pet.job.checkpoint.ModelError: if package or weights are not those described.
    """

    def __init__(self, described: OtherEngine, **options: Unpack[ModelOptions]) -> None:
        threads = options.get("threads")
        super().__init__(described, (Dtype.FLOAT64, Dtype.FLOAT32), **options)
        if self.device.type == "cpu" and threads:
            torch.set_num_threads(threads)
        self._model = _made(described, self.device, self.dtype)
        self._masses = torch.as_tensor(atomic_masses, dtype=self.dtype, device=self.device)

    def _evaluated(self, batch: Batch) -> Evaluation:
        """Return the answer for ``batch`` as it is, rows of like periodicity together."""
        kinds = batch.pbc.long() @ torch.tensor([4, 2, 1], device=self.device)
        parts = []
        for kind in sorted(set(kinds.tolist())):
            rows = (kinds == kind).nonzero().flatten()
            parts.append((rows, batch.atoms_of(rows), self._of_one_kind(batch.take(rows))))
        return Evaluation.assembled(batch, parts)

    def _of_one_kind(self, batch: Batch) -> Evaluation:
        from torch_sim import SimState  # noqa: PLC0415 - with the packages of the user

        state = SimState(
            positions=batch.positions.to(self.dtype),
            masses=self._masses[batch.numbers],
            cell=completed_cells(batch).to(self.dtype).mT.contiguous(),
            pbc=batch.pbc[0],
            atomic_numbers=batch.numbers,
            system_idx=batch.row_of_atom,
        )
        said = {name: values.detach().double() for name, values in self._model(state).items()}
        volumes = stress_volumes(batch, of_slabs=False)
        stress = said["stress"].reshape(-1, 3, 3) * (volumes / volumes)
        return Evaluation(said["energy"].reshape(-1), said["forces"], (stress + stress.mT) / 2.0)


def completed_cells(batch: Batch) -> Tensor:
    """Return the (N, 3, 3) cells with vectors, A, in the directions that are not periodic, as an inverse wants them."""
    if bool(batch.pbc.all()):
        return batch.cells
    from ase.geometry import complete_cell  # noqa: PLC0415

    cells = (batch.cells * batch.pbc[:, :, None]).cpu().numpy()
    return torch.as_tensor(np.array([complete_cell(cell) for cell in cells]), device=batch.device)


def _lacking(described: OtherEngine, what: str, remedy: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"{what} was requested, but {described.name} ({described.package} {described.version}) cannot give it: "
        f"{remedy}"
    )


def _check_asked(described: OtherEngine, options: ModelOptions) -> None:
    """:raises UnsupportedModelError: naming what is asked for and only PET has."""
    conservative = Derivation.CONSERVATIVE
    asked = {"forces": options.get("forces", conservative), "stress": options.get("stress", conservative)}
    for name, derivation in asked.items():
        if Derivation(derivation) is Derivation.DIRECT:
            remedy = f"set {name} = conservative, or use a PET model with direct heads"
            raise _lacking(described, f"{name} = direct", remedy)
    if options.get("variant") is not None:
        raise _lacking(described, f"variant = {options['variant']}", "leave it out")
    outputs = sorted(str(output) for output in options.get("outputs", ()))
    if outputs:
        raise _lacking(described, f"outputs = {', '.join(outputs)}", "leave it out, or use a PET model")


def _made(described: OtherEngine, device: torch.device, dtype: torch.dtype) -> Any:
    """Return what the callable of ``described`` returns.

    :raises DescriptionError: if it cannot be called so, or returns something else.
    :raises UnsupportedModelError: if the model gives no forces or stress, or runs in another precision.
    """
    described.check_installed()
    weights = described.checked_weights()
    module, _, name = described.interface.partition(":")
    try:
        make: Any = importlib.import_module(module)
        for part in name.split("."):
            make = getattr(make, part)
        taken = inspect.signature(make).parameters
        takes_all = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in taken.values())
        given = {"device": device, "dtype": dtype}
        arguments = {key: value for key, value in given.items() if takes_all or key in taken}
        if weights is not None:
            arguments[described.weights_argument] = str(weights)
        model = make(**(arguments | described.arguments))
    except Exception as error:  # whatever the packages of the user raise
        raise DescriptionError(
            f"the model {described.name} cannot be made by {described.interface}: {type(error).__name__}: {error}"
        ) from error
    from torch_sim.models.interface import ModelInterface  # noqa: PLC0415

    if not isinstance(model, ModelInterface):
        raise DescriptionError(
            f"{described.interface} returns a {type(model).__name__}: expected a torch_sim ModelInterface"
        )
    lacking = [name for name in ("forces", "stress") if not getattr(model, f"compute_{name}")]
    if lacking:
        raise UnsupportedModelError(
            f"{described.name} gives no {lacking[0]}: ask for it in the arguments of the model (compute_{lacking[0]})"
        )
    if model.dtype is not dtype:
        raise UnsupportedModelError(
            f"{described.name} runs in {model.dtype}, not in {dtype}: take dtype = "
            f"{str(model.dtype).removeprefix('torch.')}, or set another dtype in the arguments of the model"
        )
    logger.info("%s: %s of %s %s", described.name, described.interface, described.package, described.version)
    return model.to(device).eval()

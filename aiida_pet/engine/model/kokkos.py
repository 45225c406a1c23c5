"""A plain PET checkpoint that pet-kokkos evaluates, a C++ engine for CPUs and GPUs.

The checkpoint is written in pet-kokkos's format (:mod:`~aiida_pet.engine.model.kokkos_files`) when the job starts. Its
network is float32, its geometry and sums are float64, so that ``float32`` and ``mixed`` are the same here. It finds the
neighbours itself at each evaluation; the pairs of the engine serve its guards. Its virial is symmetric, in the order xx
yy zz xy xz yz, in eV.

Kokkos starts with the first model of a process, with as many threads as that has. It shares torch's OpenMP, and so
would give torch as many; torch gets back those that it had.
"""

from __future__ import annotations

import importlib
import logging
import os
import tempfile
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch

from aiida_pet.engine.batch.batch import Batch
from aiida_pet.engine.batch.evaluation import Evaluation
from aiida_pet.engine.model.base import ModelOptions, stress_volumes
from aiida_pet.engine.model.heads import UnsupportedModelError
from aiida_pet.engine.model.kokkos_files import write_for_kokkos
from aiida_pet.engine.model.other_engine import ModelOfOthers, completed_cells
from aiida_pet.engine.model.plain.pet import PlainPet
from aiida_pet.engine.model.plain.stored import NotPlainError, read_stored
from aiida_pet.job.checkpoint import read_archive, trained_pairs
from aiida_pet.job.other_engines import DescriptionError, OtherEngine
from aiida_pet.job.parameters import Dtype

logger = logging.getLogger(__name__)

_GPU_BACKENDS = ("Cuda", "HIP")  # as pet_kokkos.backend() says; others are of a CPU
_VOIGT = [[0, 3, 4], [3, 1, 5], [4, 5, 2]]  # place in the virial of each component


class KokkosModel(ModelOfOthers):
    """PET through pet-kokkos. Parameters as :class:`~aiida_pet.engine.model.other_engine.ModelOfOthers`.

    :param described: with the checkpoint as its weights.
    :raises aiida_pet.job.checkpoint.ModelError: if package or checkpoint are not those described.
    :raises UnsupportedModelError: if pet-kokkos cannot evaluate such a model, or is for another device.
    """

    def __init__(self, described: OtherEngine, **options: Unpack[ModelOptions]) -> None:
        threads = options.get("threads")
        super().__init__(described, (Dtype.MIXED, Dtype.FLOAT32), **options)
        described.check_installed()
        model, self.trained_pairs = _plain(described)
        if threads:
            os.environ.setdefault("KOKKOS_NUM_THREADS", str(threads))
        threads_of_torch = torch.get_num_threads()
        try:
            self._calculator = _calculator(model, described, self.device)
        finally:
            torch.set_num_threads(threads_of_torch)
        logger.info("%s: evaluated by pet-kokkos %s", described.name, described.version)

    def _evaluated(self, batch: Batch) -> Evaluation:
        cells = completed_cells(batch).cpu().numpy()
        ends = batch.n_atoms.cumsum(0)[:-1].tolist()
        numbers, positions = (
            np.split(values.cpu().numpy(), ends) for values in (batch.numbers, batch.positions)
        )
        periodic = batch.pbc.tolist()
        said = self._calculator.compute_batch(
            [
                (numbers[row], positions[row], cells[row] if any(periodic[row]) else None, periodic[row])
                for row in range(len(batch))
            ]
        )
        nothing = np.full(6, np.nan)  # molecules have no virial
        virial = self._tensor(np.array([one.get("virial", nothing) for one in said]))
        return Evaluation(
            self._tensor(np.array([one["energy"] for one in said])),
            self._tensor(np.concatenate([one["forces"] for one in said])),
            virial[:, _VOIGT] / stress_volumes(batch, of_slabs=False),
        )

    def _tensor(self, values: Any) -> torch.Tensor:
        return torch.as_tensor(values, dtype=torch.float64, device=self.device)


def _plain(described: OtherEngine) -> tuple[PlainPet, frozenset[tuple[int, int]] | None]:
    """Return the checkpoint of ``described`` as plain PET, and the pairs of elements that its training held together.

    :raises aiida_pet.job.checkpoint.ModelError: if the file is missing, another or damaged.
    :raises UnsupportedModelError: if it is not plain.
    :raises DescriptionError: if its elements or its cutoff are not those described.
    """
    assert described.weights is not None  # as the description was checked for
    assert described.weights_sha256 is not None
    content = read_archive(Path(described.weights).expanduser(), described.weights_sha256)
    try:
        checkpoint = read_stored(content)
        model = PlainPet(checkpoint)
    except NotPlainError as error:
        raise UnsupportedModelError(
            f"pet-kokkos cannot evaluate {described.weights}: {error}; evaluate it without pet-kokkos"
        ) from error
    of_model = sorted(model.atomic_types), model.cutoff
    if of_model != (sorted(described.elements), described.cutoff):
        raise DescriptionError(
            f"the model {described.name} is described with the elements {sorted(described.elements)} and the cutoff "
            f"{described.cutoff}, but {described.weights} has {of_model[0]} and {of_model[1]}: correct the elements "
            "and the cutoff in the description"
        )
    return model, trained_pairs(checkpoint)


def _calculator(model: PlainPet, described: OtherEngine, device: torch.device) -> Any:
    """Return pet-kokkos's calculator of ``model``.

    :raises UnsupportedModelError: if it cannot evaluate such a model, or is for another device.
    """
    try:
        package = importlib.import_module("pet_kokkos")
    except ImportError as error:
        raise DescriptionError(f"pet-kokkos {described.version} cannot be imported: {error}") from error
    backend = str(package.backend()).split()[0]
    if (backend in _GPU_BACKENDS) != (device.type == "cuda"):
        raise UnsupportedModelError(
            f"the job runs on {device.type}, but pet-kokkos {described.version} is built for {backend}: install its "
            f"build for {device.type}, or run the job on another device"
        )
    with tempfile.TemporaryDirectory() as folder:  # read once, when it is made
        prefix = Path(folder) / "model"
        write_for_kokkos(model, prefix)
        try:
            return package.Calculator(str(prefix), **described.arguments)
        except Exception as error:  # of C++ and of the arguments of the user
            raise UnsupportedModelError(
                f"pet-kokkos {described.version} cannot evaluate {described.weights}: {error}; evaluate it without "
                "pet-kokkos"
            ) from error

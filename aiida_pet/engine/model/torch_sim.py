"""The batched model behind torch-sim's ``ModelInterface``, for its optimisers, integrators and Monte Carlo.

torch-sim keeps lattice vectors in columns and one ``pbc`` for all systems; here they are rows, and each has its own.
Stress has the same sign and units in both. The neighbour list is kept, with its skin, as long as a state has the same
systems as the state before.
"""

from __future__ import annotations

from typing import Any

import torch
from torch_sim import SimState
from torch_sim.models.interface import ModelInterface

from aiida_pet.engine.batch.batch import Batch, Tensor
from aiida_pet.engine.batch.neighbors import NeighborList
from aiida_pet.engine.model.base import BatchModel


class TorchSimPet(ModelInterface):
    """A batched model for torch-sim.

    :param model: that evaluates.
    :param dtype: precision of the states that torch-sim makes for it; answers have the one of the state that is asked
        for.
    :param skin: skin of the neighbour list, A.
    """

    def __init__(self, model: BatchModel, *, dtype: torch.dtype = torch.float64, skin: float = 0.5) -> None:
        super().__init__()
        self._model = model
        self._device, self._dtype = model.device, dtype
        self._compute_forces = self._compute_stress = True
        self._skin = skin
        self._list = NeighborList(model.cutoff, skin)
        self._last: Batch | None = None

    def forward(self, state: SimState, **_: Any) -> dict[str, Tensor]:
        """Return what the model says of ``state``.

        :return: ``energy`` (N,) eV, ``forces`` (A, 3) eV/A, ``stress`` (N, 3, 3) eV/A^3, which is NaN for systems that
            are not periodic in three directions, and the further outputs of the model under their names.
        """
        batch = self._batch(state)
        answer = self._model.evaluate(batch, self._list.update(batch))
        said = {"energy": answer.energy, "forces": answer.forces, "stress": answer.stress}
        return {name: values.to(state.dtype) for name, values in (said | answer.rows | answer.atoms).items()}

    def _batch(self, state: SimState) -> Batch:
        """Return ``state`` as a batch, and begin a neighbour list if its systems are not those of the last one."""
        positions = state.positions.detach().double()
        cells = state.row_vector_cell.detach().double().contiguous()
        numbers, row = state.atomic_numbers.long(), state.system_idx.long()
        last = self._last
        if (
            last is None
            or not (torch.equal(numbers, last.numbers) and torch.equal(row, last.row_of_atom))
            or not torch.equal(state.pbc, last.pbc[0])
        ):
            n_atoms = torch.bincount(row, minlength=len(cells))
            last = Batch(numbers, positions, cells, state.pbc.expand(len(cells), 3), n_atoms, row)
            self._last, self._list = last, NeighborList(self._model.cutoff, self._skin)
        return last.moved(positions, cells)

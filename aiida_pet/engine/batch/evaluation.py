"""What a model says of a batch, and how the answers of its parts are put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from aiida_pet.engine.batch.batch import Batch, Tensor

VIRIAL = "virial"  # in ``rows``: dE/d(strain), (N, 3, 3) eV, on its way to become ``invariance``
#: In ``rows`` where forces are direct: norm of their sum, eV/A, before it was removed; of an average, the mean of it.
NET_FORCE = "net_force"


@dataclass(frozen=True)
class Evaluation:
    """Energies, forces and stresses of N rows with A atoms, and what else was asked for; all in float64.

    :ivar energy: (N,) eV.
    :ivar forces: (A, 3) eV/A.
    :ivar stress: (N, 3, 3) eV/A^3, symmetric; NaN for rows that are not periodic in three directions,
        unless the model was asked for the stress of slabs.
    :ivar rows: further results per row by name, (N, ...); see :mod:`aiida_pet.job.parameters` for the names.
    :ivar atoms: further results per atom by name, (A, ...).
    """

    energy: Tensor
    forces: Tensor
    stress: Tensor
    rows: dict[str, Tensor] = field(default_factory=dict)
    atoms: dict[str, Tensor] = field(default_factory=dict)

    def take(self, batch: Batch, rows: Tensor) -> Evaluation:
        """Return what belongs to ``rows`` of ``batch``, the batch that was evaluated."""
        atoms = batch.atoms_of(rows)
        return Evaluation(
            self.energy[rows],
            self.forces[atoms],
            self.stress[rows],
            {name: values[rows] for name, values in self.rows.items()},
            {name: values[atoms] for name, values in self.atoms.items()},
        )

    def cpu(self) -> Evaluation:
        """Return the same in the memory of the host."""
        return Evaluation(
            self.energy.cpu(),
            self.forces.cpu(),
            self.stress.cpu(),
            {name: values.cpu() for name, values in self.rows.items()},
            {name: values.cpu() for name, values in self.atoms.items()},
        )

    @staticmethod
    def nothing(
        batch: Batch,
        rows: Mapping[str, tuple[int, ...]] | None = None,
        atoms: Mapping[str, tuple[int, ...]] | None = None,
    ) -> Evaluation:
        """Return NaN for all that a model says of ``batch``.

        :param rows: shapes of the further results of each row by name.
        :param atoms: shapes of those of each atom.
        """

        def nan(*shape: int) -> Tensor:
            return torch.full(shape, torch.nan, dtype=torch.float64, device=batch.device)

        n_rows, n_atoms = len(batch), len(batch.numbers)
        return Evaluation(
            nan(n_rows),
            nan(n_atoms, 3),
            nan(n_rows, 3, 3),
            {name: nan(n_rows, *shape) for name, shape in (rows or {}).items()},
            {name: nan(n_atoms, *shape) for name, shape in (atoms or {}).items()},
        )

    @staticmethod
    def assembled(batch: Batch, parts: Sequence[tuple[Tensor, Tensor, Evaluation]]) -> Evaluation:
        """Return the evaluation of ``batch`` from the evaluations of its parts.

        :param parts: (places of the part's rows in the batch, of its atoms, its evaluation); together all rows.
        """
        if len(parts) == 1 and len(parts[0][0]) == len(batch):
            rows, _, only = parts[0]
            if bool((rows[1:] > rows[:-1]).all()):
                return only
        rows = torch.cat([part[0] for part in parts])
        atoms = torch.cat([part[1] for part in parts])
        answers = [part[2] for part in parts]

        def placed(index: Tensor, values: list[Tensor]) -> Tensor:
            joined = torch.cat(values)
            return torch.empty_like(joined).index_copy_(0, index, joined)

        return Evaluation(
            placed(rows, [answer.energy for answer in answers]),
            placed(atoms, [answer.forces for answer in answers]),
            placed(rows, [answer.stress for answer in answers]),
            {name: placed(rows, [a.rows[name] for a in answers]) for name in answers[0].rows},
            {name: placed(atoms, [a.atoms[name] for a in answers]) for name in answers[0].atoms},
        )

"""Monte Carlo at constant pressure, for tests of barostats: atoms and cells move by Metropolis' rule, nothing else."""

from __future__ import annotations

from collections.abc import Callable

import torch

from aiida_pet.engine.batch.batch import Batch
from aiida_pet.engine.batch.evaluation import Evaluation


def volumes_by_moves(
    batch: Batch,
    evaluate: Callable[[Batch], Evaluation],
    *,
    kt: float,
    pressure: float,
    sweeps: int,
) -> torch.Tensor:
    """Return (``sweeps``, N) volumes of the rows of ``batch``, each a Markov chain of its own.

    By turns all atoms of a row move at fixed cell, and its cell at fixed fractional positions, by a change of its nine
    numbers. The weight is V^(N - 1 - 2): N - 1 atoms press, and V^-2 makes shapes of volume one even. Sizes of moves
    adapt in the first quarter.

    :param kt: eV.
    :param pressure: eV/A^3.
    """
    rng = torch.Generator().manual_seed(7)
    n_rows, row = len(batch), batch.row_of_atom
    power = batch.n_atoms - 3.0
    sizes = torch.tensor([[0.1], [0.02]], dtype=torch.float64).repeat(1, n_rows)
    positions, cells = batch.positions, batch.cells

    def weights(positions: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
        volumes = torch.linalg.det(cells)
        energy = evaluate(batch.moved(positions, cells)).energy
        return power * volumes.log() - (energy + pressure * volumes) / kt

    weight = weights(positions, cells)
    found = []
    for sweep in range(sweeps):
        for kind in (0, 1):
            size = sizes[kind]
            moved, changed = positions, cells
            if kind == 0:
                step = torch.randn(positions.shape, dtype=torch.float64, generator=rng)
                moved = positions + size[row, None] * step
            else:
                drawn = torch.randn(cells.shape, dtype=torch.float64, generator=rng)
                changed = cells + size[:, None, None] * 5.0 * drawn
                strain = torch.linalg.solve(cells, changed)
                moved = torch.einsum("ai,aij->aj", positions, strain[row])
            proposed = weights(moved, changed)
            accepted = torch.rand(n_rows, dtype=torch.float64, generator=rng).log() < proposed - weight
            positions = torch.where(accepted[row, None], moved, positions)
            cells = torch.where(accepted[:, None, None], changed, cells)
            weight = torch.where(accepted, proposed, weight)
            if sweep < sweeps // 4:
                sizes[kind] = size * torch.where(accepted, 1.06, 0.97)
        found.append(torch.linalg.det(cells))
    return torch.stack(found)

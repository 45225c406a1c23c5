"""What is kept of a path while it grows: means, deviations, errors by blocks, and the slope of the conserved energy.

Nothing grows with the length of a path but, by one entry each time it doubles, the hierarchy of blocks of Flyvbjerg and
Petersen, J. Chem. Phys. 91, 461 (1989): at level l a block is the mean of 2^l samples. Once blocks are longer than the
correlation time, the standard error that they give no longer changes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from aiida_pet.engine.batch.batch import Tensor

LEVELS = 40
LEAST_BLOCKS = 32
"""Levels with fewer blocks tell nothing of an error."""


@dataclass
class Blocks:
    """Samples of Q quantities of N rows; a state as :mod:`aiida_pet.engine.tasks.row_state` understands it.

    :ivar count: (N, L) int64, blocks at each level.
    :ivar mean: (N, L, Q) of the blocks.
    :ivar squares: (N, L, Q), sums of squared deviations from the mean.
    :ivar half: (N, L, Q), the block that waits for its other half.
    """

    count: Tensor
    mean: Tensor
    squares: Tensor
    half: Tensor

    @staticmethod
    def start(n_rows: int, n_quantities: int, device: torch.device | str = "cpu") -> Blocks:
        """Return the blocks of rows without samples."""
        zero = torch.zeros((n_rows, LEVELS, n_quantities), dtype=torch.float64, device=device)
        count = torch.zeros((n_rows, LEVELS), dtype=torch.long, device=device)
        return Blocks(count, zero, zero, zero)

    def added(self, values: Tensor, rows: Tensor) -> Blocks:
        """Return the blocks with ``values`` (N, Q) of those ``rows`` (N,) bool that have a sample now."""
        count, mean, squares, half = (one.clone() for one in (self.count, self.mean, self.squares, self.half))
        value, active = values, rows
        for level in range(LEVELS):
            if not bool(active.any()):
                break
            which = active[:, None]
            count[:, level] += active
            apart = torch.where(which, value - mean[:, level], 0.0)
            mean[:, level] += apart / count[:, level].clamp(min=1)[:, None]
            squares[:, level] += apart * torch.where(which, value - mean[:, level], 0.0)
            is_second = active & (count[:, level] % 2 == 0)
            joined = 0.5 * (half[:, level] + value)
            half[:, level] = torch.where(which, value, half[:, level])
            value, active = joined, is_second
        return Blocks(count, mean, squares, half)

    @property
    def means(self) -> Tensor:
        """(N, Q); NaN of rows without samples."""
        return torch.where(self.count[:, :1] > 0, self.mean[:, 0], torch.nan)

    @property
    def deviations(self) -> Tensor:
        """(N, Q) standard deviations; NaN of rows with fewer than two samples."""
        count = self.count[:, :1]
        spread = torch.sqrt(self.squares[:, 0] / (count - 1).clamp(min=1))
        return torch.where(count > 1, spread, torch.nan)

    @property
    def errors(self) -> Tensor:
        """(N, Q) standard errors of the means: the largest over the levels with enough blocks; NaN where none has."""
        count = self.count[:, :, None]
        of_levels = torch.sqrt(self.squares / ((count - 1).clamp(min=1) * count.clamp(min=1)))
        found = torch.where(count >= LEAST_BLOCKS, of_levels, -1.0).amax(dim=1)
        return torch.where(found < 0, torch.nan, found)


@dataclass
class Slope:
    """Least squares of a line through samples of N rows, without the samples.

    :ivar count: (N,) int64.
    :ivar x: (N,) mean of the abscissas.
    :ivar y: (N,) mean of the ordinates.
    :ivar xx: (N,) sum of squared deviations.
    :ivar xy: (N,) of products of deviations.
    """

    count: Tensor
    x: Tensor
    y: Tensor
    xx: Tensor
    xy: Tensor

    @staticmethod
    def start(n_rows: int, device: torch.device | str = "cpu") -> Slope:
        """Return the lines of rows without samples."""
        zero = torch.zeros(n_rows, dtype=torch.float64, device=device)
        return Slope(torch.zeros(n_rows, dtype=torch.long, device=device), zero, zero, zero, zero)

    def added(self, x: Tensor, y: Tensor, rows: Tensor) -> Slope:
        """Return the lines with the points (``x``, ``y``), (N,) each, of ``rows`` (N,) bool."""
        count = self.count + rows
        by = count.clamp(min=1)
        off_x, off_y = torch.where(rows, x - self.x, 0.0), torch.where(rows, y - self.y, 0.0)
        mean_x, mean_y = self.x + off_x / by, self.y + off_y / by
        left = torch.where(rows, x - mean_x, 0.0)
        return Slope(count, mean_x, mean_y, self.xx + off_x * left, self.xy + left * off_y)

    @property
    def values(self) -> Tensor:
        """(N,) slopes; NaN of rows with fewer than two samples."""
        return torch.where(self.xx > 0, self.xy / torch.where(self.xx > 0, self.xx, 1.0), torch.nan)

"""What a relaxation must not do to a row: moves that throw it out of bounds are found before they are made.

All rows are looked at together; only for those that fail a message is made, which names value and limit.
"""

from __future__ import annotations

import torch

from aiida_pet.engine.batch.batch import Batch, Tensor
from aiida_pet.engine.batch.neighbors import NeighborList, Pairs


def closest_distances(batch: Batch, pairs: Pairs) -> Tensor:
    """Return the (N,) shortest distances among ``pairs`` of each row, A; infinite where it has none."""
    row = batch.row_of_atom[pairs.centers]
    apart = batch.positions[pairs.neighbors] - batch.positions[pairs.centers]
    apart += torch.bmm(pairs.shifts.double()[:, None], batch.cells[row])[:, 0]
    squared = (apart * apart).sum(dim=1)
    nothing = torch.full((len(batch),), torch.inf, dtype=squared.dtype, device=batch.device)
    return nothing.scatter_reduce_(0, row, squared, reduce="amin").sqrt()


def faults_of_move(
    moved: Batch,
    neighbors: NeighborList,
    volumes_before: Tensor,
    *,
    volume_ratio_max: float,
    min_distance: float,
) -> dict[int, str]:
    """Return place -> what is wrong with the rows of ``moved`` that are out of bounds.

    Distances are looked at only in rows that moved so far since their pairs were found that two atoms may be too close.

    :param neighbors: of the same rows before the move. Pairs need not be searched again: to be missed, an atom would
        have to come from beyond the cutoff to within ``min_distance`` in one step.
    :param volumes_before: (N,) A^3, at the start of the relaxation.
    """
    ratio = moved.volumes() / volumes_before
    has_volume = (moved.pbc.sum(dim=1) >= 2) & (volumes_before > 0)
    swollen = has_volume & ~((ratio < volume_ratio_max) & (ratio > 1.0 / volume_ratio_max))
    distances = neighbors.distances_at_least(moved)
    close = (~(distances >= min_distance)).nonzero().flatten()
    if len(close):
        distances[close] = closest_distances(moved.take(close), neighbors.pairs.take(close, moved))
    finite = moved.row_sum(moved.positions.sum(dim=1)).isfinite()
    lost = (~finite | swollen | (distances < min_distance)).nonzero().flatten().tolist()
    faults = {}
    for place in lost:
        if bool(swollen[place]):
            faults[place] = (
                f"the volume would change by a factor of {ratio[place].item():.3g}, "
                f"volume_ratio_max = {volume_ratio_max:g}"
            )
        elif bool(finite[place]):
            faults[place] = (
                f"two atoms would come within {distances[place].item():.3g} A of each other, "
                f"min_distance = {min_distance:g} A"
            )
        else:
            faults[place] = "positions would not be finite numbers"
    return faults

"""A batch as metatomic's list of systems with neighbour lists, and metatensor's blocks as flat tensors again.

The systems' positions and cells are parts of those of the batch, so that one leaf of positions and one of strain serve
all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from metatensor.torch import Labels, TensorBlock, TensorMap
from metatomic.torch import NeighborListOptions, System, register_autograd_neighbors

from aiida_pet.engine.batch.batch import Batch, Tensor
from aiida_pet.engine.batch.neighbors import Pairs
from aiida_pet.engine.model.base import Strained

_SAMPLES = ["first_atom", "second_atom", "cell_shift_a", "cell_shift_b", "cell_shift_c"]


def make_systems(
    batch: Batch,
    pairs: Pairs,
    strained: Strained,
    lists: Sequence[NeighborListOptions],
    data: Mapping[str, float],
) -> list[System]:
    """Return the rows of ``batch`` as metatomic's systems.

    :param strained: their positions and cells.
    :param lists: neighbour lists that the model wants; their pairs are taken from ``pairs``.
    :param data: further inputs by name, the same number for every system.
    """
    positions, cells = strained.positions, strained.cells
    with torch.no_grad():
        row = batch.row_of_atom[pairs.centers]
        vectors = positions[pairs.neighbors] - positions[pairs.centers]
        vectors = vectors + torch.einsum("pi,pij->pj", pairs.shifts.to(cells.dtype), cells[row])
        distances = torch.linalg.vector_norm(vectors, dim=1)
    sizes = batch.n_atoms.tolist()
    firsts = (torch.cumsum(batch.n_atoms, 0) - batch.n_atoms).tolist()
    systems = [
        System(
            types=batch.numbers[first : first + size].to(torch.int32),
            positions=positions[first : first + size],
            cell=cell,
            pbc=pbc,
        )
        for first, size, cell, pbc in zip(firsts, sizes, cells, batch.pbc, strict=True)
    ]
    for options in lists:
        chosen = distances <= options.engine_cutoff("angstrom")
        if not options.full_list:
            chosen &= _is_first_of_two(pairs)
        # by centre: metatrain's long-range features take distances in that order and indices in the list's (issue 1199)
        places = chosen.nonzero().flatten()
        places = places[torch.argsort(pairs.centers[places], stable=True)]
        counts = torch.bincount(row[places], minlength=len(batch)).tolist()
        first_atoms = (torch.cumsum(batch.n_atoms, 0) - batch.n_atoms)[row[places]]
        samples = torch.cat(
            [
                (pairs.centers[places] - first_atoms)[:, None],
                (pairs.neighbors[places] - first_atoms)[:, None],
                pairs.shifts[places],
            ],
            dim=1,
        ).to(torch.int32)
        parts = zip(systems, torch.split(samples, counts), torch.split(vectors[places], counts), strict=True)
        for system, sample, vector in parts:
            block = _neighbors(sample, vector)
            register_autograd_neighbors(system, block, check_consistency=False)
            system.add_neighbor_list(options, block)
    for name, value in data.items():
        for system in systems:
            system.add_data(name, _number(name, value, positions))
    return systems


def per_atom(block: TensorBlock, batch: Batch) -> Tensor:
    """Return the values of ``block`` as (A, ...), in the order of the atoms of ``batch``; zero for those left out."""
    firsts = torch.cumsum(batch.n_atoms, 0) - batch.n_atoms
    systems, atoms = block.samples.column("system").long(), block.samples.column("atom").long()
    return _placed(block, firsts[systems] + atoms, len(batch.numbers))


def per_row(block: TensorBlock, batch: Batch) -> Tensor:
    """Return the values of ``block`` as (N, ...), in the order of the rows of ``batch``; zero for those left out."""
    return _placed(block, block.samples.column("system").long(), len(batch))


def _placed(block: TensorBlock, places: Tensor, number: int) -> Tensor:
    values = block.values
    out = torch.zeros((number, *values.shape[1:]), dtype=values.dtype, device=values.device)
    return out.index_add(0, places, values)


def _is_first_of_two(pairs: Pairs) -> Tensor:
    """Return which of the (P,) directed pairs a list of each pair once has: the one whose neighbour is later or, of an
    atom and its image, whose shift is positive in the first component that is not zero.
    """
    a, b, c = pairs.shifts.unbind(1)
    positive = (a > 0) | ((a == 0) & ((b > 0) | ((b == 0) & (c > 0))))
    return (pairs.centers < pairs.neighbors) | ((pairs.centers == pairs.neighbors) & positive)


def _neighbors(samples: Tensor, vectors: Tensor) -> TensorBlock:
    device = vectors.device
    return TensorBlock(
        values=vectors[:, :, None],
        samples=Labels(_SAMPLES, samples, assume_unique=True),
        components=[Labels(["xyz"], torch.arange(3, dtype=torch.int32, device=device)[:, None])],
        properties=Labels(["distance"], torch.zeros((1, 1), dtype=torch.int32, device=device)),
    )


def _number(name: str, value: float, like: Tensor) -> TensorMap:
    zero = torch.zeros((1, 1), dtype=torch.int32, device=like.device)
    block = TensorBlock(
        values=torch.full((1, 1), value, dtype=like.dtype, device=like.device),
        samples=Labels(["system"], zero),
        components=[],
        properties=Labels([name], zero),
    )
    return TensorMap(Labels(["_"], zero), [block])

"""Cutoff functions of PET, and the cutoffs that adapt to the neighbours of each atom.

As metatrain's ``pet.modules.adaptive_cutoff`` and ``pet.modules.utilities`` have them. An adaptive cutoff r of an atom
is one with some given number n of neighbours, counted smoothly: sum_j f(d_j; r) + n (r / r_max)^3 = n, where the second
term keeps the left side rising. ``solver`` finds that r; ``grid``, of older checkpoints, averages radii on a grid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from aiida_pet.engine.batch.batch import Tensor

MARGIN = 1e-6  # from both ends of the bump, where its derivative is 0 times infinity
MIN_PROBE = 0.5  # A, of the grid
ITERATIONS = 10
MIN_SLOPE = 1e-6
MIN_SHARE = 1.0 / 16.0  # of the largest cutoff


def bump(distances: Tensor, cutoffs: Tensor, width: float) -> Tensor:
    """Return 1 below ``cutoffs`` - ``width``, 0 above ``cutoffs`` and a smooth step between, A."""
    scaled = ((distances - (cutoffs - width)) / width).clamp(MARGIN, 1.0 - MARGIN)
    return 0.5 * (1.0 + torch.tanh(1.0 / torch.tan(math.pi * scaled)))


def cosine(distances: Tensor, cutoffs: Tensor, width: float) -> Tensor:
    """Return the same with half a period of the cosine as its step."""
    scaled = ((distances - (cutoffs - width)) / width).clamp(0.0, 1.0)
    return 0.5 * (1.0 + torch.cos(math.pi * scaled))


FUNCTIONS = {"bump": bump, "cosine": cosine}


@dataclass(frozen=True)
class Aim:
    """What an adaptive cutoff aims at.

    :ivar number: number of neighbours to have.
    :ivar largest: cutoff, A.
    :ivar width: width of the step, A.
    """

    number: float
    largest: float
    width: float


def solved(distances: Tensor, centers: Tensor, n_atoms: int, aim: Aim) -> Tensor:
    """Return the (A,) cutoffs by ``solver``, A: Newton's method, within brackets that bisect where it leaves them.

    The derivative is that of the implicit function: one step of Newton's from the root, which moves nothing, through
    which the count is differentiated.

    :param distances: (P,) A, of pairs.
    :param centers: (P,) atom of each pair.
    """
    number, largest, width = aim.number, aim.largest, aim.width
    fixed = distances.detach()
    low, high = fixed.new_zeros(n_atoms), fixed.new_full((n_atoms,), largest)
    radius = 0.5 * high
    for _ in range(ITERATIONS):
        count, slope = _count_and_slope(radius, fixed, centers, aim)
        excess = count - number
        is_below = excess <= 0
        low, high = torch.where(is_below, radius, low), torch.where(is_below, high, radius)
        step = radius - excess / slope.clamp_min(MIN_SLOPE)
        is_inside = (step >= low) & (step <= high)
        radius = torch.where(is_inside, step, 0.5 * (low + high))
    _, slope = _count_and_slope(radius, fixed, centers, aim)
    factors = bump(distances, radius[centers], width)
    count = distances.new_zeros(n_atoms).index_add(0, centers, factors) + number * (radius / largest).pow(3)
    return (radius - (count - number) / slope.clamp_min(MIN_SLOPE)).clamp(largest * MIN_SHARE, largest)


def _count_and_slope(radius: Tensor, distances: Tensor, centers: Tensor, aim: Aim) -> tuple[Tensor, Tensor]:
    """Return the smooth count of neighbours within ``radius`` (A,), and its derivative by it."""
    number, largest, width = aim.number, aim.largest, aim.width
    scaled = (distances - (radius[centers] - width)) / width
    is_active = (scaled > 0.0) & (scaled < 1.0)
    angle = math.pi * scaled.clamp(MARGIN, 1.0 - MARGIN)
    sine = torch.sin(angle)
    tanh = torch.tanh(torch.cos(angle) / sine)
    factors = torch.where(is_active, 0.5 * (1.0 + tanh), (scaled <= 0.0).to(scaled.dtype))
    slopes = (0.5 * math.pi / width) * (1.0 - tanh * tanh) / (sine * sine) * is_active.to(scaled.dtype)
    share = radius / largest
    count = torch.zeros_like(radius).index_add_(0, centers, factors) + number * share.pow(3)
    slope = torch.zeros_like(radius).index_add_(0, centers, slopes) + 3.0 * number * share.pow(2) / largest
    return count, slope


def averaged(distances: Tensor, centers: Tensor, n_atoms: int, aim: Aim) -> Tensor:
    """Return the (A,) cutoffs by ``grid``, A; parameters as of :func:`solved`.

    The weight of a radius falls with the excess of neighbours there, in units of how it changes to the next radius.
    Weights are normalised for each atom by itself, where metatrain takes off the largest exponent of the whole batch
    first: the same numbers, whatever else is in the batch.
    """
    number, largest, width = aim.number, aim.largest, aim.width
    probes = torch.arange(MIN_PROBE, largest, width / 4.0, device=distances.device, dtype=distances.dtype)
    factors = bump(distances[None, :], probes[:, None], width)
    counts = distances.new_zeros((len(probes), n_atoms)).index_add(1, centers, factors).T
    shares = torch.linspace(0.0, 1.0, len(probes), device=distances.device, dtype=distances.dtype)
    excess = counts - number + number * shares.pow(3)[None, :]
    if len(probes) == 1:
        spread = excess.abs() * 0.5 + 1e-12
    else:
        (spread,) = torch.gradient(excess, dim=-1)
        spread = spread.abs().clamp_min(1e-12)
    return torch.softmax(-0.5 * (excess / spread) ** 2, dim=1) @ probes


METHODS = {"solver": solved, "grid": averaged}

"""How fine the mesh of q-points must be: the transport is repeated on finer ones until it changes no more."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from aiida_pet.crystals.conductivity.transport import Conductivity, Transport, conductivity
from aiida_pet.tables.arrays import Floats

__all__ = ["Converged", "converge_mesh"]

DEFAULT_LENGTHS = (20.0, 30.0, 40.0, 50.0, 60.0, 80.0)
"""A; a mesh has about 3 x as many points per volume with each second step."""


@dataclass(frozen=True)
class Converged:
    """Conductivities on finer and finer meshes.

    :ivar lengths: (L,) that were tried, A.
    :ivar results: one for each.
    :ivar converged: whether the last two differ by less than the tolerance at all temperatures.
    """

    lengths: tuple[float, ...]
    results: tuple[Conductivity, ...]
    converged: bool


def converge_mesh(
    phono3py: Any,
    fc2_forces: Floats,
    fc3_forces: Floats,
    transport: Transport,
    *,
    lengths: Sequence[float] = DEFAULT_LENGTHS,
    tolerance: float = 0.02,
    nac: Mapping[str, Any] | None = None,
) -> Converged:
    """Return conductivities on meshes of ``lengths``, one after another, as far as they are needed.

    :param phono3py: as in :func:`~aiida_pet.crystals.conductivity.transport.conductivity`.
    :param transport: whose mesh is not looked at.
    :param lengths: ascending, A; two that give one mesh count once.
    :param tolerance: largest relative change of the mean conductivity from one mesh to the next at any temperature.
    :raises ValueError: if there are fewer than two lengths, or they do not ascend.
    """
    if len(lengths) < 2 or any(first >= second for first, second in itertools.pairwise(lengths)):
        raise ValueError(f"lengths = {list(lengths)}: expected two or more lengths in A, in ascending order")
    tried: list[float] = []
    results: list[Conductivity] = []
    for length in lengths:
        found = conductivity(phono3py, fc2_forces, fc3_forces, replace(transport, mesh=length), nac=nac)
        if results and (found.mesh == results[-1].mesh).all():
            continue
        tried.append(length)
        results.append(found)
        if found.skipped and "imaginary" in found.skipped:
            break
        if len(results) > 1 and np.all(np.abs(results[-1].mean / results[-2].mean - 1) < tolerance):
            return Converged(tuple(tried), tuple(results), True)
    return Converged(tuple(tried), tuple(results), False)

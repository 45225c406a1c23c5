"""What trajectories show: radial distributions, mean squared displacements, velocity autocorrelations and spectra."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from ase.data import atomic_masses, chemical_symbols
from ase.geometry import minkowski_reduce
from ase.neighborlist import primitive_neighbor_list

from aiida_pet.figures.source import NotDrawnError, framed
from aiida_pet.job.trajectory_files import Frames
from aiida_pet.tables.arrays import Floats
from aiida_pet.tables.fixed_atoms import Flags

FIT = (0.1, 0.5)
"""Part of the times that the line for a diffusivity goes through: no longer ballistic, not yet of few samples."""
CM2_PER_S = 1e-4
"""Of A^2/ps."""
SLOWEST = 1e-12
"""A/fs: slower atoms are at rest up to rounding; the length of a bond would take them minutes."""
_AT_REST = (
    "no atom moves. In a cell with a single atom the centre of mass is at rest, and so is the atom: make a supercell "
    "first"
)


@dataclass(frozen=True)
class RadialDistribution:
    """Radial distribution function: number of pairs at a distance, divided by the number for a random distribution.

    :ivar distances: (B,) A, middles of the bins.
    :ivar total: (B,) g(r) of all atoms.
    :ivar pairs: ``Mo-Ta`` -> (B,), the same for each pair of elements.
    :ivar n_frames: number of frames over which it is averaged.
    :ivar image_distance: smallest distance of an atom to its own image in these frames, A.
    """

    distances: Floats
    total: Floats
    pairs: dict[str, Floats]
    n_frames: int
    image_distance: float

    def to_frame(self) -> pd.DataFrame:
        """Return a row per distance."""
        parts = self.pairs if len(self.pairs) > 1 else {}
        return framed({"distance": self.distances, "total": self.total, **parts}, {"distance": "A"})


@dataclass(frozen=True)
class Displacement:
    """Mean squared displacement of atoms over time, relative to the centre of mass unless atoms are held.

    :ivar times: (L,) ps.
    :ivar total: (L,) A^2, mean over all atoms and all starting times.
    :ivar elements: symbol -> (L,), the same for the atoms of each element.
    :ivar diffusivities: symbol, or ``total`` -> cm^2/s: a sixth of the slope between :data:`FIT` of the times.
    """

    times: Floats
    total: Floats
    elements: dict[str, Floats]
    diffusivities: dict[str, float]

    def to_frame(self) -> pd.DataFrame:
        """Return a row per time."""
        parts = self.elements if len(self.elements) > 1 else {}
        units = dict.fromkeys(("total", *parts), "A^2") | {"time": "ps"}
        return framed({"time": self.times, "total": self.total, **parts}, units)


@dataclass(frozen=True)
class VelocityCorrelation:
    """Velocity autocorrelation function, weighted with the masses of the atoms, and its spectrum.

    :ivar times: (L,) ps.
    :ivar total: (L,), 1 at time 0.
    :ivar elements: symbol -> (L,), the same for the atoms of each element.
    :ivar frequencies: (K,) THz, up to half of the rate of the frames.
    :ivar spectrum: (K,) 1/THz; its integral is 1.
    """

    times: Floats
    total: Floats
    elements: dict[str, Floats]
    frequencies: Floats
    spectrum: Floats

    def to_frame(self) -> pd.DataFrame:
        """Return a row per time."""
        parts = self.elements if len(self.elements) > 1 else {}
        return framed({"time": self.times, "total": self.total, **parts}, {"time": "ps"})

    def spectrum_frame(self) -> pd.DataFrame:
        """Return a row per frequency."""
        units = {"frequency": "THz", "spectrum": "1/THz"}
        return framed({"frequency": self.frequencies, "spectrum": self.spectrum}, units)


def radial_distribution(
    parts: Iterable[Frames], *, r_max: float = 8.0, bins: int = 160, skip: float = 0.0
) -> RadialDistribution:
    """Return the radial distribution of a crystal, including periodic images of atoms.

    ``r_max`` may be larger than the cell. Beyond half of ``image_distance`` an atom has neighbours of which it also
    sees other images, and from ``image_distance`` on it sees images of itself, which move as it does.

    :param parts: its frames in several parts; only one part is in memory at a time.
    :param r_max: largest distance, A.
    :param skip: time (ps) at the beginning of the trajectory that is left out.
    :raises NotDrawnError: if ``r_max`` is not positive and finite, the row is not periodic in three directions, no
        frame is left, or no atoms are so close.

    >>> from ase.build import bulk
    >>> atoms = bulk("W", a=3.165)
    >>> series = {"times": np.zeros(1), "cells": atoms.cell[None], "positions": atoms.positions[None]}
    >>> found = radial_distribution([Frames(atoms.numbers, atoms.pbc, series)], r_max=4.0)
    >>> print(round(found.distances[found.total.argmax()], 1), "A")
    2.7 A
    """
    if not 0.0 < r_max < np.inf:
        raise NotDrawnError(f"r_max = {r_max:g} A: expected a positive number")
    edges = np.linspace(0.0, r_max, bins + 1)
    shells = 4.0 / 3.0 * np.pi * np.diff(edges**3)
    found: dict[tuple[int, int], Floats] = {}
    n_frames, numbers = 0, np.zeros(0, dtype=np.int64)
    images = _ImageDistances()
    for frames in parts:
        if not frames.pbc.all():
            raise NotDrawnError("a radial distribution needs a crystal that is periodic in three directions")
        numbers = frames.numbers
        for frame in np.flatnonzero(frames.series["times"] >= 1000.0 * skip).tolist():
            cell = frames.series["cells"][frame]
            images.add(cell)
            first, second, apart = primitive_neighbor_list(
                "ijd", frames.pbc, cell, frames.series["positions"][frame].astype(float), r_max
            )
            volume = abs(float(np.linalg.det(cell)))
            for pair in _pairs_of(numbers):
                which = (numbers[first] == pair[0]) & (numbers[second] == pair[1])
                counts = np.histogram(apart[which], edges)[0] * volume
                found[pair] = found.get(pair, np.zeros(bins)) + counts
            n_frames += 1
    if not n_frames:
        raise NotDrawnError(f"there are no frames after {skip:g} ps")
    if not any(counts.any() for counts in found.values()):
        raise NotDrawnError(f"no two atoms are closer than {r_max:g} A, the largest distance of the figure")
    size = {int(number): int((numbers == number).sum()) for number in np.unique(numbers)}
    both = {pair: 1 if pair[0] == pair[1] else 2 for pair in found}
    total = np.sum([both[pair] * counts for pair, counts in found.items()], axis=0)
    names = {pair: "-".join(chemical_symbols[number] for number in pair) for pair in found}
    return RadialDistribution(
        0.5 * (edges[1:] + edges[:-1]),
        total / (len(numbers) ** 2 * shells * n_frames),
        {
            names[pair]: counts / (size[pair[0]] * size[pair[1]] * shells * n_frames)
            for pair, counts in found.items()
        },
        n_frames,
        images.smallest,
    )


def mean_squared_displacement(frames: Frames, *, skip: float = 0.0) -> Displacement:
    """Return the mean squared displacement of the atoms of a row, for times up to half of the trajectory.

    The motion of the centre of mass is subtracted, except in directions in which atoms are held: these atoms take up
    momentum, and only displacements relative to them have a meaning. If the cell changes, displacements of fractional
    coordinates are converted with the mean cell.

    :param frames: all of them.
    :param skip: time (ps) at the beginning of the trajectory that is left out.
    :raises NotDrawnError: if fewer than four frames are left, they are not evenly spaced, or no atom moves.

    >>> times = 1000.0 * np.arange(20)  # fs
    >>> apart = 1e-4 * times[:, None, None] * np.array([[[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]]])  # (F, A, 3) A
    >>> frames = Frames(np.array([42, 42]), np.zeros(3, bool), {"times": times, "positions": apart})
    >>> mean_squared_displacement(frames).total[:3].round(6).tolist()
    [0.0, 0.01, 0.04]
    """
    frames, step = _evenly_spaced(frames, skip)
    positions = frames.series["positions"].astype(np.float64)
    if len(frames.numbers) == 1 or not np.ptp(positions, axis=0).any():
        raise NotDrawnError(f"all displacements are zero: {_AT_REST}")
    is_free = ~_directions_of_held_atoms(frames)
    if frames.pbc.all():
        cells = frames.series["cells"]
        positions = positions @ np.linalg.inv(cells) @ cells.mean(axis=0)
    masses = atomic_masses[frames.numbers]
    positions = positions - is_free * np.average(positions, axis=1, weights=masses)[:, None]
    of_atoms = _squared_displacements(positions)
    times = step * np.arange(len(of_atoms), dtype=np.float64)
    elements = _by_element(of_atoms, frames.numbers)
    total = of_atoms.mean(axis=1)
    part = slice(*(max(1, round(share * (len(times) - 1))) for share in FIT))
    inside = slice(part.start, max(part.stop, part.start + 1) + 1)
    diffusivities = {
        name: float(np.polyfit(times[inside], series[inside], 1)[0]) / 6.0 * CM2_PER_S
        for name, series in {"total": total, **elements}.items()
    }
    return Displacement(times, total, elements, diffusivities)


def velocity_correlation(frames: Frames, *, skip: float = 0.0) -> VelocityCorrelation:
    """Return the velocity autocorrelation function of a row, for times up to half of the trajectory, and its spectrum.

    The spectrum is the cosine transform of the autocorrelation function with a Hann window; the width of peaks is two
    divided by the largest time. For harmonic motion it is the vibrational density of states.

    :param frames: all of them.
    :param skip: time (ps) at the beginning of the trajectory that is left out.
    :raises NotDrawnError: if there are no velocities or all are zero, fewer than four frames are left, or they are not
        evenly spaced.

    >>> times = 10.0 * np.arange(200)  # fs
    >>> velocities = np.cos(2 * np.pi * 0.005 * times)[:, None, None] * np.ones((1, 1, 3))  # of 5 THz
    >>> frames = Frames(np.array([42]), np.ones(3, bool), {"times": times, "velocities": velocities})
    >>> found = velocity_correlation(frames)
    >>> print(round(found.frequencies[found.spectrum.argmax()], 3), "THz")
    5.0 THz
    """
    if "velocities" not in frames.series:
        raise NotDrawnError(
            "the trajectory has no velocities: launch the dynamics with velocities=true and a small frames_every, "
            "such as 5"
        )
    frames, step = _evenly_spaced(frames, skip)
    velocities = frames.series["velocities"].astype(np.float64)
    if not np.abs(velocities).max() > SLOWEST:
        raise NotDrawnError(f"all velocities are zero: {_AT_REST}")
    correlated = _autocorrelation(velocities).sum(axis=2) * atomic_masses[frames.numbers]
    by_element = _by_element(correlated, frames.numbers)
    elements = {name: series / series[0] for name, series in by_element.items() if series[0] > 0}
    total = correlated.sum(axis=1) / correlated[0].sum()
    windowed = total * np.cos(0.5 * np.pi * np.arange(len(total)) / len(total)) ** 2
    around = np.concatenate([windowed, [0.0], windowed[:0:-1]])
    spectrum = 2.0 * step * np.fft.rfft(around).real
    frequencies = np.fft.rfftfreq(len(around), step)
    times = step * np.arange(len(total), dtype=np.float64)
    return VelocityCorrelation(times, total, elements, frequencies, spectrum)


class _ImageDistances:
    """The smallest distance of an atom to its own image in any of several cells."""

    def __init__(self) -> None:
        self.smallest = np.inf
        self._last: Floats | None = None

    def add(self, cell: Floats) -> None:
        """Look at one more cell (3, 3), A."""
        if self._last is None or not np.array_equal(cell, self._last):
            self._last = cell
            shortest = float(np.linalg.norm(minkowski_reduce(cell)[0], axis=1).min())
            self.smallest = min(self.smallest, shortest)


def _directions_of_held_atoms(frames: Frames) -> Flags:
    """Return (3,) whether some atoms never move along x, y or z, although others do.

    An atom that is held along a lattice vector counts in all directions, since this vector may have any direction.
    """
    positions = frames.series["positions"].astype(np.float64)
    rests = np.ptp(positions, axis=0) == 0.0
    held: Flags = rests.any(axis=0) & ~rests.all(axis=0)
    if frames.pbc.all() and not np.ptp(frames.series["cells"], axis=0).any():
        cell = frames.series["cells"][0]
        rounding = 8.0 * np.finfo(np.float32).eps * np.abs(positions).max()  # of stored positions, A
        lengths = np.linalg.norm(cell, axis=1)
        rests = np.ptp(positions @ np.linalg.inv(cell), axis=0) * lengths <= rounding
        held = held | bool((rests.any(axis=0) & ~rests.all(axis=0)).any() and not held.any())
    return held


def _pairs_of(numbers: np.ndarray) -> list[tuple[int, int]]:
    elements = np.unique(numbers).tolist()
    return [(one, other) for place, one in enumerate(elements) for other in elements[place:]]


def _evenly_spaced(frames: Frames, skip: float) -> tuple[Frames, float]:
    """Return the frames after ``skip`` ps and the time between two of them, ps."""
    times = frames.series["times"] / 1000.0
    kept = frames.take(slice(int(np.searchsorted(times, skip)), None))
    times = kept.series["times"] / 1000.0
    if len(times) < 4:
        raise NotDrawnError(
            f"{len(times)} frames after {skip:g} ps: at least four frames are needed, and some hundred are better"
        )
    steps = np.diff(times)
    if not np.allclose(steps, steps[0], rtol=1e-6):
        raise NotDrawnError("the frames are not evenly spaced in time")
    return kept, float(steps[0])


def _by_element(of_atoms: Floats, numbers: np.ndarray) -> dict[str, Floats]:
    return {
        chemical_symbols[number]: of_atoms[:, numbers == number].mean(axis=1)
        for number in np.unique(numbers).tolist()
    }


def _autocorrelation(series: Floats) -> Floats:
    """Return (L, A, 3): means over beginnings of x(t) x(t + l), for l up to half of the series (T, A, 3)."""
    n_times = len(series)
    found = np.empty((n_times // 2, *series.shape[1:]))
    counts = n_times - np.arange(len(found))
    for atom in range(series.shape[1]):  # one by one: transforms of all would fill the memory
        moved = np.fft.rfft(series[:, atom], 2 * n_times, axis=0)
        found[:, atom] = np.fft.irfft(np.abs(moved) ** 2, axis=0)[: len(found)] / counts[:, None]
    return found


def _squared_displacements(positions: Floats) -> Floats:
    """Return (L, A) mean squared displacements over beginnings, by Fourier transforms.

    |x(t + l) - x(t)|^2 is the sum of both squares less twice their product: Calandrini et al., Ecole thematique de la
    Societe Francaise de la Neutronique 12, 201 (2011), section 4.2.
    """
    centred = positions - positions.mean(axis=0)
    squares = (centred**2).sum(axis=2)
    products = _autocorrelation(centred).sum(axis=2)
    n_times, n_lags = len(squares), len(products)
    sums = np.concatenate([np.zeros((1, squares.shape[1])), squares.cumsum(axis=0)])
    counts = n_times - np.arange(n_lags)
    both = sums[counts] + sums[-1] - sums[:n_lags]
    return np.maximum(both / counts[:, None] - 2.0 * products, 0.0)

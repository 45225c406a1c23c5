"""Radial distributions against ASE, displacements and correlations against plain loops and closed forms."""

from __future__ import annotations

import ase.build
import numpy as np
import pytest
from ase.data import atomic_masses
from ase.geometry.rdf import get_rdf

from aiida_pet.figures.dynamics import mean_squared_displacement, radial_distribution, velocity_correlation
from aiida_pet.figures.source import NotDrawnError
from aiida_pet.job.trajectory_files import Frames


def frames_of(
    numbers: list[int] | np.ndarray,
    positions: np.ndarray,
    *,
    step: float = 10.0,
    velocities: np.ndarray | None = None,
    cells: np.ndarray | None = None,
    pbc: bool = True,
) -> Frames:
    """Return frames ``step`` fs apart."""
    count = len(positions)
    series = {
        "steps": np.arange(count),
        "times": step * np.arange(count),
        "positions": positions,
        "cells": np.tile(20.0 * np.eye(3), (count, 1, 1)) if cells is None else cells,
        "energies": np.zeros(count),
        "temperatures": np.zeros(count),
        "pressures": np.zeros(count),
    }
    if velocities is not None:
        series["velocities"] = velocities
    return Frames(np.asarray(numbers), np.array([pbc] * 3), series)


def test_radial_distributions_are_those_of_ase_wherever_atoms_have_gone():
    rng = np.random.default_rng(0)
    atoms = ase.build.bulk("NaCl", "rocksalt", a=5.6, cubic=True).repeat(3)
    positions = np.stack([atoms.positions + rng.normal(scale=0.3, size=(len(atoms), 3)) for _ in range(3)])
    images = []
    for frame in positions:
        images.append(atoms.copy())
        images[-1].positions = frame
    cells = np.tile(np.array(atoms.cell), (3, 1, 1))
    # some have walked through the cell
    walked = positions + rng.integers(-2, 3, size=positions.shape) @ np.array(atoms.cell)
    frames = frames_of(atoms.numbers, walked, cells=cells)
    found = radial_distribution([frames.take(slice(0, 2)), frames.take(slice(2, None))], r_max=8.0, bins=40)
    assert found.n_frames == 3
    wanted, distances = get_rdf(images, 8.0, 40)
    np.testing.assert_allclose(found.distances, distances)
    np.testing.assert_allclose(found.total, wanted, rtol=1e-9, atol=1e-12)
    for name, elements in {"Na-Na": (11, 11), "Na-Cl": (11, 17), "Cl-Cl": (17, 17)}.items():
        partial, _ = get_rdf(images, 8.0, 40, elements=elements)
        np.testing.assert_allclose(found.pairs[name], partial, rtol=1e-9, atol=1e-12, err_msg=name)
    assert list(found.to_frame().columns) == ["distance", "total", "Na-Na", "Na-Cl", "Cl-Cl"]
    later = radial_distribution([frames], r_max=8.0, bins=40, skip=0.02)
    np.testing.assert_allclose(later.total, get_rdf(images[2], 8.0, 40, no_dists=True), rtol=1e-9, atol=1e-12)


def test_neighbours_in_a_small_cell_are_its_own_images():
    """The twelve neighbours of fcc: an integral of the distribution."""
    atoms = ase.build.bulk("Cu", a=3.6)
    frames = frames_of([29], atoms.positions[None], cells=np.array(atoms.cell)[None])
    found = radial_distribution([frames], r_max=6.0, bins=600)
    near = found.distances < 3.0
    shells = 4 * np.pi * found.distances**2 * 0.01
    assert (found.total * shells)[near].sum() / atoms.get_volume() == pytest.approx(12, rel=1e-3)


def test_displacements_are_those_of_a_double_loop():
    rng = np.random.default_rng(1)
    numbers = [6, 6, 8]
    positions = rng.normal(size=(30, 3, 3)).cumsum(axis=0) + 7.0
    found = mean_squared_displacement(frames_of(numbers, positions, pbc=False))
    centred = positions - np.average(positions, axis=1, weights=atomic_masses[numbers])[:, None]
    for lag in range(15):
        squares = ((centred[lag:] - centred[: 30 - lag]) ** 2).sum(axis=2).mean(axis=0)
        assert found.total[lag] == pytest.approx(squares.mean(), abs=1e-9)
        assert found.elements["C"][lag] == pytest.approx(squares[:2].mean(), abs=1e-9)
        assert found.elements["O"][lag] == pytest.approx(squares[2], abs=1e-9)
    np.testing.assert_allclose(found.times, 0.01 * np.arange(15))


def test_diffusivity_is_that_of_a_random_walk():
    """Steps of variance s^2 in each direction every tau: D = s^2 / (2 tau)."""
    rng = np.random.default_rng(2)
    steps = rng.normal(scale=0.1, size=(2000, 400, 3))
    found = mean_squared_displacement(frames_of([18] * 400, steps.cumsum(axis=0), step=10.0, pbc=False))
    exact = 0.1**2 / (2 * 0.01) * 1e-4  # A^2/ps in cm^2/s
    assert found.diffusivities["total"] == pytest.approx(exact, rel=0.1)
    assert found.to_frame().attrs["units"] == {"time": "ps", "total": "A^2"}


def held_atoms(held: np.ndarray, axes: np.ndarray | None = None) -> Frames:
    """Return a random walk of ten atoms; where ``held`` (10, 3), the coordinate along an axis stays the same."""
    axes = 20.0 * np.eye(3) if axes is None else axes
    walk = np.random.default_rng(5).normal(scale=0.01, size=(60, 10, 3)).cumsum(axis=0)
    positions = (0.5 + np.where(held, 0.0, walk)) @ axes
    return frames_of([18] * 10, positions.astype(np.float32), cells=np.tile(axes, (60, 1, 1)))


def from_the_start(frames: Frames, lag: int) -> np.ndarray:
    """Return mean squared displacements (10, 3) of atoms and directions after ``lag``, without any subtraction."""
    positions = frames.series["positions"].astype(float)
    return ((positions[lag:] - positions[: len(positions) - lag]) ** 2).mean(axis=0)


def test_displacements_are_absolute_where_atoms_are_held():
    frames = held_atoms((np.arange(10) < 5)[:, None] & np.ones(3, bool))
    found = mean_squared_displacement(frames)
    for lag in (1, 7, 20):
        assert found.total[lag] == pytest.approx(from_the_start(frames, lag).sum(axis=1).mean(), rel=1e-5)


def test_atoms_held_along_one_axis_leave_the_others_to_the_centre_of_mass():
    held = np.zeros((10, 3), bool)
    held[:4, 2] = True
    frames = held_atoms(held)
    drifting = frames_of(
        frames.numbers,
        frames.series["positions"] + 0.5 * np.arange(60)[:, None, None] * np.array([1, 0, 0]),
        cells=frames.series["cells"],
    )
    for lag in (1, 7):
        centred = frames.series["positions"].astype(float)
        centred[..., :2] -= centred[..., :2].mean(axis=1)[:, None]
        wanted = ((centred[lag:] - centred[:-lag]) ** 2).sum(axis=2).mean()
        assert mean_squared_displacement(drifting).total[lag] == pytest.approx(wanted, rel=1e-4)


def test_atoms_held_along_an_oblique_lattice_vector_are_seen():
    held = np.zeros((10, 3), bool)
    held[:5, 0] = True
    axes = np.array([[8.0, 1, 2], [3.0, 9, 1], [1.0, 2, 7]])
    frames = held_atoms(held, axes)
    assert np.ptp(frames.series["positions"], axis=0).min() > 0
    found = mean_squared_displacement(frames)
    assert found.total[7] == pytest.approx(from_the_start(frames, 7).sum(axis=1).mean(), rel=1e-4)


def test_a_plane_in_which_all_atoms_stay_holds_none():
    flat = np.random.default_rng(3).normal(size=(30, 6, 3)).cumsum(axis=0)
    flat[..., 2] = 1.0
    drifting = flat + 0.3 * np.arange(30)[:, None, None] * np.array([0, 1, 0])
    plain, other = (mean_squared_displacement(frames_of([18] * 6, one)) for one in (flat, drifting))
    np.testing.assert_allclose(plain.total, other.total, atol=1e-9)


def test_distance_of_images_is_that_of_the_shortest_lattice_vector_of_any_frame():
    atoms = ase.build.bulk("Cu", a=3.6)
    cells = np.stack([np.array(atoms.cell), 0.9 * np.array(atoms.cell)])
    cells[:, 2] += 3 * cells[:, 0]  # the same lattice
    frames = frames_of([29], np.zeros((2, 1, 3)), cells=cells)
    found = radial_distribution([frames], r_max=4.0)
    assert found.image_distance == pytest.approx(0.9 * 3.6 / np.sqrt(2))


@pytest.mark.parametrize("r_max", [0.0, -3.0, np.nan, np.inf])
def test_a_largest_distance_that_is_none_is_refused(r_max):
    atoms = ase.build.bulk("Cu", a=3.6)
    frames = frames_of([29], atoms.positions[None], cells=np.array(atoms.cell)[None])
    with pytest.raises(NotDrawnError, match="expected a positive number"):
        radial_distribution([frames], r_max=r_max)


def test_a_cell_that_breathes_moves_no_atom():
    edges = 5.0 + 0.3 * np.sin(np.arange(40))
    places = np.array([[0.1, 0.2, 0.3], [0.6, 0.7, 0.8]])
    far = places + np.array([7, 0, 0])  # where cells change most
    positions = edges[:, None, None] * far
    frames = frames_of([18, 18], positions, cells=edges[:, None, None] * np.eye(3))
    assert mean_squared_displacement(frames).total.max() < 1e-20


def test_velocities_of_oscillators_correlate_as_cosines():
    times = 0.002 * np.arange(8000)  # ps
    rates = {6: 20.0, 78: 5.0}
    velocities = np.zeros((len(times), 2, 3))
    for atom, rate in enumerate(rates.values()):
        velocities[:, atom, 0] = np.cos(2 * np.pi * rate * times + atom) / np.sqrt(
            atomic_masses[[6, 78][atom]]
        )
    found = velocity_correlation(
        frames_of([6, 78], np.zeros_like(velocities), step=2.0, velocities=velocities)
    )
    early = found.times < 1.0
    np.testing.assert_allclose(
        found.elements["C"][early], np.cos(2 * np.pi * 20.0 * found.times[early]), atol=0.01
    )
    mean = 0.5 * (np.cos(2 * np.pi * 20.0 * found.times) + np.cos(2 * np.pi * 5.0 * found.times))
    np.testing.assert_allclose(found.total[early], mean[early], atol=0.01)
    width = found.frequencies[1]
    assert found.spectrum.sum() * width == pytest.approx(1.0, rel=0.01)
    for rate in rates.values():  # each mode has half
        near = np.abs(found.frequencies - rate) < 1.0
        assert found.spectrum[near].sum() * width == pytest.approx(0.5, rel=0.02)
        assert found.frequencies[near][found.spectrum[near].argmax()] == pytest.approx(rate, abs=2 * width)


def test_what_cannot_be_drawn_says_why():
    still = np.zeros((6, 1, 3))
    with pytest.raises(NotDrawnError, match="velocities=true"):
        velocity_correlation(frames_of([18], still))
    with pytest.raises(NotDrawnError, match=r"3 frames after 0\.03 ps: at least four"):
        mean_squared_displacement(frames_of([18], still), skip=0.03)
    with pytest.raises(NotDrawnError, match="periodic in three directions"):
        radial_distribution([frames_of([18], still, pbc=False)])
    with pytest.raises(NotDrawnError, match="there are no frames after 9 ps"):
        radial_distribution([frames_of([18], still)], skip=9.0)


@pytest.mark.filterwarnings("error")
def test_where_nothing_moves_nothing_is_drawn() -> None:
    rest = np.tile([[0.0, 0.0, 0.0], [10.0, 0.0, 0.0]], (8, 1, 1))
    still = frames_of([13, 13], rest, velocities=np.zeros_like(rest))
    with pytest.raises(NotDrawnError, match=r"all velocities are zero: no atom moves.*make a supercell"):
        velocity_correlation(still)
    with pytest.raises(NotDrawnError, match="all displacements are zero: no atom moves"):
        mean_squared_displacement(still)
    with pytest.raises(NotDrawnError, match="no two atoms are closer than 4 A"):
        radial_distribution([still], r_max=4.0)
    assert radial_distribution([still], r_max=11.0).total.any()
    # a single atom that goes along with its centre of mass
    alone = frames_of([13], np.arange(8.0)[:, None, None] * np.ones(3))
    with pytest.raises(NotDrawnError, match="all displacements are zero"):
        mean_squared_displacement(alone)


@pytest.mark.filterwarnings("error")
def test_elements_at_rest_have_no_correlation_of_their_own() -> None:
    fast = np.zeros((8, 2, 3))
    fast[:, 1] = 0.01
    found = velocity_correlation(frames_of([13, 28], np.zeros((8, 2, 3)), velocities=fast))
    assert list(found.elements) == ["Ni"]
    np.testing.assert_allclose(found.total, 1.0)

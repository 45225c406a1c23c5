"""Phonons of one crystal: the phonopy object, and from its force constants everything that is a column of a table.

Frequencies are in THz, imaginary ones negative. Thermal properties are per mole of primitive cells, in kJ/mol and
J/(K mol) as phonopy has them; how many atoms that is stands beside them.

Two sets of q-points count. The *mesh* is centred on Gamma and given by a length (phonopy's, as VASP's R_k): every
direction has about length / |lattice vector| points. The *commensurate* points are the q-points of the supercell, where
the force constants say what the forces did, and nothing is interpolated; their modes are the 3 S modes of the
supercell. Free of torch.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from phonopy import Phonopy
from phonopy.harmonic.dynmat_to_fc import get_commensurate_points
from phonopy.phonon.grid import length2mesh
from phonopy.phonon.mesh import MeshGRGridFallbackWarning, MeshSymmetryFallbackWarning
from phonopy.physical_units import get_physical_units
from phonopy.structure.atoms import PhonopyAtoms
from phonopy.structure.symmetry import Symmetry
from spglib.error import SpglibError

from aiida_pet.tables.arrays import Floats

__all__ = [
    "HarmonicProperties",
    "harmonic_properties",
    "make_phonopy",
    "mesh_is_coarse",
    "mesh_numbers",
    "nac_parameters",
    "phonopy_yaml",
    "restore_phonopy",
    "thermal_temperatures",
]

ROOM_TEMPERATURE = 300.0  # K
NO_FREQUENCY = 1e-3
"""THz; a mode below it is free, as a turning molecule is, or noise of either sign: it has no thermal properties."""
COARSE = 0.01
"""Share of the modes of a mesh, from which the acoustic ones at Gamma, which have no thermal properties, are missed."""
_WIDTHS = 8.0  # standard deviations after which a Gaussian is zero: 1e-14 of its height


class _QuickPhonopy(Phonopy):
    """A ``Phonopy`` that looks for the symmetry of its supercell when somebody asks, which nothing here does.

    The search takes 0.6 s for bcc in 4x4x4 cells, the rest of ``Phonopy`` 0.02 s. Should phonopy rename these methods,
    they are not called, and this is a plain, slow ``Phonopy``; a test looks at that.
    """

    def _search_symmetry(self) -> None:
        """Leave it to the first use of ``symmetry``."""

    def _search_primitive_symmetry(self) -> None:
        self._primitive_symmetry = Symmetry(self._primitive, self._symprec, lang=self._lang)

    @cached_property
    def _symmetry(self) -> Symmetry:
        return Symmetry(self._supercell, self._symprec, lang=self._lang)


def make_phonopy(
    cell: Floats, positions: Floats, numbers: NDArray[Any], matrix: NDArray[Any], *, symprec: float = 0.01
) -> Phonopy:
    """Return the ``Phonopy`` of a primitive cell and its supercell, without force constants.

    :param cell: (3, 3), A, primitive and right-handed, see :mod:`aiida_pet.crystals.phonons.supercells`.
    :param positions: (P, 3), Cartesian, A.
    :param numbers: (P,) atomic numbers.
    :param matrix: (3, 3) int; the supercell is ``matrix.T @ cell``.
    :param symprec: tolerance of the space group, A.
    :raises ValueError: if phonopy finds no supercell or no symmetry, with its reason.
    """
    unit_cell = PhonopyAtoms(numbers=np.asarray(numbers, dtype=int), cell=cell, positions=positions)
    try:
        return _QuickPhonopy(unit_cell, np.asarray(matrix), primitive_matrix="P", symprec=symprec)
    except (RuntimeError, AssertionError, SpglibError) as error:
        raise ValueError(f"phonopy cannot take this crystal at symprec {symprec:g} A: {error}") from error


def restore_phonopy(
    cell: Floats,
    positions: Floats,
    numbers: NDArray[Any],
    matrix: NDArray[Any],
    force_constants: Floats,
    *,
    symprec: float = 0.01,
    nac: Mapping[str, Any] | None = None,
) -> Phonopy:
    """Return the ``Phonopy`` of stored force constants; what is stored is what :func:`make_phonopy` took.

    :param force_constants: compact, eV/A^2, (P, S, 3, 3) or flat (P S, 3, 3).
    :param nac: from :func:`nac_parameters`.
    :raises ValueError: as :func:`make_phonopy`, and if the number of force constants does not fit the supercell.
    """
    phonopy = make_phonopy(cell, positions, numbers, matrix, symprec=symprec)
    shape = (len(phonopy.primitive), len(phonopy.supercell), 3, 3)
    if np.size(force_constants) != np.prod(shape):
        raise ValueError(f"force constants must have shape {shape}, got {np.shape(force_constants)}")
    phonopy.force_constants = np.array(force_constants, dtype=np.float64).reshape(shape)
    if nac is not None:
        phonopy.nac_params = dict(nac)
    return phonopy


def nac_parameters(
    born_charges: Any, dielectric: Any, n_atoms: int, *, method: str = "gonze"
) -> dict[str, Any]:
    """Return phonopy's parameters of the non-analytical term correction, to be set as ``nac_params``.

    :param born_charges: (P, 3, 3), e, of the atoms of the primitive cell.
    :param dielectric: (3, 3), high-frequency, in units of the vacuum's.
    :param n_atoms: P.
    :param method: ``gonze`` (doi:10.1103/PhysRevB.55.10355) or ``wang`` (doi:10.1088/0953-8984/22/20/202201).
    :raises ValueError: if a shape or the method is another.
    """
    borns, epsilon = np.asarray(born_charges, dtype=np.float64), np.asarray(dielectric, dtype=np.float64)
    if borns.shape != (n_atoms, 3, 3):
        raise ValueError(f"born_charges must have shape {(n_atoms, 3, 3)}, got {borns.shape}")
    if epsilon.shape != (3, 3):
        raise ValueError(f"dielectric must have shape (3, 3), got {epsilon.shape}")
    if method not in ("gonze", "wang"):
        raise ValueError(f"method = {method!r}: expected gonze or wang")
    units = get_physical_units()
    return {"born": borns, "dielectric": epsilon, "factor": units.Hartree * units.Bohr, "method": method}


def phonopy_yaml(phonopy: Phonopy) -> str:
    """Return the text of a ``phonopy_params.yaml`` with the force constants in it, as ``phonopy.load`` reads it."""
    return str(phonopy.to_phonopy_yaml(settings={"force_constants": True, "force_sets": False}))


@dataclass(frozen=True)
class HarmonicProperties:
    """What the force constants of a crystal of P atoms per primitive cell say; T temperatures, G frequencies.

    :ivar n_atoms_primitive: P, to which everything per cell belongs.
    :ivar min_frequency: smallest over mesh and commensurate points, the acoustic modes at Gamma left out, THz.
    :ivar max_frequency: largest, THz.
    :ivar max_frequency_commensurate: largest over the commensurate points alone, THz.
    :ivar acoustic_gamma: largest absolute frequency of the three acoustic modes at Gamma, THz; zero but for rounding
        if the sum rule holds.
    :ivar is_dynamically_stable: whether ``min_frequency`` is not below -threshold.
    :ivar n_imaginary: modes of the supercell below -threshold, of 3 S: those at the commensurate points.
    :ivar imaginary_fraction: share of the modes of the mesh below -threshold, 0 to 1.
    :ivar imaginary_at_gamma_only: whether there are imaginary modes of the supercell and all are at Gamma, where the
        primitive cell can follow them.
    :ivar imaginary_q: (3,) where ``min_frequency`` is, in the reciprocal basis of the primitive cell; NaN if stable.
    :ivar phonon_dos: (G,) density of states, 1/THz; its integral over all frequencies is 3 P.
    :ivar dos_frequencies: (G,) where, THz.
    :ivar zero_point_energy: kJ/mol.
    :ivar free_energy: (T,) Helmholtz, kJ/mol; imaginary modes are left out of all thermal properties.
    :ivar entropy: (T,) J/(K mol).
    :ivar heat_capacity: (T,) at constant volume, J/(K mol).
    :ivar free_energy_300: at 300 K, and so on.
    """

    n_atoms_primitive: int
    min_frequency: float
    max_frequency: float
    max_frequency_commensurate: float
    acoustic_gamma: float
    is_dynamically_stable: bool
    n_imaginary: int
    imaginary_fraction: float
    imaginary_at_gamma_only: bool
    imaginary_q: Floats
    phonon_dos: Floats
    dos_frequencies: Floats
    zero_point_energy: float
    free_energy: Floats
    entropy: Floats
    heat_capacity: Floats
    free_energy_300: float
    entropy_300: float
    heat_capacity_300: float

    def columns(self) -> dict[str, Any]:
        """Return the values by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def thermal_temperatures(temperatures: Sequence[float]) -> Floats:
    """Return ``temperatures`` in ascending order, each once, and 300 K among them."""
    return np.unique([*temperatures, ROOM_TEMPERATURE]).astype(np.float64)


def harmonic_properties(
    phonopy: Phonopy,
    *,
    frequencies: Floats | int = 701,
    mesh: float | Sequence[int] = 40.0,
    temperatures: Sequence[float] | Floats = (ROOM_TEMPERATURE,),
    imaginary_threshold: float = 0.1,
    dos_sigma: float = 0.1,
    use_symmetry: bool = True,
) -> HarmonicProperties:
    """Return what the force constants of ``phonopy`` say. About 50 ms for a small primitive cell.

    :param phonopy: with force constants.
    :param frequencies: frequencies of the density of states: (G,), evenly spaced, THz, modes beyond which are left out;
        or their number G, for a range that holds all modes.
    :param mesh: length that gives the mesh of q-points, A, or three numbers of points.
    :param temperatures: (T,) K.
    :param imaginary_threshold: a mode is imaginary if its frequency is below minus this, THz.
    :param dos_sigma: standard deviation of the Gaussian that each mode is in it, THz; if the range is to hold all
        modes, at least what the integral needs, 0.75 times the distance of the frequencies.
    :param use_symmetry: whether q-points that the crystal makes the same are computed once.
    """
    points = get_commensurate_points(phonopy.supercell_matrix)
    at_points = phonopy.run_qpoints(points).frequencies
    with warnings.catch_warnings():
        # a lattice may have no mesh of its own symmetry in the primitive basis; phonopy then takes one that does
        warnings.simplefilter("ignore", MeshGRGridFallbackWarning)
        warnings.simplefilter(
            "ignore", MeshSymmetryFallbackWarning
        )  # numbers were asked for: all its points then
        sampled = phonopy.run_mesh(mesh, is_gamma_center=True, is_mesh_symmetry=use_symmetry)
    weights = sampled.weights

    largest_at_points = float(at_points.max())
    gamma = np.flatnonzero((np.abs(points - np.round(points)) < 1e-9).all(axis=1))[0]
    at_points, acoustic = _without_acoustic(at_points, gamma)
    on_mesh, _ = _without_acoustic(sampled.frequencies, sampled.gamma_index)
    everything = np.concatenate([at_points, on_mesh])
    softest = np.nanargmin(everything) // everything.shape[1]
    smallest = float(np.nanmin(everything))

    limit = -imaginary_threshold
    imaginary = at_points < limit
    stable = smallest >= limit
    grid, sigma = _dos_grid(sampled.frequencies, frequencies, dos_sigma)
    wanted = np.append(np.asarray(temperatures, dtype=np.float64), ROOM_TEMPERATURE)
    thermal = phonopy.run_thermal_properties(
        temperatures=wanted, exclude_gamma_acoustic=True, cutoff_frequency=NO_FREQUENCY
    )
    return HarmonicProperties(
        n_atoms_primitive=len(phonopy.primitive),
        min_frequency=smallest,
        max_frequency=max(float(np.nanmax(everything)), acoustic),
        max_frequency_commensurate=largest_at_points,
        acoustic_gamma=acoustic,
        is_dynamically_stable=stable,
        n_imaginary=int(imaginary.sum()),
        imaginary_fraction=float(
            (on_mesh < limit).sum(axis=1) @ weights / (weights.sum() * on_mesh.shape[1])
        ),
        imaginary_at_gamma_only=bool(imaginary.any() and imaginary.sum() == imaginary[gamma].sum()),
        imaginary_q=np.full(3, np.nan) if stable else np.concatenate([points, sampled.qpoints])[softest],
        phonon_dos=smeared_dos(sampled.frequencies, weights, grid, sigma),
        dos_frequencies=grid,
        zero_point_energy=float(thermal.zero_point_energy),
        free_energy=thermal.free_energy[:-1],
        entropy=thermal.entropy[:-1],
        heat_capacity=thermal.heat_capacity[:-1],
        free_energy_300=float(thermal.free_energy[-1]),
        entropy_300=float(thermal.entropy[-1]),
        heat_capacity_300=float(thermal.heat_capacity[-1]),
    )


def mesh_numbers(phonopy: Phonopy, length: float) -> NDArray[np.int64]:
    """Return the numbers (3,) of q-points to which ``length`` (A) leads, for cells that are to have the same ones."""
    rotations = phonopy.primitive_symmetry.pointgroup_operations
    return length2mesh(length, phonopy.primitive.cell, rotations).astype(np.int64)


def mesh_is_coarse(phonopy: Phonopy) -> bool:
    """Return whether the acoustic modes at Gamma are more than :data:`COARSE` of all modes of the mesh of ``phonopy``.

    Thermal properties leave these modes out, so that they are too small by about this share.

    :param phonopy: whose mesh was run.
    """
    return bool(COARSE * len(phonopy.primitive) * phonopy.mesh.weights.sum() < 1.0)


def _dos_grid(modes: Floats, frequencies: Floats | int, sigma: float) -> tuple[Floats, float]:
    """Return the frequencies (G,) of a density of states and the width of its Gaussians, THz.

    The trapezoidal sum of a Gaussian of width s on a grid of pitch p is off by 2 exp(-2 (pi s / p)^2), which is below
    1e-4 from s = 0.75 p on, and the range ends 5 s beyond the last mode, where 3e-7 of it is left.
    """
    if not isinstance(frequencies, int):
        return frequencies, sigma
    lowest, highest = min(0.0, float(modes.min())), max(0.0, float(modes.max()))
    # pitch p = (highest - lowest + 10 s) / (G - 1), and s = max(sigma, 0.75 p); few points cannot reach so far
    steps = frequencies - 1
    width = max(sigma, 0.75 * (highest - lowest) / (steps - 7.5)) if steps > 7.5 else max(sigma, 0.75)
    return np.linspace(lowest - 5.0 * width, highest + 5.0 * width, frequencies), width


def smeared_dos(modes: Floats, weights: NDArray[Any], frequencies: Floats, sigma: float) -> Floats:
    """Return the density of states (G,), 1/THz, each mode a Gaussian: what phonopy loops over the frequencies for.

    :param modes: (Q, B), THz.
    :param weights: (Q,) of the q-points.
    :param frequencies: (G,) at least two, evenly spaced, THz.
    :param sigma: standard deviation, THz.
    """
    size, pitch = len(frequencies), frequencies[1] - frequencies[0]
    shares = np.repeat(weights / weights.sum(), modes.shape[1]) / (np.sqrt(2 * np.pi) * sigma)
    places = (modes.ravel() - frequencies[0]) / pitch
    nearest = np.round(places).astype(np.int64)
    dos = np.zeros(size)
    reach = int(np.ceil(_WIDTHS * sigma / pitch))
    for step in range(-reach, reach + 1):
        at = nearest + step
        there = (at >= 0) & (at < size)
        heights = shares * np.exp(-0.5 * ((at - places) * pitch / sigma) ** 2)
        dos += np.bincount(at[there], weights=heights[there], minlength=size)
    return dos


def _without_acoustic(frequencies: Floats, gamma: int) -> tuple[Floats, float]:
    """Return (Q, 3 P) with NaN for the three frequencies smallest by size at ``gamma``, and the largest of these."""
    kept = np.array(frequencies)
    acoustic = np.argsort(np.abs(kept[gamma]))[:3]
    largest = float(np.abs(kept[gamma, acoustic]).max())
    kept[gamma, acoustic] = np.nan
    return kept, largest

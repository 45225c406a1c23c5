"""From forces of displaced supercells to the thermal conductivity of the lattice: relaxation time approximation, RTA.

Two transports: ``wigner`` (SMM19; Simoncelli, Marzari, Mauri, Nat. Phys. 15, 809 (2019)), which adds to what modes
carry alone what pairs of them carry together, and ``rta``, without the latter. Lifetimes come from three-phonon
scattering by the tetrahedron method, isotopes (Tamura, Phys. Rev. B 27, 858 (1983)) and, if wanted, boundaries.

The calls are the same as in the kappa_SRME benchmark. Free of torch; needs phono3py.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from aiida_pet.crystals.conductivity.gate import why_imaginary
from aiida_pet.crystals.conductivity.modes import ModeTable, mode_totals, tensors
from aiida_pet.crystals.conductivity.velocity_matrix import whole_velocity_matrices
from aiida_pet.job.choices import ForceConstants
from aiida_pet.tables.arrays import Floats, Integers

__all__ = ["Conductivity", "Transport", "conductivity"]

ROOM_TEMPERATURE = 300.0  # K
_AT_REST = 0.01  # THz; modes below are the acoustic ones at Gamma, which carry nothing
_NO_WIDTH = 1e-15  # THz; half widths from three-phonon scattering are 1e-5 and more


@dataclass(frozen=True)
class Transport:
    """How heat is transported.

    :ivar mesh: mesh of q-points: three numbers, or a length, A, which gives phono3py's mesh of that density.
    :ivar temperatures: (T,) K, positive; 300 K is added where it is missing.
    :ivar kind: ``wigner`` or ``rta``.
    :ivar isotopes: whether isotopes scatter, in their natural mixture.
    :ivar mass_variances: symbol -> variance of the mass over its square, for elements with another mixture; 0 for a
        pure isotope.
    :ivar boundary: mean free path that boundaries allow, micrometres; None for no boundaries.
    :ivar force_constants: solver of both orders.
    """

    mesh: tuple[int, int, int] | float = 50.0
    temperatures: Sequence[float] = (ROOM_TEMPERATURE,)
    kind: Literal["wigner", "rta"] = "wigner"
    isotopes: bool = True
    mass_variances: Mapping[str, float] | None = None
    boundary: float | None = None
    force_constants: ForceConstants = ForceConstants.TRADITIONAL

    def kelvins(self) -> Floats:
        """Return the temperatures in ascending order, 300 K among them.

        :raises ValueError: if one is not positive.
        """
        if any(not temperature > 0 for temperature in self.temperatures):
            raise ValueError(f"temperatures must be positive, got {list(self.temperatures)} K")
        return np.unique([*self.temperatures, ROOM_TEMPERATURE]).astype(np.float64)


@dataclass(frozen=True)
class Conductivity:
    """Conductivity of a crystal, T temperatures.

    :ivar mesh: (3,) numbers of q-points, if the mesh is along the axes of the primitive cell.
    :ivar lowest_frequency: over the whole mesh, THz.
    :ivar skipped: why there is no conductivity; empty if there is.
    :ivar temperatures: (T,) K.
    :ivar kappa: (T, 3, 3), W/(m K); NaN if it was skipped.
    :ivar coherence: (T, 3, 3), the part of ``kappa`` that pairs of different modes carry; zero for ``rta``.
    :ivar modes: None if it was skipped.
    """

    mesh: Integers
    lowest_frequency: float
    skipped: str
    temperatures: Floats
    kappa: Floats
    coherence: Floats
    modes: ModeTable | None

    @property
    def mean(self) -> Floats:
        """Mean of the diagonal of ``kappa``, (T,), W/(m K)."""
        result: Floats = np.trace(self.kappa, axis1=1, axis2=2) / 3
        return result


def conductivity(
    phono3py: Any,
    fc2_forces: Floats,
    fc3_forces: Callable[[], Floats] | Floats,
    transport: Transport,
    *,
    nac: Mapping[str, Any] | None = None,
    grid_points: Callable[[Integers], Integers] | None = None,
) -> Conductivity:
    """Return the conductivity that the forces of the displaced supercells give.

    :param phono3py: phono3py object of :func:`~aiida_pet.crystals.conductivity.cells.make_phono3py`, displaced by
        :func:`~aiida_pet.crystals.conductivity.cells.displaced_supercells`.
    :param fc2_forces: (D2, S2, 3), eV/A.
    :param fc3_forces: (N3, S3, 3), eV/A, or a function that gives them, which is not called for a crystal with
        imaginary modes.
    :param transport: how.
    :param nac: result of :func:`aiida_pet.crystals.phonons.harmonic.nac_parameters`, if there is a correction.
    :param grid_points: which of the irreducible points (Q,) of the mesh are computed; the sums then say nothing.
    :raises ValueError: if forces have another shape, or are not finite.
    """
    kelvins = transport.kelvins()
    _take_second_order(phono3py, fc2_forces, transport.force_constants)
    if nac is not None:
        phono3py.nac_params = dict(nac)
    phono3py.mesh_numbers = transport.mesh
    phono3py.init_phph_interaction(symmetrize_fc3q=False)
    phono3py.run_phonon_solver()
    frequencies = phono3py.get_phonon_data()[0]
    grid = phono3py.grid
    known: dict[str, Any] = {
        "mesh": np.asarray(grid.D_diag, dtype=np.int64),
        "lowest_frequency": float(frequencies.min()),
        "temperatures": kelvins,
    }
    reason = why_imaginary(frequencies, grid.addresses @ grid.QDinv.T)
    if reason is not None:
        return _skipped(known, reason)
    forces = fc3_forces() if callable(fc3_forces) else fc3_forces
    _take_third_order(phono3py, forces, transport.force_constants)
    phono3py.init_phph_interaction(symmetrize_fc3q=False)
    points = None
    if grid_points is not None:
        from phonopy.phonon.grid import get_ir_grid_points  # noqa: PLC0415 - moved there in phonopy 4

        points = grid_points(grid.grg2bzg[get_ir_grid_points(grid)[0]])
    kappa, coherence, modes = _run(phono3py, transport, kelvins, points)
    reason = _why_unscattered(phono3py.thermal_conductivity, modes)
    if reason is not None:
        return _skipped(known, reason)
    return Conductivity(**known, skipped="", kappa=kappa, coherence=coherence, modes=modes)


def _skipped(known: Mapping[str, Any], reason: str) -> Conductivity:
    nothing = np.full((len(known["temperatures"]), 3, 3), np.nan)
    return Conductivity(**known, skipped=reason, kappa=nothing, coherence=nothing, modes=None)


def _take_second_order(phono3py: Any, forces: Floats, solver: ForceConstants) -> None:
    shape = (len(phono3py.phonon_supercells_with_displacements), len(phono3py.phonon_supercell), 3)
    phono3py.phonon_forces = _checked(forces, shape, "second")
    phono3py.produce_fc2(fc_calculator=_calculator(solver))
    if solver is ForceConstants.TRADITIONAL:
        phono3py.symmetrize_fc2()


def _take_third_order(phono3py: Any, forces: Floats, solver: ForceConstants) -> None:
    shape = (len(phono3py.supercells_with_displacements), len(phono3py.supercell), 3)
    phono3py.forces = _checked(forces, shape, "third")
    phono3py.produce_fc3(fc_calculator=_calculator(solver))
    if solver is ForceConstants.TRADITIONAL:
        phono3py.symmetrize_fc3()


def _calculator(solver: ForceConstants) -> str | None:
    return None if solver is ForceConstants.TRADITIONAL else solver.value


def _checked(forces: Floats, shape: tuple[int, ...], order: str) -> Floats:
    values = np.asarray(forces, dtype=np.float64)
    if values.shape != shape:
        raise ValueError(f"forces of {order} order must have shape {shape}, got {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"the forces of {order} order are not all finite")
    return values


def _run(
    phono3py: Any, transport: Transport, kelvins: Floats, points: Integers | None
) -> tuple[Floats, Floats, ModeTable]:
    """Return conductivity and its coherent part (T, 3, 3), and the modes."""
    wigner = transport.kind == "wigner"
    with warnings.catch_warnings(), whole_velocity_matrices() if wigner else nullcontext():
        warnings.simplefilter("ignore", DeprecationWarning)
        phono3py.run_thermal_conductivity(
            temperatures=kelvins,
            is_isotope=transport.isotopes,
            mass_variances=_variances(phono3py, transport),
            boundary_mfp=transport.boundary,
            transport_type="SMM19" if wigner else None,
            grid_points=points,
            log_level=0,
        )
    solved = phono3py.thermal_conductivity
    if wigner:
        per_mode = mode_totals(solved.mode_kappa_matrix[0], solved.mode_heat_capacities)
        coherence = tensors(solved.kappa_inter[0])
    else:
        per_mode = solved.mode_kappa[0]
        coherence = np.zeros((len(kelvins), 3, 3))
    lifetimes, paths = _lifetimes(solved, transport.boundary)
    modes = ModeTable(
        qpoints=np.array(solved.qpoints),
        weights=np.array(solved.grid_weights, dtype=np.int64),
        frequencies=np.array(solved.frequencies),
        kappa=per_mode,
        lifetimes=lifetimes,
        mean_free_paths=paths,
    )
    return tensors(solved.kappa[0]), coherence, modes


def _why_unscattered(solved: Any, modes: ModeTable) -> str | None:
    """Return how many modes no others scatter, whose conductivity would be without end; None if there are none."""
    moving = modes.frequencies > _AT_REST
    lost = (solved.gamma[0].min(axis=0) < _NO_WIDTH) & moving
    if not lost.any():
        return None
    return (
        f"{int(lost.sum())} of {int(moving.sum())} modes do not scatter: the supercell of third order is too small, "
        "or the mesh of q-points is too coarse"
    )


def _variances(phono3py: Any, transport: Transport) -> list[float] | None:
    """Return the variance of each atom of the primitive cell, None for natural mixtures of all."""
    if not transport.mass_variances or not transport.isotopes:
        return None
    from phono3py.other.isotope import get_mass_variances  # noqa: PLC0415 - an extra

    natural = get_mass_variances(phono3py.primitive)
    return [
        float(transport.mass_variances.get(symbol, value))
        for symbol, value in zip(phono3py.primitive.symbols, natural, strict=True)
    ]


def _lifetimes(solved: Any, boundary: float | None) -> tuple[Floats, Floats]:
    """Return lifetimes (T, Q, B), ps, and mean free paths, A, of all scattering together.

    phono3py's widths are half widths in THz: tau = 1 / (4 pi gamma). Velocities are in A THz, which is A/ps.
    """
    speeds = np.linalg.norm(solved.group_velocities, axis=-1)
    widths = np.array(solved.gamma[0])
    if solved.gamma_isotope is not None:
        widths = widths + solved.gamma_isotope[0]
    if boundary is not None:
        widths = widths + speeds / (boundary * 1e4) / (4 * np.pi)
    lifetimes = np.divide(1.0, 4 * np.pi * widths, out=np.full_like(widths, np.nan), where=widths > 0)
    return lifetimes, lifetimes * speeds

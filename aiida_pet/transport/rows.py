"""One row of forces through the transport: its columns, or why it has none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from aiida_pet.crystals.conductivity.cells import ThirdOrderCells, displaced_supercells, make_phono3py
from aiida_pet.crystals.conductivity.modes import ModeTable, cumulative
from aiida_pet.crystals.conductivity.transport import ROOM_TEMPERATURE, Conductivity, Transport, conductivity
from aiida_pet.crystals.phonons.harmonic import nac_parameters
from aiida_pet.job.choices import Opposites
from aiida_pet.job.conductivity_parameters import ConductivityParameters
from aiida_pet.job.folder import RowStatus
from aiida_pet.job.given_columns import MESH
from aiida_pet.job.given_rows import given_of_row
from aiida_pet.tables.arrays import Array
from aiida_pet.tables.column import symprec_label
from aiida_pet.tables.columns import units_of
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.ragged import Ragged

__all__ = ["FORCES", "Answer", "transport_of_row", "with_answers"]

FORCES = ("fc2_forces", "fc3_forces")
"""Ragged columns that the transport uses up: they stay with the results of the job before."""
CARRIED = 1e-3
"""Share of the conductivity that mean free paths shorter than those of the cumulative curve carry together."""
MODES = {
    "kappa_qpoints": (3,),
    "kappa_weights": (),
    "kappa_frequencies": (),
    "kappa_modes": (6,),
    "kappa_lifetimes": (),
    "kappa_paths": (),
}
"""Ragged columns of all modes, and the shape of an entry."""


@dataclass(frozen=True)
class Answer:
    """What the transport says of a row.

    :ivar columns: name -> value; empty for a row that has no forces.
    :ivar ragged: ragged columns of all modes.
    :ivar failed: why the row failed; empty if it did not.
    """

    columns: dict[str, Any] = field(default_factory=dict)
    ragged: dict[str, Array] = field(default_factory=dict)
    failed: str = ""


def transport_of_row(row: StructureTable, parameters: ConductivityParameters) -> Answer:
    """Return the conductivity of a row of forces.

    :param row: one row of results of the task ``conductivity``.
    """
    if row.columns["status"][0] != RowStatus.CONVERGED:
        return Answer()
    changed = _changed_group(row, parameters)
    try:
        phono3py, wanted = _take_up(row, parameters)
        transport = _transport_of(row, parameters)
        if changed:
            return Answer(_columns(_nothing(transport), parameters) | {"conductivity_skipped": changed})
        second, third = (row.ragged[name][0] for name in FORCES)
        n_second, n_third = len(phono3py.phonon_supercell), len(phono3py.supercell)
        forces = np.zeros((len(wanted), n_third, 3))
        forces[wanted] = third.reshape(-1, n_third, 3)
        found = conductivity(
            phono3py,
            second.reshape(-1, n_second, 3),
            forces,
            transport,
            nac=_correction(row, parameters, phono3py),
        )
    except ValueError as error:
        return Answer(failed=str(error))
    except BaseException as error:
        if isinstance(error, (Exception, KeyboardInterrupt, SystemExit)):
            raise
        # a panic of a library in Rust, which cannot be handed to another process
        return Answer(failed=f"{type(error).__name__}: {error}")
    ragged = _modes_of(found.modes, transport) if parameters.modes and found.modes is not None else {}
    return Answer(_columns(found, parameters), ragged)


def _changed_group(row: StructureTable, parameters: ConductivityParameters) -> str:
    """Return that the relaxation changed the space group, empty if it did not or nobody looked."""
    if not parameters.symprecs:
        return ""
    label = symprec_label(min(parameters.symprecs))
    names = f"initial_spacegroup_{label}", f"spacegroup_{label}"
    if any(name not in row.columns for name in names):
        return ""
    before, after = (int(row.columns[name][0]) for name in names)
    return (
        ""
        if before == after
        else f"the relaxation changed the space group from {before} to {after} (at {min(parameters.symprecs):g} A)"
    )


def _take_up(row: StructureTable, parameters: ConductivityParameters) -> tuple[Any, Array]:
    """Return the displaced phono3py of a row, and which displacements of third order have forces.

    :raises ValueError: if the displacements are other ones than those the forces are of.
    """
    atoms = row.ragged["unit_atoms"][0]
    cells = ThirdOrderCells(
        row.columns["unit_matrix"][0].T @ row.cells[0],
        row.positions[atoms],
        row.numbers[atoms],
        fc3_matrix=np.round(row.columns["fc3_matrix"][0]).astype(np.int64),
        fc2_matrix=np.round(row.columns["fc2_matrix"][0]).astype(np.int64),
        primitive_matrix=row.columns["heat_matrix"][0],
        symprec=parameters.phonon_symprec,
    )
    phono3py = make_phono3py(cells, masses=parameters.masses)
    displaced = displaced_supercells(
        phono3py,
        distance=float(row.columns["fc_displacement"][0]),
        plus_minus=True if parameters.opposites is Opposites.ALWAYS else "auto",
        cutoff=parameters.pair_cutoff,
    )
    counts = tuple(int(row.columns[f"n_fc{order}_displacements"][0]) for order in (2, 3))
    found = len(displaced.fc2_positions), len(displaced.fc3_positions)
    if found != counts:
        raise ValueError(
            f"its forces belong to {counts[0]} + {counts[1]} displaced supercells, but phono3py makes {found[0]} + "
            f"{found[1]} here: install the same versions of phono3py and phonopy where both jobs run"
        )
    return phono3py, displaced.fc3_wanted


def _transport_of(row: StructureTable, parameters: ConductivityParameters) -> Transport:
    mesh = parameters.mesh
    given = given_of_row(row, 0, MESH) if parameters.given_cells else None
    if given is not None:
        mesh = (int(given[0]), int(given[1]), int(given[2]))
    return Transport(
        mesh=mesh,
        temperatures=parameters.temperatures,
        kind=parameters.transport.value,
        isotopes=parameters.isotopes,
        mass_variances=parameters.mass_variances,
        boundary=parameters.boundary,
        force_constants=parameters.force_constants,
    )


def _correction(
    row: StructureTable, parameters: ConductivityParameters, phono3py: Any
) -> Mapping[str, Any] | None:
    """Return the correction for dipoles, None if it is not wanted or not known."""
    if not parameters.nac or "born_charges" not in row.atom_columns or "dielectric_tensor" not in row.columns:
        return None
    borns = row.atom_columns["born_charges"][row.ragged["unit_atoms"][0]].astype(np.float64)
    dielectric = row.columns["dielectric_tensor"][0].astype(np.float64)
    if not (np.isfinite(borns).all() and np.isfinite(dielectric).all()):
        return None
    # atoms of the primitive cell among those of the unit cell, by way of the supercell
    primitive, supercell = phono3py.primitive, phono3py.supercell
    places = [supercell.u2u_map[supercell.s2u_map[atom]] for atom in primitive.p2s_map]
    return nac_parameters(borns[places], dielectric, len(primitive))


def _nothing(transport: Transport) -> Conductivity:
    kelvins = transport.kelvins()
    nothing = np.full((len(kelvins), 3, 3), np.nan)
    return Conductivity(np.full(3, -1), np.nan, "-", kelvins, nothing, nothing, None)


def _columns(found: Conductivity, parameters: ConductivityParameters) -> dict[str, Any]:
    """Return the columns of a conductivity; missing numbers are NaN."""
    room = int(np.flatnonzero(found.temperatures == ROOM_TEMPERATURE)[0])
    means = found.mean
    points = np.full(parameters.cumulative_points, np.nan)
    columns: dict[str, Any] = {
        "kappa_300": float(means[room]),
        "kappa_coherence_300": float(np.trace(found.coherence[room]) / 3),
        "has_imaginary_modes": found.skipped.startswith("imaginary"),
        "conductivity_skipped": found.skipped,
        "mesh_min_frequency": found.lowest_frequency,
        "kappa_mesh": found.mesh,
        "kappa_temperatures": found.temperatures,
        "kappa": means,
        "kappa_tensor": found.kappa,
        "kappa_coherence": found.coherence,
        "cumulative_frequencies": points,
        "cumulative_kappa": points,
        "cumulative_paths": points,
        "cumulative_kappa_paths": points,
    }
    if found.modes is not None:
        columns |= _cumulative(found.modes, room, parameters.cumulative_points)
    return columns


def _cumulative(modes: ModeTable, room: int, count: int) -> dict[str, Any]:
    """Return what modes up to each frequency, and up to each mean free path, carry at 300 K."""
    kappa, paths = modes.kappa[room], modes.mean_free_paths[room]
    frequencies = np.linspace(0.0, float(modes.frequencies.max()), count)
    lengths = _lengths(modes, kappa, paths, count)
    return {
        "cumulative_frequencies": frequencies,
        "cumulative_kappa": cumulative(modes.frequencies, kappa, modes.weights, frequencies),
        "cumulative_paths": lengths,
        "cumulative_kappa_paths": cumulative(paths, kappa, modes.weights, lengths),
    }


def _lengths(modes: ModeTable, kappa: Array, paths: Array, count: int) -> Array:
    """Return (count,) mean free paths, A, evenly spaced in their logarithm, from where they begin to carry heat on."""
    known = np.sort(paths[np.isfinite(paths) & (paths > 0)])
    if not len(known):
        return np.full(count, np.nan)
    carried = cumulative(paths, kappa, modes.weights, known)
    first = int(np.argmax(carried > CARRIED * carried[-1]))
    lengths: Array = np.geomspace(known[first], known[-1], count)
    lengths[-1] *= 1 + 1e-9  # the last one is among them
    return lengths


def _modes_of(modes: ModeTable, transport: Transport) -> dict[str, Array]:
    room = int(np.flatnonzero(transport.kelvins() == ROOM_TEMPERATURE)[0])
    return {
        "kappa_qpoints": modes.qpoints,
        "kappa_weights": modes.weights,
        "kappa_frequencies": modes.frequencies.ravel(),
        "kappa_modes": modes.kappa[room].reshape(-1, 6),
        "kappa_lifetimes": modes.lifetimes[room].ravel(),
        "kappa_paths": modes.mean_free_paths[room].ravel(),
    }


def with_answers(row: StructureTable, answer: Answer, parameters: ConductivityParameters) -> StructureTable:
    """Return a row of forces with what the transport says of it, and without its forces."""
    missing = _columns(_nothing(Transport(temperatures=parameters.temperatures)), parameters)
    missing["conductivity_skipped"] = ""
    missing["has_imaginary_modes"] = np.nan
    missing["kappa_mesh"] = np.full(3, np.nan)
    columns = {name: np.asarray(value)[None] for name, value in (missing | answer.columns).items()}
    if answer.failed:
        columns |= {"status": np.array([RowStatus.FAILED.value]), "message": np.array([answer.failed])}
    ragged = {name: values for name, values in row.ragged.items() if name not in FORCES}
    if parameters.modes:
        for name, shape in MODES.items():
            dtype = np.int64 if name == "kappa_weights" else np.float64
            ragged[name] = Ragged.of([answer.ragged.get(name, np.zeros((0, *shape), dtype))])
    return replace(
        row,
        columns=row.columns | columns,
        ragged=ragged,
        units={name: unit for name, unit in row.units.items() if name not in FORCES}
        | units_of((*columns, *ragged)),
    )

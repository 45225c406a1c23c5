"""Columns: thermal conductivity of the lattice, and the forces that it is made of."""

from __future__ import annotations

from typing import Any

from aiida_pet.tables.column import RAGGED, Column, Kind, Section, Source


def _forces(name: str, meaning: str, unit: str = "", **further: Any) -> Column:
    return Column(
        name,
        meaning,
        unit,
        **({"section": Section.CONDUCTIVITY, "sources": (Source.CONDUCTIVITY,)} | further),
    )


def _transport(name: str, meaning: str, unit: str = "", **further: Any) -> Column:
    """Return a column that the second job writes, with the forces of the first."""
    return _forces(name, meaning, unit, **({"of_the_set": True} | further))


_FIRST = (Source.CONDUCTIVITY,)
_KAPPA = "W/(m K)"

CONDUCTIVITY: tuple[Column, ...] = (
    _transport(
        "kappa_300",
        "Thermal conductivity of the lattice at 300 K, mean of the diagonal.",
        _KAPPA,
        shown=(*_FIRST, Source.SCREEN),
        compared=True,
        searched=True,
    ),
    _transport(
        "kappa_coherence_300",
        "Part of `kappa_300` from pairs of different modes.",
        _KAPPA,
        shown=_FIRST,
    ),
    _transport(
        "has_imaginary_modes",
        "True if a mode on the mesh is imaginary; then there is no conductivity.",
        kind=Kind.FLAG,
        shown=_FIRST,
        compared=True,
    ),
    _transport(
        "conductivity_skipped",
        "Reason why a row has forces but no conductivity.",
        kind=Kind.TEXT,
        told=True,
        reason=True,
    ),
    _transport("mesh_min_frequency", "Lowest frequency on the mesh of q-points.", "THz", shown=_FIRST),
    _transport(
        "kappa_mesh",
        "Number of q-points of the mesh along each reciprocal vector.",
        shape=("3",),
        kind=Kind.COUNT,
    ),
    _transport("kappa_temperatures", "Temperatures of conductivities.", "K", shape=("K",)),
    _transport("kappa", "Conductivity at `kappa_temperatures`, mean of the diagonal.", _KAPPA, shape=("K",)),
    _transport("kappa_tensor", "Conductivity at `kappa_temperatures`.", _KAPPA, shape=("K", "3", "3")),
    _transport(
        "kappa_coherence",
        "Part of `kappa_tensor` from pairs of different modes.",
        _KAPPA,
        shape=("K", "3", "3"),
    ),
    _transport("cumulative_frequencies", "Frequencies of `cumulative_kappa`.", "THz", shape=("C",)),
    _transport(
        "cumulative_kappa",
        "Part of `kappa_300` from all modes up to each of the `cumulative_frequencies`.",
        _KAPPA,
        shape=("C",),
    ),
    _transport("cumulative_paths", "Mean free paths of `cumulative_kappa_paths`.", "A", shape=("C",)),
    _transport(
        "cumulative_kappa_paths",
        "Part of `kappa_300` from all modes up to each of the `cumulative_paths`.",
        _KAPPA,
        shape=("C",),
    ),
    _transport(
        "kappa_qpoints",
        "Irreducible q-points of the mesh, in the reciprocal basis of the primitive cell.",
        shape=(RAGGED, "3"),
    ),
    _transport(
        "kappa_weights",
        "Number of points of the mesh that each irreducible q-point represents.",
        shape=(RAGGED,),
        kind=Kind.COUNT,
    ),
    _transport(
        "kappa_frequencies", "Frequencies of all modes, one q-point after the other.", "THz", shape=(RAGGED,)
    ),
    _transport(
        "kappa_modes",
        "Conductivity of each mode at 300 K. Modes are in the order of `kappa_frequencies`, components in Voigt's "
        "order. The sum over all modes, divided by the sum of `kappa_weights`, is the conductivity.",
        _KAPPA,
        shape=(RAGGED, "6"),
    ),
    _transport("kappa_lifetimes", "Lifetimes of all modes at 300 K.", "ps", shape=(RAGGED,)),
    _transport("kappa_paths", "Mean free paths of all modes at 300 K.", "A", shape=(RAGGED,)),
    _forces(
        "n_fc3_displacements",
        "Number of displaced supercells of third order.",
        kind=Kind.COUNT,
        shown=_FIRST,
    ),
    _forces("n_fc2_displacements", "Number of displaced supercells of second order.", kind=Kind.COUNT),
    _forces("n_atoms_fc3", "Number of atoms of the supercell of third order.", kind=Kind.COUNT, shown=_FIRST),
    _forces("n_atoms_fc2", "Number of atoms of the supercell of second order.", kind=Kind.COUNT),
    _forces(
        "fc3_matrix", "Supercell of third order relative to the unit cell.", shape=("3", "3"), kind=Kind.COUNT
    ),
    _forces(
        "fc2_matrix",
        "Supercell of second order relative to the unit cell.",
        shape=("3", "3"),
        kind=Kind.COUNT,
    ),
    _forces(
        "unit_matrix",
        "Unit cell of the displacements relative to the cell of the row.",
        shape=("3", "3"),
    ),
    _forces(
        "heat_matrix",
        "Primitive cell of the modes, relative to the unit cell.",
        shape=("3", "3"),
    ),
    _forces(
        "unit_atoms",
        "Atoms of the row that form the unit cell.",
        shape=(RAGGED,),
        kind=Kind.COUNT,
    ),
    _forces("fc3_image", "Shortest distance between images of an atom in the supercell of third order.", "A"),
    _forces("only_metals", "True if all elements of the crystal are metals.", kind=Kind.FLAG),
    _forces("fc_displacement", "Length of the displacements, for the forces of both orders.", "A"),
    _forces(
        "fc2_forces",
        "Forces on the atoms of the displaced supercells of second order, one supercell after the other.",
        "eV/A",
        shape=(RAGGED, "3"),
    ),
    _forces(
        "fc3_forces",
        "Forces on the atoms of the displaced supercells of third order, in single precision.",
        "eV/A",
        shape=(RAGGED, "3"),
    ),
)

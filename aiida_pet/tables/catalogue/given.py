"""Columns: columns of the input that tasks read."""

from __future__ import annotations

from aiida_pet.tables.column import PER_ATOM, Column, Kind, Section

GIVEN: tuple[Column, ...] = (
    Column(
        "born_charges",
        "Born effective charges of all atoms, from the input.",
        "e",
        shape=(PER_ATOM, "3", "3"),
        section=Section.PHONONS,
    ),
    Column(
        "fixed_cartesian",
        "True where an atom is held along x, y or z.",
        shape=(PER_ATOM, "3"),
        kind=Kind.FLAG,
    ),
    Column(
        "fixed_scaled",
        "True where an atom is held along a lattice vector; its fractional coordinate does not change.",
        shape=(PER_ATOM, "3"),
        kind=Kind.FLAG,
    ),
    Column(
        "velocities",
        "Initial velocities of the dynamics; NaN for all atoms of a row means that they are drawn.",
        "A/fs",
        shape=(PER_ATOM, "3"),
        section=Section.DYNAMICS,
    ),
    Column(
        "md_temperature",
        "Temperature of the dynamics of this row; replaces the parameter.",
        "K",
        section=Section.DYNAMICS,
    ),
    Column(
        "md_pressure",
        "Pressure of the dynamics of this row; replaces the parameter.",
        "GPa",
        section=Section.DYNAMICS,
    ),
    Column(
        "md_timestep",
        "Time step of the dynamics of this row; replaces the parameter.",
        "fs",
        section=Section.DYNAMICS,
    ),
    Column(
        "md_steps",
        "Number of production steps of this row; replaces the parameter.",
        kind=Kind.COUNT,
        section=Section.DYNAMICS,
    ),
    Column(
        "md_seed",
        "Seed of the random numbers of this row; replaces the parameter.",
        kind=Kind.COUNT,
        section=Section.DYNAMICS,
    ),
    Column(
        "constraints_not_read",
        "Names of constraints in the input that are not read; relaxations refuse such a row.",
        kind=Kind.TEXT,
    ),
)

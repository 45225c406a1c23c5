"""Columns: where a relaxation began and how far it went."""

from __future__ import annotations

from aiida_pet.tables import when
from aiida_pet.tables.column import RELAXED, Column, Kind, Section, Source

RELAXATION: tuple[Column, ...] = (
    Column(
        "enthalpy",
        "Enthalpy of the cell, H = E + P V, where P is the pressure of the relaxation.",
        "eV",
        section=Section.RELAXATION,
        sources=RELAXED,
        when=when.pressed,
        searched=True,
    ),
    Column(
        "initial_energy",
        "Energy of the cell before the relaxation.",
        "eV",
        section=Section.RELAXATION,
        sources=RELAXED,
        when=when.relaxes,
    ),
    Column(
        "initial_volume",
        "Volume of the cell before the relaxation.",
        "A^3",
        section=Section.RELAXATION,
        sources=RELAXED,
        when=when.relaxes,
    ),
    Column(
        "n_steps",
        "Number of steps of the optimiser; 0 for a row that was not relaxed.",
        kind=Kind.COUNT,
        section=Section.RELAXATION,
        sources=RELAXED,
        when=when.relaxes,
        shown=(Source.RELAX,),
        zero_with="id",
    ),
    Column(
        "relaxation",
        "Relaxation whose result was kept: constrained or free.",
        kind=Kind.TEXT,
        section=Section.RELAXATION,
        sources=(Source.COMBINED,),
        words=("constrained", "free"),
    ),
    Column(
        "energy_gained",
        "Energy of the first relaxation minus energy of the second relaxation.",
        "eV/atom",
        section=Section.RELAXATION,
        sources=(Source.COMBINED, Source.MODES),
    ),
    Column(
        "free_status",
        "How the free relaxation ended.",
        kind=Kind.TEXT,
        section=Section.STATUS,
        sources=(Source.COMBINED,),
    ),
)

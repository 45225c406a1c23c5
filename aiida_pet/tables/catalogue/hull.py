"""Columns: energies that compete, and the convex hull."""

from __future__ import annotations

from aiida_pet.tables.column import Column, Kind, Section, Source

HULL: tuple[Column, ...] = (
    Column(
        "hull_status",
        "ok, no_reference, not_converged or no_energy.",
        kind=Kind.TEXT,
        section=Section.STATUS,
        sources=(Source.HULL,),
        shown=(Source.HULL,),
    ),
    Column(
        "hull_message",
        "Why there is no energy above hull.",
        kind=Kind.TEXT,
        section=Section.STATUS,
        sources=(Source.HULL,),
        told=True,
    ),
    Column(
        "e_above_hull",
        "Energy above the convex hull; 0 for what is on it.",
        "eV/atom",
        section=Section.HULL,
        sources=(Source.HULL,),
        shown=(Source.HULL, Source.SCREEN),
        compared=True,
        searched=True,
    ),
    Column(
        "formation_energy",
        "Energy of formation from the elements.",
        "eV/atom",
        section=Section.HULL,
        sources=(Source.HULL,),
        shown=(Source.HULL, Source.SCREEN),
        compared=True,
        searched=True,
    ),
    Column(
        "phase_separation_energy",
        "Distance to the hull of everything of another composition; negative for what is stable, by so much.",
        "eV/atom",
        section=Section.HULL,
        sources=(Source.HULL,),
    ),
    Column(
        "is_stable",
        "True if `e_above_hull` is not above `stability_threshold`.",
        kind=Kind.FLAG,
        section=Section.HULL,
        sources=(Source.HULL,),
        shown=(Source.HULL,),
        compared=True,
    ),
    Column(
        "decomposition",
        "Atomic fractions, formulas and ids of the products of decomposition, largest first.",
        kind=Kind.TEXT,
        section=Section.HULL,
        sources=(Source.HULL,),
        shown=(Source.HULL,),
    ),
    Column(
        "decomposition_amounts",
        "The fractions of `decomposition`, not rounded.",
        shape=("L",),
        section=Section.HULL,
        sources=(Source.HULL,),
    ),
    Column(
        "hull_of",
        "What competes on the hull: energy, or enthalpy at a pressure, with or without corrections.",
        kind=Kind.TEXT,
        section=Section.HULL,
        sources=(Source.HULL,),
    ),
    Column(
        "correction",
        "Correction of the Materials Project that was added to the energy on the hull, per cell; 0 without one.",
        "eV",
        section=Section.HULL,
        sources=(Source.HULL,),
    ),
    Column(
        "correction_terms",
        "The parts of `correction` in eV per atom of an element: oxide -0.687, Fe +U -2.256.",
        kind=Kind.TEXT,
        section=Section.HULL,
        sources=(Source.HULL,),
        told=True,
    ),
)

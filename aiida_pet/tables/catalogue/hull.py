"""Columns: energies that compete, and the convex hull."""

from __future__ import annotations

from aiida_pet.tables.column import Column, Kind, Section, Source

HULL: tuple[Column, ...] = (
    Column(
        "hull_status",
        "Whether the row has an energy above the hull: ok if it has, otherwise no_reference, not_converged or "
        "no_energy.",
        kind=Kind.TEXT,
        section=Section.STATUS,
        sources=(Source.HULL,),
        shown=(Source.HULL,),
        words=("ok", "no_reference", "not_converged", "no_energy"),
    ),
    Column(
        "hull_message",
        "Reason why the row has no energy above the hull.",
        kind=Kind.TEXT,
        section=Section.STATUS,
        sources=(Source.HULL,),
        told=True,
        reason=True,
    ),
    Column(
        "e_above_hull",
        "Energy above the convex hull; 0 for a crystal on the hull.",
        "eV/atom",
        section=Section.HULL,
        sources=(Source.HULL,),
        shown=(Source.HULL, Source.SCREEN),
        compared=True,
        searched=True,
    ),
    Column(
        "e_above_hull_std",
        "Standard deviation of `e_above_hull` over the members of the ensemble. Each member has its own hull.",
        "eV/atom",
        section=Section.HULL,
        sources=(Source.HULL,),
        of_the_set=True,
    ),
    Column(
        "p_stable",
        "Share of the members of the ensemble for which the row is stable (`e_above_hull` at most "
        "`stability_threshold`).",
        section=Section.HULL,
        sources=(Source.HULL,),
        of_the_set=True,
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
        "Energy above the hull of all phases of other compositions; negative for a stable crystal.",
        "eV/atom",
        section=Section.HULL,
        sources=(Source.HULL,),
    ),
    Column(
        "is_stable",
        "True if `e_above_hull` is at most `stability_threshold`.",
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
        "The atomic fractions of `decomposition`, not rounded.",
        shape=("L",),
        section=Section.HULL,
        sources=(Source.HULL,),
    ),
    Column(
        "hull_of",
        "Quantity from which the hull is made: energy, or enthalpy at a pressure, with corrections or without.",
        kind=Kind.TEXT,
        section=Section.HULL,
        sources=(Source.HULL,),
    ),
    Column(
        "correction",
        "Correction of the Materials Project that was added to the energy of the cell; 0 if there is none.",
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

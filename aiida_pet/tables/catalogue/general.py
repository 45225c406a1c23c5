"""Columns: what every table says of a row."""

from __future__ import annotations

from aiida_pet.tables import warnings
from aiida_pet.tables.column import EVALUATED, Column, Kind, Section, Source

GENERAL: tuple[Column, ...] = (
    Column(
        "formula",
        "Formula of the whole cell, elements in alphabetical order.",
        kind=Kind.TEXT,
        shown=(*EVALUATED, Source.SCREEN),
    ),
    Column(
        "stage",
        "Stage at which the row left the screening, or `done`.",
        kind=Kind.TEXT,
        section=Section.STATUS,
        sources=(Source.SCREEN,),
        shown=(Source.SCREEN,),
        compared=True,
        searched=True,
    ),
    Column(
        "passed",
        "True if the row passed all stages.",
        kind=Kind.FLAG,
        section=Section.STATUS,
        sources=(Source.SCREEN,),
        compared=True,
    ),
    Column(
        "reason",
        "Reason why the row left the screening: status and message, or the part of the condition that the row does "
        "not fulfil.",
        kind=Kind.TEXT,
        section=Section.STATUS,
        sources=(Source.SCREEN,),
        shown=(Source.SCREEN,),
    ),
    Column(
        "status",
        "How the row ended: converged, max_steps, diverged, left, or another reason why there is no answer.",
        kind=Kind.TEXT,
        section=Section.STATUS,
        sources=EVALUATED,
        shown=EVALUATED,
        searched=True,
        repeated=True,
        words=(
            *("converged", "max_steps", "unsupported_element", "invalid_geometry", "diverged", "too_large"),
            *("exploded", "failed", "left"),
        ),
    ),
    Column(
        "message",
        "Explanation of the status in words.",
        kind=Kind.TEXT,
        section=Section.STATUS,
        sources=EVALUATED,
        repeated=True,
        told=True,
    ),
    Column(
        warnings.COLUMN,
        "Codes of warnings, separated by spaces.",
        kind=Kind.TEXT,
        section=Section.STATUS,
        sources=EVALUATED,
        searched=True,
        told=True,
        words=tuple(code.value for code in warnings.Warned),
    ),
    Column(
        "heads",
        "How the model gave forces and stress: conservative, or the names of those that come from direct heads.",
        kind=Kind.TEXT,
        section=Section.RELAXATION,
        sources=EVALUATED,
        shown=(*EVALUATED, Source.SCREEN),
    ),
    Column(
        "n_atoms",
        "Number of atoms of the cell.",
        kind=Kind.COUNT,
        sources=EVALUATED,
        shown=(Source.STATIC, Source.RELAX),
    ),
)

"""Columns: space groups and layer groups before and after."""

from __future__ import annotations

from aiida_pet.tables import when
from aiida_pet.tables.column import EVALUATED, RELAXED, Column, Kind, Section, Source

SYMMETRY: tuple[Column, ...] = (
    Column(
        "spacegroup",
        "Number of the space group at the tolerance of the stage; 0 where there is none.",
        kind=Kind.COUNT,
        section=Section.SYMMETRY,
        sources=(Source.SYMMETRY,),
    ),
    Column(
        "crystal_system",
        "Crystal system of the space group.",
        kind=Kind.TEXT,
        section=Section.SYMMETRY,
        sources=(Source.SYMMETRY, Source.ELASTIC),
    ),
    Column(
        "n_elements",
        "Number of different elements.",
        kind=Kind.COUNT,
        sources=(Source.SYMMETRY,),
    ),
    Column(
        "initial_spacegroup_{symprec}",
        "Number of the space group as it was given, at that tolerance.",
        kind=Kind.COUNT,
        section=Section.SYMMETRY,
        sources=RELAXED,
        when=when.groups_of_a_relaxation,
        shown=(Source.RELAX,),
    ),
    Column(
        "spacegroup_{symprec}",
        "Number of the space group at that tolerance (A); 0 where there is none, as of slabs, wires and molecules.",
        kind=Kind.COUNT,
        section=Section.SYMMETRY,
        sources=EVALUATED,
        when=when.has_groups,
        compared=True,
        searched=True,
        shown=(*RELAXED, Source.SCREEN),
    ),
    Column(
        "initial_layergroup_{symprec}",
        "Number of the layer group of a slab as it was given, at that tolerance; where the set has slabs.",
        kind=Kind.COUNT,
        section=Section.SYMMETRY,
        sources=RELAXED,
        when=when.groups_of_a_relaxation,
        zero_with="initial_spacegroup_{symprec}",
    ),
    Column(
        "layergroup_{symprec}",
        "Number of the layer group of a slab (1 to 80) at that tolerance (A), 0 for rows that are not slabs; where the "
        "set has slabs.",
        kind=Kind.COUNT,
        section=Section.SYMMETRY,
        sources=EVALUATED,
        when=when.has_groups,
        zero_with="spacegroup_{symprec}",
    ),
    Column(
        "symmetry_kept_{symprec}",
        "True if the relaxation kept the group at that tolerance: of a crystal its space group, of a slab its layer "
        "group, of a wire or a molecule the operations that it has.",
        kind=Kind.FLAG,
        section=Section.SYMMETRY,
        sources=RELAXED,
        when=when.groups_of_a_relaxation,
        shown=(Source.RELAX,),
    ),
    Column(
        "symmetry_warning",
        "Which space group (or layer group) the row has at which tolerance, where they differ or the relaxation "
        "changed it.",
        kind=Kind.TEXT,
        section=Section.SYMMETRY,
        sources=EVALUATED,
        when=when.has_groups,
        repeated=True,
        told=True,
    ),
    Column(
        "constrained_spacegroup_{symprec}",
        "Number of the space group of the crystal that was held to its symmetry.",
        kind=Kind.COUNT,
        section=Section.SYMMETRY,
        sources=(Source.COMBINED,),
        when=when.has_groups,
    ),
    Column(
        "free_spacegroup_{symprec}",
        "Number of the space group where the free relaxation landed.",
        kind=Kind.COUNT,
        section=Section.SYMMETRY,
        sources=(Source.COMBINED,),
        when=when.has_groups,
    ),
)

"""Columns: space groups and layer groups before and after."""

from __future__ import annotations

from aiida_pet.tables import when
from aiida_pet.tables.column import EVALUATED, RELAXED, Column, Kind, Section, Source

SYMMETRY: tuple[Column, ...] = (
    Column(
        "spacegroup",
        "Number of the space group at the tolerance of the stage; 0 for rows without a space group.",
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
        "Number of the space group before the relaxation, at this tolerance.",
        kind=Kind.COUNT,
        section=Section.SYMMETRY,
        sources=RELAXED,
        when=when.groups_of_a_relaxation,
        shown=(Source.RELAX,),
    ),
    Column(
        "spacegroup_{symprec}",
        "Number of the space group at this tolerance (A); 0 for slabs, wires and molecules.",
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
        "Number of the layer group of a slab before the relaxation, at this tolerance. The column exists if the set "
        "has slabs.",
        kind=Kind.COUNT,
        section=Section.SYMMETRY,
        sources=RELAXED,
        when=when.groups_of_a_relaxation,
        zero_with="initial_spacegroup_{symprec}",
    ),
    Column(
        "layergroup_{symprec}",
        "Number of the layer group of a slab (1 to 80) at this tolerance (A); 0 for rows that are not slabs. The "
        "column exists if the set has slabs.",
        kind=Kind.COUNT,
        section=Section.SYMMETRY,
        sources=EVALUATED,
        when=when.has_groups,
        zero_with="spacegroup_{symprec}",
    ),
    Column(
        "symmetry_kept_{symprec}",
        "True if the relaxation kept the symmetry at this tolerance: the space group of a crystal, the layer group of "
        "a slab, or the operations of a wire or molecule.",
        kind=Kind.FLAG,
        section=Section.SYMMETRY,
        sources=RELAXED,
        when=when.groups_of_a_relaxation,
        shown=(Source.RELAX,),
    ),
    Column(
        "symmetry_warning",
        "Sentence with the space groups (or layer groups) at each tolerance, if they differ or if the relaxation "
        "changed them.",
        kind=Kind.TEXT,
        section=Section.SYMMETRY,
        sources=EVALUATED,
        when=when.has_groups,
        repeated=True,
        told=True,
    ),
    Column(
        "constrained_spacegroup_{symprec}",
        "Number of the space group after the constrained relaxation.",
        kind=Kind.COUNT,
        section=Section.SYMMETRY,
        sources=(Source.COMBINED,),
        when=when.has_groups,
    ),
    Column(
        "free_spacegroup_{symprec}",
        "Number of the space group after the free relaxation.",
        kind=Kind.COUNT,
        section=Section.SYMMETRY,
        sources=(Source.COMBINED,),
        when=when.has_groups,
    ),
)

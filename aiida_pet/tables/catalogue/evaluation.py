"""Columns: energy, forces, stress and what else a model says of a crystal."""

from __future__ import annotations

from aiida_pet.tables import when
from aiida_pet.tables.column import EVALUATED, PER_ATOM, Column, Section, Source

EVALUATION: tuple[Column, ...] = (
    Column(
        "energy",
        "Energy of the cell.",
        "eV",
        section=Section.RELAXATION,
        sources=EVALUATED,
        shown=(Source.STATIC, Source.RELAX),
        searched=True,
    ),
    Column(
        "volume",
        "Volume of the cell.",
        "A^3",
        section=Section.RELAXATION,
        sources=EVALUATED,
        shown=(Source.STATIC, Source.RELAX),
    ),
    Column(
        "stress",
        "Stress, positive under tension as in ASE; Voigt's order xx yy zz yz xz xy. Missing for rows that are not "
        "periodic in all directions, except slabs with `cell=plane`.",
        "eV/A^3",
        shape=("6",),
        section=Section.RELAXATION,
        sources=EVALUATED,
    ),
    Column(
        "fmax",
        "Largest norm of a force, without the components of atoms that are held.",
        "eV/A",
        section=Section.RELAXATION,
        sources=EVALUATED,
        shown=(Source.STATIC, Source.RELAX),
    ),
    Column(
        "stress_max",
        "Largest component of the stress, after the external pressure is added, along the strains by which the cell "
        "may relax.",
        "GPa",
        section=Section.RELAXATION,
        sources=EVALUATED,
        shown=(Source.STATIC, Source.RELAX),
    ),
    Column(
        "forces",
        "Forces on the atoms.",
        "eV/A",
        shape=(PER_ATOM, "3"),
        section=Section.RELAXATION,
        sources=EVALUATED,
    ),
    Column(
        "net_force",
        "Norm of the sum of the direct forces before this sum was removed.",
        "eV/A",
        section=Section.RELAXATION,
        sources=tuple(source for source in EVALUATED if source is not Source.PHONONS),
        when=when.direct_forces,
    ),
    Column(
        "rotational_energy_std",
        "Standard deviation of the energy over the rotations over which it is averaged.",
        "eV",
        section=Section.RELAXATION,
        sources=EVALUATED,
        when=when.averaged,
    ),
    Column(
        "rotational_forces_std",
        "Standard deviation of the forces over the rotations over which they are averaged; root mean square over "
        "components.",
        "eV/A",
        section=Section.RELAXATION,
        sources=EVALUATED,
        when=when.averaged,
    ),
    Column(
        "rotational_stress_std",
        "Standard deviation of the stress over the rotations over which it is averaged; root mean square over "
        "components.",
        "eV/A^3",
        section=Section.RELAXATION,
        sources=EVALUATED,
        when=when.averaged,
    ),
    Column(
        "energies",
        "Energy of each atom.",
        "eV",
        shape=(PER_ATOM,),
        section=Section.RELAXATION,
        sources=EVALUATED,
        when=when.output("energies"),
    ),
    Column(
        "features",
        "Features of the last layer of the energy head, summed over the atoms.",
        shape=("F",),
        section=Section.RELAXATION,
        sources=EVALUATED,
        when=when.output("features"),
    ),
    Column(
        "uncertainty",
        "Uncertainty of the energy that the model states, as a standard deviation.",
        "eV",
        section=Section.RELAXATION,
        sources=EVALUATED,
        when=when.output("uncertainty"),
    ),
    Column(
        "ensemble",
        "Energies of the members of the model's ensemble; their mean is `energy`.",
        "eV",
        shape=("M",),
        section=Section.RELAXATION,
        sources=EVALUATED,
        when=when.output("ensemble"),
    ),
    Column(
        "invariance",
        "Norm of the derivative of the energy with respect to a rotation of the crystal; zero for an invariant model.",
        "eV",
        section=Section.SYMMETRY,
        sources=EVALUATED,
        when=when.output("invariance"),
    ),
)

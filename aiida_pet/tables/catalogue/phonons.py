"""Columns: frequencies, thermal properties and what force constants are worth."""

from __future__ import annotations

from typing import Any

from aiida_pet.tables import when
from aiida_pet.tables.column import RAGGED, Column, Kind, Section, Source


def _phonons(name: str, meaning: str, unit: str = "", **further: Any) -> Column:
    return Column(
        name, meaning, unit, **({"section": Section.PHONONS, "sources": (Source.PHONONS,)} | further)
    )


_SUPERCELLS = (Source.PHONONS, Source.QHA)  # what takes one supercell of second order

PHONONS: tuple[Column, ...] = (
    _phonons(
        "n_atoms_primitive",
        "Number of atoms of the primitive cell.",
        kind=Kind.COUNT,
        shown=(Source.PHONONS,),
        sources=_SUPERCELLS,
    ),
    _phonons(
        "min_frequency",
        "Lowest frequency on the mesh and at the q-points of the supercell, without the acoustic modes at Gamma. "
        "Imaginary frequencies are negative.",
        "THz",
        shown=(Source.PHONONS, Source.SCREEN),
        compared=True,
        searched=True,
    ),
    _phonons(
        "max_frequency",
        "Highest frequency on the mesh and at the q-points of the supercell.",
        "THz",
        shown=(Source.PHONONS,),
        compared=True,
    ),
    _phonons(
        "max_frequency_commensurate",
        "Highest frequency at the q-points of the supercell alone, where nothing is interpolated.",
        "THz",
    ),
    _phonons(
        "acoustic_gamma",
        "Largest frequency of the acoustic modes at Gamma, which would be zero in an exact calculation.",
        "THz",
    ),
    _phonons(
        "is_dynamically_stable",
        "True if `min_frequency` is at least minus `imaginary_threshold`.",
        kind=Kind.FLAG,
        shown=(Source.PHONONS,),
        compared=True,
    ),
    _phonons(
        "n_imaginary",
        "Number of imaginary modes at the q-points of the supercell.",
        kind=Kind.COUNT,
        shown=(Source.PHONONS,),
    ),
    _phonons("imaginary_fraction", "Share of imaginary modes on the mesh."),
    _phonons(
        "imaginary_at_gamma_only",
        "True if all imaginary modes of the supercell are at Gamma.",
        kind=Kind.FLAG,
    ),
    _phonons(
        "imaginary_q",
        "The q-point of the softest mode, in the reciprocal basis of the primitive cell. It is missing if the crystal "
        "is stable.",
        shape=("3",),
    ),
    _phonons("phonon_dos", "Density of states at `dos_frequencies`.", "1/THz", shape=("G",)),
    _phonons("dos_frequencies", "Frequencies of the density of states.", "THz", shape=("G",)),
    _phonons("zero_point_energy", "Zero-point energy per mole of primitive cells.", "kJ/mol"),
    _phonons(
        "temperatures", "Temperatures of the thermal properties.", "K", shape=("T",), sources=_SUPERCELLS
    ),
    _phonons(
        "free_energy",
        "Helmholtz free energy of vibration at `temperatures`, per mole of primitive cells.",
        "kJ/mol",
        shape=("T",),
    ),
    _phonons("entropy", "Entropy at `temperatures`, per mole of primitive cells.", "J/(K mol)", shape=("T",)),
    _phonons(
        "heat_capacity",
        "Heat capacity at constant volume at `temperatures`, per mole of primitive cells.",
        "J/(K mol)",
        shape=("T",),
    ),
    _phonons("free_energy_300", "`free_energy` at 300 K.", "kJ/mol", shown=(Source.PHONONS,)),
    _phonons("entropy_300", "`entropy` at 300 K.", "J/(K mol)", shown=(Source.PHONONS,)),
    _phonons("heat_capacity_300", "`heat_capacity` at 300 K.", "J/(K mol)", shown=(Source.PHONONS,)),
    _phonons(
        "net_force",
        "Largest net force on a displaced supercell, before it was removed.",
        "eV/A",
    ),
    _phonons(
        "acoustic_sum_rule_before", "Violation of the acoustic sum rule before the correction.", "eV/A^2"
    ),
    _phonons(
        "acoustic_sum_rule",
        "Violation of the acoustic sum rule that remains after the correction.",
        "eV/A^2",
    ),
    _phonons(
        "hessian_asymmetry", "Asymmetry of the force constants before they were made symmetric.", "eV/A^2"
    ),
    _phonons("hessian_relative_asymmetry", "`hessian_asymmetry` divided by the largest force constant."),
    _phonons(
        "supercell_matrix",
        "Supercell relative to the primitive cell.",
        shape=("3", "3"),
        kind=Kind.COUNT,
        sources=_SUPERCELLS,
    ),
    _phonons(
        "primitive_matrix",
        "Primitive cell relative to the cell of the row.",
        shape=("3", "3"),
        sources=_SUPERCELLS,
    ),
    _phonons("n_atoms_supercell", "Number of atoms of the supercell.", kind=Kind.COUNT, sources=_SUPERCELLS),
    _phonons(
        "supercell_image",
        "Shortest distance between images of an atom in the supercell.",
        "A",
        sources=_SUPERCELLS,
    ),
    _phonons(
        "supercell_capped",
        "True if the supercell is smaller than `min_image` requires: `max_atoms` limits it, or it was given.",
        kind=Kind.FLAG,
        sources=(*_SUPERCELLS, Source.CONDUCTIVITY),
    ),
    _phonons("n_displacements", "Number of displaced supercells.", kind=Kind.COUNT),
    _phonons("displacement", "Length of the displacements.", "A"),
    _phonons("force_constants", "Compact force constants of phonopy.", "eV/A^2", shape=(RAGGED, "3", "3")),
    _phonons(
        "primitive_atoms",
        "Atoms of the row that form the primitive cell.",
        shape=(RAGGED,),
        kind=Kind.COUNT,
    ),
    _phonons(
        "check_n_atoms_supercell",
        "Number of atoms of the second supercell.",
        kind=Kind.COUNT,
        when=when.checked,
    ),
    _phonons(
        "check_supercell_image", "Distance between images in the second supercell.", "A", when=when.checked
    ),
    _phonons("check_min_frequency", "Lowest frequency in the second supercell.", "THz", when=when.checked),
    _phonons("check_max_frequency", "Highest frequency in the second supercell.", "THz", when=when.checked),
    _phonons(
        "check_is_dynamically_stable",
        "True if the crystal is dynamically stable in the second supercell.",
        kind=Kind.FLAG,
        when=when.checked,
    ),
    _phonons(
        "check_frequency_change",
        "Largest change of a frequency of the mesh from the first supercell to the second.",
        "THz",
        when=when.checked,
    ),
    # of crystals with Born charges and a dielectric tensor
    _phonons(
        "has_nac",
        "True if the correction for long-range dipoles (the non-analytical term) was made.",
        kind=Kind.FLAG,
        of_the_set=True,
    ),
    _phonons("dielectric_tensor", "High-frequency dielectric tensor.", shape=("3", "3"), of_the_set=True),
    _phonons(
        "primitive_born_charges",
        "Born effective charges of the atoms of the primitive cell.",
        "e",
        shape=(RAGGED, "3", "3"),
        of_the_set=True,
    ),
    _phonons("mode_frequency", "Frequency of the mode that was followed.", "THz", sources=(Source.MODES,)),
    _phonons(
        "mode_q",
        "The q-point of the mode that was followed, in the reciprocal basis of the primitive cell.",
        shape=("3",),
        sources=(Source.MODES,),
    ),
    _phonons(
        "mode_amplitude",
        "Largest displacement of an atom along the mode.",
        "A",
        sources=(Source.MODES,),
    ),
    _phonons(
        "n_cells",
        "Number of primitive cells in the cell that was used to follow the mode.",
        kind=Kind.COUNT,
        sources=(Source.MODES,),
    ),
    _phonons(
        "volume_change",
        "Volume after the mode was followed minus volume before.",
        "A^3/atom",
        sources=(Source.MODES,),
    ),
)

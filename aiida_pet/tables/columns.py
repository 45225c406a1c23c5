"""The catalogue of columns: what each one means, in which unit, and when it exists. It is written down here only.

A column whose name depends on a parameter is a family: ``spacegroup_{symprec}`` stands for one column per tolerance of
``symprecs``. A screening gives names a prefix where they would meet (``phonons_status``, ``input_energy``); such a
column is what the name behind the prefix says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from functools import cache
from typing import Any

from aiida_pet.tables import warnings

VOIGT = ("xx", "yy", "zz", "yz", "xz", "xy")
"""Components of a vector of six, in Voigt's order."""
INPUT = "input_"
"""Prefix of a column of the input whose name a stage of the screening uses."""
SYMPREC = "{symprec}"
PER_ATOM = "A"
"""First dimension of a column that has one entry per atom."""
RAGGED = "*"
"""First dimension of a column whose rows differ in length."""
_PREFIXES = ("initial", "constrained", "free", "phonons", "elastic", "check")
_LABEL = r"\d+(?:_\d+)?(?:e_?\d+)?"


class Section(StrEnum):
    """Under which heading a column is shown, in the order of the headings."""

    STATUS = "status"
    RELAXATION = "relaxation"
    SYMMETRY = "symmetry"
    HULL = "hull"
    PHONONS = "phonons"
    ELASTIC = "elastic"
    OTHER = "other"


class Kind(StrEnum):
    """Type of the values of a column."""

    NUMBER = "number"
    COUNT = "count"
    FLAG = "flag"
    TEXT = "text"


class Source(StrEnum):
    """What writes a column: a task of the engine, or a step of the plugin."""

    STATIC = "static"
    RELAX = "relax"
    PHONONS = "phonons"
    ELASTIC = "elastic"
    SYMMETRY = "symmetry"
    HULL = "hull"
    COMBINED = "combined"  # two relaxations made one
    MODES = "modes"  # modes that were followed
    SCREEN = "screen"  # the final table of a screening


EVALUATED = (Source.STATIC, Source.RELAX, Source.PHONONS, Source.ELASTIC)
RELAXED = (Source.RELAX, Source.PHONONS, Source.ELASTIC)


def _always(_: Any) -> bool:
    return True


@dataclass(frozen=True)
class Column:
    """A column, or a family of columns.

    :ivar name: as in the table; ``{symprec}`` stands for the label of a tolerance.
    :ivar meaning: one sentence for people.
    :ivar unit: empty for what has none.
    :ivar shape: of the value of a row: ``()`` one value, ``("6",)`` six of them, ``("A", "3")`` three per atom,
        ``("*", "3", "3")`` matrices, as many as the row has.
    :ivar kind: type of the values.
    :ivar section: heading under which it is shown.
    :ivar sources: what writes it.
    :ivar when: whether it exists, given the parameters of the task (an object with one attribute per parameter).
    :ivar shown: tables in which people see it first, named by their source.
    :ivar compared: whether two launches are compared by it.
    :ivar searched: whether a search over all campaigns shows it first.
    :ivar repeated: whether a later stage of a screening says it again under its own name.
    :ivar told: whether it speaks in words, so that it is shown only where it says something.
    :ivar zero_with: of a count that is 0 where a table lacks it: the column that tells by its values in which rows,
        ``id`` for all of them. Empty for a column that is missing where a table lacks it.
    """

    name: str
    meaning: str
    unit: str = ""
    shape: tuple[str, ...] = ()
    kind: Kind = Kind.NUMBER
    section: Section = Section.OTHER
    sources: tuple[Source, ...] = ()
    when: Callable[[Any], bool] = _always
    shown: tuple[Source, ...] = ()
    compared: bool = False
    searched: bool = False
    repeated: bool = False
    told: bool = False
    zero_with: str = ""

    @property
    def is_family(self) -> bool:
        """Whether there is one column for each tolerance."""
        return SYMPREC in self.name

    def names(self, symprecs: Iterable[float] = ()) -> list[str]:
        """Return the names that it has at the tolerances ``symprecs`` (A)."""
        if not self.is_family:
            return [self.name]
        return [self.name.replace(SYMPREC, symprec_label(symprec)) for symprec in symprecs]

    @property
    def pattern(self) -> re.Pattern[str]:
        """Expression that matches exactly the names of the column."""
        return re.compile(re.escape(self.name).replace(re.escape(SYMPREC), _LABEL))


def symprec_label(symprec: float) -> str:
    """Return the suffix of columns at tolerance ``symprec`` (A), usable in queries: 0.01 -> ``0_01``.

    All its digits are in it, so that two tolerances never share a label.
    """
    return f"{Decimal(repr(float(symprec))):f}".removesuffix(".0").replace(".", "_")


# -- when --------------------------------------------------------------------------------------------------------------


def _averaged(parameters: Any) -> bool:
    return getattr(parameters, "averaging", "none") != "none"


def _direct_forces(parameters: Any) -> bool:
    return getattr(parameters, "forces", "") == "direct"


def _pressed(parameters: Any) -> bool:
    return bool(getattr(parameters, "pressure", 0.0)) and _relaxes(parameters)


def _relaxes(parameters: Any) -> bool:
    return bool(getattr(parameters, "relax_first", True))


def _has_groups(parameters: Any) -> bool:
    return bool(getattr(parameters, "symprecs", ()))


def _groups_of_a_relaxation(parameters: Any) -> bool:
    return _has_groups(parameters) and _relaxes(parameters)


def _output(name: str) -> Callable[[Any], bool]:
    return lambda parameters: name in getattr(parameters, "outputs", ())


def _checked(parameters: Any) -> bool:
    return getattr(parameters, "supercell_check", None) is not None


# -- the catalogue -----------------------------------------------------------------------------------------------------

# The sources by their name, for what is shown first.
_S, _R, _P, _E = Source.STATIC, Source.RELAX, Source.PHONONS, Source.ELASTIC
_SCREEN, _HULL = Source.SCREEN, Source.HULL

_OF_ALL = (
    Column(
        "formula",
        "Formula of the whole cell, elements in alphabetical order.",
        kind=Kind.TEXT,
        shown=(_S, _R, _P, _E, _SCREEN),
    ),
    Column(
        "stage",
        "Stage at which the row left the screening, or `done`.",
        kind=Kind.TEXT,
        section=Section.STATUS,
        sources=(_SCREEN,),
        shown=(_SCREEN,),
        compared=True,
        searched=True,
    ),
    Column(
        "passed",
        "True if the row came through all stages.",
        kind=Kind.FLAG,
        section=Section.STATUS,
        sources=(_SCREEN,),
        compared=True,
    ),
    Column(
        "reason",
        "Why the row left: its status and message, or the part of the condition that fails.",
        kind=Kind.TEXT,
        section=Section.STATUS,
        sources=(_SCREEN,),
        shown=(_SCREEN,),
    ),
    Column(
        "status",
        "How the row ended: converged, max_steps, left, or the reason why there is no answer.",
        kind=Kind.TEXT,
        section=Section.STATUS,
        sources=EVALUATED,
        shown=(_S, _R, _P, _E),
        searched=True,
        repeated=True,
    ),
    Column(
        "message",
        "What there is to say of the status, in words.",
        kind=Kind.TEXT,
        section=Section.STATUS,
        sources=EVALUATED,
        repeated=True,
        told=True,
    ),
    Column(
        warnings.COLUMN,
        "Codes of what needs a second look, separated by spaces.",
        kind=Kind.TEXT,
        section=Section.STATUS,
        sources=EVALUATED,
        searched=True,
        told=True,
    ),
    Column(
        "heads",
        "The model's heads that forces and stress come from: conservative, or which of them are direct.",
        kind=Kind.TEXT,
        section=Section.RELAXATION,
        sources=EVALUATED,
        shown=(_S, _R, _P, _E, _SCREEN),
    ),
    Column(
        "n_atoms",
        "Number of atoms of the cell.",
        kind=Kind.COUNT,
        sources=EVALUATED,
        shown=(_S, _R),
    ),
)

_EVALUATION = (
    Column(
        "energy",
        "Energy of the cell.",
        "eV",
        section=Section.RELAXATION,
        sources=EVALUATED,
        shown=(_S, _R),
        searched=True,
    ),
    Column(
        "volume", "Volume of the cell.", "A^3", section=Section.RELAXATION, sources=EVALUATED, shown=(_S, _R)
    ),
    Column(
        "stress",
        "Stress, positive under tension as in ASE; Voigt's order xx yy zz yz xz xy. Missing for rows not "
        "periodic in all directions, but for slabs with `cell=plane`.",
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
        shown=(_S, _R),
    ),
    Column(
        "stress_max",
        "Largest component of the stress that the task would relax, the pressure included.",
        "GPa",
        section=Section.RELAXATION,
        sources=EVALUATED,
        shown=(_S, _R),
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
        "Norm of the sum of the direct forces before it was removed.",
        "eV/A",
        section=Section.RELAXATION,
        sources=(_S, _R, _E),
        when=_direct_forces,
    ),
    Column(
        "rotational_energy_std",
        "Standard deviation of the energy over the rotations of the average.",
        "eV",
        section=Section.RELAXATION,
        sources=EVALUATED,
        when=_averaged,
    ),
    Column(
        "rotational_forces_std",
        "Standard deviation of the forces over the rotations of the average, root mean square over components.",
        "eV/A",
        section=Section.RELAXATION,
        sources=EVALUATED,
        when=_averaged,
    ),
    Column(
        "rotational_stress_std",
        "Standard deviation of the stress over the rotations of the average, root mean square over components.",
        "eV/A^3",
        section=Section.RELAXATION,
        sources=EVALUATED,
        when=_averaged,
    ),
    Column(
        "energies",
        "Energy of each atom.",
        "eV",
        shape=(PER_ATOM,),
        section=Section.RELAXATION,
        sources=EVALUATED,
        when=_output("energies"),
    ),
    Column(
        "features",
        "Features of the last layer of the energy head, summed over the atoms.",
        shape=("F",),
        section=Section.RELAXATION,
        sources=EVALUATED,
        when=_output("features"),
    ),
    Column(
        "uncertainty",
        "Standard deviation of the energy that the model states.",
        "eV",
        section=Section.RELAXATION,
        sources=EVALUATED,
        when=_output("uncertainty"),
    ),
    Column(
        "invariance",
        "Norm of the derivative of the energy by a rotation of the crystal: zero for an invariant model.",
        "eV",
        section=Section.SYMMETRY,
        sources=EVALUATED,
        when=_output("invariance"),
    ),
)

_RELAXATION = (
    Column(
        "enthalpy",
        "Enthalpy of the cell under the pressure of the relaxation, H = E + P V.",
        "eV",
        section=Section.RELAXATION,
        sources=RELAXED,
        when=_pressed,
        searched=True,
    ),
    Column(
        "initial_energy",
        "Energy of the cell as it was given.",
        "eV",
        section=Section.RELAXATION,
        sources=RELAXED,
        when=_relaxes,
    ),
    Column(
        "initial_volume",
        "Volume of the cell as it was given.",
        "A^3",
        section=Section.RELAXATION,
        sources=RELAXED,
        when=_relaxes,
    ),
    Column(
        "n_steps",
        "Steps of the optimiser; 0 of what was not relaxed.",
        kind=Kind.COUNT,
        section=Section.RELAXATION,
        sources=RELAXED,
        when=_relaxes,
        shown=(_R,),
        zero_with="id",
    ),
    Column(
        "relaxation",
        "Which of two relaxations stands: constrained or free.",
        kind=Kind.TEXT,
        section=Section.RELAXATION,
        sources=(Source.COMBINED,),
    ),
    Column(
        "energy_gained",
        "How far the second relaxation came down below the first.",
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

_SYMMETRY = (
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
        sources=(Source.SYMMETRY, _E),
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
        when=_groups_of_a_relaxation,
        shown=(_R,),
    ),
    Column(
        "spacegroup_{symprec}",
        "Number of the space group at that tolerance (A); 0 where there is none, as of slabs, wires and molecules.",
        kind=Kind.COUNT,
        section=Section.SYMMETRY,
        sources=EVALUATED,
        when=_has_groups,
        compared=True,
        searched=True,
        shown=(_R, _P, _E, _SCREEN),
    ),
    Column(
        "initial_layergroup_{symprec}",
        "Number of the layer group of a slab as it was given, at that tolerance; where the set has slabs.",
        kind=Kind.COUNT,
        section=Section.SYMMETRY,
        sources=RELAXED,
        when=_groups_of_a_relaxation,
        zero_with="initial_spacegroup_{symprec}",
    ),
    Column(
        "layergroup_{symprec}",
        "Number of the layer group of a slab (1 to 80) at that tolerance (A), 0 for rows that are not slabs; where the "
        "set has slabs.",
        kind=Kind.COUNT,
        section=Section.SYMMETRY,
        sources=EVALUATED,
        when=_has_groups,
        zero_with="spacegroup_{symprec}",
    ),
    Column(
        "symmetry_kept_{symprec}",
        "True if the relaxation kept the group at that tolerance: of a crystal its space group, of a slab its layer "
        "group, of a wire or a molecule the operations that it has.",
        kind=Kind.FLAG,
        section=Section.SYMMETRY,
        sources=RELAXED,
        when=_groups_of_a_relaxation,
        shown=(_R,),
    ),
    Column(
        "symmetry_warning",
        "Which space group (or layer group) the row has at which tolerance, where they differ or the relaxation "
        "changed it.",
        kind=Kind.TEXT,
        section=Section.SYMMETRY,
        sources=EVALUATED,
        when=_has_groups,
        repeated=True,
        told=True,
    ),
    Column(
        "constrained_spacegroup_{symprec}",
        "Number of the space group of the crystal that was held to its symmetry.",
        kind=Kind.COUNT,
        section=Section.SYMMETRY,
        sources=(Source.COMBINED,),
        when=_has_groups,
    ),
    Column(
        "free_spacegroup_{symprec}",
        "Number of the space group where the free relaxation landed.",
        kind=Kind.COUNT,
        section=Section.SYMMETRY,
        sources=(Source.COMBINED,),
        when=_has_groups,
    ),
)

_HULLS = (
    Column(
        "hull_status",
        "ok, no_reference, not_converged or no_energy.",
        kind=Kind.TEXT,
        section=Section.STATUS,
        sources=(_HULL,),
        shown=(_HULL,),
    ),
    Column(
        "hull_message",
        "Why there is no energy above hull.",
        kind=Kind.TEXT,
        section=Section.STATUS,
        sources=(_HULL,),
        told=True,
    ),
    Column(
        "e_above_hull",
        "Energy above the convex hull; 0 for what is on it.",
        "eV/atom",
        section=Section.HULL,
        sources=(_HULL,),
        shown=(_HULL, _SCREEN),
        compared=True,
        searched=True,
    ),
    Column(
        "formation_energy",
        "Energy of formation from the elements.",
        "eV/atom",
        section=Section.HULL,
        sources=(_HULL,),
        shown=(_HULL, _SCREEN),
        compared=True,
        searched=True,
    ),
    Column(
        "phase_separation_energy",
        "Distance to the hull of everything of another composition; negative for what is stable, by so much.",
        "eV/atom",
        section=Section.HULL,
        sources=(_HULL,),
    ),
    Column(
        "is_stable",
        "True if `e_above_hull` is not above `stability_threshold`.",
        kind=Kind.FLAG,
        section=Section.HULL,
        sources=(_HULL,),
        shown=(_HULL,),
        compared=True,
    ),
    Column(
        "decomposition",
        "Atomic fractions, formulas and ids of the products of decomposition, largest first.",
        kind=Kind.TEXT,
        section=Section.HULL,
        sources=(_HULL,),
        shown=(_HULL,),
    ),
    Column(
        "decomposition_amounts",
        "The fractions of `decomposition`, not rounded.",
        shape=("L",),
        section=Section.HULL,
        sources=(_HULL,),
    ),
    Column(
        "hull_of",
        "What competes on the hull: energy, or enthalpy at a pressure, with or without corrections.",
        kind=Kind.TEXT,
        section=Section.HULL,
        sources=(_HULL,),
    ),
    Column(
        "correction",
        "Correction of the Materials Project that was added to the energy on the hull, per cell; 0 without one.",
        "eV",
        section=Section.HULL,
        sources=(_HULL,),
    ),
    Column(
        "correction_terms",
        "The parts of `correction` in eV per atom of an element: oxide -0.687, Fe +U -2.256.",
        kind=Kind.TEXT,
        section=Section.HULL,
        sources=(_HULL,),
        told=True,
    ),
)


def _phonons(name: str, meaning: str, unit: str = "", **further: Any) -> Column:
    return Column(name, meaning, unit, **({"section": Section.PHONONS, "sources": (_P,)} | further))


_PHONON = (
    _phonons("n_atoms_primitive", "Number of atoms of the primitive cell.", kind=Kind.COUNT, shown=(_P,)),
    _phonons(
        "min_frequency",
        "Lowest frequency over the mesh and the q-points of the supercell, acoustic modes at Gamma left out; imaginary "
        "ones are negative.",
        "THz",
        shown=(_P, _SCREEN),
        compared=True,
        searched=True,
    ),
    _phonons(
        "max_frequency",
        "Highest frequency over the mesh and the q-points of the supercell.",
        "THz",
        shown=(_P,),
        compared=True,
    ),
    _phonons(
        "max_frequency_commensurate",
        "Highest frequency over the q-points of the supercell alone, where nothing is interpolated.",
        "THz",
    ),
    _phonons("acoustic_gamma", "What is left of the acoustic modes at Gamma.", "THz"),
    _phonons(
        "is_dynamically_stable",
        "True if `min_frequency` is not below minus `imaginary_threshold`.",
        kind=Kind.FLAG,
        shown=(_P,),
        compared=True,
    ),
    _phonons(
        "n_imaginary",
        "Number of imaginary modes at the q-points of the supercell.",
        kind=Kind.COUNT,
        shown=(_P,),
    ),
    _phonons("imaginary_fraction", "Share of imaginary modes on the mesh."),
    _phonons(
        "imaginary_at_gamma_only",
        "True if all imaginary modes of the supercell are at Gamma.",
        kind=Kind.FLAG,
    ),
    _phonons(
        "imaginary_q",
        "Where the softest mode is, in the reciprocal basis of the primitive cell; missing if the crystal is stable.",
        shape=("3",),
    ),
    _phonons("phonon_dos", "Density of states at `dos_frequencies`.", "1/THz", shape=("G",)),
    _phonons("dos_frequencies", "Frequencies of the density of states.", "THz", shape=("G",)),
    _phonons("zero_point_energy", "Zero-point energy per mole of primitive cells.", "kJ/mol"),
    _phonons("temperatures", "Temperatures of the thermal properties.", "K", shape=("T",)),
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
    _phonons("free_energy_300", "`free_energy` at 300 K.", "kJ/mol", shown=(_P,)),
    _phonons("entropy_300", "`entropy` at 300 K.", "J/(K mol)", shown=(_P,)),
    _phonons("heat_capacity_300", "`heat_capacity` at 300 K.", "J/(K mol)", shown=(_P,)),
    _phonons("net_force", "Largest sum of the forces on a displaced cell, before it was removed.", "eV/A"),
    _phonons(
        "acoustic_sum_rule_before", "Violation of the acoustic sum rule before it was enforced.", "eV/A^2"
    ),
    _phonons("acoustic_sum_rule", "Violation of the acoustic sum rule that is left.", "eV/A^2"),
    _phonons(
        "hessian_asymmetry", "Asymmetry of the force constants before they were made symmetric.", "eV/A^2"
    ),
    _phonons("hessian_relative_asymmetry", "`hessian_asymmetry` as a share of the force constants."),
    _phonons(
        "supercell_matrix", "Supercell relative to the primitive cell.", shape=("3", "3"), kind=Kind.COUNT
    ),
    _phonons("primitive_matrix", "Primitive cell relative to the cell of the row.", shape=("3", "3")),
    _phonons("n_atoms_supercell", "Number of atoms of the supercell.", kind=Kind.COUNT),
    _phonons("supercell_image", "Shortest distance between images of an atom in the supercell.", "A"),
    _phonons(
        "supercell_capped",
        "True if `max_atoms` forbade the supercell that `min_image` asks for.",
        kind=Kind.FLAG,
    ),
    _phonons("n_displacements", "Number of displaced supercells.", kind=Kind.COUNT),
    _phonons("displacement", "Length of the displacements.", "A"),
    _phonons("force_constants", "Compact force constants of phonopy.", "eV/A^2", shape=(RAGGED, "3", "3")),
    _phonons(
        "primitive_atoms",
        "Atoms of the cell that make the primitive cell.",
        shape=(RAGGED,),
        kind=Kind.COUNT,
    ),
    _phonons(
        "check_n_atoms_supercell", "Number of atoms of the second supercell.", kind=Kind.COUNT, when=_checked
    ),
    _phonons("check_supercell_image", "Distance between images in the second supercell.", "A", when=_checked),
    _phonons("check_min_frequency", "Lowest frequency in the second supercell.", "THz", when=_checked),
    _phonons("check_max_frequency", "Highest frequency in the second supercell.", "THz", when=_checked),
    _phonons(
        "check_is_dynamically_stable",
        "True if the crystal is dynamically stable in the second supercell.",
        kind=Kind.FLAG,
        when=_checked,
    ),
    _phonons(
        "check_frequency_change",
        "Largest change of a frequency of the mesh from the first supercell to the second.",
        "THz",
        when=_checked,
    ),
    # of crystals with Born charges and a dielectric tensor
    _phonons(
        "has_nac",
        "True if the non-analytical term correction was made.",
        kind=Kind.FLAG,
        when=lambda _: False,
    ),
    _phonons(
        "dielectric_tensor", "High-frequency dielectric tensor.", shape=("3", "3"), when=lambda _: False
    ),
    _phonons(
        "primitive_born_charges",
        "Born effective charges of the atoms of the primitive cell.",
        "e",
        shape=(RAGGED, "3", "3"),
        when=lambda _: False,
    ),
    _phonons("mode_frequency", "Frequency of the mode that was followed.", "THz", sources=(Source.MODES,)),
    _phonons(
        "mode_q",
        "Where the mode is that was followed, in the reciprocal basis of the primitive cell.",
        shape=("3",),
        sources=(Source.MODES,),
    ),
    _phonons("mode_amplitude", "How far the atoms were moved along the mode.", "A", sources=(Source.MODES,)),
    _phonons(
        "n_cells",
        "Number of primitive cells of the cell in which the mode was followed.",
        kind=Kind.COUNT,
        sources=(Source.MODES,),
    ),
    _phonons(
        "volume_change",
        "Change of the volume by following the mode, after minus before.",
        "A^3/atom",
        sources=(Source.MODES,),
    ),
)


def _elastic(name: str, meaning: str, unit: str = "", **further: Any) -> Column:
    return Column(name, meaning, unit, section=Section.ELASTIC, sources=(_E,), **further)


_ELASTICITY = (
    _elastic(
        "elastic_tensor", "Elastic tensor in the axes of the row, Voigt's order.", "GPa", shape=("6", "6")
    ),
    _elastic(
        "elastic_tensor_ieee",
        "Elastic tensor in the setting of IEEE Std 176-1987.",
        "GPa",
        shape=("6", "6"),
    ),
    _elastic(
        "bulk_modulus",
        "Bulk modulus K, mean of Voigt's and Reuss's.",
        "GPa",
        shown=(_E, _SCREEN),
        compared=True,
        searched=True,
    ),
    _elastic(
        "shear_modulus",
        "Shear modulus G, mean of Voigt's and Reuss's.",
        "GPa",
        shown=(_E, _SCREEN),
        compared=True,
        searched=True,
    ),
    _elastic("bulk_modulus_voigt", "Bulk modulus of Voigt.", "GPa"),
    _elastic("bulk_modulus_reuss", "Bulk modulus of Reuss.", "GPa"),
    _elastic("shear_modulus_voigt", "Shear modulus of Voigt.", "GPa"),
    _elastic("shear_modulus_reuss", "Shear modulus of Reuss.", "GPa"),
    _elastic("youngs_modulus", "Young's modulus, 9 K G / (3 K + G).", "GPa", shown=(_E,), compared=True),
    _elastic("poisson_ratio", "Poisson's ratio, (3 K - 2 G) / (6 K + 2 G).", shown=(_E,), compared=True),
    _elastic("pugh_ratio", "Pugh's ratio K / G."),
    _elastic("universal_anisotropy", "Universal anisotropy, 5 G_V / G_R + K_V / K_R - 6."),
    _elastic("min_eigenvalue", "Smallest eigenvalue of the elastic tensor.", "GPa"),
    _elastic(
        "is_mechanically_stable",
        "True if `min_eigenvalue` is above zero.",
        kind=Kind.FLAG,
        shown=(_E,),
        compared=True,
    ),
    _elastic("debye_temperature", "Debye temperature of the mean velocity of sound.", "K", shown=(_E,)),
    _elastic("fit_residual", "Root mean square of the stress that the fit leaves.", "GPa"),
    _elastic("fit_relative_residual", "`fit_residual` as a share of the stress.", shown=(_E,)),
    _elastic("laue_deviation", "Largest change of a component of the tensor by the symmetry.", "GPa"),
    _elastic("n_strains", "Number of strained cells.", kind=Kind.COUNT),
    Column(
        "laue_class",
        "Laue class at `symprec`.",
        kind=Kind.TEXT,
        section=Section.SYMMETRY,
        sources=(_E,),
        shown=(_E,),
    ),
)

_INPUT = (
    Column(
        "born_charges",
        "Born effective charges of the input.",
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
        "True where an atom is held along a lattice vector: its fractional coordinate stays the same.",
        shape=(PER_ATOM, "3"),
        kind=Kind.FLAG,
    ),
    Column(
        "constraints_not_read",
        "Names of constraints of the input that are not read; relaxations refuse the row.",
        kind=Kind.TEXT,
    ),
)

COLUMNS: tuple[Column, ...] = (
    *_OF_ALL,
    *_EVALUATION,
    *_RELAXATION,
    *_HULLS,
    *_PHONON,
    *_ELASTICITY,
    *_SYMMETRY,
    *_INPUT,
)
"""All columns that this package writes, in the order in which people see them."""

REPEATED: tuple[str, ...] = tuple(column.name for column in COLUMNS if column.repeated)
"""What a later stage of a screening says of its rows under its own name, where an earlier one said it before."""


# -- questions ---------------------------------------------------------------------------------------------------------


@cache
def find_columns(name: str) -> tuple[Column, ...]:
    """Return what column ``name`` may be: more than one where two tasks mean different things, none if unknown."""
    exact = tuple(column for column in COLUMNS if column.pattern.fullmatch(name))
    prefix, _, rest = name.partition("_")
    if exact or prefix not in _PREFIXES or not rest:
        return exact
    return find_columns(rest)


def kinds_of(name: str) -> set[Kind]:
    """Return what column ``name`` may hold; in a table flags and counts that are missing are NaN among numbers."""
    return {column.kind for column in find_columns(name)}


def zero_with(name: str) -> str:
    """Return the column in whose rows ``name`` is 0 where a table lacks it; ``id`` for all rows, empty for none."""
    for column in find_columns(name):
        if column.zero_with and column.pattern.fullmatch(name):
            head, _, tail = column.name.partition(SYMPREC)
            return column.zero_with.replace(SYMPREC, name[len(head) : len(name) - len(tail)])
    return ""


def unit_of(name: str) -> str:
    """Return the unit of column ``name``, empty for what has none or is not known."""
    return next((column.unit for column in find_columns(name)), "")


def units_of(names: Iterable[str]) -> dict[str, str]:
    """Return name -> unit of those of ``names`` that have one."""
    return {name: unit for name in names if (unit := unit_of(name))}


def section_of(name: str, beside: Iterable[str] = ()) -> Section:
    """Return the heading under which column ``name`` is shown.

    :param beside: the other columns of the table, which tell what it is of where the name alone does not.
    """
    found = find_columns(name)
    if not found:
        return Section.OTHER
    if len(found) > 1:
        sources = sources_of(beside)
        found = tuple(column for column in found if not sources.isdisjoint(column.sources)) or found
    return found[-1].section


_TOLD_BY = {
    Source.SCREEN: "passed",
    Source.PHONONS: "n_displacements",
    Source.ELASTIC: "n_strains",
    Source.HULL: "hull_status",
    Source.RELAX: "n_steps",
    Source.STATIC: "fmax",
}


def sources_of(names: Iterable[str]) -> set[Source]:
    """Return what wrote a table with columns ``names``, as far as these tell."""
    known = set(names)
    found = {source for source, name in _TOLD_BY.items() if name in known}
    if Source.PHONONS in found or Source.ELASTIC in found:
        found -= {Source.RELAX}
    return found - {Source.STATIC} if len(found) > 1 else found


def columns_of(source: Source, parameters: Any = None) -> list[Column]:
    """Return the columns that ``source`` writes with ``parameters``, families as such.

    :param parameters: of the task; None for a source that has none.
    """
    return [column for column in COLUMNS if source in column.sources and column.when(parameters)]


def scalar_names(source: Source, parameters: Any = None, symprecs: Sequence[float] = ()) -> list[str]:
    """Return the columns of one value per row that ``source`` writes, as a data frame names them.

    :param parameters: of the task; None for a source that has none.
    :param symprecs: tolerances (A) of the families.
    """
    names: list[str] = []
    for column in columns_of(source, parameters):
        if column.shape == ("6",):
            names += [f"{column.name}_{component}" for component in VOIGT]
        elif not column.shape:
            names += column.names(symprecs)
    return names


def first_look(names: Iterable[str]) -> list[str]:
    """Return those of ``names`` that people want to see first; none if nothing tells what the table is of."""
    known = list(names)
    sources = sources_of(known)
    order = (Source.SCREEN, Source.PHONONS, Source.ELASTIC, Source.HULL, Source.RELAX, Source.STATIC)
    source = next((one for one in order if one in sources), None)
    return [] if source is None else _listed(known, lambda column: source in column.shown)


def told_in_words(names: Iterable[str]) -> list[str]:
    """Return those of ``names`` that speak in words, shown only where they say something."""
    return [name for name in names if any(column.told for column in find_columns(name))]


def compared(names: Iterable[str]) -> list[str]:
    """Return those of ``names`` by which two launches are compared."""
    return _listed(list(names), lambda column: column.compared)


def searched(names: Iterable[str]) -> list[str]:
    """Return those of ``names`` that a search over all campaigns shows first."""
    return _listed(list(names), lambda column: column.searched)


USUAL_SYMPREC = 0.01
"""Tolerance (A) whose space group is shown where there is room for one."""


def _listed(names: list[str], chosen: Callable[[Column], bool]) -> list[str]:
    """Return the chosen of ``names`` in the order of the catalogue; of a family the usual tolerance."""
    usual = symprec_label(USUAL_SYMPREC)
    wanted = dict.fromkeys(column.name.replace(SYMPREC, usual) for column in COLUMNS if chosen(column))
    known = set(names)
    return [name for name in wanted if name in known]

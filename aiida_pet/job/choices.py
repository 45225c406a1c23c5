"""Values that parameters of tasks choose from."""

from __future__ import annotations

from enum import StrEnum


class Derivation(StrEnum):
    """Where forces or stress come from."""

    CONSERVATIVE = "conservative"  # derivative of the energy
    DIRECT = "direct"  # a head of its own: 2-3 times faster, not the derivative of anything


class Dtype(StrEnum):
    """Precision of the model; positions, cells, the optimiser and sums of energies are always float64."""

    FLOAT32 = "float32"  # all of the model
    MIXED = "mixed"  # the network in float32, and all else in float64; float64 where a model cannot do that
    FLOAT64 = "float64"


class Output(StrEnum):
    """What a model may be asked for beside energy, forces and stress; the name of the column it is written to."""

    ENERGIES = "energies"  # of each atom, eV
    FEATURES = "features"  # last-layer features of the energy head, summed over the atoms
    UNCERTAINTY = "uncertainty"  # standard deviation of the energy, eV, of models that were calibrated for it
    ENSEMBLE = (
        "ensemble"  # energies of the members of the ensemble, eV, of models that were calibrated with one
    )
    INVARIANCE = "invariance"  # norm of the derivative of the energy by a rotation of the crystal, eV


class Optimizer(StrEnum):
    """Minimisation algorithm."""

    FIRE = "fire"
    LBFGS = "lbfgs"


class CellFilter(StrEnum):
    """What of the cell may relax."""

    FULL = "full"  # all six strains
    SHAPE = "shape"  # strains at constant volume
    VOLUME = "volume"  # isotropic strain only
    PLANE = "plane"  # of a slab: strains within the plane of its two periodic vectors
    FIXED = "fixed"  # nothing


class Symmetry(StrEnum):
    """Whether a relaxation is held to the space group of its start."""

    NONE = "none"
    CONSTRAINED = "constrained"


class ForceConstants(StrEnum):
    """How force constants are made of forces."""

    TRADITIONAL = "traditional"  # phonopy's own: finite differences of each displacement
    SYMFC = "symfc"  # least squares in the space of symmetric force constants


class Opposites(StrEnum):
    """Whether each displacement of third order has its opposite."""

    ALWAYS = "always"
    AUTO = "auto"  # where symmetry does not make the two the same


class HeatTransport(StrEnum):
    """What carries heat."""

    WIGNER = "wigner"  # modes, and pairs of modes together
    RTA = "rta"  # modes alone


class Strains(StrEnum):
    """Sets of strains from which elastic constants are fitted."""

    LINEAR = "linear"  # small ones, +-0.25 % and +-0.5 %
    MATERIALS_PROJECT = "materials_project"  # normal +-0.5 % and +-1 %, shear +-3 % and +-6 %, as matcalc
    ORB_V3 = "orb_v3"  # normal +-5 % and +-10 %, shear +-1 % and +-2 %


class Ions(StrEnum):
    """What atoms do while a cell is strained."""

    RELAXED = "relaxed"
    CLAMPED = "clamped"  # they follow the strain


class Equation(StrEnum):
    """Equations of state."""

    BIRCH_MURNAGHAN = "birch_murnaghan"  # of third order
    VINET = "vinet"


class AtVolume(StrEnum):
    """What relaxes while the volume is held."""

    SHAPE = "shape"  # atoms, and the cell at constant volume
    POSITIONS = "positions"  # atoms alone
    NOTHING = "nothing"  # atoms follow the cell


class Averaging(StrEnum):
    """Rotations over which an unconstrained model is averaged, each with and without the inversion.

    Beside these there is ``lebedev-N``: a Lebedev grid times angles in the plane, exact to degree N, 84 rotations for
    N = 3; ``lebedev-N-proper`` is the half of it without the inversion. All but ``random`` are fixed in the laboratory
    frame, so that the averaged energy is smooth.
    """

    NONE = "none"
    SPACEGROUP = "spacegroup"  # the point operations of the crystal at its start
    ICOSAHEDRAL = "icosahedral"  # the 120 operations of I_h, exact to degree 5
    OCTAHEDRAL = "octahedral"  # the 48 operations of O_h, exact to degree 3
    RANDOM = "random"  # one at each evaluation: no average, but no preferred axes either


LEBEDEV_MAX = 131
_PROPER = "-proper"


def lebedev_degree(averaging: str) -> int | None:
    """Return N of ``lebedev-N`` or ``lebedev-N-proper``; None if ``averaging`` is not of this form."""
    name, _, degree = averaging.removesuffix(_PROPER).partition("-")
    return int(degree) if name == "lebedev" and degree.isdecimal() else None


def is_proper(averaging: str) -> bool:
    """Return whether a set called ``lebedev-...`` leaves the inversion out."""
    return averaging.endswith(_PROPER)

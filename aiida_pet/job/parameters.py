"""The parameters of each task: names, units, defaults and bounds in one place, unknown keys refused.

What stands here is science and decides a result; where and how fast it runs is
:class:`aiida_pet.job.folder.EngineSettings`. Free of torch and of AiiDA.
"""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from aiida_pet.job.choices import (
    LEBEDEV_MAX,
    Averaging,
    CellFilter,
    Derivation,
    Dtype,
    ForceConstants,
    Ions,
    Optimizer,
    Output,
    Strains,
    Symmetry,
    lebedev_degree,
)
from aiida_pet.job.tasks import Task, schema_of
from aiida_pet.schemas import read_as, told, unit_of

__all__ = [
    "LEBEDEV_MAX",
    "Averaging",
    "CellFilter",
    "Derivation",
    "Displacement",
    "Dtype",
    "ElasticParameters",
    "ForceConstants",
    "Ions",
    "Optimizer",
    "Output",
    "ParameterError",
    "PhononParameters",
    "RelaxParameters",
    "StaticParameters",
    "Strains",
    "Symmetry",
    "TightRelaxParameters",
    "describe_parameters",
    "heads_in_words",
    "lebedev_degree",
    "parse_parameters",
]


class ParameterError(ValueError):
    """Raised for parameters that a task does not understand; each line names key, value and what was expected."""


class StaticParameters(BaseModel):
    """Energy, forces and stress of each crystal as it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    forces: Derivation = Field(
        Derivation.CONSERVATIVE,
        description="how the model gives forces: conservative (derivative of the energy) or direct (its direct heads)",
    )
    stress: Derivation = Field(
        Derivation.CONSERVATIVE,
        description="how the model gives the stress: conservative (derivative of the energy) or direct (its direct "
        "heads)",
    )
    dtype: Dtype = Field(Dtype.FLOAT64, description="precision of the model")
    variant: str | None = Field(
        None,
        min_length=1,
        description="variant of the model's outputs, such as pbe for energy/pbe; null for outputs without a variant",
    )
    outputs: tuple[Output, ...] = Field(
        (), description=f"further columns of the results: any of {', '.join(Output)}"
    )
    symprecs: Annotated[tuple[float, ...], Field(json_schema_extra=told(unit="A"))] = Field(
        (0.001, 0.01, 0.1),
        description="tolerances at which space groups are reported; with an empty list none are reported",
    )
    symprec: float = Field(
        0.01,
        gt=0,
        lt=10,
        description="tolerance for finding the symmetry group that is held or used for averaging. This is the space "
        "group of a crystal, the layer group of a slab, or the group of a wire or molecule in a box with vacuum",
        json_schema_extra=told(unit="A"),
    )
    averaging: str = Field(
        Averaging.NONE,
        description="rotations over which energy, forces and stress are averaged: "
        f"{', '.join(Averaging)}, lebedev-N such as lebedev-3, or lebedev-N-proper without the inversion",
    )
    min_distance: float = Field(
        0.5,
        ge=0,
        description="smallest allowed distance between two atoms; a row with a shorter distance ends as "
        "invalid_geometry",
        json_schema_extra=told(unit="A"),
    )
    seed: int = Field(0, ge=0, description="seed of all random numbers")

    @model_validator(mode="after")
    def _positive_symprecs(self) -> Self:
        if any(not 0 < symprec < 10 for symprec in self.symprecs):
            raise ValueError(f"symprecs must be between 0 and 10 A, got {list(self.symprecs)}")
        if len(set(self.symprecs)) != len(self.symprecs):
            raise ValueError(f"symprecs must differ from each other, got {list(self.symprecs)}")
        return self

    @model_validator(mode="after")
    def _known_averaging(self) -> Self:
        degree = lebedev_degree(self.averaging)
        if self.averaging not in list(Averaging) and not (degree and degree <= LEBEDEV_MAX):
            raise ValueError(
                f"averaging = {self.averaging!r}: expected one of {', '.join(Averaging)}, or lebedev-N with N from 1 "
                f"to {LEBEDEV_MAX}, such as lebedev-3, or lebedev-3-proper"
            )
        return self

    @model_validator(mode="after")
    def _distinct_outputs(self) -> Self:
        if len(set(self.outputs)) != len(self.outputs):
            raise ValueError(
                f"outputs must differ from each other, got {[str(name) for name in self.outputs]}"
            )
        return self


class RelaxParameters(StaticParameters):
    """Minimise energy (or enthalpy) over positions and cell."""

    fmax: float = Field(
        0.02,
        gt=0,
        description="largest force norm at convergence; components of held atoms (columns fixed_cartesian and "
        "fixed_scaled) do not count",
        json_schema_extra=told(unit="eV/A"),
    )
    stress_max: float = Field(
        0.1,
        gt=0,
        description="largest component of the free stress (stress plus pressure) at convergence. With cell=plane only "
        "the stress in the plane of the slab counts; it refers to the volume of the cell including the vacuum",
        json_schema_extra=told(unit="GPa"),
    )
    max_steps: int = Field(
        500,
        ge=0,
        description="largest number of steps of the optimiser; a row that needs more ends as max_steps",
    )
    optimizer: Optimizer = Field(Optimizer.FIRE, description="minimisation algorithm")
    cell: CellFilter = Field(
        CellFilter.FULL,
        description="how the cell relaxes: full (all six strains), shape (at constant volume), volume (isotropic), "
        "plane (for slabs, in the plane of the two periodic vectors) or fixed (not at all)",
    )
    pressure: float = Field(
        0.0, description="external hydrostatic pressure", json_schema_extra=told(unit="GPa")
    )
    symmetry: Symmetry = Field(
        Symmetry.NONE,
        description="with constrained, a crystal keeps the space group with which it starts, and a slab its layer "
        "group. If atoms are held, only operations that map held atoms onto each other are kept. With none, no "
        "symmetry is imposed",
    )
    average_from_fmax: float | None = Field(
        None,
        gt=0,
        description="averaging of a row begins when its largest force norm is below this value; with null it begins "
        "at once",
        json_schema_extra=told(unit="eV/A"),
    )
    max_step: float = Field(
        0.2,
        gt=0,
        description="largest change of the generalised coordinates in one step",
        json_schema_extra=told(unit="A"),
    )
    volume_ratio_max: float = Field(
        4.0,
        gt=1,
        description="largest factor by which the volume may change; if it changes more, the row ends as diverged",
    )
    force_cap: float = Field(
        1e4,
        gt=0,
        description="largest allowed force norm; a row with a larger force ends as diverged",
        json_schema_extra=told(unit="eV/A"),
    )

    @model_validator(mode="after")
    def _pressure_needs_a_cell(self) -> Self:
        if self.pressure and self.cell is CellFilter.PLANE:
            raise ValueError(
                f"pressure {self.pressure} GPa cannot be used with cell=plane, since a slab has vacuum on both sides: "
                "leave it out"
            )
        if self.pressure and self.cell in (CellFilter.FIXED, CellFilter.SHAPE):
            raise ValueError(
                f"pressure {self.pressure} GPa has no effect with cell={self.cell.value}: use full or volume"
            )
        return self

    @model_validator(mode="after")
    def _stress_of_a_slab(self) -> Self:
        if self.cell is CellFilter.PLANE and self.stress is Derivation.DIRECT:
            raise ValueError(
                "direct stress is meant for a crystal without vacuum and cannot be used with cell=plane: use "
                "stress=conservative"
            )
        return self

    @model_validator(mode="after")
    def _averaging_that_a_relaxation_can_follow(self) -> Self:
        if self.averaging == Averaging.RANDOM:
            raise ValueError(
                "averaging=random changes the energy at every step, which no relaxation can follow: use lebedev-3"
            )
        if self.average_from_fmax is not None and self.averaging == Averaging.NONE:
            raise ValueError(
                f"average_from_fmax = {self.average_from_fmax} eV/A has no effect without averaging: set "
                "averaging to lebedev-3, icosahedral, octahedral or spacegroup"
            )
        if self.average_from_fmax is not None and self.average_from_fmax <= self.fmax:
            raise ValueError(
                f"average_from_fmax = {self.average_from_fmax} eV/A must be above fmax = {self.fmax} eV/A"
            )
        return self


class TightRelaxParameters(RelaxParameters):
    """Relaxation as derivatives of the energy want it, before they are taken."""

    relax_first: bool = Field(
        True, description="relax each crystal first; if false, the crystals are used as they are"
    )
    fmax: float = Field(
        1e-4, gt=0, description="largest force norm at convergence", json_schema_extra=told(unit="eV/A")
    )
    stress_max: float = Field(
        1e-3,
        gt=0,
        description="largest component of the free stress (stress plus pressure) at convergence",
        json_schema_extra=told(unit="GPa"),
    )
    max_steps: int = Field(
        2000,
        ge=0,
        description="largest number of steps of the optimiser; a row that needs more ends as max_steps",
    )
    symmetry: Symmetry = Field(
        Symmetry.CONSTRAINED,
        description="with constrained, a crystal keeps the space group with which it starts; with none, no symmetry "
        "is imposed",
    )

    @model_validator(mode="after")
    def _crystals_only(self) -> Self:
        if self.cell is CellFilter.PLANE:
            raise ValueError(
                "cell=plane is for slabs, and this task needs crystals periodic in all directions: use full"
            )
        return self


Integers3 = tuple[int, int, int]
Displacement = Annotated[
    float | None,
    Field(
        gt=0,
        description="length by which an atom is displaced; if not given, 0.03 for conservative and 0.1 for direct "
        "forces",
        json_schema_extra=told(unit="A"),
    ),
]


class PhononParameters(TightRelaxParameters):
    """Harmonic phonons from finite displacements in a supercell."""

    min_image: float = Field(
        12.0,
        gt=0,
        description="smallest allowed distance between periodic images of an atom in the supercell",
        json_schema_extra=told(unit="A"),
    )
    max_atoms: int = Field(
        512,
        ge=1,
        description="largest number of atoms of a supercell. If a row needs more atoms for min_image, it gets a "
        "smaller supercell and the warning supercell_capped",
    )
    supercell: Integers3 | tuple[Integers3, Integers3, Integers3] | None = Field(
        None,
        description="supercell as multiples of the primitive cell or as a matrix; if given, min_image has no effect",
        json_schema_extra=told(expected="3 whole numbers, or a matrix of 3 x 3"),
    )
    given_cells: bool = Field(
        False,
        description="use the columns supercell_matrix (relative to the primitive cell), primitive_matrix (relative to "
        "the cell of the row) and q_mesh of the set instead of min_image and mesh, if the set has these columns. "
        "Results of phonons have the first two columns",
    )
    given_displacements: bool = Field(
        False,
        description="use the displaced atoms and vectors in the column displacements of the set, if there is such a "
        "column (imports of phonopy's files make it); needs given_cells",
    )
    displacement: Displacement = None
    phonon_symprec: float = Field(
        1e-5,
        gt=0,
        lt=10,
        description="tolerance at which phonopy finds the space group; its operations reduce the number of "
        "displacements",
        json_schema_extra=told(unit="A"),
    )
    use_symmetry: bool = Field(
        True,
        description="leave out displacements that symmetry makes equal to others. If false, every atom of the "
        "primitive cell is displaced along three directions; this is for models that are not invariant, whose "
        "forces may not have the symmetry of the crystal",
    )
    force_constants: ForceConstants = Field(
        ForceConstants.TRADITIONAL, description="method that makes force constants from forces"
    )
    supercell_check: float | None = Field(
        None,
        gt=0,
        description="min_image of a second supercell; if given, the results have the change of the frequencies "
        "between both supercells",
        json_schema_extra=told(unit="A"),
    )
    mesh: float = Field(
        40.0,
        gt=0,
        description="length that sets the density of the mesh of q-points as in phonopy: N = mesh / lattice vector",
        json_schema_extra=told(unit="A"),
    )
    temperatures: Annotated[tuple[float, ...], Field(json_schema_extra=told(unit="K"))] = Field(
        tuple(float(t) for t in range(0, 1001, 100)),
        description="temperatures of free energy, entropy and heat capacity; 300 is always among them",
    )
    imaginary_threshold: float = Field(
        0.1,
        ge=0,
        description="a mode whose frequency is below minus this value counts as imaginary",
        json_schema_extra=told(unit="THz"),
    )
    dos_range: Annotated[tuple[float, float] | None, Field(json_schema_extra=told(unit="THz"))] = Field(
        None,
        description="lowest and highest frequency of the density of states, the same for all rows. Modes outside this "
        "range are left out. If not given, each row has its own range, which contains all of its modes",
    )
    dos_points: int = Field(701, ge=2, description="number of frequencies of the density of states")
    dos_sigma: float = Field(
        0.1,
        gt=0,
        description="width of the Gaussian smearing of the density of states; without dos_range it is at least three "
        "quarters of the distance between two frequencies",
        json_schema_extra=told(unit="THz"),
    )
    nac: bool = Field(
        True,
        description="correct for long-range dipoles if the set has Born charges in units of e (born_charges, a column "
        "per atom) and dielectric tensors (column dielectric_tensor)",
    )

    @model_validator(mode="after")
    def _frequencies_and_temperatures_in_order(self) -> Self:
        if self.dos_range is not None and self.dos_range[0] >= self.dos_range[1]:
            raise ValueError(f"dos_range must be lowest, then highest frequency, got {list(self.dos_range)}")
        if self.given_displacements and not self.given_cells:
            raise ValueError(
                "given_displacements=true has no effect without given_cells=true, since the displacements belong to "
                "the given supercells"
            )
        if not self.use_symmetry and self.force_constants is ForceConstants.SYMFC:
            raise ValueError(
                "use_symmetry=false has no effect with force_constants=symfc, whose basis has the symmetry of the "
                "crystal: use traditional"
            )
        if any(temperature < 0 for temperature in self.temperatures):
            raise ValueError(f"temperatures must not be negative, got {list(self.temperatures)} K")
        return self


class ElasticParameters(TightRelaxParameters):
    """Elastic constants from stresses of strained cells."""

    strains: Strains = Field(Strains.LINEAR, description="name of the set of strains")
    normal_strains: tuple[float, ...] | None = Field(
        None,
        description="strains along the axes, such as 0.005, in place of the normal strains of the chosen set",
    )
    shear_strains: tuple[float, ...] | None = Field(
        None,
        description="shear strains as off-diagonal elements (half of the engineering shear strain), in place of the "
        "shear strains of the chosen set",
    )
    ions: Ions = Field(
        Ions.RELAXED,
        description="relaxed: atoms relax in each strained cell; clamped: atoms only follow the strain",
    )
    symmetrize: bool = Field(
        True, description="average the elastic tensor over the point group found with symprec"
    )

    @model_validator(mode="after")
    def _strains_that_keep_a_crystal(self) -> Self:
        for name in ("normal_strains", "shear_strains"):
            values = getattr(self, name)
            if values is not None and (not values or any(not 0 < abs(value) < 0.5 for value in values)):
                raise ValueError(
                    f"{name} must be numbers between -0.5 and 0.5, none of them 0, got {list(values)}"
                )
        return self


def heads_in_words(parameters: StaticParameters) -> str:
    """Return whether forces and stress derive from the energy: what is not conservative says so in every table."""
    direct = [name for name in ("forces", "stress") if getattr(parameters, name) is Derivation.DIRECT]
    return f"direct {' and '.join(direct)}" if direct else Derivation.CONSERVATIVE.value


def parse_parameters(task: Task, raw: dict[str, Any]) -> Any:
    """Return the validated parameters of ``task``, defaults filled in.

    :raises ParameterError: naming each key that is unknown or out of bounds, its value and what was expected.
    """
    return read_as(schema_of(task), raw, f"parameters of {task.value}", ParameterError)


def describe_parameters(task: Task) -> list[tuple[str, str, str, str]]:
    """Return (name, default, unit, description) of each parameter of ``task``, for help texts."""
    schema = schema_of(task)
    rows = []
    for name, info in schema.model_fields.items():
        default = info.default
        text = (
            ", ".join(map(str, default))
            if isinstance(default, tuple)
            else str(getattr(default, "value", default))
        )
        rows.append((name, text, unit_of(schema, name), info.description or ""))
    return rows

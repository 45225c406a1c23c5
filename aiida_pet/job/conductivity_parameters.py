"""The parameters of thermal conductivities: of the displacements, which the engine evaluates, and of the transport."""

from __future__ import annotations

import math
from typing import Annotated, Self

from ase.data import chemical_symbols
from pydantic import Field, model_validator

from aiida_pet.job.choices import ForceConstants, HeatTransport, Opposites
from aiida_pet.job.parameters import TightRelaxParameters
from aiida_pet.job.phonon_parameters import MATRIX, Displacement, Integers3, Matrix, PhononSymprec
from aiida_pet.schemas import told


class ConductivityParameters(TightRelaxParameters):
    """Thermal conductivity of the lattice from displacements of second and third order."""

    fc2_min_image: float = Field(
        12.0,
        gt=0,
        description="smallest allowed distance between images of an atom in the supercell of second order",
        json_schema_extra=told(unit="A"),
    )
    fc2_max_atoms: int = Field(
        512, ge=1, description="largest number of atoms of the supercell of second order"
    )
    fc3_min_image: float = Field(
        8.0,
        gt=0,
        description="smallest allowed distance between images of an atom in the supercell of third order",
        json_schema_extra=told(unit="A"),
    )
    fc3_max_atoms: int = Field(
        200, ge=1, description="largest number of atoms of the supercell of third order"
    )
    fc2_supercell: Matrix | None = Field(
        None,
        description="supercell of second order, as multiples of the primitive cell or as a matrix; if given, "
        "fc2_min_image has no effect",
        json_schema_extra=MATRIX,
    )
    fc3_supercell: Matrix | None = Field(
        None,
        description="supercell of third order, as multiples of the primitive cell or as a matrix; if given, "
        "fc3_min_image has no effect",
        json_schema_extra=MATRIX,
    )
    given_cells: bool = Field(
        True,
        description="use the columns fc2_supercell and fc3_supercell (matrices relative to the cell of the row) and "
        "q_mesh of the set instead of the parameters, if the set has these columns",
    )
    displacement: Displacement = None
    opposites: Opposites = Field(
        Opposites.ALWAYS,
        description="opposite displacements: with always all of them are computed; with auto an opposite displacement "
        "is left out if symmetry makes it equal to the displacement itself",
    )
    pair_cutoff: float | None = Field(
        None,
        gt=0,
        description="largest distance between two atoms that are displaced together",
        json_schema_extra=told(unit="A"),
    )
    phonon_symprec: PhononSymprec = 1e-5
    max_displacements: int = Field(
        20_000,
        ge=1,
        description="largest number of displaced supercells of a crystal; a crystal that needs more is not computed",
    )
    force_constants: ForceConstants = Field(
        ForceConstants.TRADITIONAL, description="method that makes force constants from forces"
    )
    mesh: float | Integers3 = Field(
        50.0,
        description="mesh of q-points: three whole numbers, or a length in A that sets the density of the mesh as in "
        "phono3py",
        json_schema_extra=told(expected="a positive length in A, or 3 whole numbers"),
    )
    temperatures: Annotated[tuple[float, ...], Field(json_schema_extra=told(unit="K"))] = Field(
        tuple(float(t) for t in range(100, 1001, 100)),
        description="temperatures at which conductivities are computed; 300 is always among them",
    )
    transport: HeatTransport = Field(
        HeatTransport.WIGNER,
        description="theory of transport: wigner (modes and pairs of modes carry heat) or rta (only modes carry heat)",
    )
    isotopes: bool = Field(True, description="include scattering by isotopes in their natural mixture")
    masses: dict[str, float] = Field(
        {}, description="masses (in u) that replace the natural masses of elements"
    )
    mass_variances: dict[str, float] = Field(
        {},
        description="variance of the mass divided by the square of the mass, for elements whose mixture of isotopes "
        "is not the natural mixture",
    )
    boundary: float | None = Field(
        None,
        gt=0,
        description="largest mean free path, set by boundaries of the sample",
        json_schema_extra=told(unit="um"),
    )
    modes: bool = Field(False, description="store q-points, conductivities, lifetimes and paths of all modes")
    cumulative_points: int = Field(
        61,
        ge=2,
        description="number of frequencies, and of mean free paths, at which the cumulative conductivity is given",
    )
    nac: bool = Field(
        True,
        description="correct for long-range dipoles if the set has the columns born_charges (Born charges of each "
        "atom, in units of e) and dielectric_tensor",
    )

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        lengths = self.mesh if isinstance(self.mesh, tuple) else (self.mesh,)
        if any(not 0 < length < math.inf for length in lengths):
            raise ValueError(f"mesh must be positive, got {self.mesh}")
        if any(not temperature > 0 for temperature in self.temperatures):
            raise ValueError(f"temperatures must be positive, got {list(self.temperatures)} K")
        for name in ("masses", "mass_variances"):
            unknown = [symbol for symbol in getattr(self, name) if symbol not in chemical_symbols[1:]]
            if unknown:
                raise ValueError(f"{name}: there is no element {', '.join(map(repr, unknown))}")
        if any(not mass > 0 for mass in self.masses.values()):
            raise ValueError(f"masses must be positive, got {self.masses} u")
        if any(not variance >= 0 for variance in self.mass_variances.values()):
            raise ValueError(f"mass_variances must not be negative, got {self.mass_variances}")
        return self

"""The parameters of phonons, and what they share with the parameters of conductivities. Free of torch and of AiiDA."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from aiida_pet.job.choices import ForceConstants
from aiida_pet.job.parameters import TightRelaxParameters
from aiida_pet.schemas import told

Integers3 = tuple[int, int, int]
_EXPECTED = "3 positive whole numbers, or a 3 x 3 matrix of whole numbers with a positive determinant"
MATRIX = told(expected=_EXPECTED)


def _with_volume(given: Any) -> Any:
    """Return three multiples or a matrix of whole numbers as it is.

    :raises ValueError: if it makes no supercell, or one of the other hand.
    """
    if isinstance(given[0], tuple):
        a, b, c = given
        name, volume = (
            "its determinant",
            sum(a[i] * (b[i - 2] * c[i - 1] - b[i - 1] * c[i - 2]) for i in range(3)),
        )
    else:
        name, volume = "one of them", min(given)
    if volume < 1:
        raise ValueError(f"expected {_EXPECTED}; {name} is {volume}")
    return given


Matrix = Annotated[Integers3 | tuple[Integers3, Integers3, Integers3], AfterValidator(_with_volume)]
Displacement = Annotated[
    float | None,
    Field(
        gt=0,
        description="length by which an atom is displaced; if not given, 0.03 for conservative and 0.1 for direct "
        "forces",
        json_schema_extra=told(unit="A"),
    ),
]
PhononSymprec = Annotated[
    float,
    Field(
        gt=0,
        lt=10,
        description="tolerance at which phonopy or phono3py finds the space group; its operations reduce the number "
        "of displacements",
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
    supercell: Matrix | None = Field(
        None,
        description="supercell as multiples of the primitive cell or as a matrix; if given, min_image has no effect",
        json_schema_extra=MATRIX,
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
    phonon_symprec: PhononSymprec = 1e-5
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
        description="correct for long-range dipoles if the set has the columns born_charges (Born charges of each "
        "atom, in units of e) and dielectric_tensor",
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

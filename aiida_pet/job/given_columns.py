"""Columns in which a crystal brings settings of its own: supercells, primitive cell, mesh and displacements.

They are used where the parameter ``given_cells`` says so. What is written down here is read by the catalogue of tasks,
by readers of files, and by what is said of a launch before it starts. Imports nothing heavy.
"""

from __future__ import annotations

from dataclasses import dataclass

SUPERCELL = "supercell_matrix"
PRIMITIVE = "primitive_matrix"
FC2_SUPERCELL = "fc2_supercell"
FC3_SUPERCELL = "fc3_supercell"
MESH = "q_mesh"
DISPLACEMENTS = "displacements"

OF_PHONONS = (SUPERCELL, PRIMITIVE, MESH)
"""Columns of rows that phonons read."""
OF_CONDUCTIVITY = (FC2_SUPERCELL, FC3_SUPERCELL, MESH)
"""Columns of rows that conductivities read."""

_WHOLE_MATRIX = (
    "3 positive whole numbers (a diagonal), or 9 whole numbers (row by row) with a positive determinant"
)


@dataclass(frozen=True)
class GivenColumn:
    """A column with settings of rows.

    :ivar shape: of one row; None for a column whose rows differ in length.
    :ivar expected: what a value has to be, in words.
    :ivar is_whole: whether its numbers are whole numbers.
    :ivar instead: parameters that are used where there is no value; the first of them that is set counts.
    :ivar overruled_by: parameter that is used in any case where it is set, empty where there is none.
    :ivar asked_by: parameter that says whether the column is used.
    :ivar needs: another column without which this one is not used, empty where there is none.
    """

    shape: tuple[int, ...] | None
    expected: str
    is_whole: bool = True
    instead: tuple[str, ...] = ()
    overruled_by: str = ""
    asked_by: str = "given_cells"
    needs: str = ""


GIVEN_COLUMNS: dict[str, GivenColumn] = {
    SUPERCELL: GivenColumn((3, 3), _WHOLE_MATRIX, instead=("min_image",), overruled_by="supercell"),
    PRIMITIVE: GivenColumn(
        (3, 3),
        "9 numbers (row by row) whose determinant is not zero",
        is_whole=False,
        overruled_by="supercell",
        needs=SUPERCELL,
    ),
    FC2_SUPERCELL: GivenColumn(
        (3, 3), _WHOLE_MATRIX, instead=("fc2_supercell", "fc2_min_image"), needs=FC3_SUPERCELL
    ),
    FC3_SUPERCELL: GivenColumn(
        (3, 3), _WHOLE_MATRIX, instead=("fc3_supercell", "fc3_min_image"), needs=FC2_SUPERCELL
    ),
    MESH: GivenColumn((3,), "3 positive whole numbers", instead=("mesh",)),
    DISPLACEMENTS: GivenColumn(
        None,
        "a list of displaced atoms, each with 5 numbers: the supercell and the atom (whole numbers, counted from 0), "
        "and the vector (A)",
        is_whole=False,
        asked_by="given_displacements",
    ),
}
"""The columns by name."""

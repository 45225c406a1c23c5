"""The time of the transport that a dry run tells: it grows as the sums that phono3py makes do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from aiida_pet.campaigns.displacements import count_displacements
from aiida_pet.tables.crystals import StructureTable

pytest.importorskip("phono3py", reason="needs the extra `conductivity`")

SMALL = {"fc2_supercell": [1, 1, 1], "fc3_supercell": [1, 1, 1], "given_cells": True}


def seconds(atoms: Atoms, mesh: object) -> float:
    table = StructureTable.from_ase([("a", atoms)])
    return count_displacements(table, SMALL | {"mesh": mesh}).transport_s


def triplets(atoms: Atoms, mesh: tuple[int, int, int]) -> int:
    """Number of terms of all sums: triplets of q-points, of each q-point that symmetry leaves."""
    from phono3py import Phono3py
    from phono3py.phonon3.triplets import get_triplets_at_q
    from phonopy.phonon.grid import get_ir_grid_points
    from phonopy.structure.atoms import PhonopyAtoms

    cell = PhonopyAtoms(
        numbers=atoms.numbers, cell=atoms.cell[:], scaled_positions=atoms.get_scaled_positions()
    )
    crystal = Phono3py(cell, np.eye(3, dtype=int), primitive_matrix="P", log_level=0)
    crystal.mesh_numbers = mesh
    points = get_ir_grid_points(crystal.grid)[0]
    return sum(len(get_triplets_at_q(point, crystal.grid)[0]) for point in points)


def test_it_is_that_of_the_page_for_two_atoms_on_the_mesh_of_the_benchmark() -> None:
    """docs/conductivity.md: two to three minutes on a core."""
    assert 120 <= seconds(bulk("MgO", "rocksalt", a=4.2), [19, 19, 19]) <= 180
    assert (
        120 <= seconds(bulk("MgO", "rocksalt", a=4.2, cubic=True), [19, 19, 19]) <= 180
    )  # phono3py's primitive cell


SALT = bulk("MgO", "rocksalt", a=4.2)
BLENDE = bulk("GaAs", "zincblende", a=5.7)
CUBE = bulk("NaCl", "cesiumchloride", a=4.0)
SKEWED = Atoms("NaCl", [[0, 0, 0], [1.7, 1.9, 2.1]], cell=[3.8, 4, 4.3], pbc=True)
NINE = (9, 9, 9)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((SALT, (7, 7, 7)), (SALT, (13, 13, 13))),
        ((SALT, NINE), (BLENDE, NINE)),
        ((CUBE, NINE), (SKEWED, NINE)),
    ],
    ids=["mesh", "centre", "symmetry"],
)
def test_it_grows_as_the_number_of_triplets(one: tuple[Atoms, object], other: tuple[Atoms, object]) -> None:
    ratio = (seconds(*other) - 2) / (seconds(*one) - 2)
    expected = triplets(*other) / triplets(*one)  # type: ignore[arg-type]
    assert expected / 2 < ratio < expected * 2


def test_meshes_of_the_rows_count_and_all_rows_are_summed() -> None:
    atoms = bulk("MgO", "rocksalt", a=4.2)
    table = StructureTable.from_ase([("a", atoms), ("b", atoms)])
    matrices = np.tile(np.eye(3), (2, 1, 1))
    given = {
        "fc2_supercell": matrices,
        "fc3_supercell": matrices,
        "q_mesh": np.array([[19.0] * 3, [np.nan] * 3]),
    }
    cost = count_displacements(replace(table, columns=given), SMALL | {"mesh": [7, 7, 7]})
    assert cost.transport_s == pytest.approx(seconds(atoms, [19, 19, 19]) + seconds(atoms, [7, 7, 7]))

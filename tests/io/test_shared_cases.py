"""The collected cases of formats read through ASE-like text: right, or refused in words that a stranger understands."""

from __future__ import annotations

from pathlib import Path

import pytest

from aiida_pet.io.crystal import StructureFileError
from aiida_pet.io.readers import ReadOptions, read_structures


@pytest.fixture
def cases(shared_data: Path) -> Path:
    folder = shared_data.parent / "cases"
    if not folder.is_dir():
        pytest.skip(f"cases not found at {folder}")
    return folder


NUMERIC = ["0031", "00540e0012", "12e3", "00000e9154", "1_024", "T", "1 2", "1234567890" * 3, "1.10", "0032"]


@pytest.mark.parametrize(
    ("name", "ids", "sizes"),
    [
        ("01-numeric-ids/ids.xyz", NUMERIC, [1] * 10),
        ("01-numeric-ids/collide.xyz", ["001e2", "100.0"], [1, 1]),
        ("03-poscar-selective/POSCAR_slab.vasp", ["POSCAR_slab"], [4]),
        ("03-poscar-selective/slab.xyz", ["slab"], [4]),
        ("08-virial-stress/a.xyz", ["ref", "nine", "virial", "dft", "tot", "upper"], [2] * 6),
        ("08-virial-stress/mtt.xyz", ["mtt"], [2]),
        ("10-cells/cells.xyz", ["prim", "conv", "left", "skew", "out", "rot", "sup"], [3, 6, 3, 3, 3, 3, 6]),
        (
            "11-slab-molecule/mix.xyz",
            ["slabTTF", "slabTTT", "mol", "molbox", "wire", "bulk"],
            [3, 3, 2, 2, 1, 1],
        ),
        ("12-poscar/gatheredPOSCARS", ["EA1", "EA2", "EA3", "EA4", "EA5"], [2] * 5),
        ("13-cif/hall.cif", ["hall"], [2]),
        ("13-cif/fdops2b.cif", ["fdops2b"], [8]),
    ],
)
def test_case_is_read_whole(cases: Path, name: str, ids: list[str], sizes: list[int]) -> None:
    table = read_structures(cases / name).table
    assert table.ids.tolist() == ids
    assert [len(table.ase_at(index)) for index in range(len(table))] == sizes


def test_case_without_symbols_is_refused(cases: Path) -> None:
    with pytest.raises(StructureFileError, match="no element symbols: write them in line 6"):
        read_structures(cases / "12-poscar/vasp4_noname.vasp")


@pytest.mark.parametrize("name", ["POSCAR_slab.vasp", "slab.xyz"])
def test_frozen_atoms_of_the_case_are_held(cases: Path, name: str) -> None:
    table = read_structures(cases / "03-poscar-selective" / name).table
    (held,) = table.atom_columns.values()
    assert held.all(axis=1).tolist() == [True, True, False, False]


def test_side_data_of_the_case_is_told(cases: Path) -> None:
    result = read_structures(cases / "08-virial-stress/a.xyz", ReadOptions())
    left = {"REF_forces", "REF_stress", "virial", "force", "dft_force", "dft_stress", "dipole", "magmoms"}
    assert left <= set(result.left_out.fields)

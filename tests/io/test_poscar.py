"""POSCAR, CONTCAR, XDATCAR: all structures of a file, flags, what stands behind; against ASE and pymatgen."""

from __future__ import annotations

import bz2
import gzip
import lzma
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import bulk
from pymatgen.io.vasp import Poscar, Xdatcar

from aiida_pet.data.structures import StructureSetData
from aiida_pet.io.crystal import StructureFileError
from aiida_pet.io.readers import ReadOptions, read_structures

ONE = "{comment}\n1.0\n {a} 0 0\n 0 {a} 0\n 0 0 {a}\nMo W\n1 1\nDirect\n0 0 0\n.5 .5 .5\n"


def poscar(comment: str, a: float = 3.15) -> str:
    return ONE.format(comment=comment, a=a)


def write(tmp_path: Path, text: str, name: str = "a.vasp") -> Path:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


# -- several structures --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gatheredPOSCARS", "all.vasp", "POSCAR_all"])
def test_collected_poscars_are_all_read_under_the_first_word_of_their_comments(
    tmp_path: Path, name: str
) -> None:
    text = "".join(poscar(f"EA{i} 3.1 3.1 3.1 90 90 90 Sym.group: 221", 3 + i / 10) for i in range(1, 6))
    table = read_structures(write(tmp_path, text, name)).table
    assert table.ids.tolist() == ["EA1", "EA2", "EA3", "EA4", "EA5"]
    np.testing.assert_allclose(table.cells[:, 0, 0], [3.1, 3.2, 3.3, 3.4, 3.5])
    numbered = read_structures(write(tmp_path, text, name), ReadOptions(id_key="")).table
    assert numbered.ids[0].endswith("-0")


@pytest.mark.parametrize("comments", [("", ""), ("same one", "same two"), ("a", "")])
def test_comments_that_name_no_structure_leave_it_to_the_file(
    tmp_path: Path, comments: tuple[str, str]
) -> None:
    path = write(tmp_path, "".join(map(poscar, comments)))
    assert read_structures(path).table.ids.tolist() == ["a-0", "a-1"]


@pytest.mark.parametrize("comment", ["id=007", "id=two words", 'id="\\"quoted\\""'])
def test_id_that_this_program_wrote_comes_back(tmp_path: Path, comment: str) -> None:
    expected = {"id=007": "007", "id=two words": "two words"}.get(comment, '"quoted"')
    assert read_structures(write(tmp_path, poscar(comment))).table.ids.tolist() == [expected]


def xdatcar(repeated: bool) -> str:
    head, frames = "MoW\n1\n 3 0 0\n 0 3 0\n 0 0 3\nMo W\n1 1\n", []
    for step in range(1, 4):
        lines = f"Direct configuration= {step:5d}\n 0 0 0\n .5 .5 0.5{step}\n"
        frames.append((head if repeated or step == 1 else "") + lines)
    return "".join(frames)


@pytest.mark.parametrize("repeated", [True, False])
def test_all_frames_of_an_xdatcar_are_read_as_pymatgen_reads_them(tmp_path: Path, repeated: bool) -> None:
    path = write(tmp_path, xdatcar(repeated), "XDATCAR")
    table = read_structures(path).table
    assert table.ids.tolist() == ["XDATCAR-0", "XDATCAR-1", "XDATCAR-2"]
    for index, expected in enumerate(Xdatcar(path).structures):
        np.testing.assert_allclose(table.ase_at(index).positions, expected.cart_coords, atol=1e-12)


def test_broken_structure_costs_no_other(tmp_path: Path) -> None:
    text = (
        poscar("a")
        + poscar("b").replace("Mo W", "Mo Xx")
        + poscar("c").replace("0 0 0\n.5", ".5")
        + poscar("d")
    )
    result = read_structures(write(tmp_path, text), ReadOptions(skip_invalid=True))
    assert result.table.ids.tolist() == ["a", "d"]
    assert [(problem.id, problem.reason) for problem in result.problems] == [
        ("b", "line 16: got 'Xx': expected an element symbol"),
        ("c", "expected 2 atoms, got 1: line 30 is 'd'"),
    ]


# -- what stands behind ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "behind",
    [
        "\n 0.1 0 0\n 0 0.1 0\n",
        "Cartesian\n 0.1 0 0\n 0 0.1 0\n",
        "\n 0 0 0\n 0 0 0\n\n1\n0.5E+00\n 0 0 0 0\n" + " 0 0 0\n" * 6,
        "Lattice velocities and vectors\n 1\n" + " 0 0 0\n" * 6 + "\n 0.1 0 0\n 0 0.1 0\n",
        "\n\n",
    ],
)
def test_velocities_are_known_and_the_next_structure_is_found(tmp_path: Path, behind: str) -> None:
    result = read_structures(write(tmp_path, poscar("a") + behind + poscar("b", 3.2) + behind))
    assert result.table.ids.tolist() == ["a", "b"]
    moves = "0.1" in behind or "0.5E" in behind
    assert result.summary() == (["left out of the set: velocities: 2 crystals"] if moves else [])


def test_text_behind_the_atoms_is_told_and_what_follows_is_read(tmp_path: Path) -> None:
    result = read_structures(write(tmp_path, poscar("a") + "some notes\nand more\n" + poscar("b", 3.2)))
    assert result.table.ids.tolist() == ["a", "b"]
    assert result.summary() == ["left out of the set: text after a structure (2 lines): 1 crystal"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (poscar("a") + ".1 .2 .3\n", "expected 2 atoms, got 3: line 11 is '.1 .2 .3'"),
        (poscar("a").replace(".5 .5 .5\n", ""), "expected 2 atoms, got 1: line 10 is the end of the file"),
        (poscar("a").replace("1 1\n", "2 1\n"), "expected 3 atoms, got 2"),
        (poscar("my alloy").replace("Mo W\n", ""), "no element symbols: write them in line 6"),
        (poscar("a").replace("Direct\n", ""), "line 8: expected Direct or Cartesian, got '0 0 0'"),
        (poscar("a").replace("1.0\n", "0\n"), "line 2: expected one scaling factor or three, got '0'"),
        (poscar("a").replace("1.0\n", "one\n"), "line 2: expected one scaling factor or three, got 'one'"),
        (poscar("a").replace(" 0 0 3.15", " 0 3.15"), "line 5: expected a lattice vector, got '0 3.15'"),
        (poscar("a").replace("1 1\n", "1 1 1\n"), "as many element symbols as numbers of atoms: 2 and 3"),
        (
            "comment\n1.0\n1 0 0\n0 1 0\n",
            "structure 'a': not a POSCAR from line 1 on: the file ends after 4 more lines",
        ),
    ],
)
def test_damaged_poscar_is_refused_in_words_of_the_file(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(StructureFileError) as caught:
        read_structures(write(tmp_path, text))
    assert reason in str(caught.value)


# -- forms -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        poscar("Mo W").replace("Mo W\n1 1", "1 1"),  # VASP 4
        poscar("a").replace("1.0\n", "-20.5\n"),
        poscar("a").replace("Mo W\n", "Mo_pv W_sv\n"),
        poscar("a").replace("Direct", "Kartesian").replace("1.0\n", "1.5\n"),
        poscar("a").replace("Mo W\n1 1\n", "Mo W Mo\n1 0 1\n"),
        poscar("").replace("0 0 0\n", "0 0 0 Mo1\n").replace("\n", "\r\n"),
    ],
)
def test_forms_of_poscars_are_read_as_ase_reads_them(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, text)
    atoms, expected = read_structures(path).table.ase_at(0), ase.io.read(path, format="vasp")
    assert atoms.numbers.tolist() == expected.numbers.tolist()
    np.testing.assert_allclose(atoms.cell.array, expected.cell.array, atol=1e-12)
    np.testing.assert_allclose(atoms.positions, expected.positions, atol=1e-12)


def test_three_factors_scale_along_x_y_and_z(tmp_path: Path) -> None:
    text = "a\n2 3 4\n1 0 0\n1 1 0\n0 0 1\nMo\n1\nCartesian\n.5 .5 .5\n"
    table = read_structures(write(tmp_path, text)).table
    assert table.cells[0].tolist() == [[2, 0, 0], [2, 3, 0], [0, 0, 4]]
    assert table.positions.tolist() == [[1, 1.5, 2]]


def test_flags_are_along_the_lattice_vectors_and_survive_in_a_set(tmp_path: Path) -> None:
    text = poscar("a").replace(
        "Direct\n0 0 0\n.5 .5 .5\n", "Selective dynamics\nDirect\n0 0 0 F T .FALSE.\n.5 .5 .5 T T T\n"
    )
    path = write(tmp_path, text)
    table = StructureSetData.from_file(path).to_table()
    expected = Poscar.from_file(path, check_for_potcar=False).structure.site_properties["selective_dynamics"][
        1
    ]
    assert table.atom_columns["fixed_scaled"].dtype == bool
    assert table.atom_columns["fixed_scaled"].tolist() == [
        [True, False, True],
        [not free for free in expected],
    ]
    with pytest.raises(StructureFileError, match="expected three flags T or F"):
        read_structures(write(tmp_path, text.replace("T T T", "")))
    path = write(tmp_path, text.replace("F T .FALSE.", "T T T"))
    assert not StructureSetData.from_file(path).to_table().atom_columns


# -- names of files ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "opener"), [("", open), (".gz", gzip.open), (".bz2", bz2.open), (".xz", lzma.open)]
)
def test_run_folders_name_what_is_called_alike_in_each(tmp_path: Path, suffix: str, opener: object) -> None:
    assert callable(opener)
    for number, name in enumerate(["r1", "r2", "deep/r3"]):
        (tmp_path / "runs" / name).mkdir(parents=True)
        for file in ("CONTCAR", "POSCAR.orig"):
            with opener(tmp_path / "runs" / name / f"{file}{suffix}", "wt") as handle:
                handle.write(poscar("same", 3 + number / 10))
    files = sorted(tmp_path.rglob(f"CONTCAR{suffix}"))
    assert read_structures(files).table.ids.tolist() == ["deep/r3", "r1", "r2"]
    ids = read_structures(tmp_path / "runs").table.ids.tolist()
    assert ids == [
        f"{name}/{file}" for name in ("deep/r3", "r1", "r2") for file in ("CONTCAR", "POSCAR.orig")
    ]
    assert read_structures(files[0]).table.ids.tolist() == ["CONTCAR"]


def test_many_structures_are_equal_to_those_of_ase(tmp_path: Path) -> None:
    cells = [bulk("W", "bcc", a=3.1 + i / 100, cubic=True) for i in range(4)]
    for index, atoms in enumerate(cells):
        atoms.rattle(0.1, seed=index)
        ase.io.write(tmp_path / f"{index}.vasp", atoms, format="vasp", direct=True)
    text = "".join((tmp_path / f"{index}.vasp").read_text() for index in range(4))
    table = read_structures(write(tmp_path, text)).table
    for index, atoms in enumerate(cells):
        np.testing.assert_allclose(
            table.ase_at(index).get_scaled_positions(), atoms.get_scaled_positions(), atol=1e-12
        )


def test_lattice_velocities_and_velocities_are_passed_over_with_a_word(tmp_path: Path) -> None:
    lattice = "Lattice velocities and vectors\n  1\n" + " 0 0 0\n" * 3 + " 3.2 0 0\n 0 3.2 0\n 0 0 3.2\n"
    for name, behind in (
        ("still", "\n" + " 0 0 0\n" * 2),
        ("box", lattice + "\n" + " 0 0 0\n" * 2),
        ("moving", lattice.replace(" 0 0 0", " 0.1 0.2 -0.3") + "\n 0.1 0.2 0.3\n 0.1 0.1 -0.2\n"),
        ("plain", "\n 0.1 0 0\n 0 0 0\n"),
    ):
        result = read_structures(write(tmp_path, poscar("Mo W") + behind, f"{name}.vasp"))
        assert result.table.ids.tolist() == [name]
        np.testing.assert_allclose(result.table.cells[0], 3.15 * np.eye(3))
        assert result.summary() == ([] if name == "still" else ["left out of the set: velocities: 1 crystal"])


def test_three_factors_of_which_one_is_negative_are_no_mirror(tmp_path: Path) -> None:
    with pytest.raises(
        StructureFileError, match=r"line 2: expected three positive scaling factors, .*got '-1 1 1'"
    ):
        read_structures(write(tmp_path, poscar("x").replace("\n1.0\n", "\n-1 1 1\n")))


def test_poscar_without_atoms_costs_no_other(tmp_path: Path) -> None:
    empty = poscar("none").replace("\n1 1\n", "\n0 0\n").replace("0 0 0\n.5 .5 .5\n", "")
    result = read_structures(write(tmp_path, empty + poscar("one")), ReadOptions(skip_invalid=True))
    assert result.table.ids.tolist() == ["one"]
    assert [(problem.id, "no atoms" in problem.reason) for problem in result.problems] == [("none", True)]

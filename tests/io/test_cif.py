"""CIF: symmetry in all its forms, ids, sites that are rounded or said incompletely; against pymatgen and spglib."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
import spglib
from ase import Atoms
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifParser, CifWriter

from aiida_pet.io.crystal import StructureFileError
from aiida_pet.io.left_out import LeftOut
from aiida_pet.io.readers import ImportResult, ReadOptions, read_structures

CUBIC = (3.15, 3.15, 3.15, 90, 90, 90)
SITE = "Mo1 Mo 0 0 0"
# Sites of no symmetry of their own, whose images lie apart in every group.
GENERAL = "Mo1 Mo 0.137 0.221 0.319\nW1 W 0.271 0.043 0.403\nTa1 Ta 0.094 0.357 0.183"


def block(
    symmetry: str = "",
    sites: str = SITE,
    cell: tuple[float, ...] = CUBIC,
    name: str = "x",
    items: str = "label type_symbol fract_x fract_y fract_z",
) -> str:
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    head = "".join(f"_cell_{key} {value}\n" for key, value in zip(names, cell, strict=True))
    loop = "loop_\n" + "".join(f"_atom_site_{item}\n" for item in items.split())
    return f"data_{name}\n{head}{symmetry}\n{loop}{sites}\n"


def read(tmp_path: Path, text: str, skip: bool = False, id_key: str | None = None) -> ImportResult:
    (tmp_path / "a.cif").write_text(text, encoding="utf-8")
    return read_structures(tmp_path / "a.cif", ReadOptions(skip_invalid=skip, id_key=id_key))


def atoms_of(tmp_path: Path, text: str) -> Atoms:
    return read(tmp_path, text).table.ase_at(0)


def group_of(atoms: Atoms) -> int:
    data = spglib.get_symmetry_dataset((atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers), 1e-3)
    assert data is not None
    return int(data.number)


# -- symmetry --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "item", ["_symmetry_space_group_name_Hall", "_space_group_name_Hall", "_space_group.name_Hall"]
)
def test_hall_symbol_alone_is_understood(tmp_path: Path, item: str) -> None:
    atoms = atoms_of(tmp_path, block(f"{item} '-I 4 2 3'"))
    assert (len(atoms), group_of(atoms)) == (2, 229)


@pytest.mark.parametrize("index", range(1, 531, 13))
def test_every_kind_of_hall_symbol_gives_the_operations_of_spglib(tmp_path: Path, index: int) -> None:
    kind = spglib.get_spacegroup_type(index)
    assert kind is not None
    cell: tuple[float, ...] = (5.0, 6.1, 7.3, 81.0, 97.0, 103.0)
    if 2 < kind.number < 16:
        angles = {"b": (90, 98, 90), "c": (90, 90, 98), "a": (98, 90, 90)}
        cell = (5.0, 6.1, 7.3, *angles.get(kind.choice.strip("-")[:1], (90, 90, 90)))
    if 15 < kind.number < 75:
        cell = (5.0, 6.1, 7.3, 90, 90, 90)
    if kind.number > 74:
        cell = (5.0, 5.0, 7.3, 90, 90, 90) if kind.number < 143 else (5.0, 5.0, 7.3, 90, 90, 120)
    if kind.choice == "R":
        cell = (5.0, 5.0, 5.0, 75, 75, 75)
    if kind.number > 194:
        cell = (7.3, 7.3, 7.3, 90, 90, 90)
    text = block(f"_space_group_name_Hall\n;{kind.hall_symbol}\n;", GENERAL, cell)
    atoms = atoms_of(tmp_path, text)
    operations = spglib.get_symmetry_from_database(index)
    assert operations is not None
    assert len(atoms) == 3 * len(operations["rotations"])
    assert group_of(atoms) == kind.number


@pytest.mark.parametrize(
    ("listed", "n_atoms"),
    [
        ("loop_\n_symmetry_equiv_pos_as_xyz\n'x, y, z'", 1),
        ("loop_\n_symmetry_equiv_pos_as_xyz\nx, y, z", 1),
        ("_symmetry_equiv_pos_as_xyz 'x,y,z'", 1),
        ("_symmetry_equiv_pos_as_xyz x, y, z", 1),
        ("loop_\n_space_group_symop_operation_xyz\nx,y,z\nx+1/2,1/2+y,Z+0.5", 2),
        ("loop_\n_space_group_symop_id\n_space_group_symop.operation_xyz\n1 x,y,z\n2 x+1/2, y+1/2, z+1/2", 2),
        ("loop_\n_symmetry_equiv_pos_site_id\n_symmetry_equiv_pos_as_xyz\n1 'x,y,z'\n2 '-x,-y,-z'", 1),
    ],
)
def test_operations_without_a_name_are_applied(tmp_path: Path, listed: str, n_atoms: int) -> None:
    assert len(atoms_of(tmp_path, block(listed))) == n_atoms


SETTINGS = [
    # symbol, cell, a site, atoms, group
    ("_symmetry_space_group_name_H-M 'P 1 21/n 1'\n_symmetry_Int_Tables_number 14", (5, 6, 7, 90, 98, 90), 4, 14),
    ("_space_group_name_H-M_alt 'P 21/c'", (5, 6, 7, 90, 98, 90), 4, 14),
    ("_space_group_name_H-M_alt 'P 2_1/c'", (5, 6, 7, 90, 98, 90), 4, 14),
    ("_space_group_name_H-M_alt 'P 2(1)/c'", (5, 6, 7, 90, 98, 90), 4, 14),
    ("_space_group_name_H-M_alt 'R-3mH'", (5, 5, 12, 90, 90, 120), 36, 166),
    ("_space_group_name_H-M_alt 'C 1 2/c 1'", (9, 6, 7, 90, 98, 90), 8, 15),
    ("_space_group_name_H-M_alt 'P 1 1 21/b'", (5, 6, 7, 90, 90, 98), 4, 14),
    ("_space_group_name_H-M_alt 'R -3 m :H'", (5, 5, 12, 90, 90, 120), 36, 166),
    ("_space_group_name_H-M_alt 'R -3 m'", (5, 5, 12, 90, 90, 120), 36, 166),
    ("_space_group_name_H-M_alt 'R -3 m'", (5, 5, 5, 75, 75, 75), 12, 166),
    ("_space_group_IT_number 166", (5, 5, 5, 75, 75, 75), 12, 166),
    ("_space_group_name_H-M_alt 'C m c a'", (5, 6, 7, 90, 90, 90), 16, 64),
    ("_space_group_name_H-M_alt 'F m 3 m'", (9, 9, 9, 90, 90, 90), 192, 225),
    ("_space_group_IT_number '225'", (9, 9, 9, 90, 90, 90), 192, 225),
    ("_space_group_name_H-M_alt ?\n_space_group_IT_number 221", (9, 9, 9, 90, 90, 90), 48, 221),
]  # fmt: skip


@pytest.mark.parametrize(("named", "cell", "n_atoms", "number"), SETTINGS)
def test_names_of_settings_are_understood(
    tmp_path: Path, named: str, cell: tuple[float, ...], n_atoms: int, number: int
) -> None:
    atoms = atoms_of(tmp_path, block(named, GENERAL, cell))
    assert (len(atoms), group_of(atoms)) == (3 * n_atoms, number)


@pytest.mark.parametrize(
    ("suffix", "n_atoms"), [(":1", 16), (":2", 8), ("S", 16), ("Z", 8), ("(origin choice 2)", 8), ("", 16)]
)
def test_choice_of_the_origin_is_taken_and_a_missing_one_told(
    tmp_path: Path, suffix: str, n_atoms: int
) -> None:
    text = block(
        f"_symmetry_space_group_name_H-M 'F d -3 m {suffix}'",
        "Si1 Si 0.125 0.125 0.125",
        (5.43,) * 3 + (90,) * 3,
    )
    result = read(tmp_path, text)
    assert len(result.table.numbers) == n_atoms
    told = [line for line in result.summary() if "origin" in line]
    assert len(told) == (suffix == "")


@pytest.mark.parametrize(
    ("symmetry", "reason"),
    [
        ("_space_group_name_Hall 'what is this'", "the Hall symbol 'what is this', which is not known"),
        ("_space_group_name_Hall '-P 4 2 3 (1 0 0)'", "which is not known"),
        ("_space_group_name_H-M_alt 'Q m m m'", "space group 'Q m m m' is not known"),
        (
            "_space_group_name_H-M_alt 'I m -3 m'\n_space_group_IT_number 221",
            "space group 229, but its number is 221",
        ),
        (
            "_space_group_name_Hall '-P 4 2 3'\n_space_group_name_H-M_alt 'F m -3 m'",
            "but its name is 'F m -3 m'",
        ),
        ("_space_group_IT_number 0", "expected 1 to 230"),
        ("loop_\n_symmetry_equiv_pos_as_xyz\nx,y,z\n-x,y,z\nx,-y,z", "do not form a group"),
        ("_symmetry_equiv_pos_as_xyz -x,-y,-z", "do not form a group"),
        ("_symmetry_equiv_pos_as_xyz x,y", "expected three terms"),
        ("_symmetry_equiv_pos_as_xyz x,y,q", "expected terms as in"),
        ("_symmetry_equiv_pos_as_xyz x,x,z", "not a rotation or reflection"),
        ("_space_group_magn.name_BNS 'P 1'", "magnetic space group"),
    ],
)
def test_symmetry_that_is_not_understood_is_refused(tmp_path: Path, symmetry: str, reason: str) -> None:
    with pytest.raises(StructureFileError, match=r"data block 'x'") as caught:
        read(tmp_path, block(symmetry))
    assert reason in str(caught.value)


def test_cell_that_has_not_the_symmetry_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StructureFileError, match="its cell does not have the symmetry"):
        read(tmp_path, block("_space_group_IT_number 229", cell=(3, 3, 4, 90, 90, 90)))


def test_operations_of_another_group_than_the_named_one_are_taken_and_told(tmp_path: Path) -> None:
    listed = "_symmetry_Int_Tables_number 229\n_symmetry_equiv_pos_as_xyz x,y,z"
    result = read(tmp_path, block(listed))
    assert len(result.table.numbers) == 1
    assert result.summary() == [
        "the operations in a CIF belong to another space group than its symbol; the operations were used: 1 crystal"
    ]


@pytest.mark.parametrize("symprec", [None, 0.01])
@pytest.mark.parametrize("symbol", ["P4/mmm", "P6_3/mmc", "Pnma", "R-3m"])
def test_what_pymatgen_writes_is_what_pymatgen_reads(
    tmp_path: Path, symbol: str, symprec: float | None
) -> None:
    lattice = {
        "F": Lattice.cubic(5.6),
        "P6": Lattice.hexagonal(3.2, 5.2),
        "Pn": Lattice.orthorhombic(5, 6, 7),
    }.get(
        symbol[: 1 if symbol[0] == "F" else 2],
        Lattice.hexagonal(4, 12) if symbol[0] == "R" else Lattice.tetragonal(4, 9),
    )
    structure = Structure.from_spacegroup(symbol, lattice, ["Na", "Cl"], [[0.08, 0.29, 0.31], [0, 0, 0]])
    text = str(CifWriter(structure, symprec=symprec))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = CifParser(io.StringIO(text)).parse_structures(primitive=False)[0]
    atoms = atoms_of(tmp_path, text)
    found = Structure(atoms.cell.array, atoms.numbers, atoms.get_scaled_positions())
    assert len(found) == len(expected)
    assert StructureMatcher(primitive_cell=False, scale=False).fit(found, expected)


# -- sites -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("third", "told"), [("0.33333", False), ("0.3333", False), ("0.333(1)", True), ("0.33", True)]
)
def test_rounded_thirds_give_one_atom_on_the_axis(tmp_path: Path, third: str, told: bool) -> None:
    other = {"0.33333": "0.66667", "0.3333": "0.6667", "0.333(1)": "0.667(1)", "0.33": "0.67"}[third]
    text = block(
        "_symmetry_space_group_name_H-M 'P 63/m m c'",
        f"W1 W {third} {other} 0.25",
        (2.77, 2.77, 4.5, 90, 90, 120),
    )
    result = read(tmp_path, text)
    atoms = result.table.ase_at(0)
    assert len(atoms) == 2
    np.testing.assert_allclose(atoms.get_scaled_positions()[0], [1 / 3, 2 / 3, 0.25], atol=1e-12)
    assert group_of(atoms) == 194
    assert ("were merged" in " ".join(result.summary())) == told


def test_sites_that_are_images_of_others_are_told(tmp_path: Path) -> None:
    im3m = "_symmetry_space_group_name_H-M 'I m -3 m'"
    result = read(tmp_path, block(im3m, "Mo1 Mo 0 0 0\nMo2 Mo 0.5 0.5 0.5"))
    assert len(result.table.numbers) == 2
    assert "is an image of another site and was left out: 1 crystal" in result.summary()[0]
    with pytest.raises(StructureFileError, match="sites Mo1 and W1 are at the same place"):
        read(tmp_path, block(im3m, "Mo1 Mo 0 0 0\nW1 W 0.5 0.5 0.5"))


OCCUPANCY = "label type_symbol fract_x fract_y fract_z occupancy"


@pytest.mark.parametrize("occupancy", ["?", "."])
def test_occupancy_that_is_not_said_is_one(tmp_path: Path, occupancy: str) -> None:
    result = read(tmp_path, block(sites=f"{SITE} {occupancy}", items=OCCUPANCY))
    assert len(result.table.numbers) == 1
    assert result.summary() == ["a CIF gives no occupancy, so an occupancy of 1 was assumed: 1 crystal"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (block(sites="Mo1 Mo 0 ? 0"), "site Mo1: _atom_site_fract_y is '?': expected a number"),
        (block(sites="Mo1 Mo 0 a 0"), "site Mo1: _atom_site_fract_y is 'a': expected a number"),
        (block(sites=f"{SITE} 0.5", items=OCCUPANCY), "site Mo1 is disordered (Mo with occupancy 0.5)"),
        (block(sites="Vac1 Vac 0 0 0"), "site Vac1: got 'Vac': expected an element symbol"),
        (block(sites="Vac1 0 0 0", items="label fract_x fract_y fract_z"), "expected an element symbol"),
        (block(sites="Mo1 Mo 0 0"), "4 values, which is no multiple of its 5 items"),
        (block(cell=(3, 3, 3, 90, 90, 200)), "do not give a cell with a volume"),
        (block().replace("_cell_length_b 3.15\n", ""), "_cell_length_b is missing"),
        (block().replace("_cell_length_b 3.15", "_cell_length_b long"), "_cell_length_b is 'long'"),
    ],
)
def test_site_and_value_are_named(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(StructureFileError) as caught:
        read(tmp_path, text)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("site", "number"),
    [
        ("Mo1 Mo4+ 0 0 0", 42),
        ("Mo1 Mo0+ 0 0 0", 42),
        ("D1 D 0 0 0", 1),
        ("O1 O2- 0 0 0", 8),
        ("Mo1 MO 0 0 0", 42),
    ],
)
def test_charges_and_isotopes_are_no_other_elements(tmp_path: Path, site: str, number: int) -> None:
    result = read(tmp_path, block(sites=site))
    assert result.table.numbers.tolist() == [number]
    assert bool(result.summary()) == (number == 1)


def test_what_is_not_needed_may_be_damaged(tmp_path: Path) -> None:
    text = "_journal_name_full Phys. Rev. B\nloop_\n_publ_author_name\nSmith, J.\n'Doe, J.'\n_author_note\n;\nit's\n;\n"
    text += "loop_\n_citation_id\n_citation_title\n1 two words\n"
    result = read(tmp_path, block(text + "_space_group_IT_number 229"))
    assert len(result.table.numbers) == 2
    with pytest.raises(StructureFileError, match="expected the name of an item, got 'junk'"):
        read(tmp_path, block("_space_group_IT_number\n229\njunk"))


def test_stated_formula_that_does_not_fit_is_told(tmp_path: Path) -> None:
    assert read(tmp_path, block("_chemical_formula_sum 'Mo'")).summary() == []
    result = read(tmp_path, block("_chemical_formula_sum 'Mo1 W1 H2'"))
    assert result.summary() == ["the formula in a CIF does not match its atoms: 1 crystal"]


# -- ids -------------------------------------------------------------------------------------------------------------


def test_names_of_data_blocks_are_the_ids_of_a_file_of_several(tmp_path: Path) -> None:
    text = "data_global\n_journal_name x\n" + "".join(
        block(name=f"mp-{i}", cell=(3 + i, 3, 3, 90, 90, 90)) for i in (91, 92)
    )
    result = read(tmp_path, text)
    assert result.table.ids.tolist() == ["mp-91", "mp-92"]
    assert result.summary() == []
    assert read(tmp_path, text, id_key="").table.ids.tolist() == ["a-0", "a-1"]


def test_names_that_are_no_ids_leave_them_to_the_file_with_a_word(tmp_path: Path) -> None:
    same = block(name="W", cell=(3, 3, 3, 90, 90, 90)) + block(name="W") + "data_notes\n_a b\n"
    result = read(tmp_path, same)
    assert result.table.ids.tolist() == ["a-0", "a-1"]
    assert result.summary() == [
        "a data block of a CIF has no atoms and was skipped: 1 crystal",
        "several data blocks of a CIF have the same name, so their ids are file name and number: 1 crystal",
    ]
    assert read(tmp_path, block(name="image0") + block(name="image1")).table.ids.tolist() == ["a-0", "a-1"]
    assert read(tmp_path, block(name="mp-1") + block(name="global")).table.ids.tolist() == ["mp-1", "a-1"]


@pytest.mark.parametrize("row_id", ["007", "1e3", "two words", "it's", "nan", "結晶", "a\nb"])
def test_id_that_this_program_wrote_comes_back(tmp_path: Path, row_id: str) -> None:
    value = f"\n;{row_id}\n;" if "\n" in row_id else f'"{row_id}"'
    assert read(tmp_path, block(f"_pet_id {value}")).table.ids.tolist() == [row_id]


def test_id_key_names_an_item(tmp_path: Path) -> None:
    result = read(tmp_path, block("_database_code_ICSD 0815"), id_key="database_code_icsd")
    assert result.table.ids.tolist() == ["0815"]


def test_broken_block_costs_no_other(tmp_path: Path) -> None:
    text = (
        block(name="a1")
        + block(name="b1", sites="Mo1 Mo 0 ? 0")
        + block(name="c1", cell=(4, 4, 4, 90, 90, 90))
    )
    result = read(tmp_path, text, skip=True)
    assert result.table.ids.tolist() == ["a1", "c1"]
    assert [problem.id for problem in result.problems] == ["b1"]


def test_counting_of_what_is_left_out_is_empty_for_a_clean_file(tmp_path: Path) -> None:
    assert not read(tmp_path, block("_space_group_IT_number 229")).left_out
    assert LeftOut().lines() == []


def test_alternatives_of_a_disordered_crystal_are_refused(tmp_path: Path) -> None:
    items = "label type_symbol fract_x fract_y fract_z occupancy disorder_group"
    two = block(sites="Mo1 Mo 0 0 0 1 1\nW1 W 0.1 0 0 1 2\nTa1 Ta 0.5 0.5 0.5 1 .", items=items)
    with pytest.raises(
        StructureFileError, match=r"alternatives .*Mo1 of group 1, W1 of group 2.*leave one group"
    ):
        read(tmp_path, two)
    one = block(sites="Mo1 Mo 0 0 0 1 1\nTa1 Ta 0.5 0.5 0.5 1 .", items=items)
    assert read(tmp_path, one).table.n_atoms.tolist() == [2]


def test_multiplicity_that_is_not_that_of_the_atoms_is_told(tmp_path: Path) -> None:
    items = "label type_symbol symmetry_multiplicity fract_x fract_y fract_z"
    symmetry = "_symmetry_space_group_name_H-M 'P m -3 m'"
    right = read(tmp_path, block(symmetry, "Mo1 Mo 1 0 0 0\nW1 W 1 0.5 0.5 0.5", items=items))
    assert right.summary() == []
    wrong = read(tmp_path, block(symmetry, "Mo1 Mo 1 0 0 0\nW1 W 1 0.5 0.5 0.4", items=items))
    assert wrong.table.n_atoms.tolist() == [7]
    assert any("multiplicity" in line and "1 crystal" in line for line in wrong.summary())


def test_numbers_of_databases_are_ids_and_those_that_count_are_not(tmp_path: Path) -> None:
    named = "".join(block(name=name) for name in ("1000017", "0012", "mp-1"))
    assert read(tmp_path, named).table.ids.tolist() == ["1000017", "0012", "mp-1"]
    assert read(tmp_path, block(name="1") + block(name="2")).table.ids.tolist() == ["a-0", "a-1"]


@pytest.mark.parametrize("label", ["SI1", "HO1", "CO2"])
def test_label_in_capitals_that_may_be_two_elements_is_refused(tmp_path: Path, label: str) -> None:
    items = "label fract_x fract_y fract_z"
    with pytest.raises(
        StructureFileError, match=rf"site {label} .*may mean {label[0]} or {label[:2].capitalize()}"
    ):
        read(tmp_path, block(sites=f"{label} 0 0 0", items=items))
    assert read(tmp_path, block(sites="OW1 0 0 0\nSi1 0.5 0 0", items=items)).table.numbers.tolist() == [
        8,
        14,
    ]

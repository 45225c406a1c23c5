"""extxyz: ids as texts, cells in any spelling, results by option, fixed atoms; against ASE where ASE can read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.constraints import FixCartesian
from ase.units import GPa

from aiida_pet.data.structures import StructureSetData
from aiida_pet.io.crystal import StructureFileError
from aiida_pet.io.readers import ImportResult, ReadOptions, read_structures

CELL = 'Lattice="3.16 0 0 0 3.2 0 0 0 3.3"'
PROPERTIES = "Properties=species:S:1:pos:R:3"
ATOM = "W 0 0 0"


def frame(comment: str, *rows: str) -> str:
    return f"{len(rows) or 1}\n{comment}\n" + "".join(f"{row}\n" for row in rows or (ATOM,))


def read(tmp_path: Path, *frames: str, skip: bool = False, **results: Any) -> ImportResult:
    path = tmp_path / "set.xyz"
    path.write_text("".join(frames), encoding="utf-8")
    options = ReadOptions.of(None, results.pop("id_key", None), None, skip, **results)
    return read_structures(path, options)


# -- ids -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "row_id"),
    [
        ("0031", "0031"),
        ("1e3", "1e3"),
        ("12345e67", "12345e67"),
        ("T", "T"),
        ("true", "true"),
        ("1,2", "1,2"),
        ("1_024", "1_024"),
        ("1.10", "1.10"),
        ("1" * 30, "1" * 30),
        ("結晶-ü", "結晶-ü"),
        ('"two  words "', "two  words "),
        ('"0032"', "0032"),
        ("'T'", "T"),
        ('"nan"', "nan"),
        (r'"a \"b\""', 'a "b"'),
        (r'"back\\slash"', "back\\slash"),
        ("a=b", "a=b"),
        ('"a=b c"', "a=b c"),
        ('"_JSON \\"two\\\\nlines\\""', "two\nlines"),
    ],
)
@pytest.mark.parametrize("key", ["id", "material_id"])
def test_id_is_the_text_of_the_comment_line(tmp_path: Path, written: str, row_id: str, key: str) -> None:
    other = frame(f"{CELL} {PROPERTIES} {key}=another")
    found = read(tmp_path, frame(f"{CELL} {PROPERTIES} {key}={written} energy=-1.5"), other)
    assert found.table.ids.tolist() == [row_id, "another"]
    assert list(found.table.columns) == ["input_energy"]


def test_bare_nan_is_no_id_and_the_next_key_counts(tmp_path: Path) -> None:
    found = read(
        tmp_path, frame(f"{CELL} entry_id=nan name=a"), frame(f"{CELL} entry_id=nan"), frame(f"{CELL} id")
    )
    assert found.table.ids.tolist() == ["a", "set-1", "set-2"]


def test_explicit_key_goes_before_the_exported_one(tmp_path: Path) -> None:
    text = frame(f"{CELL} id=a uid=007")
    assert read(tmp_path, text).table.ids.tolist() == ["a"]
    assert read(tmp_path, text, id_key="uid").table.ids.tolist() == ["007"]


@pytest.mark.parametrize("damage", ["stress=abc", 'Lattice="1 2"', "pbc=maybe"])
def test_broken_frame_keeps_its_own_id(tmp_path: Path, damage: str) -> None:
    broken = frame(f"{damage} id=007 {PROPERTIES}", "Qq 0 0 0")
    found = read(tmp_path, broken, frame(f"{CELL} id=good"), skip=True)
    assert [problem.id for problem in found.problems] == ["007"]
    assert found.table.ids.tolist() == ["good"]


# -- geometry --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["Lattice", "lattice", "LATTICE", "cell", "Cell"])
@pytest.mark.parametrize("pbc", ['pbc="T T F"', 'PBC="T T F"', "Pbc=TTF", 'PBC="1 1 0"'])
@pytest.mark.parametrize("properties", ["Properties", "properties"])
def test_cell_periodicity_and_properties_count_in_any_case(
    tmp_path: Path, cell: str, pbc: str, properties: str
) -> None:
    comment = f'{cell}="3 0 0 1 3 0 0 0 4" {pbc} {properties}=pos:R:3:species:S:1 id=a'
    table = read(tmp_path, frame(comment, "0.5 0 0 W")).table
    assert table.cells[0].tolist() == [[3, 0, 0], [1, 3, 0], [0, 0, 4]]
    assert table.pbc.tolist() == [[True, True, False]]
    assert table.positions.tolist() == [[0.5, 0, 0]]
    assert not table.columns


@pytest.mark.parametrize(
    ("comment", "reason"),
    [
        ('Lattice="3 0 0 0 3 0 0 0"', "expected nine numbers"),
        ('cell="3 3 3 90 90 90"', "expected nine numbers"),
        ('Lattice="3 0 0 0 3 0 0 0 3" cell="4 0 0 0 4 0 0 0 4"', "contradict each other"),
        ("Lattice=[[3,0,0],[1,3,0],[0,0,3]]", "nested"),
        (f'{CELL} pbc="T T"', "expected three of T and F"),
        (f"{CELL} Properties=species:S:1", "has no positions"),
        (f"{CELL} Properties=what:S:1:pos:R:3", "has no species"),
        (f"{CELL} Properties=species:S:1:pos", "expected NAME:KIND:COLUMNS"),
        (f'{CELL} id=a name="open', "no closing quote"),
    ],
)
def test_frame_that_cannot_be_taken_is_refused_in_words_of_the_file(
    tmp_path: Path, comment: str, reason: str
) -> None:
    with pytest.raises(StructureFileError, match=reason) as caught:
        read(tmp_path, frame(comment))
    assert "ase" not in str(caught.value).lower().replace(str(tmp_path).lower(), "").split()


@pytest.mark.parametrize("species", ["1", "X", "Vac", "Mo4+", "Mo0.5W0.5"])
def test_what_is_no_element_is_refused(tmp_path: Path, species: str) -> None:
    with pytest.raises(StructureFileError, match=r"structure 'a': .*expected an element symbol"):
        read(tmp_path, frame(f"{CELL} id=a", f"{species} 0 0 0"))


def test_deuterium_and_tritium_are_hydrogen_with_a_word(tmp_path: Path) -> None:
    found = read(tmp_path, frame(f"{CELL} id=a", "D 0 0 0", "T 0 0 1", "H 0 0 2", "mo 1 1 1"))
    assert found.table.numbers.tolist() == [1, 1, 1, 42]
    assert found.summary() == ["deuterium or tritium was read as hydrogen: 1 crystal"]


def test_names_with_colons_and_more_values_than_names_are_told(tmp_path: Path) -> None:
    comment = f"{CELL} Properties=species:S:1:pos:R:3:mtt::aux::q:R:1:tags:I:1 id=a"
    found = read(tmp_path, frame(comment, "W 0 0 0 1.5 3 more"))
    assert found.table.ids.tolist() == ["a"]
    assert found.left_out.fields == {
        "mtt::aux::q": 1,
        "tags": 1,
        "further values after the values of Properties": 1,
    }


# -- results ---------------------------------------------------------------------------------------------------------


def test_stress_of_six_and_of_nine_numbers_is_asess(tmp_path: Path) -> None:
    nine = 'stress="1 6 5 6 2 4 5 4 3"'
    six = 'stress="1 2 3 4 5 6"'
    odd, skew = 'stress="1 2 3"', 'stress="1 6 5 0 2 4 5 4 3"'
    texts = [frame(f"{CELL} {PROPERTIES} id={i} {text}") for i, text in enumerate([nine, six, odd, skew])]
    found = read(tmp_path, *texts)
    (tmp_path / "nine.xyz").write_text(texts[0])
    expected = ase.io.read(tmp_path / "nine.xyz").get_stress()
    np.testing.assert_array_equal(found.table.columns["input_stress"][:2], [expected, expected])
    assert np.isnan(found.table.columns["input_stress"][2:]).all()
    assert list(found.left_out.fields.values()) == [2]


def test_virials_are_left_out_with_a_word_until_their_sign_is_said(tmp_path: Path) -> None:
    text = frame(f'{CELL} {PROPERTIES} id=a virial="1 6 5 6 2 4 5 4 3"')
    found = read(tmp_path, text)
    assert not found.table.columns
    assert found.summary() == [
        "left out of the set: virial: 1 crystal",
        "virial_sign='minus' reads virials as stress = -virial / volume",
    ]
    volume = 3.16 * 3.2 * 3.3
    for sign, factor in (("minus", -1), ("plus", 1)):
        stress = read(tmp_path, text, virial_sign=sign).table.columns["input_stress"][0]
        np.testing.assert_allclose(stress * volume * factor, [1, 2, 3, 4, 5, 6], rtol=1e-12)


def test_other_names_signs_and_units_are_taken_by_option(tmp_path: Path) -> None:
    comment = (
        f"{CELL} {PROPERTIES}:REF_forces:R:3 id=a REF_energy=-21.5 REF_stress='10 20 30 0 0 1' dft_gap=0.5"
    )
    text = frame(comment, "W 0 0 0 1 2 3")
    plain = read(tmp_path, text)
    assert set(plain.table.columns) == {"REF_energy", "dft_gap"}
    assert "REF_forces: 1 crystal, REF_stress: 1 crystal" in plain.summary()[0]
    column_map = {
        "REF_forces": "forces",
        "REF_energy": "energy",
        "REF_stress": "stress",
        "dft_gap": "gap",
    }
    found = read(tmp_path, text, column_map=column_map, stress_unit="kbar", stress_sign="minus")
    assert found.summary() == []
    assert found.table.columns["input_energy"].tolist() == [-21.5]
    assert found.table.columns["gap"].tolist() == [0.5]
    assert found.table.atom_columns["input_forces"].tolist() == [[1, 2, 3]]
    np.testing.assert_allclose(
        found.table.columns["input_stress"][0], [-GPa, -2 * GPa, -3 * GPa, 0, 0, -0.1 * GPa], atol=1e-15
    )


def test_options_that_fit_nothing_are_refused(tmp_path: Path) -> None:
    text = frame(f"{CELL} id=a virial='1 0 0 0 1 0 0 0 1'")
    with pytest.raises(StructureFileError, match="no structure has a field 'REF_enrgy'"):
        read(tmp_path, text, column_map={"REF_enrgy": "energy"})
    with pytest.raises(StructureFileError, match="they are different quantities"):
        read(tmp_path, text, column_map={"virial": "stress"})
    with pytest.raises(StructureFileError, match=r"stress_unit is 'bar': expected eV/A\^3 or GPa or kbar"):
        read(tmp_path, text, stress_unit="bar")


# -- fixed atoms -----------------------------------------------------------------------------------------------------


def test_move_mask_becomes_what_is_held_and_survives_in_a_set(tmp_path: Path) -> None:
    slab = bulk("Mo", "bcc", a=3.15, cubic=True)
    slab.set_constraint(
        [FixCartesian(0, mask=[True, False, True]), FixCartesian(1, mask=[False, False, False])]
    )
    ase.io.write(tmp_path / "held.xyz", slab, write_info=False)
    free = Atoms("Mo", cell=[3, 3, 3], pbc=True)
    ase.io.write(tmp_path / "free.xyz", free)
    table = StructureSetData.from_file([tmp_path / "free.xyz", tmp_path / "held.xyz"]).to_table()
    held = table.atom_columns["fixed_cartesian"]
    assert held.dtype == bool
    assert held.tolist() == [[False] * 3, [True, False, True], [False] * 3]
    assert not StructureSetData.from_file(tmp_path / "free.xyz").to_table().atom_columns


def test_move_mask_of_one_column_holds_in_all_directions(tmp_path: Path) -> None:
    text = frame(f"{CELL} {PROPERTIES}:move_mask:L:1 id=a", "W 0 0 0 F", "W 1 1 1 T")
    assert read(tmp_path, text).table.atom_columns["fixed_cartesian"].tolist() == [[True] * 3, [False] * 3]
    with pytest.raises(StructureFileError, match="line 3: move_mask is '2': expected T or F"):
        read(tmp_path, text.replace(" F\n", " 2\n"))


# -- strange frames ------------------------------------------------------------------------------------------------


def test_key_that_stands_twice_is_told(tmp_path: Path) -> None:
    twice = f"{CELL} {PROPERTIES} id=a id=b energy=-1 energy=-2 note=x note=x"
    result = read(tmp_path, frame(twice), frame(f"{CELL} {PROPERTIES} id=c"))
    assert result.table.ids.tolist() == ["b", "c"]
    told = [line for line in result.summary() if "occurs more than once" in line]
    assert [line.split("'")[1] for line in told] == ["energy", "id"]
    assert all(line.endswith("the last value was used: 1 crystal") for line in told)


def test_frame_without_atoms_is_refused_by_its_id(tmp_path: Path) -> None:
    result = read(tmp_path, f"0\n{CELL} {PROPERTIES} id=none\n", frame(f"{CELL} id=one"), skip=True)
    assert result.table.ids.tolist() == ["one"]
    assert [(p.id, "no atoms" in p.reason) for p in result.problems] == [("none", True)]


@pytest.mark.parametrize(
    "cell",
    [
        'unit_cell="3 0 0 0 3 0 0 0 3"',
        'Lattice_vectors="3 0 0 0 3 0 0 0 3"',
        'box="3 3 3"',
        'a="3 0 0" b="0 3 0" c="0 0 3"',
        'vec1="3 0 0" vec2="0 3 0" vec3="0 0 3"',
        "supercell=[3,0,0,0,3,0,0,0,3]",
    ],
)
def test_cell_under_another_name_is_no_molecule(tmp_path: Path, cell: str) -> None:
    message = r"'a'.*has no Lattice, but .*expected the cell as Lattice=.*rename the key"
    with pytest.raises(StructureFileError, match=message):
        read(tmp_path, frame(f"{PROPERTIES} id=a {cell}"))
    kept = read(tmp_path, frame(f"{CELL} {PROPERTIES} id=a {cell}", ATOM))
    assert kept.table.cells[0].diagonal().tolist() == [3.16, 3.2, 3.3]


def test_numbers_that_are_no_cell_leave_a_molecule(tmp_path: Path) -> None:
    result = read(tmp_path, frame(f'{PROPERTIES} id=a dipole="0 0 1" cell_volume=27 a="1 2 3"'))
    assert not result.table.pbc.any()


def test_kinds_in_small_letters_and_json_null_are_read(tmp_path: Path) -> None:
    comment = f'{CELL} properties=species:s:1:pos:r:3 id=a gap="_JSON null" n="_JSON 3"'
    table = read(tmp_path, frame(comment)).table
    assert {name: values.tolist() for name, values in table.columns.items()} == {"n": [3]}


def test_own_object_that_was_cut_says_what_helps(tmp_path: Path) -> None:
    comment = f'{CELL} {PROPERTIES} id=a aiida_pet="{{\\"columns\\": {{\\"e\\": 1.0}}, \\"un"'
    with pytest.raises(
        StructureFileError, match=r"'a'.*'aiida_pet' is damaged.*export the set again, or remove"
    ):
        read(tmp_path, frame(comment))


def test_words_for_missing_among_numbers_are_missing(tmp_path: Path) -> None:
    frames = [
        frame(f"{CELL} {PROPERTIES} id={i} gap={v} kind={k}") for i, v, k in (("a", "na", 1), ("b", 0.5, "x"))
    ]
    result = read(tmp_path, *frames)
    np.testing.assert_array_equal(result.table.columns["gap"], [np.nan, 0.5])
    assert result.table.columns["kind"].tolist() == ["1", "x"]
    assert "'na' in column 'gap' is not a number, so it counts as missing: 1 crystal" in result.summary()
    assert "column 'kind' holds numbers and texts, so all its values were read as texts" in result.summary()


def test_born_charges_and_dielectric_tensors_are_read_row_by_row(tmp_path: Path) -> None:
    path = tmp_path / "NaCl.xyz"
    path.write_text(
        '2\nLattice="0 2.82 2.82 2.82 0 2.82 2.82 2.82 0" Properties=species:S:1:pos:R:3:born_charges:R:9 id=007 '
        'dielectric_tensor="2.43 0 0 0 2.43 0 0 0 2.5"\n'
        "Na 0 0 0 1.09 0.1 0 0 1.09 0 0 0 1.09\nCl 2.82 2.82 2.82 -1.09 0 0 0 -1.09 0 0 0 -1.09\n"
    )
    found = read_structures([path])
    charges = found.table.atom_columns["born_charges"]
    assert charges.shape == (2, 3, 3)
    assert charges[0, 0].tolist() == [1.09, 0.1, 0.0]
    assert found.table.units["born_charges"] == "e"
    assert found.table.columns["dielectric_tensor"][0].tolist() == [[2.43, 0, 0], [0, 2.43, 0], [0, 0, 2.5]]
    assert not found.left_out

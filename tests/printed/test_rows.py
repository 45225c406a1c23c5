"""Rows of results for people."""

import numpy as np

from aiida_pet.printed.rows import rows_for_people

COLUMNS = {
    "id": ["a", "b", "c"],
    "initial_spacegroup_0_01": [221, 221, 229],
    "spacegroup_0_01": [221, 1, 229],
    "energy": [-1.23456, np.nan, -2.0],
    "heads": ["conservative"] * 3,
    "warnings": ["rough symmetry_changed", "", "rough"],
}


def test_groups_are_one_column_and_numbers_have_a_unit():
    text = rows_for_people(COLUMNS).laid.text
    assert "initial" not in text
    assert "Pm-3m > P1" in text
    assert text.splitlines()[1].split() == ["eV"]
    assert "-1.235" in text
    assert "heads" not in text


def test_asked_for_columns_are_shown_as_they_are_called():
    laid = rows_for_people(COLUMNS, asked=True).laid
    assert laid.once == {}
    assert all(name in laid.text for name in COLUMNS)
    assert "221 Pm-3m" in laid.text


def test_warnings_become_numbers_where_there_is_little_room():
    assert rows_for_people(COLUMNS).notes == {}
    narrow = rows_for_people(COLUMNS, width=44)
    assert narrow.notes == {"rough": 1, "symmetry_changed": 2}
    lines = narrow.laid.text.splitlines()
    assert lines[-3].endswith("1 2")
    assert lines[-1].endswith("1")
    assert max(map(len, lines)) <= 44
    assert "energy" in narrow.laid.text


def test_reasons_go_below_where_there_is_little_room():
    columns = {
        "id": ["a", "b"],
        "kappa_300": [1.0, np.nan],
        "conductivity_skipped": ["", "57 of 57 modes do not scatter: the supercell is too small"],
        "warnings": ["", "lattice_only"],
    }
    wide = rows_for_people(columns, reasons_below=True)
    assert "too small" in wide.laid.text
    assert wide.untold == ()
    narrow = rows_for_people(columns, width=40, reasons_below=True)
    assert narrow.untold == ("conductivity_skipped",)
    assert "57 of" not in narrow.laid.text
    assert "conductivity_skipped" not in narrow.laid.left_out
    assert narrow.notes == {"lattice_only": 1}
    assert rows_for_people(columns, width=40).untold == ()  # nobody would tell them

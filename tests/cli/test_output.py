import json

import click
import numpy as np
import pytest
from click.testing import CliRunner

from aiida_pet.cli import main
from aiida_pet.cli.output import echo_pairs, echo_table, wrapped_table
from aiida_pet.words import assigned, cell, close_names, duration, plain, plural, size


def test_plain_turns_numpy_and_nan_into_json():
    document = {"a": np.float64("nan"), 1: np.array([1.0, np.inf]), "b": (np.int64(3), np.bool_(True))}
    assert json.loads(json.dumps(plain(document), allow_nan=False)) == {
        "a": None,
        "1": [1.0, None],
        "b": [3, True],
    }


def test_table_shortens_numbers_and_marks_missing_ones(capsys):
    echo_table([("Mo", -10.84504321, np.nan), ("TaW", 1.0, 2)], ("id", "energy", "n"))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["id", "energy", "n"]
    assert lines[1].split() == ["eV"]
    assert lines[3].split() == ["Mo", "-10.845", "-"]
    assert lines[4].split() == ["TaW", "1.000", "2"]


def test_table_without_rows_has_its_header(capsys):
    echo_table([], ("id", "energy"))
    assert capsys.readouterr().out.split()[:2] == ["id", "energy"]


def test_columns_are_chosen_by_name_and_a_slip_is_told(capsys):
    echo_table([(1, 2, 3)], ("pk", "name", "age"), columns=["age"])
    assert capsys.readouterr().out.split() == ["pk", "age", "--", "---", "1", "3"]
    with pytest.raises(click.BadParameter, match=r"did you mean name\?"):
        echo_table([(1, 2, 3)], ("pk", "name", "age"), columns=["nme"])


def test_what_is_the_same_in_all_rows_is_said_above(capsys):
    echo_table([(1, "x"), (2, "x")], ("pk", "kind"))
    assert capsys.readouterr().out.splitlines()[0] == "in all 2 rows: kind x"


def test_nothing_is_cut_where_there_is_no_terminal(capsys):
    echo_table([("a" * 200, "b" * 200)], ("id", "text"))
    echo_pairs({"parameters": "c " * 200})
    click.echo(wrapped_table([("d", "e " * 200)], ("name", "meaning")))
    out, err = capsys.readouterr()
    assert "a" * 200 in out
    assert "b" * 200 in out
    assert "c " * 199 in out
    assert "e " * 199 in out
    assert not err


@pytest.mark.parametrize(
    ("value", "text"), [(True, "yes"), (np.bool_(False), "no"), (None, "-"), (1e-7, "1e-07"), ([1], "[1]")]
)
def test_cell_is_for_people(value, text):
    assert cell(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "?"),
        (3.21, "3.2 s"),
        (42.4, "42 s"),
        (185, "3 min 05 s"),
        (7800, "2 h 10 min"),
        (100800, "1 d 04 h"),
        (float("inf"), "?"),
    ],
)
def test_duration_is_for_people(seconds, text):
    assert duration(seconds) == text


def test_plural_counts():
    assert [plural(count, "crystal") for count in (0, 1, 2000)] == [
        "0 crystals",
        "1 crystal",
        "2,000 crystals",
    ]


def test_plurals_of_nouns_that_take_more_than_an_s():
    nouns = {
        "entry": "entries",
        "process": "processes",
        "past job": "past jobs",
        "key": "keys",
        "box": "boxes",
    }
    assert {noun: plural(2, noun) for noun in nouns} == {noun: f"2 {many}" for noun, many in nouns.items()}


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["lunch"], "did you mean launch?"),
        (["data", "imprt"], "did you mean import?"),
        (["launch", "relx"], "did you mean relax?"),
        (["params", "phonon"], "did you mean phonons?"),
        (["launch", "relax", "x", "--protocol", "moderat"], "did you mean moderate?"),
        (["results", "1", "--format", "jsn"], "did you mean json?"),
        (["launch", "resume", "12"], "did you mean `main resume`?"),
        (["eos"], "did you mean `main launch eos` or `main plot eos`?"),
        (["imprt"], "did you mean `main data import` or `main model import`?"),
        (["kill", "12"], "did you mean `main stop`?"),
        (["help"], "did you mean `main --help`?"),
        (["Results"], "did you mean results?"),
        (["launch", "relax", "--protocl", "fast"], "did you mean --protocol?"),
    ],
)
def test_a_slip_is_told_with_what_may_be_meant(arguments, hint):
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert hint in result.output


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("E-Above Hull", ["e_above_hull"]),
        ("ehull", ["e_above_hull"]),
        ("e_hull", ["e_above_hull"]),
        ("bulk", ["bulk_modulus", "bulk_modulus_voigt"]),
        ("enrgy", ["energy"]),
        ("voigt", ["bulk_modulus_voigt"]),
        ("xyz", []),
    ],
)
def test_names_may_be_written_in_other_ways_or_in_part(name, meant):
    known = ["energy", "e_above_hull", "bulk_modulus", "bulk_modulus_voigt"]
    assert close_names(name, known) == meant


def test_amounts_of_data_have_units():
    assert [size(n) for n in (1, 40_900, 32.26e9)] == ["1 byte", "40.9 kB", "32.3 GB"]


def test_parameters_are_told_as_they_may_be_typed():
    told = assigned({"fmax": 1e-05, "relax_first": True, "temperatures": [0.0, 50.0], "supercell": None})
    assert told == "fmax=1e-05, relax_first=yes, temperatures=[0, 50]; not set: supercell"
    assert assigned({}) == ""


def test_every_command_stands_under_a_heading_with_its_whole_summary():
    output = CliRunner().invoke(main, ["--help"]).output
    assert "More:" not in output
    commands = output.split("First steps:")[1].replace("hulls, histograms, ...", "")
    assert "..." not in commands
    assert output.index("First steps:") < output.index("  launch") < output.index("  columns")


def test_launch_shows_what_most_people_need_first():
    output = CliRunner().invoke(main, ["launch", "relax", "--help"]).output
    common, resources = output.split("What each job asks for:")
    assert all(option in common for option in ("--model", "--dry-run", "--wait", "--label", "--set"))
    assert all(option in resources for option in ("--gpus", "--qos", "--code", "--setting"))

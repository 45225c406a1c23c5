"""The group itself: help, version, errors, and what must not be imported before a command runs."""

import logging
import re
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from aiida_pet import __version__
from aiida_pet.cli import main
from aiida_pet.cli.errors import ExplainingGroup, explanation, message_of
from aiida_pet.tables.table import DuplicateIdError

COMMANDS = (
    *(
        "setup",
        "doctor",
        "data",
        "model",
        "params",
        "columns",
        "launch",
        "stop",
        "resume",
        "repair",
        "status",
    ),
    *("results", "report", "plot", "show", "metrics", "find", "compare", "select", "trace"),
    *("list", "label", "delete", "export-launch", "trajectory"),
)


def test_help_names_every_command():
    output = CliRunner().invoke(main, ["--help"]).output
    commands = output.split("Options:")[1].split("\n\n", 1)[1]
    # headings begin a line, and a summary that goes on stands further to the right
    listed = {line.split()[0] for line in commands.splitlines() if re.match(r"  \S", line)}
    assert listed == set(COMMANDS)
    assert "More" not in commands  # each has its heading


def test_version_is_that_of_the_package():
    assert __version__ in CliRunner().invoke(main, ["--version"]).output


def test_help_of_every_command_imports_neither_aiida_nor_torch_nor_pymatgen():
    """`--help` answers at once: importing AiiDA alone takes seconds."""
    code = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from aiida_pet.cli import main\n"
        "def walk(command, words):\n"
        "    result = CliRunner().invoke(main, [*words, '--help'])\n"
        "    assert result.exit_code == 0, result.output\n"
        "    for name, child in getattr(command, 'commands', {}).items():\n"
        "        walk(child, [*words, name])\n"
        "walk(main, [])\n"
        "heavy = {'aiida', 'torch', 'pymatgen', 'numpy', 'pandas', 'ase'} & set(sys.modules)\n"
        "print(','.join(sorted(heavy)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (DuplicateIdError(["a"]), "ids must be unique, but these occur more than once: 'a'"),
        (FileNotFoundError(2, "No such file", "x.cif"), "[Errno 2] No such file: 'x.cif'"),
        (ValueError("shapes do not match"), None),
        (KeyError("x"), None),
    ],
)
def test_explanation_tells_user_errors_from_faults(error, line):
    assert explanation(error) == line


def test_message_of_a_key_error_has_no_quotes():
    assert message_of(KeyError("no row 'x'")) == "no row 'x'"


def _failing(error):
    @click.group(cls=ExplainingGroup)
    def group():
        pass

    @group.command()
    def go():
        raise error

    return CliRunner().invoke(group, ["go"])


def test_a_user_error_is_one_line_without_traceback():
    result = _failing(DuplicateIdError(["a"]))
    assert result.exit_code == 1
    assert result.output == "Error: ids must be unique, but these occur more than once: 'a'\n"


def test_a_fault_of_the_program_is_not_hidden():
    result = _failing(ValueError("shapes do not match"))
    assert isinstance(result.exception, ValueError)


@pytest.mark.parametrize(("options", "shown"), [([], False), (["-v"], False), (["-vv"], True)])
def test_verbose_twice_shows_where_an_error_came_from(invoke, make_structures, options, shown):
    pk = make_structures(1).pk
    output = invoke(*options, "results", pk, "--where", "nothing == 1", status=1).output
    assert ("Traceback (most recent call last)" in output) == shown
    assert "Error: no column 'nothing'" in output


@pytest.mark.parametrize(("options", "told"), [([], False), (["-v"], True)])
def test_verbose_says_more(options, told):
    @main.command("say-something")
    def say_something():
        logging.getLogger("aiida_pet.somewhere").info("it goes on")

    try:
        output = CliRunner().invoke(main, [*options, "say-something"]).output
    finally:
        main.commands.pop("say-something")
    assert ("it goes on" in output) == told


def test_what_an_import_leaves_out_is_said_without_being_asked(invoke, tmp_path):
    path = tmp_path / "one.xyz"
    path.write_text('1\nLattice="3 0 0 0 3 0 0 0 3" pbc="T T T" bands="1 2 3"\nW 0 0 0\n')
    assert "left out of the set: bands: 1 crystal" in invoke("data", "import", path).output

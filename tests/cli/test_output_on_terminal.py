"""Every table at 80 and 120 columns of a pseudo-terminal: nothing is wider, and what was left out is said."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiida.manage import get_manager
from ase.build import bulk

from aiida_pet import __version__
from aiida_pet.data.structures import StructureSetData
from aiida_pet.tables.columns import Kind, columns_of
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.testing.nodes import build_code, build_computer, build_model, build_structures
from support.campaign_by_hand import Campaign
from support.terminal import on_terminal

RUN = """
import json, sys
import click
from aiida_pet.cli import main
for command in json.loads(sys.argv[1]):
    print("$", " ".join(command[2:4])[:60], flush=True)
    try:
        main(command, prog_name="aiida-pet", standalone_mode=False)
    except click.ClickException as error:
        error.show()
    sys.stdout.flush()
"""
VALUES: dict[Kind, list[Any]] = {
    Kind.NUMBER: [-12.437312345, 0.00120993, np.nan],
    Kind.COUNT: [221, 64, 1],
    Kind.FLAG: [True, False, True],
    Kind.TEXT: ["converged", "no two of its elements stand together in a crystal of the training set", ""],
}


SIZES = {"3": 3, "6": 6, "T": 21, "V": 9, "K": 10}
"""Of dimensions of columns: tensors, temperatures, volumes."""


def set_of(source: str) -> StructureSetData:
    """A set with every column that a task writes, each with values that vary, and with long ids."""
    crystals = [bulk("W", cubic=True).repeat((1, 1, i + 1)) for i in range(3)]
    ids = [f"wbm-{i}-a-name-as-long-as-those-of-some-databases" for i in range(3)]
    table = StructureTable.from_ase(zip(ids, crystals, strict=True))
    for column in columns_of(source, ParametersOfAll()):
        if not set(column.shape) <= set(SIZES):
            continue
        shape = [3, *(SIZES[size] for size in column.shape)]
        for name in column.names((0.001, 0.01, 0.1)):
            values = VALUES[column.kind]
            if name == "warnings":
                values = ["rough symmetry_changed", "", "extrapolated rough symmetry_changed volume_change"]
            table.set_column(name, np.resize(np.array(values), shape), column.unit)
    return StructureSetData.from_table(table, label=f"all columns of {source}").store()


class ParametersOfAll:
    """Parameters under which most columns exist."""

    symprecs = (0.001, 0.01, 0.1)
    averaging = "lebedev-3"
    pressure = 5.0
    outputs = ("uncertainty", "invariance")
    supercell_check = 9.0
    forces = stress = "direct"

    def __getattr__(self, name: str) -> Any:
        return 1.0


TASKS = ("static", "relax", "phonons", "elastic", "eos", "qha", "md", "conductivity")
ROW = "wbm-0-a-name-as-long-as-those-of-some-databases"


@pytest.fixture(scope="module")
def launched(aiida_profile: Any, tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    """A launch of two lanes that is not through, of crystals with long ids."""
    folder = tmp_path_factory.mktemp("site")
    code, model = build_code(build_computer(folder), folder), build_model(folder)
    ids = [f"wbm-{i}-a-name-as-long-as-those-of-some-databases" for i in range(4)]
    campaign = Campaign(build_structures(ids), code, model)
    campaign.finish_job(ids[:2], warnings=["rough symmetry_changed", ""])
    campaign.add_job(ids[2:3])
    campaign.end(
        campaign.lanes[-1], exit_status=300, message="Job <12> cannot succeed as it is, so the lane stops"
    )
    campaign.set_results(ids)
    campaign.node.label = "a label that somebody made as long as labels that say everything tend to be made"
    return campaign


@pytest.fixture(scope="module")
def commands(launched: Campaign, tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    chosen = str(tmp_path_factory.mktemp("chosen") / "for-dft-calculations.extxyz")
    sets = {source: str(set_of(source).pk) for source in (*TASKS, "screen")}
    pk, crystals = str(launched.node.pk), str(launched.structures.pk)
    site = ["--code", str(launched.code.pk), "--model", str(launched.model.pk), "--dry-run"]
    found = [["results", pk] for pk in sets.values()] + [["show", pk, ROW] for pk in sets.values()]
    found += [["results", sets["screen"], "--columns", "all"]]
    found += [["data", "show", sets["relax"]], ["compare", sets["relax"], sets["elastic"]]]
    found += [["params", task] for task in (*TASKS, "train")]
    found += [["params", "relax", "--protocols"], ["model", "list"], ["--help"]]
    found += [["columns", task] for task in (*TASKS, "hull", "screen")]
    found += [["results", pk], ["status", pk], ["trace", pk, ROW], ["show", pk, ROW], ["list"]]
    found += [["data", "list", "--made"], ["data", "show", crystals, ROW], ["find", "--element", "W"]]
    found += [["find", "--where", "energy < 0", "--columns", "status,energy,warnings"]]
    found += [["model", "show", str(launched.model.pk)], ["delete", sets["relax"], "--dry-run"]]
    found += [["launch", task, crystals, *site] for task in (*TASKS, "screen")]
    found += [["launch", "hull", sets["relax"], *site], ["select", sets["relax"], "--force", "-o", chosen]]
    found += [
        ["metrics", sets["relax"], "--column", "energy=initial_energy"],
        ["model", "show", "pet-oam-xl"],
    ]
    return [*found, ["launch", "--help"], ["launch", "relax", "--help"], ["results", "--help"]]


def printed_on(width: int, commands: list[list[str]], aiida_path: str, profile: str) -> list[str]:
    """Return the lines that commands print on a terminal of a width, one after the other in one process."""
    asked = json.dumps([["-p", profile, *command] for command in commands])
    command = [sys.executable, "-W", "ignore", "-c", RUN, asked]
    found = on_terminal(command, width, 50, environment={"AIIDA_PATH": aiida_path}, timeout=500)
    lines = found.printed()
    assert found.status == 0, lines[-20:]
    assert sum(line.startswith("$ ") for line in lines) == len(commands)
    assert [line for line in lines if len(line) > width] == []
    return lines


@pytest.mark.parametrize("width", [80, 120])
def test_no_line_is_wider_than_the_terminal(commands: list[list[str]], width: int) -> None:
    config, profile = get_manager().get_config(), get_manager().get_profile()
    assert profile is not None
    lines = printed_on(width, commands, str(config.dirpath).removesuffix("/.aiida"), profile.name)
    wrong = [i for i, line in enumerate(lines) if line.startswith(("Error", "Traceback"))]
    assert [lines[i - 3 : i + 4] for i in wrong] == []
    # the tables hold what fits, and say what does not
    text = "\n".join(lines)
    assert "no room for" in text
    assert "--wide" in text
    assert "= symmetry_changed" in text
    assert "wbm-0-a" in text
    assert "texts are shortened" in text
    # a curve is a table along its axis, and not a list whose places have to be counted
    assert [line for line in lines if line.split()[:1] == ["temperatures"] and "entropy" in line]


WRONG = [
    (["launch", "resume", "12"], "did you mean `aiida-pet resume`?"),
    (["relx", "12"], "did you mean `aiida-pet launch relax`?"),
    (
        ["results", "a labl that somebody made as long as labels that say everything tend to be made"],
        "did you mean",
    ),
    (["show", "1", "--colums", "a"], "did you mean --columns?"),
    (["launch", "relax", "x.xyz", "--dry-run", "--set", "fmx=1"], "did you mean fmax?"),
]


@pytest.mark.parametrize("width", [80, 120])
def test_errors_fit_and_say_what_was_meant(launched: Campaign, width: int) -> None:
    config, profile = get_manager().get_config(), get_manager().get_profile()
    assert profile is not None
    commands = [command for command, _ in WRONG]
    lines = printed_on(width, commands, str(config.dirpath).removesuffix("/.aiida"), profile.name)
    told = " ".join(" ".join(lines).split()).split("$ ")[1:]
    for text, (_, hint) in zip(told, WRONG, strict=True):
        assert "Error: " in text
        assert hint in text


@pytest.mark.timeout(600)  # a profile of its own
def test_setup_and_doctor_fit_into_a_terminal(tmp_path: Path) -> None:
    engine = tmp_path / "pet-engine"
    engine.write_text(f'#!/bin/sh\necho "pet-engine {__version__}"\n')
    engine.chmod(0o755)
    file = tmp_path / "workstation.yaml"
    work = tmp_path / "a-folder-with-a-name-as-long-as-the-names-of-folders-on-clusters"
    file.write_text(f"label: workstation\nscheduler: direct\nwork_dir: {work}\nengine: {engine}\n")
    commands = [["setup", "--no-daemon"], ["setup", "computer", str(file)], ["doctor"]]
    commands += [["doctor", "--code", "pet-engine@workstaton"]]
    for width in (80, 120):
        lines = printed_on(width, commands, str(tmp_path), "terminal")
        text = " ".join(" ".join(lines).split())
        assert "problems found" in text  # the daemon does not run
        assert "(did you mean pet-engine@workstation" in text, lines
        # a path is broken only if it is longer than a line
        assert len(str(engine)) > width or any(str(engine) in line for line in lines)
        assert not any("WARNING" in line for line in lines), lines

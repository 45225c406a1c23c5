"""Every table at 80 and 120 columns of a pseudo-terminal: nothing is wider, and what was left out is said."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import pytest
from aiida.manage import get_manager
from ase.build import bulk

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
    print("$", *command[2:4], flush=True)
    try:
        main(command, standalone_mode=False)
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


def set_of(source: str) -> StructureSetData:
    """A set with every column that a task writes, each with values that vary, and with long ids."""
    crystals = [bulk("W", cubic=True).repeat((1, 1, i + 1)) for i in range(3)]
    ids = [f"wbm-{i}-a-name-as-long-as-those-of-some-databases" for i in range(3)]
    table = StructureTable.from_ase(zip(ids, crystals, strict=True))
    for column in columns_of(source, ParametersOfAll()):
        for name in column.names((0.001, 0.01, 0.1)) if not column.shape else ():
            values = VALUES[column.kind]
            if name == "warnings":
                values = ["rough symmetry_changed", "", "extrapolated rough symmetry_changed volume_change"]
            table.set_column(name, np.array(values), column.unit)
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
def commands(launched: Campaign) -> list[list[str]]:
    sets = {source: str(set_of(source).pk) for source in ("relax", "phonons", "elastic", "screen")}
    pk, crystals = str(launched.node.pk), str(launched.structures.pk)
    site = ["--code", str(launched.code.pk), "--model", str(launched.model.pk), "--dry-run"]
    found = [["results", pk] for pk in sets.values()]
    found += [["results", sets["screen"], "--columns", "all"], ["show", sets["phonons"], ROW]]
    found += [["data", "show", sets["relax"]], ["compare", sets["relax"], sets["elastic"]]]
    found += [["params", task] for task in ("relax", "phonons", "train")]
    found += [["params", "relax", "--protocols"], ["model", "list"], ["--help"]]
    found += [["columns", task] for task in ("relax", "phonons", "elastic", "screen")]
    found += [["results", pk], ["status", pk], ["trace", pk, ROW], ["show", pk, ROW], ["list"]]
    found += [["data", "list", "--made"], ["data", "show", crystals, ROW], ["find", "--element", "W"]]
    found += [["find", "--where", "energy < 0", "--columns", "status,energy,warnings"]]
    found += [["model", "show", str(launched.model.pk)], ["delete", sets["relax"], "--dry-run"]]
    found += [["launch", task, crystals, *site] for task in ("relax", "phonons", "elastic", "screen")]
    found += [["metrics", sets["relax"], "--column", "energy=initial_energy"]]
    return [*found, ["launch", "--help"], ["launch", "relax", "--help"], ["results", "--help"]]


@pytest.mark.parametrize("width", [80, 120])
def test_no_line_is_wider_than_the_terminal(commands: list[list[str]], width: int) -> None:
    config, profile = get_manager().get_config(), get_manager().get_profile()
    assert profile is not None
    asked = json.dumps([["-p", profile.name, *command] for command in commands])
    environment = {"AIIDA_PATH": str(config.dirpath).removesuffix("/.aiida")}
    command = [sys.executable, "-W", "ignore", "-c", RUN, asked]
    found = on_terminal(command, width, 50, environment=environment, timeout=240)
    # examples stay whole, so that they can be copied
    lines = [line for line in found.printed() if not line.startswith("  aiida-pet ")]
    assert found.status == 0, lines[-20:]
    assert [line for line in lines if len(line) > width] == []
    assert sum(line.startswith("$ ") for line in lines) == len(commands)
    assert not any(line.startswith("Error") for line in lines), lines
    # the tables hold what fits, and say what does not
    text = "\n".join(lines)
    assert "no room for" in text
    assert "--wide" in text
    assert "= symmetry_changed" in text
    assert "wbm-0-a" in text

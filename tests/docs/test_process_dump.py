"""What the page on provenance says of `verdi process dump`: its commands run, and its files are there and readable."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.io
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner

PAGE = Path(__file__).parents[2] / "docs" / "provenance.md"


@pytest.fixture(scope="module")
def dumped(module_inputs: Callable[..., dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the commands of the page write of a launch of three crystals."""
    from aiida.cmdline.commands.cmd_verdi import verdi
    from aiida.engine import run_get_node

    from aiida_pet.cli import main
    from aiida_pet.workchains.relax import RelaxWorkChain

    inputs = module_inputs(["first", "second", "max_steps-third"])
    node = run_get_node(RelaxWorkChain, **{name: inputs[name] for name in inputs if name != "task"}).node
    (block,) = re.findall(r"```bash\n(verdi process dump .*?)```", PAGE.read_text(), re.DOTALL)
    folder = tmp_path_factory.mktemp("elsewhere") / "campaign"
    for line in block.splitlines():
        program, *words = shlex.split(
            line.replace("campaign", str(folder), 1).replace(" 12 ", f" {node.pk} ")
        )
        command = {"verdi": verdi, "aiida-pet": main}[program]
        result = CliRunner().invoke(command, words, catch_exceptions=False)
        assert result.exit_code == 0, (line, result.output)
    return folder


def test_every_file_of_the_page_is_there(dumped: Path) -> None:
    rows = re.search(r"\| file \| what is in it \|\n.*?\n\n", PAGE.read_text(), re.DOTALL)
    assert rows is not None
    named = re.findall(
        r"`([^`]+)`", "".join(line.split("|")[1] for line in rows[0].splitlines() if "`" in line)
    )
    assert len(named) == 9
    written = [str(path.relative_to(dumped)) for path in dumped.rglob("*")]
    for name in named:  # pks differ, and where the model is brought first, that is the first folder
        pattern = re.sub(r"-\d+(?=/|$)", r"-\\d+", re.sub(r"\b\d\d-", r"\\d\\d-", name)).rstrip("/")
        assert any(re.search(rf"(^|/){pattern}$", path) for path in written), (name, written)


def test_a_person_reads_what_was_asked_and_what_came_out(dumped: Path) -> None:
    readme = (dumped / "README.md").read_text()
    assert re.search(r"RelaxWorkChain<\d+> Finished", readme)
    assert "3 rows in jobs of" in readme
    (spec,) = (json.loads(path.read_text()) for path in dumped.rglob("job.json"))
    assert spec["task"] == "relax"
    assert spec["parameters"]["optimizer"] == "fire"
    table = pd.read_csv(dumped / "results.csv", index_col="id")
    assert table.status.to_dict() == {
        "first": "converged",
        "second": "converged",
        "max_steps-third": "max_steps",
    }
    crystals: Any = ase.io.read(dumped / "crystals.extxyz", ":")
    assert [len(atoms) for atoms in crystals] == table.n_atoms.tolist()
    assert crystals[0].get_potential_energy() == pytest.approx(table.energy["first"])


def test_all_files_are_text_or_tell_what_they_are(dumped: Path) -> None:
    for path in dumped.rglob("*"):
        if path.is_file() and not path.name.startswith("."):
            path.read_text()
    told = [yaml.safe_load(path.read_text()) for path in dumped.rglob("aiida_node_metadata.yaml")]
    assert "relax of 3 crystals" in [one["Node data"]["label"] for one in told]

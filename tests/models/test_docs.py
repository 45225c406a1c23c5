"""The examples of the page about models run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aiida_pet.models import embedded_card, list_models

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_example_of_the_page_runs_and_prints(block: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(block, str(PAGE), "exec"), {})
    assert capsys.readouterr().out.strip()


def test_first_example_prints_errors_of_the_card(capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(BLOCKS[0], str(PAGE), "exec"), {})
    row = embedded_card()["evaluation"]["held-out"]["errors"][0]
    first = capsys.readouterr().out.splitlines()[0]
    assert first == f"all steps {row['n_rows']} {1e3 * row['energy_mae']:.1f} meV/atom"


def test_second_example_lists_every_model(capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(BLOCKS[1], str(PAGE), "exec"), {})
    printed = capsys.readouterr().out
    assert all(f"{entry.name} {entry.version} " in printed for entry in list_models())

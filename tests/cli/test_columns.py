"""``aiida-pet columns`` and the page that is made of the same catalogue."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from aiida_pet.cli import main
from aiida_pet.tables.columns import COLUMNS, Source
from aiida_pet.tables.page import page

PAGE = Path(__file__).parents[2] / "docs" / "columns.md"


def test_page_is_made_of_the_catalogue() -> None:
    assert PAGE.read_text() == page(), "run python -m aiida_pet.tables.page > docs/columns.md"


def test_columns_of_a_task_are_told(monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    output = CliRunner().invoke(main, ["columns", "relax"]).output
    assert "symmetry_kept_{symprec}" in output
    assert "bulk_modulus" not in output


def test_json_holds_every_column() -> None:
    document = json.loads(CliRunner().invoke(main, ["columns", "--json"]).output)
    assert len(document) == len(COLUMNS)
    of_hull = json.loads(CliRunner().invoke(main, ["columns", "hull", "--json"]).output)
    assert {one["name"] for one in of_hull} == {one.name for one in COLUMNS if Source.HULL in one.sources}
    distance = next(one for one in of_hull if one["name"] == "e_above_hull")
    assert distance["unit"] == "eV/atom"
    assert distance["kind"] == "number"

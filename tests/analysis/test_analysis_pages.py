"""The examples of the pages about hulls and metrics run as they stand there, and print what the text says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aiida_pet.analysis.hull.above_hull import HullStatus
from aiida_pet.analysis.hull.above_hull import energies_above_hull as hull_of
from aiida_pet.calculations.hull import DEFAULTS

DOCS = Path(__file__).parents[2] / "docs"


def block(page: str) -> str:
    """Return the only Python block of a page."""
    (found,) = re.findall(r"^```python\n(.*?)^```", (DOCS / page).read_text(), flags=re.MULTILINE | re.DOTALL)
    return str(found)


def printed(page: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    exec(compile(block(page), page, "exec"), {})
    return capsys.readouterr().out.splitlines()


def test_corrections_make_another_level_of_theory(capsys: pytest.CaptureFixture[str]) -> None:
    corrected, uncorrected = printed("hull.md", capsys)
    assert "level='PBE, corrected'" in corrected
    assert "level='PBE'" in uncorrected
    # of MoO2: (-25.0 - 4.6) / 3 and -25.0 / 3
    assert corrected.endswith("-9.867]")
    assert uncorrected.endswith("-8.333]")


def test_metrics_from_python(capsys: pytest.CaptureFixture[str]) -> None:
    # of two stable crystals one is found and one missed, and one that is not is said to be; 0, 0.03, 0.02, 0.05 eV/atom
    assert printed("metrics.md", capsys) == [
        "hull/F1 0.5 ",
        "hull/MAE 0.025 eV/atom",
        "elastic/mae_bulk_modulus 5.0 GPa",
        "elastic/failed_bulk_modulus 0.25 ",
    ]


def test_page_lists_every_column_and_status_of_a_hull() -> None:
    from support.phases import element_rows, phase_table

    page = (DOCS / "hull.md").read_text()
    columns = hull_of(phase_table(element_rows("Mo Ta"))).table.columns
    assert [name for name in columns if f"`{name}`" not in page] == []
    assert [status for status in HullStatus if f"`{status}`" not in page] == []
    named = [name for name in DEFAULTS if f"`{name}`" not in page and f"--set {name}=" not in page]
    assert named == []

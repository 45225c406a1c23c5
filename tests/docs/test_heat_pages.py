"""The examples of docs/equation-of-state.md and docs/quasi-harmonic.md run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def lines_of(page: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Run the only Python of a page and return what it prints."""
    path = DOCS / page
    (block,) = re.findall(r"^```python\n(.*?)^```", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    exec(compile(block, str(path), "exec"), {})
    return capsys.readouterr().out.splitlines()


def test_equation_of_state_of_copper(capsys: pytest.CaptureFixture[str]) -> None:
    fit, pressed = lines_of("equation-of-state.md", capsys)
    volume, modulus, derivative = map(float, re.findall(r"\d+\.\d+", fit))
    assert 11 < volume < 12.5
    assert 100 < modulus < 180  # 140 GPa by experiment
    assert 3 < derivative < 7
    assert float(re.findall(r"\d+\.\d+", pressed)[0]) < volume


@pytest.mark.filterwarnings("ignore")
def test_thermal_expansion_of_copper(capsys: pytest.CaptureFixture[str]) -> None:
    cold, *warm = lines_of("quasi-harmonic.md", capsys)
    assert cold.endswith(" 0.0e-6/K")
    room = next(line for line in warm if line.startswith("300 K"))
    assert 40 < float(re.search(r"([\d.]+)e-6", room).group(1)) < 70  # type: ignore[union-attr]

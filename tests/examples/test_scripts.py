"""The scripts for `verdi run`, with the real engine, in a profile that has what `aiida-pet setup` makes."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def engine_code(aiida_profile_clean: Any, aiida_localhost: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    pytest.importorskip("torch")
    from aiida import orm

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert aiida_localhost.label == "localhost"
    aiida_localhost.set_minimum_job_poll_interval(0)
    aiida_localhost.configure(safe_interval=0)
    return orm.InstalledCode(
        label="pet-engine",
        computer=aiida_localhost,
        filepath_executable=str(Path(sys.executable).parent / "pet-engine"),
    ).store()


def test_relax_one_prints_the_lattice_constant_of_molybdenum(
    engine_code: Any, load_script: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    load_script("relax_one").main()
    printed = capsys.readouterr().out
    assert "converged" in printed
    found = re.search(r"lattice constant +([\d.]+) A", printed)
    assert found is not None, printed
    assert float(found[1]) == pytest.approx(3.169, abs=0.01)  # DFT, see the model's card


def test_relax_set_prints_formation_energies_of_all_pairs(
    engine_code: Any, load_script: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    load_script("relax_set").main()
    printed = capsys.readouterr().out
    assert "{'converged': 10}" in printed
    found = dict(re.findall(r"B2 (\w+) +formation energy +(-?[\d.]+) meV/atom", printed))
    assert set(found) == {"NbMo", "NbTa", "NbW", "MoTa", "MoW", "TaW"}
    # DFT, and what the model errs by, are in the model's card
    assert float(found["MoTa"]) == pytest.approx(-194, abs=60)
    assert float(found["NbTa"]) == pytest.approx(0, abs=15)

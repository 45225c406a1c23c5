"""The paths of ``examples/energy_drift.py``, by argon in place of PET."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from ase.build import bulk

from aiida_pet.engine.tasks.md import Dynamics
from aiida_pet.job.parameters import parse_parameters
from aiida_pet.job.tasks import Task
from aiida_pet.job.trajectory_files import Frames, Trajectories, segments_of
from aiida_pet.models import embedded_card
from aiida_pet.tables.crystals import StructureTable
from support.classical import LennardJones


@pytest.fixture(scope="module")
def script(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("energy_drift")


def moved(script: ModuleType, way: str, folder: Path) -> tuple[Frames, StructureTable]:
    model = LennardJones(cutoff=8.7, direct_error=0.02)
    model.sibling = lambda **_: model.with_direct_forces()
    direct = model.with_direct_forces() if way == "NC" else model
    table = StructureTable.from_ase({"argon": bulk("Ar", a=5.3, cubic=True)}.items())
    finished: list[StructureTable] = []
    parameters = script.parameters_of(way, 0.4) | {"temperature": 40.0}
    driver = Dynamics(table, direct, parse_parameters(Task.MD, parameters), finished=finished.append)
    driver.attach(folder)
    driver.run()
    driver.snapshot()
    return Trajectories(segments_of(folder)).read("argon"), finished[0]


@pytest.mark.parametrize("way", ["C", "NC", "NC with RESPA"])
def test_total_energies_of_frames_drift_as_the_column_says(
    script: ModuleType, way: str, tmp_path: Path
) -> None:
    frames, found = moved(script, way, tmp_path)
    assert frames.series["times"] == pytest.approx(8.0 * np.arange(51))
    energies = script.total_energies(frames)
    slope = np.polyfit(frames.series["times"] / 1000.0, energies, 1)[0]
    assert slope == pytest.approx(found.columns["drift"][0], rel=1e-6, abs=1e-12)
    assert energies.std() < 0.2 * (frames.series["energies"] / 4).std()


def test_crystals_are_of_elements_that_the_model_knows(script: ModuleType) -> None:
    numbers = {int(number) for atoms in script.crystals().values() for number in atoms.numbers}
    assert numbers <= set(embedded_card()["elements"])


def test_table_and_figure_have_each_path(script: ModuleType) -> None:
    times = np.linspace(0.0, 1.0, 5)
    row = {"status": "converged", "mean_temperature": 480.0, "drift": 1.5e-6}
    paths = [
        script.EnergyPath(way, crystal, times, 1e-5 * times, row)
        for way in script.WAYS
        for crystal in script.crystals()
    ]
    lines = script.table_of(paths).splitlines()
    assert len(lines) == 9
    assert lines[1].split() == ["C", "W", "converged", "1.00", "480", "1.50e-06"]
    figure = script.draw(paths, "title")
    assert [axes.get_title() for axes in figure.axes] == ["W", "TaW"]
    assert [len(axes.lines) for axes in figure.axes] == [5, 5]  # four ways and zero

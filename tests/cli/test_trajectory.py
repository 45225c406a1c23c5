"""`aiida-pet trajectory`, and `plot rdf`, `msd` and `vacf`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pandas as pd
import pytest
from click.testing import Result

from support.paths_of_atoms import frames_of, launch_of, node_of

Invoke = Callable[..., Result]


@pytest.fixture
def launch(aiida_profile: Any, tmp_path: Path) -> Any:
    frames = frames_of(0, 12)
    frames.pbc[:] = True
    rows = ("a", 0, frames.take(slice(0, 8))), ("b", 0, frames)
    more = ("a", 6, frames.take(slice(6, 12)))
    return launch_of(node_of(tmp_path / "1", *rows), node_of(tmp_path / "2", more))


def test_frames_of_all_jobs_are_listed(invoke: Invoke, read: Callable[..., Any], launch: Any) -> None:
    assert read("trajectory", launch.pk) == {"frames": {"a": 12, "b": 12}}
    assert invoke("trajectory", launch.pk).output.split()[-4:] == ["a", "12", "b", "12"]


@pytest.mark.parametrize("suffix", ["extxyz", "traj"])
def test_a_row_is_written_for_ase(invoke: Invoke, launch: Any, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    assert "12 frames of a" in invoke("trajectory", launch.pk, "a", "-o", path).output
    frames = ase.io.read(path, ":")
    assert [atoms.positions[0, 0] for atoms in frames] == pytest.approx(list(range(12)))
    assert frames[3].info["time"] == 1500.0
    assert "--force replaces it" in invoke("trajectory", launch.pk, "a", "-o", path, status=1).output


def test_what_cannot_be_written_is_said(invoke: Invoke, launch: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.xyz"
    assert "name the row" in invoke("trajectory", launch.pk, "-o", path, status=2).output
    assert "no frames of row 'c'" in invoke("trajectory", launch.pk, "c", "-o", path, status=1).output
    assert ".traj" in invoke("trajectory", launch.pk, "a", "-o", tmp_path / "a.cif", status=2).output
    assert "frames_every" in invoke("trajectory", launch_of().pk, status=1).output
    assert list(tmp_path.glob(".*part")) == []


def test_figures_are_written_as_csv(invoke: Invoke, launch: Any, tmp_path: Path) -> None:
    invoke("plot", "rdf", launch.pk, "a", "--r-max", 4, "-o", tmp_path / "rdf.csv")
    table = pd.read_csv(tmp_path / "rdf.csv")
    assert list(table.columns) == ["distance (A)", "total", "Mo-Mo", "Mo-Ta", "Ta-Ta"]
    # both atoms are at one place of a cell of 3 A: of each other six neighbours of images at 3 A
    near = (table["distance (A)"] > 2.9) & (table["distance (A)"] < 3.1)
    shells = 4 * np.pi * table["distance (A)"] ** 2 * (4 / 160)
    assert (table["Mo-Ta"] * shells)[near].sum() / 27.0 == pytest.approx(6, rel=0.01)
    output = invoke("plot", "msd", launch.pk, "a", "--skip", 1, "-o", tmp_path / "msd.csv").output
    assert "diffusivity" in output
    assert list(pd.read_csv(tmp_path / "msd.csv").columns) == [
        "time (ps)",
        "total (A^2)",
        "Mo (A^2)",
        "Ta (A^2)",
    ]
    invoke("plot", "vacf", launch.pk, "a", "-o", tmp_path / "vacf.csv")
    assert set(pd.read_csv(tmp_path / "vacf.csv")["series"]) == {"a correlation", "a spectrum"}

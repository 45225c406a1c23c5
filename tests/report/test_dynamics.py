"""Figures of dynamics in a report, against the frames and rows that they are made of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from aiida_pet.figures import NotDrawnError
from aiida_pet.job.trajectory_files import Frames, Trajectories, TrajectoryWriter, segments_of
from aiida_pet.report import dynamics
from aiida_pet.report.dynamics import drift_table, path_figures, trajectories_for_page
from support.paths_of_atoms import frames_of, launch_of, node_of

FRAMES = 40


def crystal(count: int = FRAMES) -> Frames:
    """Return frames of a crystal of two atoms, one of which walks away from the other, while the whole drifts."""
    frames = frames_of(0, count)
    positions = frames.series["positions"].copy()
    positions[:, 0] += 1.5
    positions[:, 1] = 0.0
    positions += 0.01 * np.arange(count)[:, None, None]
    return replace(frames, pbc=np.ones(3, dtype=bool), series=frames.series | {"positions": positions})


def on_disk(folder: Path, *rows: tuple[str, Frames]) -> Trajectories:
    writer = TrajectoryWriter(folder, segment_bytes=3000)  # several segments
    for row_id, frames in rows:
        for number in range(0, len(frames), 5):
            writer.append(row_id, number, frames.take(slice(number, number + 5)))
    writer.flush()
    assert len(segments_of(folder)) > 1
    return Trajectories(segments_of(folder))


def test_path_shows_all_frames_and_curves_only_production(tmp_path: Path) -> None:
    path, radial, moved = path_figures(on_disk(tmp_path, ("a", crystal())), "a", before=20)
    assert path.columns["time"] == pytest.approx(0.5 * np.arange(FRAMES))
    assert path.columns["energy"] == pytest.approx(-0.5 * np.arange(FRAMES))  # eV/atom of two atoms
    assert path.columns["temperature"] == pytest.approx(300 + np.arange(FRAMES))
    assert "production from 10 ps" in path.caption
    assert "20 frames" in radial.caption
    assert set(radial.columns) == {"distance", "total", "Mo-Mo", "Mo-Ta", "Ta-Ta"}
    assert len(moved.columns["time"]) == 10  # half of the 20 frames of production
    # the atoms part at sqrt(3) A a frame; each is as far from the centre of mass as the mass of the other says
    share = 180.94788 / (95.95 + 180.94788)
    speed = np.sqrt(3.0) / 0.5
    assert moved.columns["Mo"] == pytest.approx(
        (share * speed * np.array(moved.columns["time"])) ** 2, rel=1e-3
    )
    for figure in (path, radial, moved):
        shown = [name for panel in figure.options["panels"] for name in panel["columns"]]
        assert {figure.options["x"], *shown} == set(figure.columns)


def test_long_paths_are_thinned_evenly_over_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dynamics, "MOST_FRAMES", 15)
    path = path_figures(on_disk(tmp_path, ("a", crystal())), "a")[0]
    assert path.columns["time"] == pytest.approx(0.5 * np.arange(0, FRAMES, 3))


def test_too_short_a_path_is_left_out(tmp_path: Path) -> None:
    found = on_disk(tmp_path, ("a", crystal()), ("b", crystal(1)), ("c", crystal(3)))
    with pytest.raises(NotDrawnError, match="b has 1 frame"):
        path_figures(found, "b")
    assert [figure.title for figure in path_figures(found, "c")] == [
        "Temperature and energy",
        "Radial distribution",
    ]


def test_rows_with_the_largest_drifts_come_first() -> None:
    rows = dynamics.MOST_ROWS + 3
    frame = pd.DataFrame(
        {
            "status": ["converged"] * rows,
            "n_atoms": [2] * rows,
            "drift": [(-1) ** row * 1e-6 * row for row in range(rows)],
            "mean_temperature": [300.0 + row for row in range(rows)],
            "mean_potential_energy": [-10.0 - row for row in range(rows)],
        },
        index=[f"r{row}" for row in range(rows)],
    )
    frame.loc["r3", "drift"] = np.nan
    (table,) = drift_table(frame)
    assert table.columns["row"][:2] == [f"r{rows - 1}", f"r{rows - 2}"]
    assert len(table.columns["row"]) == dynamics.MOST_ROWS
    assert table.columns["energy (eV/atom)"][0] == pytest.approx((-10.0 - rows + 1) / 2)
    assert "3 rows with smaller drifts left out" in table.caption
    assert drift_table(frame.drop(columns="drift")) == []
    assert drift_table(frame.assign(drift=np.nan)) == []


def test_trajectories_that_are_too_large_are_not_read(
    aiida_profile: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    launch: Any = SimpleNamespace(node=launch_of(node_of(tmp_path / "1", ("a", 0, crystal()))))
    with trajectories_for_page(launch) as found:
        assert found is not None
        assert found.ids == ["a"]
    monkeypatch.setattr(dynamics, "MOST_BYTES", 1000)
    with trajectories_for_page(launch) as found:
        assert found is None
    assert "aiida-pet plot" in caplog.text
    with trajectories_for_page(SimpleNamespace(node=launch_of())) as found:  # type: ignore[arg-type]
        assert found is None

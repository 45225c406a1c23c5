from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from aiida_pet.job import trajectory_files
from aiida_pet.job.trajectory_files import (
    Frames,
    Trajectories,
    TrajectoryError,
    TrajectoryWriter,
    bytes_of,
    bytes_on_disk,
    segments_of,
)


def frames_of(
    first: int, count: int, n_atoms: int = 3, *, velocities: bool = False, mark: float = 0.0
) -> Frames:
    steps = np.arange(first, first + count)
    series = {
        "steps": steps,
        "times": 2.0 * steps,
        "positions": np.tile(steps[:, None, None] + mark, (1, n_atoms, 3)).astype(np.float32),
        "cells": np.tile(np.eye(3), (count, 1, 1)),
        "energies": -1.0 * steps,
        "temperatures": 0.0 * steps,
        "pressures": 0.0 * steps,
    }
    if velocities:
        series["velocities"] = series["positions"] + 0.5
    return Frames(np.full(n_atoms, 42), np.array([True] * 3), series)


def test_rows_of_different_sizes_come_back_as_they_went_in(tmp_path):
    writer = TrajectoryWriter(tmp_path)
    writer.append("a", 0, frames_of(0, 2))
    writer.append("b/of 2", 0, frames_of(0, 1, n_atoms=7, velocities=True))
    writer.flush()
    writer.append("a", 2, frames_of(2, 3))
    writer.flush()
    assert len(segments_of(tmp_path)) == 1
    found = Trajectories(segments_of(tmp_path))
    assert found.ids == ["a", "b/of 2"]
    one = found.read("a")
    assert one.series["steps"].tolist() == [0, 1, 2, 3, 4]
    assert one.series["positions"].shape == (5, 3, 3)
    assert one.series["positions"].dtype == np.float32
    assert one.numbers.tolist() == [42] * 3
    np.testing.assert_array_equal(found.read("b/of 2").series["velocities"], np.full((1, 7, 3), 0.5))
    assert "velocities" not in one.series


def test_full_segments_are_left_alone(tmp_path):
    writer = TrajectoryWriter(tmp_path, segment_bytes=1000)
    for step in range(40):
        writer.append("a", step, frames_of(step, 1))
    writer.flush()
    segments = segments_of(tmp_path)
    assert len(segments) > 3
    found = Trajectories(segments)
    assert found.read("a").series["steps"].tolist() == list(range(40))
    assert all(len(part) < 20 for part in found.parts("a"))
    assert found.read("a", 25).series["steps"].tolist() == list(range(25))


def test_what_was_not_flushed_is_lost_and_nothing_else(tmp_path):
    writer = TrajectoryWriter(tmp_path)
    writer.append("a", 0, frames_of(0, 4))
    writer.flush()
    writer.append("a", 4, frames_of(4, 4))  # killed here
    (tmp_path / ".trajectory-00000.h5.part").write_bytes(b"half a file")
    assert Trajectories(segments_of(tmp_path)).read("a").series["steps"].tolist() == [0, 1, 2, 3]


def test_a_row_that_goes_on_from_an_earlier_state_has_no_frame_twice(tmp_path):
    first = TrajectoryWriter(tmp_path, segment_bytes=700)
    for step in range(20):
        first.append("a", step, frames_of(step, 1))
        first.append("b", step, frames_of(step, 1))
    first.flush()
    again = TrajectoryWriter(tmp_path)
    again.append("a", 11, frames_of(11, 3, mark=0.25))
    again.append("b", 0, frames_of(0, 2, mark=0.25))
    again.flush()
    found = Trajectories(segments_of(tmp_path))
    a = found.read("a")
    assert a.series["steps"].tolist() == list(range(14))
    np.testing.assert_array_equal(a.series["positions"][10:12, 0, 0], [10.0, 11.25])
    assert found.read("b").series["positions"][:, 0, 0].tolist() == [0.25, 1.25]


def test_foreign_files_and_missing_rows_are_named(tmp_path):
    path = tmp_path / "trajectory-00000.h5"
    path.write_bytes(b"no hdf5")
    with pytest.raises(TrajectoryError, match=r"trajectory-00000\.h5 is no segment"):
        Trajectories([path])
    with pytest.raises(TrajectoryError, match="no frames of row 'x': there are none"):
        Trajectories([]).read("x")


def test_size_is_told_beforehand(tmp_path):
    rng = np.random.default_rng(0)
    frames = frames_of(0, 200, n_atoms=100)
    frames.series["positions"] = rng.normal(size=(200, 100, 3)).astype(np.float32)
    writer = TrajectoryWriter(tmp_path)
    writer.append("a", 0, frames)
    writer.flush()
    size = segments_of(tmp_path)[0].stat().st_size
    assert 0.8 < size / (200 * bytes_of(100, velocities=False)) < 1.1


@pytest.mark.parametrize(
    ("shape", "segment"),
    [((20, 2, 3), None), ((6, 8, 101), None), ((30, 8, 40), 50_000), ((2, 64, 201), None)],
)
def test_files_are_about_as_large_as_was_said(monkeypatch, tmp_path, shape, segment):
    """Of short paths of small cells headers are the most; numbers here are noise, which hardly shrinks."""
    n_rows, n_atoms, n_frames = shape
    if segment:
        monkeypatch.setattr(trajectory_files, "SEGMENT_BYTES", segment)
    writer = TrajectoryWriter(tmp_path, trajectory_files.SEGMENT_BYTES)
    rng = np.random.default_rng(0)
    for step in range(n_frames):
        for row in range(n_rows):
            frame = frames_of(step, 1, n_atoms)
            noise = {
                name: values + rng.normal(size=values.shape).astype(values.dtype)
                for name, values in frame.series.items()
                if values.dtype.kind == "f"
            }
            writer.append(f"row-{row}", step, replace(frame, series=frame.series | noise))
    writer.flush()
    found = sum(path.stat().st_size for path in segments_of(tmp_path))
    told = bytes_on_disk(np.full(n_rows, n_frames), np.full(n_rows, n_atoms), velocities=False)
    assert 0.6 * told < found <= told

"""A job of molecular dynamics with the engine itself, and what becomes of its trajectories."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node

from aiida_pet.calculations.md import DynamicsCalculation
from aiida_pet.campaigns.errors import NoTrajectoriesError
from aiida_pet.campaigns.trajectories import open_trajectories, trajectories_of
from aiida_pet.data.trajectories import TrajectoriesData, opened, trajectory_data
from aiida_pet.job.trajectory_files import TrajectoryError
from aiida_pet.testing.fixtures import job_options
from aiida_pet.testing.nodes import build_code
from support.paths_of_atoms import frames_of, launch_of, node_of
from support.small_model import small_model_node


def test_the_engine_moves_crystals_and_their_frames_are_a_node(
    pet_computer: Any, make_structures: Any, tmp_path: Path
) -> None:
    parameters = {
        "ensemble": "nve",
        "steps": 4,
        "equilibration_steps": 2,
        "sample_every": 1,
        "frames_every": 3,
        "temperature": 100.0,
        "dtype": "float32",
        "symprecs": [],
    }
    outputs, node = run_get_node(
        DynamicsCalculation,
        code=build_code(pet_computer, tmp_path, "-m aiida_pet.engine"),
        model=small_model_node(),
        structures=make_structures(2),
        parameters=orm.Dict(parameters),
        metadata={"options": job_options()},
    )
    assert node.is_finished_ok, node.exit_message
    results = outputs["results"]
    assert results.column("status").tolist() == ["converged"] * 2
    assert results.column("n_samples").tolist() == [5, 5]
    ids = results.ids.tolist()
    assert outputs["trajectories"].n_frames == dict.fromkeys(ids, 3)
    assert [found.pk for found in trajectories_of(node)] == [outputs["trajectories"].pk]
    with opened(trajectories_of(node)) as trajectories:
        assert trajectories.read(ids[1]).series["steps"].tolist() == [0, 3, 6]


def test_a_row_that_went_on_in_another_job_is_one_path(aiida_profile: Any, tmp_path: Path) -> None:
    first = node_of(tmp_path / "1", ("a", 0, frames_of(0, 6)), ("b", 0, frames_of(0, 2))).store()
    second = node_of(tmp_path / "2", ("a", 4, frames_of(4, 3, mark=0.5))).store()
    assert first.ids == ["a", "b"]
    with opened([orm.load_node(first.pk), second]) as trajectories:
        whole = trajectories.read("a")
        assert trajectories.n_frames("b") == 2
    assert whole.series["steps"].tolist() == list(range(7))
    assert whole.series["positions"][4:, 0, 0].tolist() == [4.5, 5.5, 6.5]


def test_frames_become_the_node_of_aiida(aiida_profile: Any) -> None:
    node = trajectory_data(frames_of(0, 4)).store()
    assert node.symbols == ["Mo", "Ta"]
    assert node.numsteps == 4
    step, time, cell, _, positions, velocities = node.get_step_data(2)
    assert (step, time) == (2, 1.0)
    np.testing.assert_allclose(cell, 3.0 * np.eye(3))
    np.testing.assert_allclose(positions, 2.0)
    np.testing.assert_allclose(velocities, 125.0)
    assert node.get_array("energies").tolist() == [0.0, -1.0, -2.0, -3.0]


def test_a_node_without_segments_is_refused(aiida_profile: Any) -> None:
    with pytest.raises(TrajectoryError, match="from_segments"):
        TrajectoriesData().store()


def test_rows_of_a_launch_that_was_taken_up_are_found_in_the_one_that_took_it_up(
    aiida_profile: Any, tmp_path: Path
) -> None:
    first = launch_of(
        node_of(tmp_path / "1", ("done", 0, frames_of(0, 4)), ("broken off", 0, frames_of(0, 2)))
    )
    again = launch_of(node_of(tmp_path / "2", ("broken off", 0, frames_of(0, 4, mark=0.5))), takes_up=first)
    with open_trajectories(again.pk) as trajectories:
        assert trajectories.n_frames("done") == 4
        assert trajectories.read("broken off").series["positions"][:, 0, 0].tolist() == [0.5, 1.5, 2.5, 3.5]
    with open_trajectories(first) as trajectories:
        assert trajectories.n_frames("broken off") == 2


def test_a_launch_without_trajectories_says_what_makes_them(aiida_profile: Any) -> None:
    with pytest.raises(NoTrajectoriesError, match="frames_every"), open_trajectories(launch_of()):
        pass

"""Dynamics that take longer than a job: the path over several jobs is that of a single one, after a kill too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node

from aiida_pet.campaigns.trajectories import trajectories_of
from aiida_pet.data.trajectories import opened
from aiida_pet.report import make_document
from aiida_pet.testing.nodes import build_code, build_structures
from aiida_pet.workchains.jobs import jobs_of
from aiida_pet.workchains.md import DynamicsWorkChain

pytestmark = pytest.mark.timeout(900)

STEPS, IN_A_JOB = 100, 40
PROGRAM = Path(__file__).parents[1] / "support" / "interrupted.py"
PARAMETERS = {
    "ensemble": "nvt",
    "thermostat": "langevin",
    "rotation": "random",
    "temperature": 600.0,
    "equilibration_steps": 20,
    "steps": STEPS - 20,
    "frames_every": 7,
    "sample_every": 5,
    "symprecs": [],
}


@pytest.fixture(scope="module")
def launch(engine_inputs: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    structures = build_structures(2)

    def run(command: str, **settings: Any) -> Any:
        inputs = dict(engine_inputs)
        folder = tmp_path_factory.mktemp("code")
        inputs["code"] = build_code(inputs["code"].computer, folder, command.format(folder=folder))
        inputs["settings"] = inputs["settings"] | settings
        _, node = run_get_node(
            DynamicsWorkChain, structures=structures, parameters=orm.Dict(PARAMETERS), **inputs
        )
        assert node.is_finished_ok, node.exit_message
        return node

    return run


@pytest.fixture(scope="module")
def whole(launch: Any) -> Any:
    return launch("-m aiida_pet.engine")


def assert_same_path(node: Any, whole: Any) -> None:
    found, wanted = node.outputs.results, whole.outputs.results
    assert found.ids.tolist() == wanted.ids.tolist()
    for name in wanted.column_names:
        np.testing.assert_array_equal(found.column(name), wanted.column(name), err_msg=name)
    with opened(trajectories_of(node)) as mine, opened(trajectories_of(whole)) as theirs:
        for name in wanted.ids.tolist():
            one, other = mine.read(name), theirs.read(name)
            assert one.series["steps"].tolist() == list(range(0, STEPS + 1, 7))
            for series, values in other.series.items():
                np.testing.assert_array_equal(one.series[series], values, err_msg=f"{name} {series}")


def test_rows_that_no_job_is_long_enough_for_go_on_together(launch: Any, whole: Any) -> None:
    node = launch(f"{PROGRAM} {IN_A_JOB}")
    jobs = jobs_of(node)
    assert [job.exit_status for job in jobs] == [400, 400, 0]
    assert [job.outputs.summary["steps"] for job in jobs] == [IN_A_JOB, IN_A_JOB, STEPS + 1 - 2 * IN_A_JOB]
    assert_same_path(node, whole)
    # the last has no beginning of its paths, so that no other launch may take it for the whole
    assert not jobs[-1].base.caching.is_valid_cache
    assert jobs_of(whole)[0].base.caching.is_valid_cache


def test_a_job_that_is_killed_is_gone_on_from(launch: Any, whole: Any) -> None:
    node = launch(f"{PROGRAM} {IN_A_JOB} {{folder}}/mark", flush_interval_s=0.0)
    jobs = jobs_of(node)
    assert len(jobs) == 2
    assert not jobs[0].is_finished_ok
    assert jobs[1].outputs.summary["steps"] < STEPS + 1 - IN_A_JOB + 2
    assert_same_path(node, whole)


def test_a_report_shows_drifts_and_paths(whole: Any) -> None:
    document = make_document([whole])
    (drifts,) = next(section for section in document.sections if section.name == "dynamics").figures
    found = whole.outputs.results
    largest = int(np.argmax(np.abs(found.column("drift"))))
    assert drifts.columns["row"][0] == found.ids[largest]
    assert drifts.columns["drift (eV/atom/ps)"][0] == pytest.approx(found.column("drift")[largest], rel=1e-4)
    for row_id in found.ids.tolist():
        path, radial, _ = document.details[row_id]
        assert path.columns["time"][-1] == pytest.approx(0.098)
        assert "production from 0.021 ps" in path.caption
        assert "12 frames" in radial.caption

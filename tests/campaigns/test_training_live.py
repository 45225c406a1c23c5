"""The live picture of a training: stages in epochs, time left of all of them, errors of the last epoch."""

from __future__ import annotations

import datetime
from types import SimpleNamespace
from typing import Any

import pytest

from aiida_pet.campaigns import training_live
from aiida_pet.campaigns.live import Look, plain_line
from aiida_pet.campaigns.training import TrainingJobProgress, TrainingProgress
from aiida_pet.cli.live import picture

ERRORS = "validation: energy 88.9 meV/atom, forces 115 meV/A"


def told(*jobs: TrainingJobProgress, state: str = "waiting", **fields: Any) -> TrainingProgress:
    def stage(name: str, epochs: int) -> dict[str, Any]:
        own = [job for job in jobs if job.stage == name]
        return {
            "name": name,
            "state": own[-1].step if own else "to come",
            "epochs_done": max((job.epochs_done for job in own), default=0),
            "epochs": epochs,
        }

    return TrainingProgress(
        pk=71,
        label="TrainWorkChain",
        mode="scratch",
        state=state,
        finished=state.startswith("finished"),
        exit_status=0 if state.startswith("finished") else None,
        message="",
        stages=[stage("direct", 40), stage("conservative", 10), stage("calibrate", 1)],
        jobs=list(jobs),
        **fields,
    )


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> Any:
    def make(progress: TrainingProgress) -> Look:
        now = datetime.datetime.now(tz=datetime.UTC)
        node: Any = SimpleNamespace(
            pk=71,
            ctime=now - datetime.timedelta(seconds=100),
            mtime=now - datetime.timedelta(seconds=40),
            inputs={},
        )
        monkeypatch.setattr(training_live, "training_progress", lambda *_: progress)
        monkeypatch.setattr(training_live, "calls_of", lambda _: None)
        monkeypatch.setattr(training_live, "campaign_progress", lambda *_: None)
        monkeypatch.setattr(training_live, "obstacles", lambda *_: [])
        return next(training_live.training_looks(node))

    return make


def running(stage: str, done: int, epochs: int, epoch_s: float, **fields: Any) -> TrainingJobProgress:
    return TrainingJobProgress(
        80, stage, "waiting", "running", done, epochs, epoch_s, message=ERRORS, **fields
    )


def test_stages_are_counted_in_epochs_and_the_time_left_is_that_of_all(look: Any) -> None:
    found = look(told(running("direct", 19, 40, 10.0, eta_s=200.0)))
    assert [(one.state, one.rows_done, one.rows) for one in found.stages] == [
        ("running", 19, 40),
        ("to come", 0, 10),
        ("to come", 0, 1),
    ]
    # an epoch of conservative forces takes three times as long
    assert [one.left_s for one in found.stages] == pytest.approx([200.0, 10 * 30.0, 10.0])
    assert found.left_s == pytest.approx(510.0)
    assert found.elapsed_s == pytest.approx(100.0, abs=5.0)
    lines = [" ".join(line.plain.split()) for line in picture(found, 119, 30)]
    assert lines[0].startswith("scratch <71> 1 min 40 s, about 8 min 30 s left")
    assert lines[1].endswith("19/40 0.1 epochs/s, about 3 min 20 s")
    assert lines[-1] == f"computing; {ERRORS}"
    assert f"direct 19/40 epochs, computing; {ERRORS}" in plain_line(found)


def test_what_comes_later_is_told_from_the_stage_that_was_timed(look: Any) -> None:
    direct = TrainingJobProgress(80, "direct", "finished [0]", "done", 40, 40, 10.0)
    found = look(told(direct, running("conservative", 2, 10, 36.0)))
    assert [one.state for one in found.stages] == ["done", "running", "to come"]
    assert [one.left_s for one in found.stages] == pytest.approx([0.0, 8 * 36.0, 12.0])
    assert "2/10  36 s per epoch, about 4 min 48 s" in picture(found, 119, 30)[2].plain


@pytest.mark.parametrize("width", [79, 119])
def test_no_line_is_wider_than_the_terminal(look: Any, width: int) -> None:
    found = look(told(running("direct", 19, 40, 0.004)))
    assert max(line.cell_len for line in picture(found, width, 30)) <= width
    assert "250 epochs/s" in picture(found, 119, 30)[1].plain


def test_before_the_first_job_the_teacher_is_named(look: Any) -> None:
    found = look(told(labelling=60))
    assert "the teacher labels the crystals: `aiida-pet status 60`" in plain_line(found)


def test_no_time_is_told_of_a_calibration_whose_epochs_are_unknown(look: Any) -> None:
    job = TrainingJobProgress(80, "calibrate", "running", "running", 0, 1, 0.0, message="calibrating")
    found = look(told(job))
    assert (found.finished, found.left_s) == (False, None)
    assert "left" not in plain_line(found)


def test_end_is_said_with_the_last_errors(look: Any) -> None:
    last = TrainingJobProgress(
        80, "calibrate", "finished [0]", "done", 1, 1, 3.0, message="validation: energy 5"
    )
    found = look(told(last, state="finished [0]"))
    assert (found.finished, found.left_s) == (True, None)
    assert found.elapsed_s == pytest.approx(60.0, abs=5.0)
    line = plain_line(found)
    assert "finished [0]" in line
    assert line.endswith("validation: energy 5")

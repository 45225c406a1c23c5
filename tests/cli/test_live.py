"""The live picture: its lines, what a terminal shows of it, and what a running launch says."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aiida_pet.campaigns.live import LaneLook, Look, StageLook, live_looks, plain_line
from aiida_pet.campaigns.progress import CampaignProgress
from aiida_pet.cli.live import _paced, picture
from aiida_pet.job.folder import Progress
from support.terminal import Screens, on_terminal

ROOT = Path(__file__).parents[2]


def progress(finished: bool = False) -> CampaignProgress:
    state = "finished [0]" if finished else "waiting"
    return CampaignProgress(53, state, finished, None, "", 64, 22, {"converged": 22}, 0.9, 20.0, 60.0, [], [])


def look(done: int = 22, lanes: int = 2, finished: bool = False) -> Look:
    long = "is_dynamically_stable and e_above_hull <= 0.025 and bulk_modulus > 100"
    stages = (
        StageLook("relax", "done", 64, False, 64, 62, 0, 0.0, 0.0, None),
        StageLook("hull", "done", 62, False, 62, 60, 0, 0.0, 0.0, "e_above_hull <= 0.025"),
        StageLook("phonons", "running", 60, False, done, None, 12, 0.9, 42.0, long),
        StageLook("elastic", "to come", 43, True, 0, None, 0, 0.0, 20.0, None),
    )
    running = tuple(LaneLook(i, "computing", 10 + i, 30, 6, 0.45) for i in range(1, lanes + 1))
    left = None if finished else 62.0
    obstacle = (
        "the daemon is not running: `verdi daemon start` starts it, " + "and this sentence is long " * 6
    )
    return Look(
        "screen <53> alloys  pet-common-xs", 70.0, left, stages, running, (obstacle,), progress(finished)
    )


def replay() -> None:
    """Show a launch from its begin to its end: what the tests run on a terminal."""
    from aiida_pet.cli.live import follow_look

    moments = [look(done, lanes) for done, lanes in ((0, 6), (20, 6), (40, 2), (60, 1))]
    follow_look([*moments, look(60, 0, finished=True)], 0.3, 53, lambda: False)


def replayed(columns: int, lines: int = 24, seconds: float = 0.3, **options: Any) -> Screens:
    code = (
        f"import sys; sys.path[:0] = [{str(ROOT / 'tests')!r}, {str(ROOT / 'tests' / 'cli')!r}]; "
        f"import test_live; test_live.replay()"
    )
    return on_terminal([sys.executable, "-W", "ignore", "-c", code], columns, lines, timeout=120, **options)


@pytest.mark.parametrize("width", [40, 79, 119])
def test_no_line_is_wider_than_it_may_be(width: int) -> None:
    for done in (0, 7, 60):
        assert max(line.cell_len for line in picture(look(done), width, 30)) <= width


def test_stages_say_in_words_how_far_they_are() -> None:
    lines = [line.plain.split() for line in picture(look(), 119, 30)]
    assert " ".join(lines[0]) == "screen <53> alloys pet-common-xs 1 min 10 s, about 1 min 02 s left"
    assert " ".join(lines[1][2:]) == "64/64 62 go on"
    assert " ".join(lines[2][2:]) == "62/62 60 go on (e_above_hull <= 0.025)"
    assert " ".join(lines[3][2:]) == "22/60 12 in flight, 0.9 rows/s, about 42 s"
    assert " ".join(lines[4]) == "elastic ~43 about 20 s"
    assert " ".join(lines[5]) == "lane 1 computing, 11/30, 6 in flight, 0.45 rows/s"


def test_bars_grow_with_their_rows_and_do_without_blocks() -> None:
    def bar(done: int, blocks: bool = True) -> str:
        return picture(look(done), 119, 30, blocks)[3].plain

    assert bar(30).count("█") == 10
    assert bar(60).count("█") == 20
    assert "▎" in bar(31) or "▍" in bar(31)
    assert bar(30, blocks=False).count("#") == 10


def test_lanes_that_have_no_place_are_counted() -> None:
    lines = [line.plain for line in picture(look(lanes=40), 79, 12)]
    assert len(lines) == 12
    assert lines[-1] == "and 34 more lanes"


@pytest.mark.parametrize("columns", [80, 120])
def test_terminal_has_no_wrapped_and_no_ghost_line(columns: int) -> None:
    found = replayed(columns)
    assert found.status == 0
    assert max(map(len, found.printed())) < columns
    titles = [line for line in found.last if line.startswith("screen <53>")]
    assert len(titles) == 1
    assert [
        line.split()[0]
        for line in found.last
        if line.split()[:1] and line.split()[0] in ("relax", "hull", "phonons", "elastic")
    ] == ["relax", "hull", "phonons", "elastic"]
    assert not any(line.startswith("lane") for line in found.last)
    assert " ".join(found.last).count("the daemon is not running") == 1
    assert "finished [0]" in titles[0]
    assert any("lane 6" in line for frame in found.frames for line in frame)


def test_colours_are_there_unless_somebody_does_not_want_them() -> None:
    assert "34m" in replayed(80).raw
    assert "34m" not in replayed(80, environment={"NO_COLOR": "1"}).raw


def test_dumb_terminal_has_plain_lines() -> None:
    found = replayed(120, environment={"TERM": "dumb"})
    assert "\x1b" not in found.raw
    assert (
        "phonons 20/60 rows, 12 in flight, 6 lanes computing (converged 22), about 1 min 02 s left"
        in found.raw.replace("\r\n", "")
    )


def test_lines_are_plain_in_a_cell_of_jupyter(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from aiida_pet.cli.live import follow_look

    monkeypatch.setenv("FORCE_COLOR", "1")  # as Jupyter does, whose cells are no terminals
    follow_look(iter([look(20)]), 0.0, 53, lambda: False)
    told = capsys.readouterr().err
    assert "phonons 20/60 rows" in told
    assert "\x1b" not in told


def test_leaving_says_that_the_launch_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import click

    from aiida_pet.cli.live import follow_look

    def leave(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("aiida_pet.cli.live.time.sleep", leave)
    with pytest.raises(click.exceptions.Exit) as left:
        follow_look([look(), look()], 2.0, 53, lambda: False)
    assert left.value.exit_code == 130
    assert capsys.readouterr().err.splitlines()[-2:] == [
        "<53> goes on; `aiida-pet status 53 --watch` shows it again",
        "`aiida-pet stop 53` stops it",
    ]


def test_running_launch_is_told_from_its_heartbeats(
    make_campaign: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr("aiida_pet.computers.daemon.daemon_problem", lambda: None)
    campaign = make_campaign(["a", "b", "c", "d"])
    campaign.finish_job(["a", "b"])
    beat = Progress(
        rows_total=2, rows_done=1, rows_in_flight=1, rate=0.5, step="running", updated=time.time()
    )
    campaign.add_job(["c", "d"], beat, tmp_path / "job")
    found = next(live_looks(campaign.node.pk))
    (stage,) = found.stages
    assert (stage.rows, stage.rows_done, stage.rows_in_flight, stage.rate) == (4, 3, 1, 0.5)
    assert [(lane.doing, lane.rows_in_flight) for lane in found.lanes][-1] == ("computing", 1)
    assert found.left_s is not None
    assert found.left_s > 0
    assert "3/4 rows, 1 in flight" in plain_line(found)
    campaign.end(campaign.node)
    assert [one.left_s for one in live_looks(campaign.node)] == [None]


def test_database_that_is_busy_for_a_moment_is_asked_again(
    make_campaign: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy.exc import OperationalError

    from aiida_pet.campaigns import live

    campaign = make_campaign(["a"])
    real, busy = live.campaign_progress, [2]

    def sometimes(*arguments: Any) -> CampaignProgress:
        if busy[0]:
            busy[0] -= 1
            raise OperationalError("SELECT", None, Exception("database is locked"))
        return real(*arguments)

    monkeypatch.setattr(live, "campaign_progress", sometimes)
    monkeypatch.setattr(live, "AGAIN_S", 0.01)
    assert next(live_looks(campaign.node)).progress.pk == campaign.node.pk
    assert busy == [0]
    busy[0] = 1
    monkeypatch.setattr(live, "BUSY_S", -1.0)
    with pytest.raises(OperationalError, match="locked"):
        next(live_looks(campaign.node))


def test_screening_shows_all_its_stages(batch_inputs: Any) -> None:
    from aiida.engine import run_get_node

    from aiida_pet.workchains.screening import ScreeningWorkChain

    inputs = batch_inputs(["a", "soft-b"])
    inputs.pop("task")
    stages = {"relax": {}, "symmetry": {}, "phonons": {"keep": "is_dynamically_stable"}}
    _, node = run_get_node(ScreeningWorkChain, stages=stages, **inputs)
    (found,) = live_looks(node)
    assert [(s.name, s.state, s.rows, s.rows_out) for s in found.stages] == [
        ("relax", "done", 2, 2),
        ("symmetry", "done", 2, 2),
        ("phonons", "done", 2, 1),
    ]
    assert found.finished
    assert found.title.startswith(f"screen <{node.pk}>")


def test_looks_that_cost_much_come_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("aiida_pet.cli.live.time.sleep", slept.append)

    def looks() -> Iterator[Look]:
        yield look()
        until = time.process_time() + 0.05
        while time.process_time() < until:
            pass
        yield look()
        yield look(finished=True)

    assert len(list(_paced(looks(), 0.1, lambda: False))) == 3
    assert 0.5 <= sum(slept[1:]) < 6.0  # a look of 0.05 s and more, at a tenth of a core
    slept.clear()
    assert len(list(_paced(looks(), 0.1, lambda: True))) == 3
    assert slept == [0.1, 0.1]

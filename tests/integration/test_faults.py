"""What `make faults` makes of its campaigns; the campaigns themselves take too long for a test."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from benchmarks.faults.advice import ADVISED
from benchmarks.faults.injected import MARKS, Outcome, read_outcomes, table, write_table

WHOLE = Outcome("engine_killed", ended=True, rows=60, jobs=5, seconds=70.4)


def test_steps_are_the_commands_that_status_tells() -> None:
    advice = (
        "`aiida-pet results 12` shows the rows; `aiida-pet resume 12` goes on with the 3 rows left; other --lanes or "
        "another --code may be given; process <7> is paused: `verdi process play 7` lets it go on; "
        "`aiida-pet repair` finds what was lost"
    )
    assert ADVISED.findall(advice) == [
        "aiida-pet resume 12",
        "verdi process play 7",
        "aiida-pet repair",
    ]


def test_daemon_that_does_not_run_is_told_as_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    from aiida_pet.computers import daemon

    profile = SimpleNamespace(name="pet", process_control_backend="core.zeromq")
    stopped = SimpleNamespace(get_daemon_pid=lambda: None, profile=profile)
    monkeypatch.setattr(daemon, "daemon_client", lambda: stopped)
    assert ADVISED.findall(daemon.daemon_problem() or "") == ["verdi daemon start"]


@pytest.mark.parametrize(
    "change",
    [{"missing": 1}, {"different": 2}, {"ended": False}],
)
def test_campaign_that_lost_or_changed_a_row_is_not_whole(change: dict[str, int]) -> None:
    assert WHOLE.is_whole
    assert not Outcome(**{**vars(WHOLE), **change}).is_whole


def test_table_counts_campaigns_of_a_fault_and_tells_what_they_took() -> None:
    resumed = Outcome(
        "engine_killed", ended=True, different=1, largest=2e-3, steps=["aiida-pet resume PK"], jobs=7
    )
    lines = table([WHOLE, resumed]).splitlines()
    assert len(lines) == 3
    cells = "2 | 2 of 2 | 1 of 2 | 2e-03 eV | `aiida-pet resume PK`; or nothing | 5, 7 | 70 s, 0 s"
    assert lines[2] == f"| engine killed with -9 | {cells} |"


def test_table_is_put_between_its_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{MARKS[0]}\nold\n{MARKS[1]}\nafter\n")
    write_table(page, "new")
    assert page.read_text() == f"before\n{MARKS[0]}\nnew\n{MARKS[1]}\nafter\n"


def test_page_without_marks_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("no marks\n")
    with pytest.raises(ValueError, match=r"page.md has no <!-- faults -->"):
        write_table(page, "new")


def test_lines_of_a_run_are_read_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(
        "\n".join(['{"fault": "none", "seconds": 70}', json.dumps(asdict(WHOLE)), "| a | table |"])
    )
    assert read_outcomes(log) == [WHOLE]

"""How what `aiida-pet status` says is followed."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.faults import advice as advice_module
from benchmarks.faults.advice import ADVISED, Patience, follow, without_numbers


def test_commands_are_those_that_status_tells() -> None:
    advice = (
        "the daemon is not running, so nothing moves: start it with `verdi daemon start`; `aiida-pet results 7` shows "
        "the rows; `verdi process play 12` lets it go on; `aiida-pet resume 7` goes on"
    )
    assert ADVISED.findall(advice) == ["verdi daemon start", "verdi process play 12", "aiida-pet resume 7"]


def test_advice_is_followed_when_it_has_stood_for_a_while_and_not_at_once_again() -> None:
    patience, told = Patience(), ["aiida-pet repair", "verdi daemon start"]
    assert patience.due(told, 0.0, at_once=False) == []
    assert patience.due(told, 25.0, at_once=False) == told
    assert patience.due(told, 50.0, at_once=False) == []
    assert patience.due(told, 250.0, at_once=False) == told


def test_advice_that_went_away_starts_anew() -> None:
    patience = Patience()
    for now, told in ((0.0, ["verdi daemon start"]), (10.0, []), (25.0, ["verdi daemon start"])):
        assert patience.due(told, now, at_once=False) == []


def test_what_a_campaign_that_ended_needs_is_typed_at_once() -> None:
    assert Patience().due(["aiida-pet resume 7"], 0.0, at_once=True) == ["aiida-pet resume 7"]


def statuses(*looks: dict[str, object]):
    """Return what looks at a campaign one after the other, and the pks that were asked for."""
    asked: list[int] = []

    def look(pk: int) -> dict[str, object]:
        number = min(len(asked), len(looks) - 1)
        asked.append(pk)
        running = {
            "pk": pk,
            "finished": False,
            "exit_status": None,
            "state": "waiting",
            "rows_done": 0,
            "advice": [],
        }
        return running | looks[number]

    return look, asked


def test_campaign_is_followed_to_the_launch_that_ends_well() -> None:
    look, asked = statuses(
        {"rows_done": 1},
        {"finished": True, "exit_status": 300, "advice": ["`aiida-pet resume 7` goes on"]},
        {"finished": True, "exit_status": 0, "advice": ["`aiida-pet results 9` shows the rows"]},
    )
    typed = []

    def type_in(command: str, status: dict[str, Any]) -> int:
        typed.append((command, status["pk"]))
        return 9

    assert follow(7, look, type_in, interval_s=0.0)["pk"] == 9
    assert typed == [("aiida-pet resume 7", 7)]
    assert asked == [7, 7, 9]


def test_campaign_that_ended_badly_and_says_nothing_that_helps_is_left() -> None:
    look, _ = statuses({"finished": True, "exit_status": 300, "advice": ["`verdi process report 7`"]})
    assert follow(7, look, lambda *_: pytest.fail("nothing was advised"), interval_s=0.0)["pk"] == 7


def test_campaign_that_stands_still_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advice_module, "STALL_S", 0.05)
    look, _ = statuses({"rows_done": 3})
    with pytest.raises(RuntimeError, match="3 rows done and nothing has moved"):
        follow(7, look, lambda _, status: status["pk"], interval_s=0.01)


def test_pks_are_left_out_of_the_table() -> None:
    assert without_numbers("verdi process play 12") == "verdi process play PK"

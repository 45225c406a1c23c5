"""How long a launch goes on: made-up stages whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_pet.campaigns.forecast import (
    OTHER_SHARE,
    STAGE_S,
    USUAL_SHARES,
    Engines,
    Expected,
    Pace,
    StageCourse,
    seconds_left,
)


def second_per_row(_: str, rows: float) -> float:
    return rows


def test_before_anything_ran_all_stages_count() -> None:
    stages = [StageCourse("relax", 100, elapsed_s=0.0), StageCourse("hull", 90), StageCourse("phonons", 40)]
    left = seconds_left(stages, second_per_row)
    assert left == pytest.approx([100 + STAGE_S, 90 + STAGE_S, 40 + STAGE_S])


def test_pace_of_the_rows_takes_over() -> None:
    # twice as slow as expected, half of it done
    (left,) = seconds_left([StageCourse("relax", 100, done=50, elapsed_s=100.0)], second_per_row)
    assert left == pytest.approx(100.0)


def test_what_one_stage_took_over_the_expected_slows_the_later_ones() -> None:
    ended = StageCourse("relax", 100, done=100, elapsed_s=300 + STAGE_S, ended=True)
    left = seconds_left([ended, StageCourse("phonons", 40)], second_per_row)
    assert left == pytest.approx([0.0, 3 * 40 + 3 * STAGE_S])


def test_fast_stage_counts_half_on_a_logarithmic_scale_for_the_later_ones() -> None:
    # phonons were four times faster than expected; that says little of elastic constants
    ended = StageCourse("phonons", 100, done=100, elapsed_s=25 + STAGE_S, ended=True)
    left = seconds_left([ended, StageCourse("elastic", 40)], second_per_row)
    assert left == pytest.approx([0.0, 40 / 2 + STAGE_S])


def test_stage_without_rows_is_not_expected_to_end_at_once_when_it_is_late() -> None:
    (left,) = seconds_left([StageCourse("elastic", 40, elapsed_s=100.0)], second_per_row)
    assert left == pytest.approx(50.0)


def test_engines_that_know_what_is_left_are_believed() -> None:
    # no row has ended yet, since all end together; 40 rows take 120 s instead of 40
    running = StageCourse("elastic", 40, elapsed_s=90.0, engines=Engines(30.0, 40))
    left = seconds_left([running, StageCourse("phonons", 40)], second_per_row)
    slower = (120 - STAGE_S) / 40
    assert left == pytest.approx([30 + slower * STAGE_S / 2, slower * (40 + STAGE_S)])


def test_rows_of_jobs_to_come_take_what_those_of_the_running_take() -> None:
    half = StageCourse("relax", 100, done=25, elapsed_s=50.0, engines=Engines(50.0, 25))
    (left,) = seconds_left([half], second_per_row)
    assert left == pytest.approx(50.0 + 50 * 2.0, abs=2 * STAGE_S)


def test_rows_that_were_taken_over_are_no_pace() -> None:
    course = StageCourse("relax", 200, done=150, taken_over=100, elapsed_s=100.0)
    (left,) = seconds_left([course], second_per_row)
    assert left == pytest.approx(100.0)


def test_time_between_two_flushes_does_not_slow_the_pace() -> None:
    pace = Pace()
    first = seconds_left([StageCourse("relax", 100, done=50, elapsed_s=50.0)], second_per_row, pace)
    later = seconds_left([StageCourse("relax", 100, done=50, elapsed_s=70.0)], second_per_row, pace)
    assert first[0] - later[0] == pytest.approx(20.0)
    alone = seconds_left([StageCourse("relax", 100, done=50, elapsed_s=70.0)], second_per_row)
    assert alone[0] == pytest.approx(70.0)


def test_share_kept_is_usual_where_no_past_screening_tells(aiida_profile_clean: object) -> None:
    sizes = np.array([2, 2, 4])
    expected = Expected(None, {"hull": None}, {"hull": "e_above_hull <= 0.1", "relax": None}, sizes)
    assert expected.share_kept("hull") == USUAL_SHARES["hull"]
    assert expected.share_kept("relax") == OTHER_SHARE
    assert expected.seconds("hull", 3) == 0.0


def test_share_kept_is_that_of_past_screenings_under_the_same_condition(aiida_profile_clean: object) -> None:
    from aiida import orm
    from aiida.common import LinkType

    screen = orm.WorkChainNode(process_type="aiida.workflows:pet.screen").store()
    told = orm.Dict(
        {"stages": [{"name": "hull", "keep": "e_above_hull <= 0.1", "rows_in": 50, "rows_out": 10}]}
    ).store()
    told.base.links.add_incoming(screen, LinkType.RETURN, "summary")
    sizes = np.array([2])
    assert Expected(None, {}, {"hull": "e_above_hull <= 0.1"}, sizes).share_kept("hull") == pytest.approx(0.2)
    assert (
        Expected(None, {}, {"hull": "e_above_hull <= 0.2"}, sizes).share_kept("hull") == USUAL_SHARES["hull"]
    )


def test_more_lanes_and_larger_crystals_change_what_is_expected(pet_model: object) -> None:
    from aiida_pet.job.tasks import Task

    def seconds(size: int, lanes: int) -> float:
        sizes = np.full(1000, size)
        return Expected(pet_model, {"relax": Task.RELAX}, {}, sizes, lanes=lanes).seconds("relax", 500)  # type: ignore[arg-type]

    assert seconds(4, 1) > seconds(2, 1) > seconds(2, 4) > 0


def test_parameters_of_a_stage_change_what_is_expected(pet_model: object) -> None:
    from aiida_pet.job.tasks import Task

    def seconds(**parameters: float) -> float:
        given = {"phonons": parameters}
        sizes = np.full(1000, 4)
        expected = Expected(pet_model, {"phonons": Task.PHONONS}, {}, sizes, parameters=given)  # type: ignore[arg-type]
        return expected.seconds("phonons", 500)

    assert seconds(min_image=6.0) < 0.3 * seconds()

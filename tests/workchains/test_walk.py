"""The walk of a lane over its rows, without AiiDA."""

from __future__ import annotations

from collections.abc import Callable, Collection

import pytest
import yaml

from aiida_pet.workchains.walk import Ending, Walk, to_ranges

Machine = Callable[[list[int]], tuple[Collection[int], Ending]]


def walk_through(walk: Walk, machine: Machine, max_jobs: int = 200) -> tuple[list[list[int]], set[int], Walk]:
    """Let `machine` run all jobs; return them, the rows that finished and how the walk ended. No row is done twice."""
    jobs: list[list[int]] = []
    done: set[int] = set()
    while walk.n_waiting:
        assert len(jobs) < max_jobs, "the walk does not end"
        walk = Walk.from_dict(yaml.safe_load(yaml.safe_dump(walk.to_dict())))
        job = walk.next_job()
        assert not done & set(job), "a row was done twice"
        finished, ending = machine(job)
        done |= set(finished)
        jobs.append(job)
        walk.settle(finished, ending, "bang")
        if walk.fruitless >= 10:
            break
    return jobs, done, walk


def sound(job: list[int]) -> tuple[Collection[int], Ending]:
    return set(job), Ending.FINISHED


def killed_by(*culprits: int) -> Machine:
    def machine(job: list[int]) -> tuple[Collection[int], Ending]:
        return (set(), Ending.BROKEN) if set(job) & set(culprits) else sound(job)

    return machine


def test_sound_machine_runs_each_row_once_in_jobs_of_job_size() -> None:
    jobs, done, _ = walk_through(Walk.start(10, 4), sound)
    assert [len(job) for job in jobs] == [4, 4, 2]
    assert done == set(range(10))


def test_rows_left_by_the_clock_go_to_the_front_and_fill_up_the_next_job() -> None:
    walk = Walk.start(10, 4)
    assert walk.next_job() == [0, 1, 2, 3]
    walk.settle({0, 2}, Ending.TIME)
    assert walk.next_job() == [1, 3, 4, 5]


def test_rows_on_their_way_stay_together_however_many_jobs_they_take() -> None:
    walk = Walk.start(6, 4)
    for _ in range(9):
        assert walk.next_job() == [0, 1, 2, 3]
        walk.settle(set(), Ending.ON_ITS_WAY)
        assert (walk.fruitless, walk.starved) == (0, {})
    walk.next_job()
    walk.settle({1}, Ending.ON_ITS_WAY)
    assert walk.next_job() == [0, 2, 3, 4]


def test_node_failure_tries_the_same_rows_again() -> None:
    walk = Walk.start(8, 4)
    first = walk.next_job()
    walk.settle(set(), Ending.BROKEN)
    assert walk.next_job() == first


def test_rows_of_a_broken_job_are_not_mixed_with_others() -> None:
    walk = Walk.start(8, 4)
    walk.next_job()
    walk.settle({0, 1, 2}, Ending.BROKEN)
    assert walk.next_job() == [3]


@pytest.mark.parametrize("culprit", [0, 17, 63])
def test_one_culprit_is_isolated_and_every_other_row_finishes(culprit: int) -> None:
    jobs, done, last = walk_through(Walk.start(100, 64), killed_by(culprit))
    assert done == set(range(100)) - {culprit}
    assert last.given_up == {culprit: "bang"}
    assert len(jobs) <= 20
    assert jobs.count([culprit]) == 2


def test_three_culprits_are_isolated() -> None:
    _, done, last = walk_through(Walk.start(64, 64), killed_by(3, 4, 60))
    assert done == set(range(64)) - {3, 4, 60}
    assert set(last.given_up) == {3, 4, 60}


def test_single_row_that_breaks_its_job_is_given_up_after_two_tries() -> None:
    jobs, _, last = walk_through(Walk.start(1, 10), killed_by(0))
    assert jobs == [[0], [0]]
    assert last.given_up == {0: "bang"}


@pytest.mark.parametrize("ending", [Ending.TIME, Ending.MEMORY])
def test_single_row_for_which_jobs_have_not_enough_is_starved_and_not_to_blame(ending: Ending) -> None:
    def machine(job: list[int]) -> tuple[Collection[int], Ending]:
        return set(job) - {4}, ending if 4 in job else Ending.FINISHED

    jobs, done, last = walk_through(Walk.start(20, 10), machine)
    assert done == set(range(20)) - {4}
    assert last.given_up == {}
    assert last.starved == {4: ending}
    assert jobs.count([4]) == 2


def test_engine_that_does_not_begin_blames_no_row_and_is_tried_ten_times() -> None:
    jobs, _, last = walk_through(Walk.start(3, 3), lambda job: (set(), Ending.IDLE))
    assert jobs == [[0, 1, 2]] * 10
    assert (last.waiting_rows, last.given_up) == ([0, 1, 2], {})


def test_lane_of_culprits_alone_gives_them_up_although_no_job_finished_a_row() -> None:
    """As when a campaign is resumed of which only they are left: it would never come to an end."""
    _, _, last = walk_through(Walk.start(3, 1), killed_by(0, 1, 2))
    last.acquit()
    assert set(last.given_up) == {0, 1, 2}


def test_rows_given_up_since_a_job_last_finished_one_are_acquitted_with_the_machine() -> None:
    walk = Walk.start(6, 1)
    for row in (0, 1):  # one that is to blame, and one after which the machine is known to be sound
        for _ in range(2 if row == 0 else 1):
            assert walk.next_job() == [row]
            walk.settle(set() if row == 0 else {1}, Ending.BROKEN if row == 0 else Ending.FINISHED, "bang")
    for row in (2, 2, 3, 3):
        assert walk.next_job() == [row]
        walk.settle(set(), Ending.BROKEN, "bang")
    assert set(walk.given_up) == {0, 2, 3}
    walk = Walk.from_dict(yaml.safe_load(yaml.safe_dump(walk.to_dict())))
    walk.acquit()
    assert walk.given_up == {0: "bang"}
    assert sorted(walk.waiting_rows) == [2, 3, 4, 5]


def test_rows_whose_time_ran_out_before_one_ended_go_on_together() -> None:
    walk = Walk.start(8, 4)
    first = walk.next_job()
    walk.settle(set(), Ending.TIME)
    assert walk.next_job() == first


def test_broken_machine_makes_ten_fruitless_jobs_and_blames_no_row() -> None:
    jobs, done, last = walk_through(Walk.start(1000, 1000), lambda job: (set(), Ending.BROKEN))
    assert len(jobs) == 10
    assert not done
    assert last.given_up == {}
    assert last.n_waiting == 1000


def test_out_of_memory_halves_jobs_and_batches_for_the_rest() -> None:
    def small_machine(job: list[int]) -> tuple[Collection[int], Ending]:
        return sound(job) if len(job) <= 3 else (set(), Ending.MEMORY)

    jobs, done, last = walk_through(Walk.start(30, 20, max_batch_cost=1000.0), small_machine)
    assert done == set(range(30))
    assert [len(job) for job in jobs[:4]] == [20, 10, 5, 3]
    assert max(len(job) for job in jobs[4:]) <= 3
    assert last.max_batch_cost == 1000.0 / 8


def test_clock_that_lets_nothing_finish_makes_smaller_jobs() -> None:
    def slow_machine(job: list[int]) -> tuple[Collection[int], Ending]:
        return sound(job) if len(job) <= 4 else (set(), Ending.TIME)

    _, done, _ = walk_through(Walk.start(16, 16), slow_machine)
    assert done == set(range(16))


def test_rows_missing_from_a_finished_job_are_run_again() -> None:
    walk = Walk.start(4, 4)
    walk.next_job()
    walk.settle({0, 1}, Ending.FINISHED)
    assert walk.next_job() == [2, 3]


def test_progress_resets_the_count_of_fruitless_jobs() -> None:
    walk = Walk.start(4, 4)
    walk.next_job()
    walk.settle(set(), Ending.BROKEN)
    assert walk.fruitless == 1
    walk.next_job()
    walk.settle({0}, Ending.BROKEN)
    assert walk.fruitless == 0


def test_state_of_a_large_lane_is_small() -> None:
    walk = Walk.start(100_000, 5000)
    job = walk.next_job()
    walk.settle(set(job[:3000]), Ending.TIME)
    assert len(yaml.safe_dump(walk.to_dict())) < 500


def test_settle_without_a_job_says_what_is_wrong() -> None:
    with pytest.raises(RuntimeError, match=r"no job is running: settle\(\) wants next_job\(\) before it"):
        Walk.start(4, 4).settle(set(), Ending.FINISHED)


def test_ranges_join_runs_of_rows() -> None:
    assert to_ranges([0, 1, 2, 5, 7, 8]) == [[0, 3], [5, 6], [7, 9]]
    assert to_ranges([]) == []


def test_a_job_may_be_smaller_than_job_size_but_not_larger() -> None:
    walk = Walk.start(10, 4)
    assert walk.waiting_rows == list(range(10))
    assert walk.next_job(most=2) == [0, 1]
    walk.settle({0, 1}, Ending.FINISHED)
    assert walk.next_job(most=100) == [2, 3, 4, 5]
    walk.settle({2, 3, 4, 5}, Ending.FINISHED)
    assert walk.waiting_rows == [6, 7, 8, 9]


def test_rows_of_a_job_whose_model_was_refused_are_as_they_were() -> None:
    walk = Walk.start(6, 4)
    walk.next_job()
    walk.settle(set(), Ending.MODEL)
    assert walk.fruitless == 0
    assert walk.next_job() == [0, 1, 2, 3]
    walk.settle({0, 1}, Ending.BROKEN)
    assert walk.next_job() == [2, 3]
    before = walk.to_dict()
    walk.settle(set(), Ending.MODEL)
    assert walk.next_job() == [2, 3]
    assert walk.to_dict() == before
    # a job that goes on in its folder may have rows from the time before the model went bad
    walk.settle({2}, Ending.MODEL)
    assert walk.next_job() == [3]


@pytest.mark.parametrize("ending", [Ending.MODEL, Ending.CALLED_OFF])
def test_rows_are_not_to_blame_for_what_has_nothing_to_do_with_them(ending: Ending) -> None:
    walk = Walk.start(1, 1)
    for _ in range(3):
        assert walk.next_job() == [0]
        walk.settle(set(), ending)
    assert (walk.waiting_rows, walk.given_up, walk.starved, walk.fruitless) == ([0], {}, {}, 0)

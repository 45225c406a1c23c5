"""How the three ways of the road are compared; the ways themselves take too long for a test."""

from __future__ import annotations

import pytest

from benchmarks.road import Journey, compared, largest_difference

BATCH = Journey(n_jobs=2, wall_s=30.0, engine_s=40.0, nodes=30, repository_bytes=1000, database_bytes=4096)
JOBS = Journey(
    n_jobs=200, wall_s=900.0, engine_s=1600.0, nodes=1200, repository_bytes=9000, database_bytes=40960
)


def test_each_way_is_told_in_multiples_of_the_batch() -> None:
    lines = {line.name: line for line in compared("job_per_crystal", JOBS, BATCH, {"n_crystals": 200})}
    assert lines["road/job_per_crystal"].value == 900.0
    assert lines["road/job_per_crystal"].detail["n_crystals"] == 200
    wall = lines["road/job_per_crystal/wall_s"]
    assert (wall.value, wall.ratio) == (30.0, 1.5)  # of the target of 20 times
    assert lines["road/job_per_crystal/nodes"].value == 40.0
    assert lines["road/job_per_crystal/repository_bytes"].value == 9.0
    assert lines["road/job_per_crystal/database_bytes"].value == 10.0


def test_energies_are_compared_per_atom() -> None:
    found = largest_difference({"a": -1.0, "b": -8.0}, {"a": -1.0, "b": -8.002}, {"a": 1, "b": 4})
    assert found == pytest.approx(5e-4)


@pytest.mark.parametrize(
    ("energies", "message"),
    [
        ({"a": -1.1}, "a differs by 1.00e-01 eV/atom"),
        ({"a": float("nan")}, "a differs"),
        ({}, "1 and 0 energies"),
    ],
)
def test_crystal_that_ended_elsewhere_stops_the_benchmark(energies: dict[str, float], message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        largest_difference({"a": -1.0}, energies, {"a": 1})

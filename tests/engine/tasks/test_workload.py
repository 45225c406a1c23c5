"""How much work is left: against the work that it was in the end, and against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ase.build import bulk

from aiida_pet.engine.tasks.elastic import Elastic
from aiida_pet.engine.tasks.phonons import Phonons
from aiida_pet.engine.tasks.relax import Relax
from aiida_pet.engine.tasks.static import Static
from aiida_pet.engine.tasks.workload import USUAL_EVALUATIONS, Work, steps_left
from aiida_pet.job.elastic_parameters import ElasticParameters
from aiida_pet.job.parameters import RelaxParameters, StaticParameters
from aiida_pet.job.phonon_parameters import PhononParameters
from aiida_pet.tables.crystals import StructureTable


def test_excess_that_falls_by_a_factor_per_step_goes_on_to_do_so() -> None:
    steps = torch.tensor([400, 400])
    first = torch.tensor([torch.e**10, torch.e**10], dtype=torch.float64)
    least = torch.tensor([torch.e**2, 1.0], dtype=torch.float64)
    left = steps_left(first, least, steps, 10_000)
    assert left[0] == pytest.approx(
        100, rel=0.15
    )  # 8 of 10 in 400 steps; the usual decay counts like 10 of them
    assert left[1] == 0


def test_row_that_gains_nothing_takes_the_steps_that_it_may_take() -> None:
    still = torch.tensor([1e6], dtype=torch.float64)
    assert steps_left(still, still, torch.tensor([450]), 500).tolist() == [50]


def test_row_before_its_first_step_takes_the_usual() -> None:
    unknown = torch.tensor([torch.inf], dtype=torch.float64)
    assert steps_left(unknown, unknown, torch.tensor([0]), 500).tolist() == pytest.approx([USUAL_EVALUATIONS])


def test_seconds_left_are_at_the_pace_so_far() -> None:
    assert Work(300.0, 100.0).seconds_left(60.0) == pytest.approx(20.0)
    assert Work(300.0, None).seconds_left(60.0) is None
    assert Work(0.0, 10.0).seconds_left(1.0) is None


def crystals() -> StructureTable:
    rattled = []
    for index in range(6):
        atoms = bulk("W", "bcc", a=3.1 + 0.04 * index, cubic=True)
        atoms.numbers[0] = 42
        atoms.rattle(0.02, seed=index)
        rattled.append(atoms)
    return StructureTable.from_ase((f"alloy-{index}", atoms) for index, atoms in enumerate(rattled))


CASES = {
    "static": (Static, StaticParameters()),
    "relax": (Relax, RelaxParameters(fmax=1e-3)),
    "elastic": (Elastic, ElasticParameters()),
    "phonons": (Phonons, PhononParameters(min_image=5.0, mesh=20.0)),
}


@pytest.mark.parametrize("task", CASES)
def test_what_is_left_is_what_is_done_later(load_pet, task):
    runner_class, parameters = CASES[task]
    seen: list[Work] = []
    runner = runner_class(
        crystals(),
        load_pet(),
        parameters,
        finished=lambda _: None,
        proceed=lambda: seen.append(runner.work) or True,
    )
    assert runner.run()
    done = np.array([work.done for work in seen])
    left = np.array([np.nan if work.left is None else work.left for work in seen])
    whole = runner.work.done
    assert runner.work.left == 0
    assert done[0] == 0
    assert (np.diff(done) >= 0).all()
    known = np.isfinite(left) & (done >= 0.3 * whole) & (done <= 0.9 * whole)
    if task == "static":  # all in one batch
        assert left[0] == whole
        return
    assert known.sum() >= 3
    ratios = left[known] / (whole - done[known])
    assert 0.4 < np.exp(np.log(ratios).mean()) < 2.5

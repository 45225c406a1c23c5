"""What is known of rows of dynamics before they move."""

from __future__ import annotations

import ase.build
import pytest

from aiida_pet.engine.dynamics.plan import Plan
from aiida_pet.job.parameters import parse_parameters
from aiida_pet.job.tasks import Task
from aiida_pet.tables.crystals import StructureTable


@pytest.mark.parametrize(
    ("element", "timestep", "every", "warned"),
    [
        # 9.1 fs for hydrogen on a stiff bond: a fifteenth is 0.605 fs, a half 4.54 fs
        ("H", 0.6, 1, False),
        ("H", 0.61, 1, True),
        ("H", 0.5, 9, False),
        ("H", 0.5, 10, True),
        ("H", 0.61, 2, True),  # the inner step
        ("C", 1.0, 15, False),  # 15.7 fs
        ("C", 1.0, 16, True),
    ],
)
def test_inner_and_outer_steps_are_compared_with_the_fastest_vibration(
    element: str, timestep: float, every: int, warned: bool
) -> None:
    atoms = ase.build.bulk("W", cubic=True)
    atoms.symbols[1] = element
    table = StructureTable.from_ase([("row", atoms)])
    given = {"timestep": timestep} | ({"respa": {"every": every}} if every > 1 else {})
    plan = Plan.of(table, parse_parameters(Task.MD, given))
    assert plan.codes(table, 0) == ({"long_timestep"} if warned else set())

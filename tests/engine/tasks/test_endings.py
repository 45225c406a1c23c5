"""How rows of a relaxation end, and that single precision stops at its noise."""

from __future__ import annotations

from dataclasses import replace

import ase.build
import pytest
import torch

from aiida_pet.engine.tasks.endings import PATIENCE, QUIET, Approach, Now, ends_of
from aiida_pet.engine.tasks.relax import Relax
from aiida_pet.job.folder import RowStatus
from aiida_pet.job.parameters import Task, parse_parameters
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.warnings import Warned

P = parse_parameters(Task.RELAX, {"fmax": 1e-4, "stress_max": 1e-3, "max_steps": 1000, "dtype": "mixed"})


def at(step: int, *forces: float, averaged: bool = True) -> Now:
    force = torch.tensor(forces, dtype=torch.float64)
    size = len(forces)
    return Now(
        torch.zeros(size), force, torch.zeros(size), torch.full((size,), step), torch.full((size,), averaged)
    )


def test_rows_end_for_their_own_reasons():
    approach = Approach.start(5, torch.device("cpu"))
    ends = ends_of(at(3, 5e-5, 1e-2, torch.nan, 1e5, 2e-3), approach, P, is_noisy=True)
    assert {place: status for place, (status, _, _) in ends.items()} == {
        0: RowStatus.CONVERGED, 2: RowStatus.DIVERGED, 3: RowStatus.DIVERGED,
    }  # fmt: skip
    ends = ends_of(at(1000, 1e-2), Approach.start(1, torch.device("cpu")), P, is_noisy=True)
    assert ends[0][0] is RowStatus.MAX_STEPS
    assert ends[0][1].startswith("after 1000 steps the largest force is 0.01 eV/A (fmax = 0.0001)")


@pytest.mark.parametrize(("force", "is_noisy", "is_stagnant"), [
    (3e-4, True, True), (3e-4, False, False), (2 * QUIET, True, False),
])  # fmt: skip
def test_row_is_stagnant_when_it_is_quiet_and_comes_no_nearer(force, is_noisy, is_stagnant):
    approach = Approach.start(2, torch.device("cpu"))
    # the second row comes nearer by a fifth every 50 steps, slowly but surely
    for step in range(PATIENCE):
        assert ends_of(at(step, force, 1e-2 * 0.8 ** (step // 50)), approach, P, is_noisy=is_noisy) == {}
    ends = ends_of(at(PATIENCE, force, 1.9e-3), approach, P, is_noisy=is_noisy)
    assert set(ends) == ({0} if is_stagnant else set())
    if is_stagnant:
        status, why, warned = ends[0]
        assert (status, warned) == (RowStatus.MAX_STEPS, Warned.STAGNANT)
        assert "no progress since step 0 of 60: the largest force is 0.0003 eV/A (fmax = 0.0001)" in why
        assert "dtype = mixed" in why


@pytest.mark.parametrize(("stress", "is_stagnant"), [(0.27, False), (0.015, True), (0.5e-3, True)])
def test_row_whose_stress_is_large_is_slow_and_not_stagnant(stress, is_stagnant):
    """Crystals of molecules are so: hardly any force, and a stress that falls by less than a tenth in 60 steps."""
    now = replace(at(0, 3e-4), stress=torch.tensor([stress], dtype=torch.float64))
    approach = Approach.start(1, torch.device("cpu"))
    for step in range(PATIENCE):
        assert ends_of(replace(now, steps=torch.tensor([step])), approach, P, is_noisy=True) == {}
    ends = ends_of(replace(now, steps=torch.tensor([PATIENCE])), approach, P, is_noisy=True)
    assert set(ends) == ({0} if is_stagnant else set())


def test_relaxation_below_the_noise_says_so_and_float64_gets_there(load_pet):
    atoms = ase.build.bulk("Mo", a=3.2, cubic=True)
    atoms.numbers[1] = 74
    atoms.rattle(0.03, seed=1)
    table = StructureTable.from_ase([("alloy", atoms)])
    found = {}
    for dtype in ("mixed", "float64"):
        wanted = {"fmax": 1e-8, "max_steps": 600, "cell": "fixed", "dtype": dtype, "symprecs": []}
        rows: list[StructureTable] = []
        Relax(table, load_pet(dtype=dtype), parse_parameters(Task.RELAX, wanted), finished=rows.append).run()
        found[dtype] = rows[0].columns
    assert found["float64"]["status"][0] == "converged"
    assert found["mixed"]["status"][0] == "max_steps"
    assert found["mixed"]["n_steps"][0] < 400
    assert "stagnant" in found["mixed"]["warnings"][0].split()
    assert "stagnant" not in found["float64"]["warnings"][0].split()
    assert abs(found["mixed"]["energy"][0] - found["float64"]["energy"][0]) / 2 < 1e-4

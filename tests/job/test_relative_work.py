"""What parameters change of the work that a crystal is: supercells, steps."""

from __future__ import annotations

import pytest

from aiida_pet.job.phonon_parameters import PhononParameters
from aiida_pet.job.relative_work import CLAMPED, FIRE, of_steps, of_strained_crystals, of_supercells
from aiida_pet.job.tasks import Task, entry_of

USUAL = PhononParameters().min_image


def test_supercells_have_atoms_as_the_cube_of_their_length() -> None:
    assert of_supercells({}) == 1.0
    assert of_supercells({"min_image": USUAL / 2}) == pytest.approx(1 / 8)
    assert of_supercells({"min_image": USUAL / 2, "supercell": [2, 2, 2]}) == 1.0


def test_strained_crystals_take_less_with_l_bfgs_and_least_with_clamped_ions() -> None:
    assert of_strained_crystals({}) == FIRE > 1.0  # the parameters themselves have FIRE, protocols L-BFGS
    assert of_strained_crystals({"optimizer": "lbfgs"}) == 1.0
    assert of_strained_crystals({"optimizer": "fire", "ions": "clamped"}) == CLAMPED < 1.0


def test_dynamics_go_with_their_steps() -> None:
    assert of_steps({}) == 1.0
    assert of_steps({"steps": 21_000, "equilibration_steps": 1000}) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("task", "parameters", "work"),
    [
        (Task.PHONONS, {"min_image": USUAL / 2}, 1 / 8),
        (Task.QHA, {"min_image": USUAL / 2}, 1 / 8),
        (Task.MD, {"steps": 4500, "equilibration_steps": 1000}, 0.5),
        (Task.RELAX, {"fmax": 0.001}, 1.0),
        (Task.ELASTIC, {"optimizer": "lbfgs"}, 1.0),
        (Task.ELASTIC, {"optimizer": "fire"}, FIRE),
        (Task.PHONONS, None, 1.0),
    ],
)
def test_task_knows_how_its_work_goes_with_its_parameters(
    task: Task, parameters: dict[str, float] | None, work: float
) -> None:
    assert entry_of(task).work_of(parameters) == pytest.approx(work)

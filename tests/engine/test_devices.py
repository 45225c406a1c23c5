"""No path of the engine mixes devices: each runs on a device that is pretended, and says what it says on the CPU.

What a GPU computes is for ``make gpu-check`` to see; that tensors are where they should be is seen here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from aiida_pet.engine.model.base import BatchModel
from aiida_pet.engine.tasks.relax import Relax
from aiida_pet.engine.tasks.static import Static
from aiida_pet.job.folder import RowStatus, Task
from aiida_pet.job.parameters import parse_parameters
from aiida_pet.tables.crystals import StructureTable
from benchmarks.engine import random_alloys
from benchmarks.gpu import correct_memory, correct_tasks, correctness
from benchmarks.gpu.sides import Side, alloys_and_odd_ones, odd_crystals, symmetric_crystals
from support.pretended_device import DEVICE, Pretended, PretendedDevice

SHORT: dict[str, Any] = {"max_steps": 3, "symprecs": []}
RELAXATIONS: dict[str, tuple[Callable[[], StructureTable], dict[str, Any]]] = {
    "fire, held to symmetry": (symmetric_crystals, {"symmetry": "constrained"}),
    "lbfgs, under pressure": (lambda: random_alloys(2), {"optimizer": "lbfgs", "pressure": 5.0}),
    "atoms held": (lambda: correct_tasks._with_held_atoms(random_alloys(1)), {}),
    "slab in its plane": (
        lambda: odd_crystals().select(["slab"]),
        {"cell": "plane", "symmetry": "constrained"},
    ),
    "odd ones, cell fixed": (odd_crystals, {"cell": "fixed"}),
    "only the shape": (lambda: random_alloys(2), {"cell": "shape"}),
    "averaged once it is near": (
        lambda: symmetric_crystals().take([1]),
        {"averaging": "octahedral", "average_from_fmax": 10.0, "symmetry": "constrained"},
    ),
}


@pytest.fixture(autouse=True)
def pretended() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with PretendedDevice():
        yield
    torch.set_num_threads(before)


def relaxed(side: Side, table: StructureTable, parameters: dict[str, Any]) -> StructureTable:
    """Relax for a few steps, in two runs of which the second takes up the state of the first."""
    parsed = parse_parameters(Task.RELAX, SHORT | parameters)
    model, finished = side.model(), []
    left = [True, True, False]
    driver = Relax(table, model, parsed, finished=finished.append, proceed=lambda: left.pop(0))
    assert not driver.run()
    again = Relax(table, model, parsed, finished=finished.append)
    again.restore(driver.snapshot())
    done = {name for rows in finished for name in rows.ids.tolist()}
    again.table = table.take([row for row, name in enumerate(table.ids.tolist()) if name not in done])
    assert again.run()
    return StructureTable.concatenate(finished).select(table.ids)


@pytest.mark.parametrize("name", RELAXATIONS)
def test_relaxation_stays_on_its_device(name):
    make, parameters = RELAXATIONS[name]
    table = make()
    there, here = (relaxed(side, table, parameters) for side in (Side(str(DEVICE)), Side("cpu")))
    assert there.columns["status"].tolist() == here.columns["status"].tolist()
    assert np.abs(here.positions - table.positions).max() > 1e-6
    for column in ("energy", "stress", "n_steps"):
        np.testing.assert_allclose(there.columns[column], here.columns[column], atol=1e-9, err_msg=column)
    np.testing.assert_allclose(there.positions, here.positions, atol=1e-9)


@pytest.mark.parametrize(
    "part",
    [
        correctness.neighbors,
        correctness.projection,
        correct_tasks.phonons,
        correct_tasks.elastic,
        correct_memory.halving,
    ],
    ids=lambda part: part.__name__,
)
def test_part_of_the_engine_stays_on_its_device(part):
    checks = list(part(Side(str(DEVICE)), Side("cpu"), True))
    assert checks
    assert [str(check) for check in checks if not check.passed] == []


@pytest.mark.parametrize("heads", correctness.HEADS)
def test_evaluation_stays_on_its_device(heads):
    table, options = alloys_and_odd_ones(1), correctness.HEADS[heads]
    there, here = (
        correctness.evaluated(side, side.model(**options), table) for side in (Side(str(DEVICE)), Side("cpu"))
    )
    checks = list(correctness._all_of(heads, there, here, table, correctness.EXACT))
    assert len(checks) > 3
    assert [str(check) for check in checks if not check.passed] == []


def bad_rows() -> StructureTable:
    """Return rows that a task refuses, cannot search, and sees diverge, beside one that is good."""
    good = random_alloys(4)
    positions, cells, numbers = good.positions.copy(), good.cells.copy(), good.numbers.copy()
    numbers[good.atoms_of(1)] = 54  # an element that the model does not know
    cells[2] *= 40.0  # expands without end
    positions[good.atoms_of(3)] += 1e10
    return replace(good, numbers=numbers, positions=positions, cells=cells)


def test_rows_that_end_badly_leave_the_device_too():
    def run(side: Side) -> StructureTable:
        finished: list[StructureTable] = []
        model = _exploding(side.model())
        parsed = parse_parameters(Task.RELAX, SHORT | {"volume_ratio_max": 1.01})
        Relax(bad_rows(), model, parsed, finished=finished.append).run()
        return StructureTable.concatenate(finished).select(bad_rows().ids)

    there, here = run(Side(str(DEVICE))), run(Side("cpu"))
    assert there.columns["status"].tolist() == here.columns["status"].tolist()
    assert there.columns["message"].tolist() == here.columns["message"].tolist()
    assert {
        RowStatus.UNSUPPORTED_ELEMENT.value,
        RowStatus.INVALID_GEOMETRY.value,
        RowStatus.DIVERGED.value,
    } <= set(here.columns["status"].tolist())


def _exploding(model: BatchModel) -> BatchModel:
    """Let stresses be so large that cells swell beyond what is allowed."""
    evaluate = model.evaluate

    def exploding(*arguments: Any) -> Any:
        answer = evaluate(*arguments)
        answer.stress.mul_(0.0).add_(-100.0 * torch.eye(3, dtype=torch.float64, device=answer.stress.device))
        return answer

    model.evaluate = exploding  # type: ignore[method-assign]
    return model


def test_crystals_far_too_large_are_named():
    table = random_alloys(2)
    finished: list[StructureTable] = []
    model = Side(str(DEVICE)).model()

    def failing(prepared: Any, turn: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    model._answer = failing  # type: ignore[method-assign]
    parsed = parse_parameters(Task.STATIC, {"symprecs": []})
    Static(table, model, parsed, finished=finished.append).run()
    assert {row.columns["status"][0] for row in finished} == {RowStatus.TOO_LARGE.value}


class TestPretendedDevice:
    """The device refuses what CUDA refuses, and no more."""

    def test_tensors_of_two_devices_are_refused(self):
        with pytest.raises(RuntimeError, match="same device"):
            torch.ones(3, device=DEVICE) + torch.ones(3)
        with pytest.raises(RuntimeError, match="same device"):
            torch.zeros(3, device=DEVICE).index_add_(0, torch.tensor([1]), torch.ones(1, device=DEVICE))
        with pytest.raises(RuntimeError, match="same device"):
            torch.ones(3)[torch.tensor([1], device=DEVICE)]

    def test_numpy_gets_nothing(self):
        with pytest.raises(RuntimeError, match="numpy"):
            torch.ones(3, device=DEVICE).numpy()
        with pytest.raises((RuntimeError, TypeError)):
            np.asarray(torch.ones(3, device=DEVICE))

    def test_what_cuda_takes_from_the_host_is_taken(self):
        there = torch.arange(3.0, device=DEVICE)
        assert (there * torch.tensor(2.0)).tolist() == [0.0, 2.0, 4.0]
        assert there[torch.tensor([2])].tolist() == [2.0]
        there[1:] = torch.ones(2)
        assert there.tolist() == [0.0, 1.0, 1.0]
        assert there.cpu().numpy().tolist() == [0.0, 1.0, 1.0]

    def test_gradients_are_those_of_the_cpu(self):
        def gradient(device: Any) -> torch.Tensor:
            x = torch.arange(9.0, device=device).reshape(3, 3).requires_grad_()
            (found,) = torch.autograd.grad(
                (torch.linalg.det(x + torch.eye(3, device=device)) * x.sum()).sum(), [x]
            )
            return found

        there = gradient(DEVICE)
        assert isinstance(there, Pretended)
        assert torch.equal(there.cpu(), gradient("cpu"))

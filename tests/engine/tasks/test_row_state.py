"""States of rows leave, enter and go through columns, whatever class they are."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
import torch

from aiida_pet.engine.batch.batch import Batch, Tensor
from aiida_pet.engine.tasks import row_state
from aiida_pet.engine.tasks.cell_filter import Coordinates
from aiida_pet.engine.tasks.optimizers import Fire, Lbfgs


def walked(kind: type[Fire] | type[Lbfgs], batch: Batch, n_steps: int) -> tuple[Any, Coordinates]:
    """Return the optimiser and the coordinates after ``n_steps`` in a harmonic well of each row's own depth."""
    x = Coordinates(batch.positions, torch.zeros_like(batch.cells))
    state = kind.start(batch)
    for _ in range(n_steps):
        x = x + state.step(batch, x, forces_at(batch, x), 0.2)
    return state, x


def forces_at(batch: Batch, x: Coordinates) -> Coordinates:
    depth = batch.n_atoms[batch.row_of_atom, None].double()
    return Coordinates(-depth * x.atoms, 0.1 - x.cell)


@pytest.mark.parametrize("kind", [Fire, Lbfgs])
def test_rows_that_leave_and_enter_walk_on_as_if_alone(alloys, kind):
    first, second = Batch.from_table(alloys(4)), Batch.from_table(alloys(3, seed=1))
    rows = torch.tensor([3, 1])
    left, kept_x = walked(kind, first, 6)
    other, other_x = walked(kind, second, 2)
    state = row_state.cat([row_state.take(left, first, rows), other])
    batch = Batch.cat([first.take(rows), second])
    x = row_state.cat([row_state.take(kept_x, first, rows), other_x])
    step = state.step(batch, x, forces_at(batch, x), 0.2)

    wanted = left.step(first, kept_x, forces_at(first, kept_x), 0.2)
    mine = row_state.take(step, batch, torch.tensor([0, 1]))
    torch.testing.assert_close(mine.atoms, row_state.take(wanted, first, rows).atoms, rtol=0, atol=1e-14)
    torch.testing.assert_close(mine.cell, row_state.take(wanted, first, rows).cell, rtol=0, atol=1e-14)
    wanted = other.step(second, other_x, forces_at(second, other_x), 0.2)
    mine = row_state.take(step, batch, torch.tensor([2, 3, 4]))
    torch.testing.assert_close(mine.atoms, wanted.atoms, rtol=0, atol=1e-14)


@pytest.mark.parametrize("kind", [Fire, Lbfgs])
def test_columns_bring_back_the_same_state(alloys, kind):
    batch = Batch.from_table(alloys(3))
    state, _ = walked(kind, batch, 4)
    rows, atoms = row_state.to_columns(state)
    assert {len(values) for values in rows.values()} == {3}
    assert {len(values) for values in atoms.values()} == {len(batch.numbers)}
    again = row_state.from_columns(kind.start(Batch.from_table(alloys(1))), rows, atoms)
    for name, values in row_state.to_columns(again)[0].items():
        np.testing.assert_array_equal(values, rows[name])


def test_columns_of_another_kind_are_refused_by_name(alloys):
    batch = Batch.from_table(alloys(2))
    fire = Fire.start(batch)
    with pytest.raises(ValueError, match=r"it holds .*'rho'.*, expected \['a', 'dt'"):
        row_state.from_columns(fire, *row_state.to_columns(Lbfgs.start(batch)))
    of_another_type = replace(fire, started=fire.dt)
    with pytest.raises(ValueError, match=r"started is torch.float64 of shape \(2,\), expected torch.bool"):
        row_state.from_columns(fire, *row_state.to_columns(of_another_type))


@dataclass(frozen=True)
class Moving:
    """A state whose tensor per atom has a name of its own, and one of whose tensors per row is called ``atoms``."""

    velocities: Tensor = field(metadata=row_state.PER_ATOM)
    atoms: Tensor


def test_field_says_whether_its_tensor_has_a_row_per_atom_whatever_it_is_called(alloys):
    batch = Batch.from_table(alloys(3))
    state = Moving(batch.positions, batch.n_atoms)
    last = row_state.take(state, batch, torch.tensor([2]))
    torch.testing.assert_close(last.velocities, batch.positions[batch.row_of_atom == 2])
    assert last.atoms.tolist() == [batch.n_atoms[2].item()]
    rows, atoms = row_state.to_columns(state)
    assert (set(rows), set(atoms)) == ({"atoms"}, {"velocities"})

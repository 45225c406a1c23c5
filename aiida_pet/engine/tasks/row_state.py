"""What a task keeps of the rows in flight, as dataclasses of tensors: leaving, entering and files work for any of them.

A state is a dataclass whose fields are tensors or states. The first dimension of a tensor runs over the rows of the
batch, or over its atoms if its field is called ``atoms``, as in
:class:`~aiida_pet.engine.tasks.cell_filter.Coordinates`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

import torch

from aiida_pet.engine.batch.batch import Batch, Tensor
from aiida_pet.tables.table import Array

_ATOMS = "atoms"


def take[S](state: S, batch: Batch, rows: Tensor) -> S:
    """Return the state of ``rows``, in that order.

    :param batch: whose state it is.
    """
    atoms = batch.atoms_of(rows)
    return _mapped(lambda name, tensor: tensor[atoms if _is_per_atom(name) else rows], state)


def cat[S](states: Sequence[S]) -> S:
    """Return the state of the rows of ``states``, in order."""
    return _mapped(lambda _, *tensors: torch.cat(tensors), *states)


def to_columns(state: Any) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return the tensors of ``state`` as arrays by dotted name: those per row, and those per atom."""
    rows: dict[str, Array] = {}
    atoms: dict[str, Array] = {}
    for name, tensor in _tensors(state):
        (atoms if _is_per_atom(name) else rows)[name] = tensor.cpu().numpy()
    return rows, atoms


def from_columns[S](like: S, rows: Mapping[str, Array], atoms: Mapping[str, Array]) -> S:
    """Return the state whose :func:`to_columns` is (``rows``, ``atoms``).

    :param like: a state of the same kind, of any rows: it gives device, types and shapes.
    :raises ValueError: naming what is missing, unknown, or of another type or shape.
    """
    columns = {**rows, **atoms}
    expected = {name for name, _ in _tensors(like)}
    if columns.keys() != expected:
        raise ValueError(f"it holds {sorted(columns)}, expected {sorted(expected)}")

    def read(name: str, tensor: Tensor) -> Tensor:
        found = torch.as_tensor(columns[name], device=tensor.device)
        if found.dtype != tensor.dtype or found.shape[1:] != tensor.shape[1:]:
            raise ValueError(
                f"{name} is {found.dtype} of shape {tuple(found.shape)}, "
                f"expected {tensor.dtype} of shape (*, {', '.join(map(str, tensor.shape[1:]))})"
            )
        return found

    return _mapped(read, like)


def _is_per_atom(name: str) -> bool:
    return name.rpartition(".")[2] == _ATOMS


def _mapped[S](function: Callable[..., Tensor], *states: S, path: str = "") -> S:
    """Return the state whose tensors are ``function(dotted name, its tensor in each of states)``."""
    first: Any = states[0]
    if isinstance(first, Tensor):
        mapped: Any = function(path, *states)
        return mapped
    values = {
        field.name: _mapped(
            function,
            *(getattr(state, field.name) for state in states),
            path=f"{path}.{field.name}" if path else field.name,
        )
        for field in fields(first)
    }
    return type(first)(**values)


def _tensors(state: Any, path: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield each tensor of ``state`` with its dotted name."""
    for field in fields(state):
        value, name = getattr(state, field.name), f"{path}.{field.name}" if path else field.name
        if isinstance(value, Tensor):
            yield name, value
        else:
            yield from _tensors(value, name)

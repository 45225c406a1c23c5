"""What a task keeps of the rows in flight, as dataclasses of tensors: leaving, entering and files work for any of them.

A state is a dataclass whose fields are tensors or states. The first dimension of a tensor runs over the rows of the
batch, or over its atoms if the field says so: ``x: Tensor = field(metadata=PER_ATOM)``, as in
:class:`~aiida_pet.engine.tasks.cell_filter.Coordinates`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import Field, dataclass, fields
from typing import Any

import torch

from aiida_pet.engine.batch.batch import Batch, Tensor
from aiida_pet.tables.table import Array

PER_ATOM = {"per_atom": True}
"""Metadata of a field whose tensor has a row per atom of the batch."""


def take[S](state: S, batch: Batch, rows: Tensor) -> S:
    """Return the state of ``rows``, in that order.

    :param batch: whose state it is.
    """
    atoms = batch.atoms_of(rows)
    return _mapped(lambda leaf, tensor: tensor[atoms if leaf.per_atom else rows], state)


def cat[S](states: Sequence[S]) -> S:
    """Return the state of the rows of ``states``, in order."""
    return _mapped(lambda _, *tensors: torch.cat(tensors), *states)


def to_columns(state: Any) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return the tensors of ``state`` as arrays by dotted name: those per row, and those per atom."""
    rows: dict[str, Array] = {}
    atoms: dict[str, Array] = {}
    for leaf, tensor in _tensors(state):
        (atoms if leaf.per_atom else rows)[leaf.name] = tensor.cpu().numpy()
    return rows, atoms


def from_columns[S](like: S, rows: Mapping[str, Array], atoms: Mapping[str, Array]) -> S:
    """Return the state whose :func:`to_columns` is (``rows``, ``atoms``).

    :param like: a state of the same kind, of any rows: it gives device, types and shapes.
    :raises ValueError: naming what is missing, unknown, or of another type or shape.
    """
    columns = {**rows, **atoms}
    expected = {leaf.name for leaf, _ in _tensors(like)}
    if columns.keys() != expected:
        raise ValueError(f"it holds {sorted(columns)}, expected {sorted(expected)}")

    def read(leaf: _Leaf, tensor: Tensor) -> Tensor:
        found = torch.as_tensor(columns[leaf.name], device=tensor.device)
        if found.dtype != tensor.dtype or found.shape[1:] != tensor.shape[1:]:
            raise ValueError(
                f"{leaf.name} is {found.dtype} of shape {tuple(found.shape)}, "
                f"expected {tensor.dtype} of shape (*, {', '.join(map(str, tensor.shape[1:]))})"
            )
        return found

    return _mapped(read, like)


@dataclass(frozen=True)
class _Leaf:
    """A tensor of a state.

    :ivar name: dotted, from the outermost state.
    :ivar per_atom: whether it has a row per atom.
    """

    name: str
    per_atom: bool = False

    def of(self, part: Field[Any]) -> _Leaf:
        """Return the leaf that ``part`` of the state here is."""
        return _Leaf(
            f"{self.name}.{part.name}" if self.name else part.name, bool(part.metadata.get("per_atom"))
        )


_ROOT = _Leaf("")


def _mapped[S](function: Callable[..., Tensor], *states: S, leaf: _Leaf = _ROOT) -> S:
    """Return the state whose tensors are ``function(leaf, its tensor in each of states)``."""
    first: Any = states[0]
    if isinstance(first, Tensor):
        mapped: Any = function(leaf, *states)
        return mapped
    values = {
        part.name: _mapped(function, *(getattr(state, part.name) for state in states), leaf=leaf.of(part))
        for part in fields(first)
    }
    return type(first)(**values)


def _tensors(state: Any, leaf: _Leaf = _ROOT) -> Iterator[tuple[_Leaf, Tensor]]:
    """Yield each tensor of ``state`` with its leaf."""
    for part in fields(state):
        value = getattr(state, part.name)
        if isinstance(value, Tensor):
            yield leaf.of(part), value
        else:
            yield from _tensors(value, leaf.of(part))

"""What a job asks of whatever runs its task: a driver of rows, or an expansion of rows into others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from aiida_pet.engine.tasks.workload import Work
from aiida_pet.tables.crystals import StructureTable

if TYPE_CHECKING:
    from aiida_pet.engine.model.base import BatchModel


@dataclass
class Counters:
    """What the heartbeat reports of the work itself."""

    steps: int = 0
    evaluations: int = 0


class Runner(Protocol):
    """The run of a task over the rows of a table."""

    @property
    def in_flight(self) -> int:
        """Rows being worked on."""

    @property
    def counters(self) -> Counters:
        """Steps and evaluations so far."""

    @property
    def work(self) -> Work:
        """What is done and what is left."""

    def run(self) -> bool:
        """Work until every row is finished; return False if it was told to stop while rows were left."""

    def attach(self, folder: Path) -> None:
        """Let the task write files of its own into ``folder``; called before it runs, if there is one."""

    def snapshot(self) -> StructureTable | None:
        """Return the rows that have begun, as given, with their state in the columns; None if a task keeps none."""

    def restore(self, rows: StructureTable) -> None:
        """Let ``rows`` of a :meth:`snapshot` go on from there.

        :raises ValueError: if they are none of a task like this one.
        """


class RunnerClass(Protocol):
    """The class of a :class:`Runner`, which the catalogue of tasks names."""

    def __call__(
        self,
        table: StructureTable,
        model: BatchModel,
        parameters: Any,
        *,
        finished: Callable[[StructureTable], None],
        proceed: Callable[[], bool],
    ) -> Runner:
        """Return the runner of the rows of ``table``.

        :param parameters: parameters of the task, in its schema.
        :param finished: called with each set of rows that finished, statuses and results in their columns.
        :param proceed: called before each step; False stops the run and leaves what is in flight.
        """

"""What a report is made of: a launch, how far it is, its rows as one data frame, its crystals, its stages' tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from aiida.common.links import LinkType
from aiida.orm import ProcessNode, StructureData
from numpy.typing import NDArray

from aiida_pet.calculations.functions import SINGLE_ID
from aiida_pet.campaigns.errors import CampaignError, NoRowsError
from aiida_pet.campaigns.nodes import Named, load
from aiida_pet.campaigns.report import Status, status
from aiida_pet.campaigns.results import Rows, rows
from aiida_pet.campaigns.training import is_training
from aiida_pet.data.structures import StructureSetData
from aiida_pet.data.table import TableData
from aiida_pet.tables.crystals import StructureTable

RESULTS = "results"


class NotReportedError(CampaignError, TypeError):
    """Raised for what a report cannot be made of."""


@dataclass(frozen=True)
class Source:
    """A launch.

    :ivar node: its process.
    :ivar status: how far it is.
    :ivar rows: those that there are so far; None for none.
    :ivar tables: name of a stage -> its table; ``results`` for a launch without stages.
    """

    node: Any
    status: Status
    rows: Rows | None
    tables: Mapping[str, TableData] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What it is called: its label and pk."""
        return f"{self.node.label or self.node.process_label} <{self.node.pk}>"

    @property
    def stages(self) -> list[str]:
        """Names of the stages of a screening, in order; else of its one task."""
        named = [stage.name for stage in self.status.stages]
        return named or [self.task]

    @property
    def task(self) -> str:
        """What it does: the name of its task, ``hull`` or ``screen``."""
        if "task" in self.node.inputs:
            return str(self.node.inputs.task.value)
        return str(self.node.process_type).rpartition(".")[2] or "task"

    @cached_property
    def crystals(self) -> StructureSetData | None:
        """The crystals behind the rows: their own, else those that the launch was given."""
        if self.rows is not None and isinstance(self.rows.table, StructureSetData):
            return self.rows.table
        return self.given

    @cached_property
    def given(self) -> StructureSetData | None:
        """The crystals as they were given; a single one becomes a set of one."""
        if "structures" in self.node.inputs:
            found = self.node.inputs.structures
            return found if isinstance(found, StructureSetData) else None
        if "structure" in self.node.inputs:
            single: StructureData = self.node.inputs.structure
            table = StructureTable.from_ase([(SINGLE_ID, single.get_ase())])
            return StructureSetData.from_table(table)
        return None

    @cached_property
    def frame(self) -> pd.DataFrame:
        """All rows, indexed by id: the columns of one value per row, formula and number of atoms first."""
        if self.rows is None:
            return pd.DataFrame(index=pd.Index([], name="id", dtype=str))
        table = self.rows.table
        shapes = TableData.column_shapes(table.base.attributes.all)
        scalars = {name for name, shape in shapes.items() if len(shape) == 1}
        known = self.rows.column_names
        found = self.rows.frame(columns=[n for n in known if n in scalars or n in ("formula", "n_atoms")])
        if "formula" not in found.columns and self.given is not None:
            place = pd.Index(self.given.ids).get_indexer(found.index)
            if (place >= 0).all():
                found.insert(0, "formula", self.given.formulas(place))
        return found

    @property
    def units(self) -> dict[str, str]:
        """Unit of each column that has one."""
        return dict(self.frame.attrs.get("units", {}))

    def places(self, ids: NDArray[Any]) -> NDArray[np.int64]:
        """Return the places of ``ids`` among the crystals, -1 for those that are not there."""
        if self.crystals is None:
            return np.full(len(ids), -1)
        return pd.Index(self.crystals.ids).get_indexer(pd.Index(ids)).astype(np.int64)

    def table_with(self, column: str) -> TableData | None:
        """Return the last table that has a column, ragged ones included; None if none has it."""
        found = None
        for table in self.tables.values():
            if column in table.column_names or column in table.ragged_names:
                found = table
        return found


def source_of(named: Named) -> Source:
    """Return what a report of a launch is made of.

    :raises NotReportedError: for a training.
    :raises CampaignError: if there is no such launch.
    """
    node: Any = load(named, ProcessNode)
    if is_training(node):
        raise NotReportedError(
            f"<{node.pk}> is a training: there are reports only for launches that compute crystals"
        )
    found = status(node)
    if not isinstance(found, Status):
        raise NotReportedError(f"<{node.pk}> is not a launch that computes crystals")
    try:
        there = rows(node)
    except NoRowsError:
        there = None
    return Source(node, found, there, _tables(node, there))


def _tables(node: Any, there: Rows | None) -> dict[str, TableData]:
    """Return the tables of stages, those of a screening that goes on included; the results come first."""
    found: dict[str, TableData] = {} if there is None else {RESULTS: there.table}
    if "stages" in node.outputs:
        tables = node.outputs.stages
        return found | {name: tables[name] for name in tables}
    if "stages" in node.inputs:
        links = node.base.links.get_outgoing(link_type=LinkType.CALL_WORK).all()
        for link in sorted(links, key=lambda one: (one.node.ctime, one.node.pk)):
            outputs = link.node.outputs
            if "results" in outputs and isinstance(outputs.results, TableData):
                found[link.link_label] = outputs.results
    return found

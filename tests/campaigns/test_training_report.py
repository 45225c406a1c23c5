"""What a finished training says of the rows that it did not use."""

from __future__ import annotations

import numpy as np
import pytest
from aiida import orm
from aiida.common.links import LinkType

from aiida_pet.campaigns.training_report import ROWS, unused_rows
from aiida_pet.data.table import TableData
from aiida_pet.tables.table import Table

pytestmark = pytest.mark.usefixtures("aiida_profile_clean")


def training(*splits: str) -> orm.WorkChainNode:
    table = Table(ids=np.array([f"row-{number}" for number in range(len(splits))]))
    table.set_column("split", np.array(splits))
    rows = TableData.from_table(table).store()
    node = orm.WorkChainNode().store()
    rows.base.links.add_incoming(node, LinkType.RETURN, ROWS)
    return node


def test_rows_that_were_not_used_are_counted_with_what_shows_them():
    node = training("training", "refused", "validation", "refused")
    assert unused_rows(node) == [
        f"2 of 4 rows were not used: `aiida-pet results {node.outputs.rows.pk} --where 'split == refused'` shows why"
    ]


def test_nothing_is_said_where_all_were_used_or_nothing_is_known_yet():
    assert unused_rows(training("training", "validation")) == []
    assert unused_rows(orm.WorkChainNode().store()) == []

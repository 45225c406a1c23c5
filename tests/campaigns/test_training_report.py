"""What a finished training says: of rows that it did not use, its errors, its learning curves."""

from __future__ import annotations

import numpy as np
import pytest
from aiida import orm
from aiida.common.links import LinkType

from aiida_pet.campaigns import rows
from aiida_pet.campaigns.training import errors_of
from aiida_pet.campaigns.training_report import ROWS, learning_curves, unused_rows
from aiida_pet.data.table import TableData
from aiida_pet.tables.table import Table

pytestmark = pytest.mark.usefixtures("aiida_profile_clean")


def training(*splits: str) -> orm.WorkChainNode:
    table = Table(ids=np.array([f"row-{number}" for number in range(len(splits))]))
    table.set_column("split", np.array(splits))
    used = TableData.from_table(table).store()
    node = orm.WorkChainNode().store()
    used.base.links.add_incoming(node, LinkType.RETURN, ROWS)
    return node


def test_rows_that_were_not_used_are_counted_with_what_shows_them():
    node = training("training", "refused", "validation", "refused")
    assert unused_rows(node) == [
        f"2 of 4 rows were not used: `aiida-pet results {node.outputs.rows.pk} --where 'split == refused'` shows why"
    ]


def test_nothing_is_said_where_all_were_used_or_nothing_is_known_yet():
    assert unused_rows(training("training", "validation")) == []
    assert unused_rows(orm.WorkChainNode().store()) == []


def job(launch: orm.WorkChainNode, stage: str, **outputs: TableData) -> orm.CalcJobNode:
    """A job of the training `launch` that did a stage, with outputs that the launch has too."""
    node = orm.CalcJobNode()
    node.set_process_label("TrainCalculation")
    node.base.links.add_incoming(launch, LinkType.CALL_CALC, f"job_{stage}")
    node.base.links.add_incoming(orm.Str(stage).store(), LinkType.INPUT_CALC, "stage")
    node.store()
    for name, table in outputs.items():
        table.base.links.add_incoming(node, LinkType.CREATE, name)
        table.store()
        table.base.links.add_incoming(launch, LinkType.RETURN, f"{name}__{stage}")
    return node


def errors(ids: list[str], **columns: list[float]) -> TableData:
    table = Table(ids=np.array(ids))
    table.set_column("set", np.array(["test"] * len(ids)))
    for name, values in columns.items():
        table.set_column(name, np.array(values), None if name.startswith("z_") else "eV/atom")
    return TableData.from_table(table)


def train_launch() -> orm.WorkChainNode:
    node = orm.WorkChainNode()
    node.set_process_label("TrainWorkChain")
    return node.store()


def test_errors_of_a_calibrated_training_have_its_scale_before_the_errors():
    node = train_launch()
    job(node, "direct", errors=errors(["test"], energy_mae=[9.0]))
    job(node, "conservative", errors=errors(["test", "test W"], energy_mae=[1.0, 2.0]))
    trained = errors_of(node)
    assert (trained.is_stored, trained.column("energy_mae").tolist()) == (True, [1.0, 2.0])
    job(node, "calibrate", errors=errors(["test"], energy_mae=[1.5], z_scale=[1.25], z_std=[1.5]))
    found = errors_of(node).to_dataframe()
    assert list(found.columns) == ["set", "z_scale", "z_std", "energy_mae"]
    assert found.loc["test"].tolist() == ["test", 1.25, 1.5, 1.0]
    assert found.loc["test W", ["z_scale", "z_std"]].isna().all()
    shown = rows(node.pk)
    assert shown.units == {"energy_mae": "eV/atom"}
    assert shown.first_look()[:3] == ["set", "z_scale", "z_std"]


def test_errors_of_a_calibration_alone_have_its_scale_and_without_one_there_is_none():
    node = train_launch()
    assert errors_of(node) is None
    job(node, "calibrate", errors=errors(["test"], energy_mae=[1.5], z_scale=[1.25]))
    assert errors_of(node).to_dataframe().loc["test"].tolist() == ["test", 1.25, 1.5]


def test_learning_curves_are_named_with_the_pk_of_the_table_of_each_stage():
    node = train_launch()
    assert learning_curves(node) == []
    first = job(node, "direct", learning_curve=errors(["direct-00000"], validation_loss=[1.0]))
    job(node, "conservative", learning_curve=errors(["conservative-00000"], validation_loss=[1.0]))
    told = learning_curves(node)
    assert [text.split(" shows ")[1] for text in told] == [
        "the learning curve of the direct stage",
        "the learning curve of the conservative stage",
    ]
    pk = first.outputs.learning_curve.pk
    assert told[0].startswith(f"`aiida-pet results {pk}` ")
    assert rows(pk).ids == ["direct-00000"]
    assert learning_curves(first) == [f"`aiida-pet results {pk}` shows the learning curve"]

"""The launches of a profile that have results: which there are, of which model, and of which crystals.

What our own launches called is left out, and so is a launch whose rows another one took over. Nothing but the database
is asked; no file is read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aiida import orm

from aiida_pet.campaigns.errors import QueryError
from aiida_pet.data.lookup import columns_told_by
from aiida_pet.data.model import PetModelData
from aiida_pet.data.structures import StructureSetData
from aiida_pet.data.table import TableData
from aiida_pet.job.tasks import BATCH, tasks

_OF_MANY_TASKS = (BATCH, "pet.hull", "pet.screen")
"""Entry points of WorkChains that are launched and belong to no single task."""
_TRAININGS = ("aiida.workflows:pet.train",)
_DONE = "done"
_ELEMENTS = "elements"  # of the attributes of what has crystals


def campaign_types() -> list[str]:
    """Return the process types of what is launched."""
    names = dict.fromkeys([*_OF_MANY_TASKS, *(entry.workflow for entry in tasks().values())])
    return [f"aiida.workflows:{name}" for name in names]


class ModelName(NamedTuple):
    """Which model a campaign used."""

    name: str
    sha256: str


@dataclass(frozen=True)
class Campaign:
    """A launch with results, as the database knows it without any file being read.

    :ivar table: pk of the results.
    :ivar attributes: attributes of the results.
    :ivar crystals: pk of the set with the crystals of the rows; the results themselves, where they have them.
    :ivar elements: elements of these crystals.
    """

    pk: int
    label: str
    table: int
    attributes: Mapping[str, Any]
    crystals: int | None
    elements: frozenset[str]
    models: list[ModelName] = field(default_factory=list)

    def column_names(self) -> tuple[str, ...]:
        """Names of the columns that can be asked for: those of the results, formula and n_atoms of the crystals."""
        return tuple(columns_told_by(self.attributes, of_crystals=self.crystals is not None))


def campaigns_with_results(pks: Iterable[int] | None = None) -> list[Campaign]:
    """Return the launches that have results, newest first.

    :param pks: only these, which may be stages of others.
    :raises QueryError: if one of them is no launch with results.
    """
    wanted = None if pks is None else list(pks)
    filters: dict[str, Any] = {"process_type": {"in": campaign_types()}}
    if wanted is not None:
        filters["id"] = {"in": wanted}
    query = orm.QueryBuilder()
    query.append(orm.WorkChainNode, filters=filters, project=["id", "label"], tag="campaign")
    query.append(
        [TableData, StructureSetData],  # types of plugins are not found by those that they derive from
        with_incoming="campaign",
        edge_filters={"label": "results"},
        project=["id", "attributes"],
    )
    query.order_by({"campaign": {"ctime": "desc"}})
    rows = query.all()
    if wanted is None:
        passed_over = _called() | _taken_up({row[0] for row in rows})
        rows = [row for row in rows if row[0] not in passed_over]
    else:
        missing = sorted(set(wanted) - {row[0] for row in rows})
        if missing:
            raise QueryError(
                f"<{missing[0]}> is not a launch with results: `verdi process show` describes it"
            )
    inputs = _crystals_of([row[0] for row in rows if _ELEMENTS not in row[-1]])
    models = models_of([row[0] for row in rows])
    made = []
    for pk, label, table, attributes in rows:
        own = (table, attributes.get(_ELEMENTS))
        crystals, elements = own if _ELEMENTS in attributes else inputs.get(pk, (None, []))
        made.append(
            Campaign(pk, label, table, attributes, crystals, frozenset(elements or ()), models.get(pk, []))
        )
    return made


def top_launches(most: int | None = None) -> list[orm.WorkChainNode]:
    """Return the launches of the profile, the newest first, without what launches called.

    :param most: so many; all if None.
    """
    query = orm.QueryBuilder()
    types = {"process_type": {"in": [*campaign_types(), *_TRAININGS]}}
    query.append(orm.WorkChainNode, filters=types, project="*", tag="launch")
    query.order_by({"launch": {"id": "desc"}})
    called = _called()
    found: list[orm.WorkChainNode] = []
    for (node,) in query.iterall(batch_size=100):
        if node.pk not in called:
            found.append(node)
        if most is not None and len(found) >= most:
            break
    return found


def models_of(pks: Collection[int | None]) -> dict[int | None, list[ModelName]]:
    """Return the models of campaigns by pk: those that they were given, else those that made their crystals."""
    found = _given_models(pks)
    left = [pk for pk in pks if pk not in found]
    if not left:
        return found
    query = orm.QueryBuilder()
    types = {"process_type": {"in": campaign_types()}}
    query.append(orm.WorkChainNode, filters=types, project=["id"], tag="maker")
    query.append(StructureSetData, with_incoming="maker", edge_filters={"label": "results"}, tag="crystals")
    query.append(
        orm.WorkChainNode,
        with_incoming="crystals",
        edge_filters={"label": "structures"},
        filters={"id": {"in": left}},
        project=["id"],
    )
    makers = query.all()
    behind = _given_models({maker for maker, _ in makers})
    for maker, pk in makers:
        found[pk] = list(dict.fromkeys([*found.get(pk, []), *behind.get(maker, [])]))
    return found


def _given_models(pks: Collection[int | None]) -> dict[int | None, list[ModelName]]:
    query = orm.QueryBuilder()
    query.append(PetModelData, project=["attributes.name", "attributes.sha256"], tag="model")
    query.append(
        orm.WorkChainNode,
        with_incoming="model",
        edge_filters={"label": "model"},
        filters={"id": {"in": list(pks)}},
        project=["id"],
    )
    return {pk: [ModelName(name, sha256)] for name, sha256, pk in query.all()} if pks else {}


def _called() -> set[int]:
    """Return the pks of campaigns that are stages of others."""
    types = {"process_type": {"in": campaign_types()}}
    query = orm.QueryBuilder()
    query.append(orm.WorkChainNode, filters=types, tag="caller")
    query.append(orm.WorkChainNode, filters=types, with_incoming="caller", project=["id"])
    return set(query.all(flat=True))


def _taken_up(pks: Collection[int]) -> set[int]:
    """Return the pks of campaigns whose rows are in one of ``pks`` again, which went on where they were stopped."""
    query = orm.QueryBuilder()
    query.append(orm.WorkChainNode, tag="lane", project=["id"])
    query.append(orm.CalcJobNode, with_incoming="lane", tag="job")
    query.append(StructureSetData, with_incoming="job", tag="rows")
    query.append(
        orm.WorkChainNode,
        with_incoming="rows",
        edge_filters={"label": {"like": f"{_DONE}%"}},
        filters={"id": {"in": list(pks)}},
    )
    tops = set()
    for lane in set(query.all(flat=True)) if pks else ():
        node: Any = orm.load_node(pk=lane)
        while node is not None:
            if node.process_type in campaign_types():
                tops.add(node.pk)
            node = node.caller
    return tops


def _crystals_of(pks: Collection[int]) -> dict[int, tuple[int, list[str]]]:
    """Return the sets that campaigns were given, by the pk of the campaign: pk and elements."""
    if not pks:
        return {}
    query = orm.QueryBuilder()
    query.append(StructureSetData, project=["id", f"attributes.{_ELEMENTS}"], tag="crystals")
    query.append(
        orm.WorkChainNode,
        with_incoming="crystals",
        edge_filters={"label": "structures"},
        filters={"id": {"in": list(pks)}},
        project=["id"],
    )
    return {pk: (crystals, elements) for crystals, elements, pk in query.all()}

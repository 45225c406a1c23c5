"""Rows of all campaigns of a profile: by id, formula, elements or a condition on columns.

What is searched are the results of launches that nothing of ours called, so that a row is found once: not again in
jobs, lanes and stages, nor in a campaign that another one took up where it was stopped. Tables are left aside by what
their attributes say (elements, counts, ranges) before any array is read; of the others the columns that matter are.
"""

from __future__ import annotations

import ast
import io
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from aiida import orm
from aiida.manage import get_manager
from ase.data import atomic_numbers
from ase.formula import Formula
from numpy.typing import NDArray

from aiida_pet.data.lookup import columns_in, columns_told_by, frame_columns, read_columns
from aiida_pet.data.model import PetModelData
from aiida_pet.data.structures import StructureSetData
from aiida_pet.data.table import IDS_FILE, TableData
from aiida_pet.tables.columns import searched as searched_first
from aiida_pet.tables.filter import FilterError, conjuncts, filter_frame

CAMPAIGN_TYPES = tuple(
    f"aiida.workflows:pet.{name}" for name in ("batch", "relax", "phonons", "elastic", "hull", "screen")
)
"""Process types of what is launched."""
_KEYS = ("campaign", "label", "model", "id", "formula")
_DONE = "done"
_ELEMENTS = "elements"  # of the attributes of what has crystals
_IMPOSSIBLE: Mapping[type[ast.cmpop], Callable[[float, float, float], bool]] = {
    ast.Lt: lambda low, high, value: low >= value,
    ast.LtE: lambda low, high, value: low > value,
    ast.Gt: lambda low, high, value: high <= value,
    ast.GtE: lambda low, high, value: high < value,
    ast.Eq: lambda low, high, value: not low <= value <= high,
}
_MIRRORED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.Gt,
    ast.LtE: ast.GtE,
    ast.Gt: ast.Lt,
    ast.GtE: ast.LtE,
    ast.Eq: ast.Eq,
}


class QueryError(ValueError):
    """Raised for a question that cannot be answered: a formula that is none, a process that is no launch."""


class ModelName(NamedTuple):
    """Which model a campaign used."""

    name: str
    sha256: str


@dataclass(frozen=True)
class Campaign:
    """A launch with results, as the database knows it without any file being read.

    :ivar table: pk of the results.
    :ivar attributes: of the results.
    :ivar crystals: pk of the set with the crystals of the rows; the results themselves, where they have them.
    :ivar elements: of these crystals.
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


@dataclass(frozen=True)
class Question:
    """What is looked for; what is empty is not asked.

    :ivar ids: any of these.
    :ivar formulas: any of these compositions, whatever the size of the cell.
    :ivar elements: all of these are in the crystal.
    :ivar where: a condition on columns.
    """

    ids: tuple[str, ...] = ()
    formulas: tuple[str, ...] = ()
    elements: tuple[str, ...] = ()
    where: str | None = None

    def __post_init__(self) -> None:
        for text in self.formulas:
            composition_of(text)
        for symbol in self.elements:
            if symbol not in atomic_numbers or symbol == "X":
                raise QueryError(f"{symbol!r} is no element: expected a symbol such as Mo")
        if self.where is not None:
            conjuncts(self.where, pd.DataFrame())


def find_rows(
    *,
    ids: Iterable[str] = (),
    formulas: Iterable[str] = (),
    elements: Iterable[str] = (),
    where: str | None = None,
    campaigns: Iterable[int] | None = None,
    limit: int | None = None,
) -> pd.DataFrame:
    """Return the rows of all campaigns that fulfil everything that is asked, newest campaigns first.

    :param ids: any of these.
    :param formulas: any of these compositions, whatever the size of the cell: ``MoTa`` is Mo2Ta2, too.
    :param elements: all of these are in the crystal, others may be.
    :param where: a condition on columns, see :mod:`aiida_pet.tables.filter`. Campaigns without one of the columns
        have no row that fulfils it, nor has a value that is not finite.
    :param campaigns: pks of the launches to look at; all if not given. A stage may be named here.
    :param limit: stop after so many rows.
    :return: columns ``campaign`` (pk), ``label``, ``model``, ``id``, ``formula``, those of the condition, and of
        the columns that the catalogue searches first those that there are.
    :raises FilterError: if the condition is not understood, or no campaign has its columns.
    :raises QueryError: for what is no formula, no element, or no launch with results.
    """
    question = Question(tuple(ids), tuple(formulas), tuple(elements), where)
    searched = campaigns_with_results(campaigns)
    if question.ids:
        holders = _tables_with(question.ids, [campaign.table for campaign in searched])
        searched = [campaign for campaign in searched if campaign.table in holders]
    found: list[pd.DataFrame] = []
    complaints: list[FilterError] = []
    n_found = 0
    for campaign in searched:
        if limit is not None and n_found >= limit:
            break
        try:
            rows = _rows_of(campaign, question, None if limit is None else limit - n_found)
        except FilterError as error:
            complaints.append(error)
            continue
        if len(rows):
            found.append(rows)
            n_found += len(rows)
    if complaints and len(complaints) == len(searched):
        raise complaints[0]
    if not found:
        return pd.DataFrame(columns=list(_KEYS))
    return pd.concat(found, ignore_index=True)


# -- campaigns ---------------------------------------------------------------------------------------------------------


def campaigns_with_results(pks: Iterable[int] | None = None) -> list[Campaign]:
    """Return the launches that have results, newest first.

    :param pks: only these, which may be stages of others.
    :raises QueryError: if one of them is no launch with results.
    """
    wanted = None if pks is None else list(pks)
    filters: dict[str, Any] = {"process_type": {"in": list(CAMPAIGN_TYPES)}}
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
                f"<{missing[0]}> is no launch with results: `verdi process show` tells what it is"
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


def models_of(pks: Collection[int | None]) -> dict[int | None, list[ModelName]]:
    """Return the models of campaigns by pk: those that they were given, else those that made their crystals."""
    found = _given_models(pks)
    left = [pk for pk in pks if pk not in found]
    if not left:
        return found
    query = orm.QueryBuilder()
    types = {"process_type": {"in": list(CAMPAIGN_TYPES)}}
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
    types = {"process_type": {"in": list(CAMPAIGN_TYPES)}}
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
            if node.process_type in CAMPAIGN_TYPES:
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


def _tables_with(ids: Collection[str], pks: Collection[int]) -> set[int]:
    """Return which of the tables ``pks`` hold one of ``ids``.

    The ids of all of them are read in one go, which for many small tables takes a tenth of the time.
    """
    query = orm.QueryBuilder()
    query.append(
        [TableData, StructureSetData],
        filters={"id": {"in": list(pks)}},
        project=["id", "repository_metadata"],
    )
    tables: dict[str, list[int]] = {}
    for pk, files in query.all() if pks else ():
        tables.setdefault(files["o"][IDS_FILE]["k"], []).append(pk)
    wanted = [text.encode() for text in ids]
    repository = get_manager().get_profile_storage().get_repository()
    found = set()
    for key, stream in repository.iter_object_streams(list(tables)):
        if np.isin(np.load(io.BytesIO(stream.read()), allow_pickle=False), wanted).any():
            found.update(tables[key])
    return found


# -- rows of one campaign ----------------------------------------------------------------------------------------------


def _rows_of(campaign: Campaign, question: Question, limit: int | None) -> pd.DataFrame:
    """Return the rows of a campaign; empty if there are none.

    :raises FilterError: if it lacks a column of the condition.
    """
    names = campaign.column_names()
    columns = list(_read(question.where, names).columns) if question.where is not None else []
    if not _may_hold(campaign, question):
        return pd.DataFrame()
    table: Any = orm.load_node(pk=campaign.table)
    crystals: Any = None
    if campaign.crystals is not None:
        crystals = table if campaign.crystals == campaign.table else orm.load_node(pk=campaign.crystals)
    source = _Rows(table, crystals)
    positions = source.choose(question)
    for where in _read(question.where, names).steps() if question.where is not None else []:
        if not len(positions):
            break
        frame = source.read(columns_in(where, names), positions)
        positions = positions[frame.index.get_indexer(filter_frame(frame, where, names).index)]
    positions = positions[:limit]
    if not len(positions):
        return pd.DataFrame()
    wanted = dict.fromkeys(["formula", *columns, *searched_first(names)])
    shown = [name for name in wanted if name in names and (name == "formula" or name not in _KEYS)]
    frame = source.read(shown, positions).reset_index()
    models = ", ".join(model.name for model in campaign.models)
    frame.insert(0, "campaign", campaign.pk)
    frame.insert(1, "label", campaign.label)
    frame.insert(2, "model", models)
    return frame


def _may_hold(campaign: Campaign, question: Question) -> bool:
    """Return whether a row may be there, as far as attributes tell."""
    if question.where is not None and not _may_fulfil(
        _read(question.where, campaign.column_names()), campaign.attributes
    ):
        return False
    if question.elements and not campaign.elements.issuperset(question.elements):
        return False
    return not question.formulas or any(
        campaign.elements.issuperset(composition_of(text)) for text in question.formulas
    )


class _Rows:
    """The table of a campaign, with the crystals of its rows, which may stand in another node."""

    def __init__(self, table: TableData, crystals: StructureSetData | None) -> None:
        self.table, self.crystals = table, crystals

    def choose(self, question: Question) -> NDArray[np.int64]:
        """Return the positions of the rows with the ids, formulas and elements that are asked for."""
        mask = np.ones(len(self.table), bool)
        if question.ids:
            mask &= np.isin(self.table.ids, list(question.ids))
        if mask.any() and (question.elements or question.formulas):
            mask &= self._has_crystal(question)
        return np.flatnonzero(mask)

    def _has_crystal(self, question: Question) -> NDArray[np.bool_]:
        if self.crystals is None:
            return np.zeros(len(self.table), bool)
        mask = np.ones(len(self.crystals), bool)
        for symbol in question.elements:
            mask &= self.crystals.count_element(symbol) > 0
        if question.formulas:
            mask &= np.any([_is_of(self.crystals, text) for text in question.formulas], axis=0)
        return mask if self.crystals is self.table else np.isin(self.table.ids, self.crystals.ids[mask])

    def read(self, names: Sequence[str], positions: NDArray[np.int64]) -> pd.DataFrame:
        """Return columns of the rows at ``positions``."""
        own = set(frame_columns(self.table))
        frame = read_columns(self.table, [name for name in names if name in own], positions)
        others = [name for name in names if name not in own]
        if others and self.crystals is not None:
            places = pd.Index(self.crystals.ids).get_indexer(frame.index)
            for name, values in read_columns(self.crystals, others, places).items():
                frame[name] = values.to_numpy()
        return frame[list(names)]


def composition_of(text: str) -> dict[str, int]:
    """Return the atoms of a formula by element.

    :raises QueryError: if it is none.
    """
    try:
        counts: dict[str, int] = dict(Formula(text).count())
    except (ValueError, KeyError) as error:
        raise QueryError(f"{text!r} is no formula: expected one such as Mo3Ta") from error
    unknown = [symbol for symbol in counts if symbol not in atomic_numbers or symbol == "X"]
    if unknown or not counts:
        raise QueryError(f"{text!r} is no formula of elements: expected one such as Mo3Ta")
    return counts


def _is_of(crystals: StructureSetData, formula: str) -> NDArray[np.bool_]:
    """Return (N,) whether each crystal has the composition ``formula``."""
    composition = composition_of(formula)
    sizes, total = crystals.row_sizes(), sum(composition.values())
    mask = sizes > 0
    for symbol, count in composition.items():
        mask &= crystals.count_element(symbol) * total == sizes * count
    return mask


class _Condition(NamedTuple):
    """A condition on a table with certain columns.

    :ivar names: the columns of the table.
    :ivar columns: those in the condition.
    :ivar parts: what is joined by `and`.
    """

    names: tuple[str, ...]
    columns: tuple[str, ...]
    parts: tuple[ast.expr, ...]

    def steps(self) -> list[str]:
        """Return conditions to apply one after the other: formulas are made of what is left by the others."""
        of_formulas = [any(_is_formula(node) for node in ast.walk(part)) for part in self.parts]
        groups = (
            [ast.unparse(part) for part, late in zip(self.parts, of_formulas, strict=True) if late is wanted]
            for wanted in (False, True)
        )
        return [" and ".join(f"({text})" for text in group) for group in groups if group]


def _is_formula(node: ast.AST) -> bool:
    return (isinstance(node, ast.Name) and node.id == "formula") or (
        isinstance(node, ast.Constant) and node.value == "formula"
    )


@lru_cache(maxsize=32)
def _read(where: str, names: tuple[str, ...]) -> _Condition:
    """Return what ``where`` says; campaigns of a kind have the same columns.

    :raises FilterError: if it is not understood, or names another column.
    """
    parts = [
        ast.parse(text, mode="eval").body for text, _ in conjuncts(where, pd.DataFrame(columns=list(names)))
    ]
    return _Condition(names, tuple(columns_in(where, names)), tuple(parts))


def may_fulfil(where: str, names: Sequence[str], attributes: Mapping[str, Any]) -> bool:
    """Return whether a row may fulfil ``where``, as far as ranges and counts of the columns tell.

    Looked at are parts, joined by `and`, that compare a column with a constant.

    :param names: of the columns.
    :param attributes: ``ranges`` and ``counts`` of a table.
    :raises FilterError: if the condition is not understood, or names another column.
    """
    return _may_fulfil(_read(where, tuple(names)), attributes)


def _may_fulfil(condition: _Condition, attributes: Mapping[str, Any]) -> bool:
    ranges, counts = attributes.get("ranges") or {}, attributes.get("counts") or {}
    return all(_part_may_hold(part, condition.names, ranges, counts) for part in condition.parts)


def _part_may_hold(
    part: ast.expr,
    names: tuple[str, ...],
    ranges: Mapping[str, Sequence[float]],
    counts: Mapping[str, Mapping[str, int]],
) -> bool:
    if isinstance(part, ast.Name):
        return part.id not in counts or "true" in counts[part.id]
    if not isinstance(part, ast.Compare) or len(part.ops) != 1:
        return True
    left, right, kind = part.left, part.comparators[0], type(part.ops[0])
    if not (isinstance(left, ast.Name) and left.id in names):
        left, right, kind = right, left, _MIRRORED.get(kind, kind)
    if not isinstance(left, ast.Name):
        return True
    if left.id in ranges and kind in _IMPOSSIBLE:
        value = _number(right)
        low, high = ranges[left.id]
        if value is not None and _IMPOSSIBLE[kind](low, high, value):
            return False
    word = _word(right, names) if left.id in counts and kind is ast.Eq else None
    return word is None or word in counts[left.id]


def _number(node: ast.expr) -> float | None:
    try:
        value = ast.literal_eval(node)
    except ValueError:
        return None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _word(node: ast.expr, names: Sequence[str]) -> str | None:
    if isinstance(node, ast.Name):
        return None if node.id in names else node.id
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None

"""Rows of all campaigns of a profile: by id, formula, elements or a condition on columns.

What is searched are the results of launches that nothing of ours called, so that a row is found once: not again in
jobs, lanes and stages, nor in a campaign that another one took up where it was stopped. Tables are left aside by what
their attributes say (elements, counts, ranges) before any array is read; of the others the columns that matter are.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from aiida import orm
from aiida.manage import get_manager
from ase.data import atomic_numbers
from ase.formula import Formula
from numpy.typing import NDArray

from aiida_pet.campaigns.errors import QueryError, WrongNodeError
from aiida_pet.campaigns.launches import Campaign, campaigns_with_results
from aiida_pet.campaigns.nodes import Named, load
from aiida_pet.data.lookup import frame_columns, read_columns
from aiida_pet.data.structures import StructureSetData
from aiida_pet.data.table import IDS_FILE, TableData
from aiida_pet.tables.columns import searched as searched_first
from aiida_pet.tables.components import components_in, whole_of
from aiida_pet.tables.condition_words import slips_in
from aiida_pet.tables.filter import FilterError, columns_in, conjuncts, filter_frame, no_such_column
from aiida_pet.tables.ranges import Condition, read_condition

LOGGER = logging.getLogger(__name__)

_KEYS = ("campaign", "label", "model", "id", "formula")


@dataclass(frozen=True)
class Question:
    """What is looked for; what is empty is not asked.

    :ivar ids: a row must have one of these ids.
    :ivar formulas: a crystal must have one of these compositions, whatever the size of its cell.
    :ivar elements: a crystal must hold all of these elements.
    :ivar where: a condition on columns.
    :ivar columns: columns that are shown of each row; None takes the columns of the condition and the most important
        columns.
    """

    ids: tuple[str, ...] = ()
    formulas: tuple[str, ...] = ()
    elements: tuple[str, ...] = ()
    where: str | None = None
    columns: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for text in self.formulas:
            composition_of(text)
        for symbol in self.elements:
            if symbol not in atomic_numbers or symbol == "X":
                raise QueryError(f"{symbol!r} is no element: expected a symbol such as Mo")
        if self.where is not None:
            conjuncts(self.where, pd.DataFrame())


def find(
    *,
    ids: Iterable[str] = (),
    formulas: Iterable[str] = (),
    elements: Iterable[str] = (),
    where: str | None = None,
    campaigns: Iterable[Named] | None = None,
    limit: int | None = None,
    columns: Iterable[str] | None = None,
) -> pd.DataFrame:
    """Return the rows of all campaigns that fulfil all conditions, newest campaigns first.

    :param ids: a row must have one of these ids.
    :param formulas: a crystal must have one of these compositions, in a cell of any size: ``MoTa`` also finds Mo2Ta2.
    :param elements: a crystal must contain all of these elements, and may contain others.
    :param where: a condition on columns, see :mod:`aiida_pet.tables.filter`. Campaigns without one of the columns are
        left out. Values that are not finite do not fulfil a condition.
    :param campaigns: launches to search, by pk, uuid, label or as nodes; all launches if not given. A stage of a
        screening may be given here.
    :param limit: stop after this number of rows.
    :param columns: columns to return beside launch and id. If a launch does not have a column, its rows have no value
        there.
    :return: columns ``campaign`` (pk), ``label``, ``model``, ``id``, ``formula``, the columns of the condition, and the
        columns that are marked as ``searched`` in the catalogue, if they exist; ``attrs["units"]`` has the units.
    :raises FilterError: if the condition is not understood, or no campaign has its columns.
    :raises QueryError: if a formula or element is wrong, if a launch has no results, or if no launch has a column.

    .. code-block:: python

        from aiida_pet.campaigns import find

        frame = find(elements=["Mo"], where="e_above_hull <= 0.025", limit=10)
        print(frame[["campaign", "id", "formula"]])
    """
    pks = None if campaigns is None else [_pk_of(launch) for launch in campaigns]
    searched = campaigns_with_results(pks)
    chosen = None if columns is None else _columns_named(columns, searched)
    question = Question(tuple(ids), tuple(formulas), tuple(elements), where, chosen)
    _warn_of_slips(where, searched)
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
    frame = pd.concat(found, ignore_index=True)
    frame.attrs["units"] = _units(frame.columns, searched)
    return frame


def _columns_named(names: Iterable[str], campaigns: Iterable[Campaign]) -> tuple[str, ...]:
    """Return ``names``, those with several values per row as their components.

    :raises QueryError: naming the one that is no column of any campaign, and those that it may be a slip of.
    """
    known = list(dict.fromkeys([*_KEYS, *(name for one in campaigns for name in one.column_names())]))
    wholes = components_in(known)
    found: list[str] = []
    for name in names:
        if name not in known and name not in wholes:
            raise QueryError(no_such_column(name, known))
        found += [name] if name in known else wholes[name]
    return tuple(dict.fromkeys(found))


def _warn_of_slips(where: str | None, campaigns: Iterable[Campaign]) -> None:
    """Log the words of the condition that no row can have, but that are close to one that the catalogue knows."""
    if where is None:
        return
    names = {name for one in campaigns for name in one.column_names()}
    for slip in slips_in(where, names):
        LOGGER.warning("%r: %s", where, slip)


def _units(names: Iterable[str], campaigns: Iterable[Campaign]) -> dict[str, str]:
    """Return the units of those of the columns ``names`` that have one in a campaign."""
    known: dict[str, str] = {}
    for campaign in campaigns:
        known |= {name: unit for name, unit in campaign.attributes.get("columns", {}).items() if unit}
    found = {name: known.get(name) or known.get(whole_of(name), "") for name in names}
    return {name: unit for name, unit in found.items() if unit}


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


def _pk_of(launch: Named) -> int:
    try:
        pk: int = load(launch, orm.ProcessNode).pk
    except WrongNodeError as error:
        raise QueryError(f"<{error.pk}> is no launch with results: {error}") from error
    return pk


# -- rows of one campaign ----------------------------------------------------------------------------------------------


def _rows_of(campaign: Campaign, question: Question, limit: int | None) -> pd.DataFrame:
    """Return the rows of a campaign; empty if there are none.

    :raises FilterError: if it lacks a column of the condition.
    """
    names = campaign.column_names()
    condition = None if question.where is None else read_condition(question.where, names)
    if not _may_hold(campaign, question, condition):
        return pd.DataFrame()
    table: Any = orm.load_node(pk=campaign.table)
    crystals: Any = None
    if campaign.crystals is not None:
        crystals = table if campaign.crystals == campaign.table else orm.load_node(pk=campaign.crystals)
    source = _Rows(table, crystals)
    positions = source.choose(question)
    for where in () if condition is None else condition.steps():
        if not len(positions):
            break
        frame = source.read(columns_in(where, names), positions)
        positions = positions[frame.index.get_indexer(filter_frame(frame, where, names).index)]
    positions = positions[:limit]
    if not len(positions):
        return pd.DataFrame()
    asked = () if condition is None else condition.columns
    usual = ("formula", *asked, *searched_first(names))
    wanted = dict.fromkeys(usual if question.columns is None else question.columns)
    shown = [name for name in wanted if name in names and (name == "formula" or name not in _KEYS)]
    frame = source.read(shown, positions).reset_index()
    models = ", ".join(model.name for model in campaign.models)
    frame.insert(0, "campaign", campaign.pk)
    frame.insert(1, "label", campaign.label)
    frame.insert(2, "model", models)
    return frame


def _may_hold(campaign: Campaign, question: Question, condition: Condition | None) -> bool:
    """Return whether a row may be there, as far as attributes tell."""
    if condition is not None and not condition.may_hold(campaign.attributes):
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

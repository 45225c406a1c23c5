"""Questions to the catalogue of columns: units, headings, what is shown first, what a task writes.

A screening gives names a prefix where they would meet (``phonons_status``, ``input_energy``); such a column is what the
name behind the prefix says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from aiida_pet import plugins
from aiida_pet.tables.catalogue import COLUMNS
from aiida_pet.tables.column import (
    EVALUATED,
    INPUT,
    PER_ATOM,
    RAGGED,
    RELAXED,
    SYMPREC,
    Column,
    Kind,
    Section,
    Source,
    symprec_label,
)
from aiida_pet.tables.components import TENSORS, constant_names, whole_of
from aiida_pet.units import VOIGT

__all__ = [
    "COLUMNS",
    "EVALUATED",
    "INPUT",
    "PER_ATOM",
    "RAGGED",
    "RELAXED",
    "REPEATED",
    "Column",
    "Kind",
    "Section",
    "Source",
    "all_columns",
    "columns_of",
    "compared",
    "find_columns",
    "first_look",
    "kinds_of",
    "reasons",
    "scalar_names",
    "searched",
    "section_of",
    "sections",
    "source_names",
    "sources_of",
    "symprec_label",
    "told_in_words",
    "unit_of",
    "units_of",
    "zero_with",
]

_PREFIXES = ("initial", "constrained", "free", "check")
_DERIVED = tuple(source for source in RELAXED if source is not Source.RELAX)  # which relax crystals first
REPEATED: tuple[str, ...] = tuple(column.name for column in COLUMNS if column.repeated)
"""What a later stage of a screening says of its rows under its own name, where an earlier one said it before."""


@plugins.remembered
def _added() -> tuple[Any, ...]:
    """Return the entries of tasks and stages of other packages, of which only names and columns matter here."""
    entries = (*plugins.installed(plugins.TASKS), *plugins.installed(plugins.STAGES))
    return tuple(one for one in entries if getattr(one, "name", None) not in {None, *Source})


def source_names() -> tuple[str, ...]:
    """Return the names of all tasks and stages that write columns, with the names of this package first."""
    return tuple(dict.fromkeys([*(source.value for source in Source), *(one.name for one in _added())]))


@plugins.remembered
def all_columns() -> tuple[Column, ...]:
    """Return the columns of this package and of others, in the order in which people see them."""
    like: dict[str, tuple[str, ...]] = {}
    for one in _added():
        base = getattr(one, "like", "")
        like[base] = (*like.get(base, ()), one.name)
    own = tuple(
        replace(column, sources=_with_alike(column.sources, like), shown=_with_alike(column.shown, like))
        for column in COLUMNS
    )
    further = tuple(
        replace(column, sources=column.sources or (one.name,)) for one in _added() for column in one.columns
    )
    return (*own, *further)


def _with_alike(sources: tuple[str, ...], like: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    return (*sources, *(name for source in sources for name in like.get(source, ())))


def sections() -> tuple[str, ...]:
    """Return the headings under which columns are shown, in order."""
    further = [str(column.section) for column in all_columns()]
    known = [section.value for section in Section if section is not Section.OTHER]
    return tuple(
        dict.fromkeys([*known, *(one for one in further if one != Section.OTHER), Section.OTHER.value])
    )


@plugins.remembered
def find_columns(name: str) -> tuple[Column, ...]:
    """Return what column ``name`` may be: more than one where two tasks mean different things, none if unknown."""
    exact = tuple(column for column in all_columns() if column.pattern.fullmatch(name))
    if exact:
        return exact
    if whole_of(name) in TENSORS and name in constant_names(whole_of(name)):
        return find_columns(whole_of(name))
    stages = (*(source.value for source in _DERIVED), *(one.name for one in _added()))
    rests = [
        name.removeprefix(f"{prefix}_") for prefix in (*_PREFIXES, *stages) if name.startswith(f"{prefix}_")
    ]
    return next((found for rest in rests if rest and (found := find_columns(rest))), ())


def kinds_of(name: str) -> set[Kind]:
    """Return what column ``name`` may hold; in a table flags and counts that are missing are NaN among numbers."""
    return {column.kind for column in find_columns(name)}


def zero_with(name: str) -> str:
    """Return the column in whose rows ``name`` is 0 where a table lacks it; ``id`` for all rows, empty for none."""
    for column in find_columns(name):
        if column.zero_with and column.pattern.fullmatch(name):
            head, _, tail = column.name.partition(SYMPREC)
            return column.zero_with.replace(SYMPREC, name[len(head) : len(name) - len(tail)])
    return ""


def words_of(name: str) -> tuple[str, ...]:
    """Return all values that column ``name`` of texts may have; none where they are not known beforehand."""
    found = find_columns(name)
    return tuple(word for column in found for word in column.words) if all(c.words for c in found) else ()


def unit_of(name: str) -> str:
    """Return the unit of column ``name``, empty for what has none or is not known."""
    return next((column.unit for column in find_columns(name)), "")


def units_of(names: Iterable[str]) -> dict[str, str]:
    """Return name -> unit, for the ``names`` that have a unit."""
    return {name: unit for name in names if (unit := unit_of(name))}


def section_of(name: str, beside: Iterable[str] = ()) -> str:
    """Return the heading under which column ``name`` is shown.

    :param beside: the other columns of the table, which tell what it is of where the name alone does not.
    """
    found = find_columns(name)
    if not found:
        return Section.OTHER
    if len(found) > 1:
        sources = sources_of(beside)
        found = tuple(column for column in found if not sources.isdisjoint(column.sources)) or found
    return found[-1].section


_TOLD_BY = {
    Source.SCREEN: "passed",
    Source.PHONONS: "n_displacements",
    Source.ELASTIC: "n_strains",
    Source.CONDUCTIVITY: "n_fc3_displacements",
    Source.EOS: "n_volumes",
    Source.QHA: "n_qha_volumes",
    Source.HULL: "hull_status",
    Source.RELAX: "n_steps",
    Source.MD: "n_md_steps",
    Source.STATIC: "fmax",
}


def sources_of(names: Iterable[str]) -> set[str]:
    """Return what wrote a table with columns ``names``, as far as these tell."""
    known = set(names)
    found: set[str] = {source for source, name in _TOLD_BY.items() if name in known}
    if not found.isdisjoint(_DERIVED):
        found -= {Source.RELAX}
    for one in _added():
        if getattr(one, "told_by", "") in known:
            found = found - {one.like} | {one.name}
    return found - {Source.STATIC} if len(found) > 1 else found


def columns_of(source: str, parameters: Any = None) -> list[Column]:
    """Return the columns that ``source`` writes of any set with ``parameters``, families as such.

    :param parameters: parameters of the task; None for a source that has none.
    :raises ValueError: if there is no such source.
    """
    return [column for column in _possible(source, parameters) if not column.of_the_set]


def _possible(source: str, parameters: Any) -> list[Column]:
    """Return the columns that ``source`` may write with ``parameters``, whatever the set."""
    if source not in source_names():
        raise ValueError(
            f"no task or stage called {source!r} writes columns: known are {', '.join(source_names())}"
        )
    return [column for column in all_columns() if source in column.sources and column.when(parameters)]


def scalar_names(source: str, parameters: Any = None, symprecs: Sequence[float] = ()) -> list[str]:
    """Return the columns of one value per row that ``source`` may write, as a data frame names them.

    :param parameters: parameters of the task; None for a source that has none.
    :param symprecs: tolerances (A) of the families.
    """
    names: list[str] = []
    for column in _possible(source, parameters):
        if column.shape == ("6",):
            names += [f"{column.name}_{component}" for component in VOIGT]
        elif column.name in TENSORS:
            names += constant_names(column.name)
        elif not column.shape:
            names += column.names(symprecs)
    return names


def first_look(names: Iterable[str]) -> list[str]:
    """Return the ``names`` that people want to see first; none if nothing tells what the table is of."""
    known = list(names)
    sources = sources_of(known)
    further = (one.name for one in _added())
    order = (
        Source.SCREEN,
        *further,
        Source.MD,
        *reversed(_DERIVED),
        Source.HULL,
        Source.RELAX,
        Source.STATIC,
    )
    source = next((one for one in order if one in sources), None)
    return [] if source is None else _listed(known, lambda column: source in column.shown)


def told_in_words(names: Iterable[str]) -> list[str]:
    """Return the ``names`` that speak in words, shown only where they say something."""
    return [name for name in names if any(column.told for column in find_columns(name))]


def reasons(names: Iterable[str], of: str = "") -> list[str]:
    """Return the ``names`` of columns that say why other columns have no value in a row.

    :param of: only those that say so of this column; of all if not given.

    >>> reasons(["kappa_300", "conductivity_skipped", "hull_message"], of="kappa_300")
    ['conductivity_skipped']
    """
    found = [name for name in names if any(column.reason for column in find_columns(name))]
    return found if not of else [name for name in found if section_of(name) == section_of(of)]


def compared(names: Iterable[str]) -> list[str]:
    """Return the ``names`` by which two launches are compared."""
    return _listed(list(names), lambda column: column.compared)


def searched(names: Iterable[str]) -> list[str]:
    """Return the ``names`` that a search over all campaigns shows first."""
    return _listed(list(names), lambda column: column.searched)


USUAL_SYMPREC = 0.01
"""Tolerance (A) whose space group is shown where there is room for one."""


def _listed(names: list[str], chosen: Callable[[Column], bool]) -> list[str]:
    """Return the chosen of ``names`` in the order of the catalogue; of a family the usual tolerance."""
    usual = symprec_label(USUAL_SYMPREC)
    wanted = dict.fromkeys(column.name.replace(SYMPREC, usual) for column in all_columns() if chosen(column))
    known = set(names)
    return [name for name in wanted if name in known]

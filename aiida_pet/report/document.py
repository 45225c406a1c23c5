"""A report as plain values: what the page says, and what its script draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiida_pet.campaigns.errors import NoSuchColumnError
from aiida_pet.campaigns.nodes import Named
from aiida_pet.report.asked import Asked, asked_of
from aiida_pet.report.choices import Choices
from aiida_pet.report.details import details_of
from aiida_pet.report.figure import Figure
from aiida_pet.report.overview import Section, sections_of
from aiida_pet.report.private import without_places
from aiida_pet.report.rows_table import elements, table_of, told_of_rows
from aiida_pet.report.selection import select
from aiida_pet.report.source import Source, source_of
from aiida_pet.words import plural


@dataclass(frozen=True)
class Document:
    """A report.

    :ivar title: title of the page.
    :ivar lead: one sentence below it.
    :ivar written: when, in words.
    :ivar refresh_s: seconds after which an open page reloads itself; None for never.
    :ivar campaigns: what was asked of each launch.
    :ivar sections: figures under headings.
    :ivar notes: what a reader should know.
    :ivar table: rows and crystals, as the script reads them; None without rows.
    :ivar table_text: what the table holds.
    :ivar best_text: which crystals have figures of their own.
    :ivar details: id -> figures of that crystal.
    :ivar goes_on: whether one of the launches is still running.
    """

    title: str
    lead: str
    written: str
    refresh_s: int | None
    campaigns: list[Asked]
    sections: list[Section]
    notes: list[str] = field(default_factory=list)
    table: dict[str, Any] | None = None
    table_text: str = ""
    best_text: str = ""
    details: dict[str, list[Figure]] = field(default_factory=dict)
    goes_on: bool = False

    @property
    def figures(self) -> dict[str, Figure]:
        """Figures of all sections, by name."""
        return {figure.name: figure for section in self.sections for figure in section.figures}

    def data(self) -> dict[str, Any]:
        """Return the data for the script of the page."""
        return {
            "refresh_s": self.refresh_s,
            "figures": {name: figure.to_dict() for name, figure in self.figures.items()},
            "table": self.table,
            "details": {name: [figure.to_dict() for figure in found] for name, found in self.details.items()},
            "elements": elements(),
        }


def make_document(launches: Sequence[Named], choices: Choices | None = None) -> Document:
    """Return the report of launches; rows, hulls and crystals belong to the first launch.

    :param launches: launches by pk, uuid, label or node; the first is shown, and the others are compared with it.
    :raises CampaignError: if a launch does not compute crystals, or a reference cannot be read.

    .. code-block:: python

        from aiida_pet.report import Choices, make_document

        document = make_document(["four metals"], Choices(best=20))
    """
    choices = choices or Choices()
    sources = [source_of(one) for one in launches]
    first = sources[0]
    _check(first, choices)
    running = [source for source in sources if not source.status.progress.finished]
    notes = [
        without_places(source.rows.missing)
        for source in sources
        if source.rows is not None and source.rows.missing
    ]
    sections = sections_of(sources, choices)
    selection = select(first.frame, choices.most_rows, choices.best, choices.sort, choices.ids)
    has_rows = len(first.frame) > 0
    best_ids = [str(one) for one in first.frame.index[selection.best]]
    details = details_of(first, best_ids)
    return Document(
        title=choices.title or _title(sources),
        lead=_lead(first),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        refresh_s=choices.refresh_s if running else None,
        campaigns=[asked_of(source) for source in sources],
        sections=sections,
        notes=notes,
        table=table_of(first, selection.positions, selection.best, selection.total) if has_rows else None,
        table_text=told_of_rows(len(selection.positions), selection.total, first.node.pk),
        best_text=_told_of_best(first, best_ids, choices),
        details=details,
        goes_on=bool(running),
    )


def _check(source: Source, choices: Choices) -> None:
    """Check the columns and ids that are named, as far as there are rows.

    :raises CampaignError: for a column that there is not, or an id that a launch that has ended has not.
    """
    if source.rows is None:
        return
    if choices.sort:
        name = source.rows.known(choices.sort.removeprefix("-"), "sort")
        if name not in source.frame.columns:
            raise NoSuchColumnError(
                f"column {name!r} has several values per row: sort by a column with one value per row", "sort"
            )
    if source.status.progress.finished:
        for row_id in choices.ids:
            source.rows.place(row_id)


def _title(sources: Sequence[Source]) -> str:
    return " and ".join(without_places(source.node.label or source.name) for source in sources)


def _lead(source: Source) -> str:
    progress = source.status.progress
    answered = sum(count for name, count in progress.statuses.items() if name in ("converged", "ok"))
    total = len(source.given) if source.given is not None else progress.rows_total
    parts = [f"{plural(total, 'crystal')} through {', '.join(source.stages)}"]
    if "passed" in source.frame.columns:
        came = int(source.frame["passed"].fillna(False).astype(bool).sum())
        parts.append(f"{came:,} passed all stages")
    elif answered:
        parts.append(f"{answered:,} have an answer")
    if not progress.finished:
        parts.append("the campaign goes on")
    return "; ".join(parts) + "."


def _told_of_best(source: Source, ids: Sequence[str], choices: Choices) -> str:
    if not ids:
        return "No row has an answer yet. Every row can be chosen in the table."
    if choices.sort:
        by = f"by {choices.sort.removeprefix('-')}, {'largest' if choices.sort.startswith('-') else 'smallest'} first"
    else:
        by = (
            "nearest to the hull first"
            if "e_above_hull" in source.frame.columns
            else "in the order of the set"
        )
    return (
        f"{plural(len(ids), 'crystal')} with all their figures, {by}. For every other row the page shows structure "
        "and values."
    )

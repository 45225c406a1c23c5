"""The figures of a whole campaign, under headings."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from aiida_pet.campaigns.references import Reference, load_reference
from aiida_pet.figures import NotDrawnError
from aiida_pet.report.choices import Choices
from aiida_pet.report.dynamics import drift_figures
from aiida_pet.report.figure import Figure
from aiida_pet.report.funnels import funnel_figures, warning_figures
from aiida_pet.report.hulls import hull_figures
from aiida_pet.report.parities import Compared, compared_of, parity_figures
from aiida_pet.report.periodic import element_figures
from aiida_pet.report.source import Source
from aiida_pet.report.symmetry import symmetry_figures
from aiida_pet.report.times import time_figures
from aiida_pet.report.values import value_figures

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Section:
    """Figures under a heading.

    :ivar name: name of the heading, for links to it.
    :ivar title: the heading.
    :ivar text: what is said below it.
    :ivar figures: in their order.
    """

    name: str
    title: str
    text: str = ""
    figures: list[Figure] = field(default_factory=list)


def sections_of(sources: Sequence[Source], choices: Choices) -> list[Section]:
    """Return the figures of launches; sections without figures are left out.

    :raises CampaignError: for a reference that cannot be read.
    :raises NotDrawnError: for a chemical system or a pair that was named and cannot be drawn.
    """
    first = sources[0]
    compared = _compared(sources, choices)
    sections = [
        Section(
            "funnel",
            "The funnel",
            "Number of rows that reached each stage, and why the others did not.",
            _drawn(lambda: funnel_figures(first)),
        ),
        Section(
            "warnings",
            "Warnings",
            "Rows whose results need a second look; docs/warnings.md explains the codes.",
            _drawn(lambda: warning_figures(first)),
        ),
        Section("time", "Where the time went", "", _drawn(lambda: time_figures(first))),
        Section("values", "Values", _told_of_overlay(sources), _drawn(lambda: value_figures(sources))),
        Section(
            "dynamics",
            "Molecular dynamics",
            "The rows with the largest drift. The section of each crystal below shows its trajectory and radial "
            "distribution.",
            drift_figures(first),
        ),
        Section(
            "hulls",
            "Convex hulls",
            "Each point is a row; a click on it shows its crystal below.",
            _hulls(first, choices),
        ),
        Section("symmetry", "Space groups before and after", "", _drawn(lambda: symmetry_figures(first))),
        Section("parity", "Compared", "", _drawn(lambda: parity_figures(compared))),
        Section("elements", "Elements", "", _drawn(lambda: element_figures(first, compared))),
    ]
    return [section for section in sections if section.figures]


def _drawn(make: Callable[[], list[Figure]]) -> list[Figure]:
    """Return what ``make`` does; nothing where rows lack what a figure shows."""
    try:
        return make()
    except NotDrawnError as error:
        logger.debug("%s", error)
        return []


def _hulls(source: Source, choices: Choices) -> list[Figure]:
    """Return the hulls; one that was asked for and cannot be drawn is an error."""
    if choices.systems and source.rows is not None:
        return hull_figures(source, choices.systems)
    return _drawn(lambda: hull_figures(source))


def _compared(sources: Sequence[Source], choices: Choices) -> list[Compared]:
    others = [Reference(source.name, source.frame, units=source.units) for source in sources[1:]]
    if choices.reference is not None:
        others.append(load_reference(choices.reference))
    found: list[Compared] = []
    for other in others:
        found += compared_of(sources[0], other, choices.pairs)
    return found


def _told_of_overlay(sources: Sequence[Source]) -> str:
    return (
        f"Drawn over each other: {', '.join(source.name for source in sources)}." if len(sources) > 1 else ""
    )

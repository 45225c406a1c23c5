"""Reference phases of a hull as options: sets, tables or launches by pk or label, or files."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from aiida_pet.cli.output import note
from aiida_pet.words import plural

if TYPE_CHECKING:
    from aiida_pet.data.table import TableData


def reference_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--reference``, ``--level-of-theory``, ``--level`` and ``--relax-references``."""
    for decorator in (
        click.option(
            "--relax-references",
            metavar="SET|FILE",
            help="Elements and competing phases; they are relaxed first, with the model and settings of the set.",
        ),
        click.option(
            "--level-of-theory",
            default="",
            metavar="TEXT",
            help="Level of theory of files of references, such as PBE, if the entries do not state it. The model must "
            "have the same level.",
        ),
        click.option(
            "--level",
            metavar="NAME",
            help="If a file of references has several levels of theory, keep only entries of this level, such as "
            "r2SCAN.",
        ),
        click.option(
            "--reference",
            "references",
            multiple=True,
            metavar="[NAME=]PK|FILE",
            help="Competing phases: a finished set or launch, or a file with pymatgen entries. May be repeated.",
        ),
    ):
        function = decorator(function)
    return function


def load_references(
    given: Sequence[str], level_of_theory: str, store: bool, level: str | None = None
) -> dict[str, TableData]:
    """Return the references by name.

    :param given: as ``NAME=12``, ``12`` or ``mp.json.gz``.
    :param level_of_theory: level of theory of the energies in files.
    :param store: whether to store those that come from files.
    :param level: of files with entries of several levels of theory, keep those of this one.
    :raises click.ClickException: if one is not there, or cannot be read, or two have one name.
    """
    from aiida_pet.analysis.hull.reference_files import MixedLevelsError
    from aiida_pet.campaigns.phases import load_phases

    found: dict[str, TableData] = {}
    for text in given:
        name, equals, target = text.partition("=")
        if not equals:
            name, target = "", text
        try:
            phases = load_phases(target, level_of_theory=level_of_theory, level=level, store=store)
        except MixedLevelsError as error:
            raise click.ClickException(
                f"{error.what}. --level '{error.levels[0]}' keeps the entries of this level"
            ) from error
        for warning in phases.warnings:
            note(f"Warning: {warning}")
        if phases.from_file and store:
            read = plural(len(phases.node), "reference phase")
            note(f"read {read} of {phases.node.label} as <{phases.node.pk}>")
        name = re.sub(r"\W+", "_", name or phases.name).strip("_") or "references"
        if name in found:
            raise click.BadParameter(
                f"two references are called {name!r}: name them as NAME=...", param_hint="--reference"
            )
        found[name] = phases.node
    return found

"""Reference phases of a hull: a set, table or launch of the profile, or a file of entries."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from aiida_pet.analysis.hull.reference_files import read_references
from aiida_pet.campaigns.errors import UnusableReferenceError
from aiida_pet.campaigns.nodes import Named
from aiida_pet.campaigns.results import rows
from aiida_pet.data.table import TableData


@dataclass(frozen=True)
class Phases:
    """Phases that compete.

    :ivar node: the table of them, an input of a hull.
    :ivar name: what they are called, where nobody says it.
    :ivar from_file: whether they were read from a file now.
    :ivar warnings: what a reader of the file should know.
    """

    node: TableData
    name: str
    from_file: bool = False
    warnings: list[str] = field(default_factory=list)


def load_phases(
    named: Named | Path, *, level_of_theory: str = "", level: str | None = None, store: bool = True
) -> Phases:
    """Return the reference phases in a file, or those of a set, table or launch.

    :param named: a file of pymatgen entries, or a pk, uuid, label or node.
    :param level_of_theory: level of theory of the energies in a file, such as PBE, where entries do not say it.
    :param level: of a file with entries of several levels of theory, keep those of this one.
    :param store: whether a table that is read from a file is stored.
    :raises ReferenceFileError: if a file cannot be read, or has entries of several levels.
    :raises UnusableReferenceError: for a launch that has not all of its rows yet.
    """
    path = Path(named) if isinstance(named, str | Path) else None
    if path is not None and path.is_file() and not str(named).isdecimal():
        references = read_references(path, level_of_theory=level_of_theory, level=level)
        node = TableData.from_table(references.to_table())
        node.label = path.name
        if store:
            node.store()
        return Phases(node, path.name.split(".", 1)[0], from_file=True, warnings=list(references.warnings))
    found = rows(str(named) if isinstance(named, Path) else named)
    if found.missing:
        raise UnusableReferenceError(f"reference {named}: {found.missing}")
    return Phases(found.table, found.table.label or f"references_{found.table.pk}")

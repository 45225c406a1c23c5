"""Files of crystals read into a set that remembers them: where they lay, and of each file the SHA-256.

The same content is the same node: crystals that the profile has under the same ids, with the same columns, are not
stored a second time. The node that is there notes the further files and the further label.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aiida.orm import Node, QueryBuilder

from aiida_pet.data.description import CONTENT
from aiida_pet.data.labels import add_label
from aiida_pet.data.structures import StructureSetData
from aiida_pet.io.crystal import ImportProblem

IMPORTED_FROM = "imported_from"
"""Extra of a set: its files, each with its absolute ``path`` and, unless it is a folder, its ``sha256``."""


def import_files(
    files: Sequence[Path], label: str = "", store: bool = True, **options: Any
) -> tuple[StructureSetData, list[ImportProblem]]:
    """Return a set of the crystals in ``files``, and what was left out of it.

    :param label: label of the set; a set of the same content that is there already gets it as a further one.
    :param store: whether the set is stored, unless the profile has one of the same content, which is returned then.
    :param options: options of :meth:`StructureSetData.from_file`.
    :raises StructureFileError: if a file cannot be read, or holds what cannot be a crystal.
    :raises DuplicateImportError: if an id occurs twice.
    """
    problems: list[ImportProblem] = []
    node = StructureSetData.from_file(files, problems=problems, label=label, **options)
    sources = [_fingerprint(path) for path in files]
    there = same_content(node) if store else None
    if there is not None:
        add_label(there, label)
        known = files_of(there)
        there.base.extras.set(IMPORTED_FROM, [*known, *(one for one in sources if one not in known)])
        return there, problems
    node.base.extras.set(IMPORTED_FROM, sources)
    return (node.store() if store else node), problems


_TOLD = (CONTENT, "columns", "ragged", "atom_columns")
"""Attributes that are equal where content is: the hash of all arrays, ids among them, and the names with units."""


def same_content(node: StructureSetData) -> StructureSetData | None:
    """Return the newest imported set with the crystals, ids and columns of ``node``; None if there is none."""
    attributes = node.base.attributes.all
    query = QueryBuilder()
    filters = {f"attributes.{CONTENT}": attributes[CONTENT], "extras": {"has_key": IMPORTED_FROM}}
    query.append(StructureSetData, filters=filters, project="*", tag="set")
    query.order_by({"set": {"id": "desc"}})
    for (found,) in query.iterall():
        if all(found.base.attributes.get(name, None) == attributes.get(name) for name in _TOLD):
            same: StructureSetData = found
            return same
    return None


def _fingerprint(path: Path) -> dict[str, str]:
    if path.is_dir():
        return {"path": str(path.resolve())}
    with path.open("rb") as handle:
        return {"path": str(path.resolve()), "sha256": hashlib.file_digest(handle, "sha256").hexdigest()}


def files_of(node: Node) -> list[dict[str, str]]:
    """Return the files that a set was imported from, none for what was made otherwise."""
    found: list[dict[str, str]] = node.base.extras.get(IMPORTED_FROM, None) or []
    return found


def distinct(files: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Return ``files``; of files with the same content only the one that was imported last."""
    return list({file.get("sha256", file["path"]): file for file in files}.values())

"""Files of crystals read into a set that remembers them: where they lay, and of each file the SHA-256."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aiida.orm import Node

from aiida_pet.data.structures import StructureSetData
from aiida_pet.io.crystal import ImportProblem

IMPORTED_FROM = "imported_from"
"""Extra of a set: its files, each with its absolute ``path`` and, unless it is a folder, its ``sha256``."""


def import_files(
    files: Sequence[Path], label: str = "", store: bool = True, **options: Any
) -> tuple[StructureSetData, list[ImportProblem]]:
    """Return a set of the crystals in ``files``, and what was left out of it.

    :param store: whether the set is stored.
    :param options: of :meth:`StructureSetData.from_file`.
    :raises StructureFileError: if a file cannot be read, or holds what cannot be a crystal.
    :raises DuplicateImportError: if an id occurs twice.
    """
    problems: list[ImportProblem] = []
    node = StructureSetData.from_file(files, problems=problems, label=label, **options)
    node.base.extras.set(IMPORTED_FROM, [_fingerprint(path) for path in files])
    return (node.store() if store else node), problems


def _fingerprint(path: Path) -> dict[str, str]:
    if path.is_dir():
        return {"path": str(path.resolve())}
    with path.open("rb") as handle:
        return {"path": str(path.resolve()), "sha256": hashlib.file_digest(handle, "sha256").hexdigest()}


def files_of(node: Node) -> list[dict[str, str]]:
    """Return the files that a set was imported from, none for what was made otherwise."""
    found: list[dict[str, str]] = node.base.extras.get(IMPORTED_FROM, None) or []
    return found

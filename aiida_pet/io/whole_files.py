"""Files that are there whole or not at all: written under another name beside their own, then renamed. No AiiDA."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from aiida_pet.io.sources import COMPRESSION


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a name beside ``path`` to write to, and rename it to ``path`` if all went well; else remove it.

    The name cannot be guessed, so that nobody can put a link there in a folder that others may write to.
    """
    part = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def open_whole(path: Path) -> Iterator[TextIO]:
    """Open ``path`` for text, compressed as its name tells; it is replaced when all went well."""
    suffix = path.suffix.lower()
    opener = COMPRESSION.get(suffix, open)
    # gzip's own default, 9, takes several times as long for a few percent
    level = {"compresslevel": 6} if suffix == ".gz" else {}
    with whole_file(path) as part, opener(part, "xt", encoding="utf-8", newline="\n", **level) as handle:
        yield handle

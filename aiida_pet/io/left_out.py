"""Counts what an import left out or changed, for the summary at its end. No AiiDA."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from aiida_pet.words import plural

# So many fields are named in a sentence; all are in `LeftOut.fields`.
_SHOWN = 20


class LeftOut:
    """What readers did not take over, and what they took otherwise than it stood in the file.

    :ivar fields: name of a field -> number of crystals that have it and came in without it.
    :ivar notes: sentence -> number of crystals (or files) that it is true of.
    :ivar files: that were passed over, since their names tell no format.
    :ivar remarks: sentences about files, each said once.
    :ivar mapped: fields that were taken under another name, as ``column_map`` asks.
    """

    def __init__(self) -> None:
        self.fields: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()
        self.files: list[str] = []
        self.remarks: dict[str, None] = {}
        self.mapped: set[str] = set()

    def add(self, name: str) -> None:
        """Count field ``name`` of one crystal."""
        self.fields[name] += 1

    def update(self, names: Iterable[str]) -> None:
        """Count each of ``names``, fields of one crystal, once."""
        self.fields.update(sorted(set(names)))

    def note(self, sentence: str) -> None:
        """Count ``sentence`` for one crystal; it reads well before ``: 3 crystals``."""
        self.notes[sentence] += 1

    def remark(self, sentence: str) -> None:
        """Keep ``sentence``, which is about a file rather than a crystal."""
        self.remarks[sentence] = None

    def merge(self, other: LeftOut) -> None:
        """Add what ``other`` counted."""
        self.fields.update(other.fields)
        self.notes.update(other.notes)
        self.files += other.files
        self.remarks |= other.remarks
        self.mapped |= other.mapped

    def __bool__(self) -> bool:
        return bool(self.fields or self.notes or self.files or self.remarks)

    def lines(self) -> list[str]:
        """Return the sentences of a summary: fields by how often they occur, then notes."""
        lines = []
        if self.files:
            shown = ", ".join(self.files[:5]) + (", ..." if len(self.files) > 5 else "")
            were = "file was" if len(self.files) == 1 else "files were"
            lines.append(f"{len(self.files)} {were} skipped, since their names match no format: {shown}")
        if self.fields:
            named = [f"{name}: {plural(count, 'crystal')}" for name, count in self.fields.most_common(_SHOWN)]
            if len(self.fields) > _SHOWN:
                named.append(f"and {len(self.fields) - _SHOWN} more")
            lines.append(f"left out of the set: {', '.join(named)}")
        lines.extend(f"{sentence}: {plural(count, 'crystal')}" for sentence, count in self.notes.items())
        return [*lines, *self.remarks]

"""Counts what an import left out or changed, for the summary at its end. No AiiDA."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from aiida_pet.words import plural, shortened

# So many fields are named in a sentence; all are in `LeftOut.fields`.
_SHOWN = 20
# So many characters of a value that does not fit.
_LONGEST = 80


@dataclass
class Unfit:
    """Values of a column that are left out since they are not what the column holds.

    :ivar expected: what it holds, in words.
    :ivar first: value of the first crystal, shortened.
    :ivar ids: of all crystals with such a value.
    """

    expected: str
    first: str
    ids: list[str] = field(default_factory=list)


class LeftOut:
    """What readers did not take over, and what they took otherwise than it stood in the file.

    :ivar fields: name of a field -> number of crystals that have it and came in without it.
    :ivar notes: sentence -> number of crystals (or files) that it is true of.
    :ivar files: that were passed over, since their names tell no format.
    :ivar others: file that was passed over, since it holds something else than crystals -> what was expected of it.
    :ivar remarks: sentences about files, each said once.
    :ivar mapped: fields that were taken under another name, as ``column_map`` asks.
    :ivar meanings: name of a field that was left out -> the result that it may be, told by its name and shape.
    :ivar unfit: name of a column -> what has no such value, for columns of which only certain values are taken.
    """

    def __init__(self) -> None:
        self.fields: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()
        self.files: list[str] = []
        self.remarks: dict[str, None] = {}
        self.mapped: set[str] = set()
        self.meanings: dict[str, str] = {}
        self.unfit: dict[str, Unfit] = {}
        self.others: dict[str, str] = {}

    def add(self, name: str, meaning: str = "") -> None:
        """Count field ``name`` of one crystal.

        :param meaning: the result that it may be, ``forces``, ``stress`` or ``virial``.
        """
        self.fields[name] += 1
        if meaning:
            self.meanings.setdefault(name, meaning)

    def update(self, names: Iterable[str]) -> None:
        """Count each of ``names``, fields of one crystal, once."""
        self.fields.update(sorted(set(names)))

    def note(self, sentence: str) -> None:
        """Count ``sentence`` for one crystal; it reads well before ``: 3 crystals``."""
        self.notes[sentence] += 1

    def remark(self, sentence: str) -> None:
        """Keep ``sentence``, which is about a file rather than a crystal."""
        self.remarks[sentence] = None

    def add_unfit(self, name: str, row_id: str, value: Any, expected: str) -> None:
        """Count column ``name`` of crystal ``row_id``, whose value is left out since it is not what is expected."""
        unfit = self.unfit.setdefault(name, Unfit(expected, _told(value)))
        unfit.ids.append(row_id)

    def merge(self, other: LeftOut) -> None:
        """Add what ``other`` counted."""
        self.fields.update(other.fields)
        self.notes.update(other.notes)
        self.files += other.files
        self.remarks |= other.remarks
        self.mapped |= other.mapped
        self.meanings = other.meanings | self.meanings
        for name, unfit in other.unfit.items():
            self.unfit.setdefault(name, Unfit(unfit.expected, unfit.first)).ids.extend(unfit.ids)
        self.others |= other.others

    def __bool__(self) -> bool:
        found = self.fields, self.notes, self.files, self.remarks, self.unfit, self.others
        return any(map(bool, found))

    def lines(self) -> list[str]:
        """Return the sentences of a summary: fields by how often they occur, then notes."""
        lines = []
        if self.files:
            why = "its name matches no format" if len(self.files) == 1 else "their names match no format"
            lines.append(f"{_skipped(self.files)}, since {why}: {_some(self.files)}")
        for why in dict.fromkeys(self.others.values()):
            files = [name for name, reason in self.others.items() if reason == why]
            hold = "it holds no crystals" if len(files) == 1 else "they hold no crystals"
            lines.append(f"{_skipped(files)}, since {hold}: {_some(files)} ({why})")
        if self.fields:
            named = [f"{name}: {plural(count, 'crystal')}" for name, count in self.fields.most_common(_SHOWN)]
            if len(self.fields) > _SHOWN:
                named.append(f"and {len(self.fields) - _SHOWN} more")
            lines.append(f"left out of the set: {', '.join(named)}")
        lines.extend(self.unfit_lines())
        lines.extend(f"{sentence}: {plural(count, 'crystal')}" for sentence, count in self.notes.items())
        return [*lines, *self.remarks]

    def unfit_lines(self) -> list[str]:
        """Return a sentence for each column with values that were left out, naming the crystals."""
        return [
            f"{name} of {plural(len(unfit.ids), 'crystal')} ({shortened(unfit.ids)}) is left out: {unfit.ids[0]} has "
            f"{unfit.first}, expected {unfit.expected}"
            for name, unfit in self.unfit.items()
        ]


def _skipped(files: list[str]) -> str:
    return f"{plural(len(files), 'file')} {'was' if len(files) == 1 else 'were'} skipped"


def _some(files: list[str]) -> str:
    return ", ".join(files[:5]) + (", ..." if len(files) > 5 else "")


def _told(value: Any) -> str:
    text = " ".join(str(value.tolist() if hasattr(value, "tolist") else value).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."

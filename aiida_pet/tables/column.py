"""One column of a table: its facts, and the words in which they are written.

A column whose name depends on a parameter is a family: ``spacegroup_{symprec}`` stands for one column per tolerance of
``symprecs``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

INPUT = "input_"
"""Prefix of a column of the input whose name a stage of the screening uses."""
SYMPREC = "{symprec}"
PER_ATOM = "A"
"""First dimension of a column that has one entry per atom."""
RAGGED = "*"
"""First dimension of a column whose rows differ in length."""
_LABEL = r"\d+(?:_\d+)?(?:e_?\d+)?"


class Section(StrEnum):
    """Under which heading a column is shown, in the order of the headings; other packages add headings of their own."""

    STATUS = "status"
    RELAXATION = "relaxation"
    SYMMETRY = "symmetry"
    HULL = "hull"
    PHONONS = "phonons"
    ELASTIC = "elastic"
    CONDUCTIVITY = "conductivity"
    EOS = "eos"
    QHA = "qha"
    DYNAMICS = "dynamics"
    OTHER = "other"


class Kind(StrEnum):
    """Type of the values of a column."""

    NUMBER = "number"
    COUNT = "count"
    FLAG = "flag"
    TEXT = "text"


class Source(StrEnum):
    """What writes a column in this package: a task of the engine, or a step of the plugin."""

    STATIC = "static"
    RELAX = "relax"
    PHONONS = "phonons"
    ELASTIC = "elastic"
    CONDUCTIVITY = "conductivity"
    EOS = "eos"
    QHA = "qha"
    MD = "md"
    SYMMETRY = "symmetry"
    HULL = "hull"
    COMBINED = "combined"  # two relaxations made one
    MODES = "modes"  # modes that were followed
    SCREEN = "screen"  # the final table of a screening


RELAXED = (
    Source.RELAX,
    Source.PHONONS,
    Source.ELASTIC,
    Source.CONDUCTIVITY,
    Source.EOS,
    Source.QHA,
)
"""What relaxes crystals, so that its tables say where each began."""
EVALUATED = (Source.STATIC, *RELAXED, Source.MD)


def _always(_: Any) -> bool:
    return True


@dataclass(frozen=True)
class Column:
    """A column, or a family of columns.

    :ivar name: as in the table; ``{symprec}`` stands for the label of a tolerance.
    :ivar meaning: one sentence for people.
    :ivar unit: empty for what has none.
    :ivar shape: shape of the value of a row: ``()`` one value, ``("6",)`` six of them, ``("A", "3")`` three per atom,
        ``("*", "3", "3")`` matrices, as many as the row has.
    :ivar kind: type of the values.
    :ivar section: heading under which it is shown, of :class:`Section` or one of its own.
    :ivar sources: what writes it, of :class:`Source` or the task or stage of another package; empty in an entry of such
        a package, whose task or stage it is then.
    :ivar when: whether it exists, given the parameters of the task (an object with one attribute per parameter).
    :ivar of_the_set: whether it exists only if the input set has what it needs, which parameters do not tell: a
        condition may name it all the same.
    :ivar shown: tables in which people see it first, named by their source.
    :ivar compared: whether two launches are compared by it.
    :ivar searched: whether a search over all campaigns shows it first.
    :ivar repeated: whether a later stage of a screening says it again under its own name.
    :ivar told: whether it speaks in words, so that it is shown only where it says something.
    :ivar reason: whether it says why other columns of its section have no value in a row; empty where they have one.
    :ivar zero_with: of a count that is 0 where a table lacks it: the column that tells by its values in which rows,
        ``id`` for all of them. Empty for a column that is missing where a table lacks it.
    :ivar words: all values that a column of texts may have, each alone or several with blanks between them; empty where
        they are not known beforehand.
    """

    name: str
    meaning: str
    unit: str = ""
    shape: tuple[str, ...] = ()
    kind: Kind = Kind.NUMBER
    section: str = Section.OTHER
    sources: tuple[str, ...] = ()
    when: Callable[[Any], bool] = _always
    of_the_set: bool = False
    shown: tuple[str, ...] = ()
    compared: bool = False
    searched: bool = False
    repeated: bool = False
    told: bool = False
    reason: bool = False
    zero_with: str = ""
    words: tuple[str, ...] = ()

    @property
    def is_family(self) -> bool:
        """Whether there is one column for each tolerance."""
        return SYMPREC in self.name

    def names(self, symprecs: Iterable[float] = ()) -> list[str]:
        """Return the names that it has at the tolerances ``symprecs`` (A)."""
        if not self.is_family:
            return [self.name]
        return [self.name.replace(SYMPREC, symprec_label(symprec)) for symprec in symprecs]

    @property
    def along(self) -> str:
        """The column at whose values those of a curve stand, as its meaning says; empty for what is no curve."""
        found = re.search(r"\bat `(\w+)`", self.meaning)
        return found[1] if found and len(self.shape) == 1 else ""

    @property
    def pattern(self) -> re.Pattern[str]:
        """Expression that matches exactly the names of the column."""
        return re.compile(re.escape(self.name).replace(re.escape(SYMPREC), _LABEL))


def symprec_label(symprec: float) -> str:
    """Return the suffix of columns at tolerance ``symprec`` (A), usable in queries: 0.01 -> ``0_01``.

    All its digits are in it, so that two tolerances never share a label.
    """
    return f"{Decimal(repr(float(symprec))):f}".removesuffix(".0").replace(".", "_")

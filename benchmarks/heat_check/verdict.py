"""What a part of the check found, and how it is printed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """One comparison.

    :ivar name: of the crystal, or of what was compared.
    :ivar found: in words, with units.
    :ivar good: whether it is within its bound; None where there is no bound.
    """

    name: str
    found: str
    good: bool | None = None

    def __str__(self) -> str:
        word = {True: "yes", False: "NO", None: ""}[self.good]
        return f"{word:3} {self.name:12} {self.found}"

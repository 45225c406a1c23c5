"""What the demo says of known phases: which it found, which order of polymorphs, moduli beside published ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from known_phases import Moduli, Phase
from tabulate import tabulate

Row = Mapping[str, Any]

FOUND_WITHIN = 0.010
"""eV/atom above the hull; gaps below are smaller than what separates published calculations."""
OFF_BY = 0.30
"""Of a published modulus; more than this is told apart."""
ROUGH = frozenset({"rough", "extrapolated", "volume_change"})


@dataclass(frozen=True)
class Judged:
    """A known phase and what the screening made of it.

    :ivar phase: the known one.
    :ivar above: eV/atom above the hull; None if its row has no place on it.
    :ivar rival: id of the lowest other phase of the same composition, None if there is none.
    :ivar gap: eV/atom by which the rival lies above the known phase; negative where the rival is lower.
    """

    phase: Phase
    above: float | None
    rival: str | None
    gap: float | None

    @property
    def is_found(self) -> bool:
        """Whether the phase is on the hull, or within 10 meV/atom of it."""
        return self.above is not None and self.above <= FOUND_WITHIN

    @property
    def word(self) -> str:
        """``found``, ``missed``, or why nothing can be said."""
        if self.above is None:
            return "no answer"
        return "found" if self.is_found else "missed"


def judged(rows: Sequence[Row], phases: Sequence[Phase]) -> list[Judged]:
    """Judge each known phase by the rows of a screening.

    :param rows: with ``id``, ``status``, ``e_above_hull`` (eV/atom) and ``energy_per_atom`` (eV).
    :param phases: all that were screened, competitors too.
    """
    by_id = {row["id"]: row for row in rows}
    found = []
    for phase in phases:
        if not phase.is_known:
            continue
        row = by_id.get(phase.id, {})
        rivals = [
            (by_id[other.id]["energy_per_atom"], other.id)
            for other in phases
            if other.formula == phase.formula and other.id != phase.id and _has_energy(by_id.get(other.id))
        ]
        lowest = min(rivals, default=None)
        gap = lowest[0] - row["energy_per_atom"] if lowest and _has_energy(row) else None
        found.append(Judged(phase, row.get("e_above_hull"), lowest[1] if lowest else None, gap))
    return found


def _has_energy(row: Row | None) -> bool:
    return row is not None and row.get("energy_per_atom") is not None


def phases_table(found: Sequence[Judged]) -> str:
    """Return the known phases beside the nearest competitor of the same composition."""
    lines = [
        [
            one.phase.id,
            one.word,
            "-" if one.above is None else f"{1e3 * one.above:.0f}",
            one.rival or "-",
            "-" if one.gap is None else f"{1e3 * one.gap:+.0f}",
        ]
        for one in found
    ]
    headers = ["known phase", "", "above hull\nmeV/atom", "next of its composition", "higher by\nmeV/atom"]
    return tabulate(lines, headers=headers, tablefmt="simple", disable_numparse=True)


def sums(found: Sequence[Judged]) -> str:
    """Return how many known phases were found and missed, in a sentence."""
    hits = sum(one.is_found for one in found)
    missed = [one.phase.id for one in found if one.word == "missed"]
    silent = [one.phase.id for one in found if one.word == "no answer"]
    told = f"{hits} of {len(found)} known phases lie on the hull or within {1e3 * FOUND_WITHIN:.0f} meV/atom of it"
    told += f"; missed: {', '.join(missed)}" if missed else ""
    return told + (f"; without an answer: {', '.join(silent)}" if silent else "")


def moduli_table(rows: Sequence[Row], phases: Sequence[Phase]) -> str:
    """Return bulk and shear moduli of rows beside the published ones, and the warnings of the rows."""
    lines = [
        [
            name,
            *_pair(row["bulk_modulus"], published.bulk),
            *_pair(row["shear_modulus"], published.shear),
            " ".join(str(row.get("warnings") or "").split()),
        ]
        for name, row, published in _with_moduli(rows, phases)
    ]
    headers = ["crystal", "K", "published\nGPa", "off", "G", "published\nGPa", "off", "warnings"]
    return tabulate(lines, headers=headers, tablefmt="simple", disable_numparse=True)


def _with_moduli(rows: Sequence[Row], phases: Sequence[Phase]) -> Iterator[tuple[str, Row, Moduli]]:
    """Yield id, row and published moduli of the phases that have both."""
    by_id = {row["id"]: row for row in rows}
    for phase in phases:
        row = by_id.get(phase.id)
        if phase.moduli is not None and row is not None and row.get("bulk_modulus") is not None:
            yield phase.id, row, phase.moduli


def _pair(value: float, published: float) -> tuple[str, str, str]:
    off = value / published - 1
    return f"{value:.0f}", f"{published:.0f}", f"{100 * off:+.0f} %" + (" !" if abs(off) > OFF_BY else "")


def silent_errors(rows: Sequence[Row], phases: Sequence[Phase]) -> list[str]:
    """Return ids of crystals with a modulus off by more than 30 % and no warning beside it."""
    found = []
    for name, row, published in _with_moduli(rows, phases):
        ratios = (row["bulk_modulus"] / published.bulk, row["shear_modulus"] / published.shear)
        warned = ROUGH & set(str(row.get("warnings") or "").split())
        if any(abs(ratio - 1) > OFF_BY for ratio in ratios) and not warned:
            found.append(name)
    return found

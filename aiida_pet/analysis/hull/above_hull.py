"""Formation energies, energies above the convex hull and decomposition products of the rows of a table.

Two hulls can be asked for. ``all``: references and rows together make the hull, which is what a search for new phases
wants: no energy is negative, it is 0 for what is stable. ``references``: the hull is made of the references alone, and
a row below it has a negative energy, by which it would lower the hull; rows do not compete with each other. This is how
matbench-discovery sets candidates against the Materials Project (Riebesell et al., Nat. Mach. Intell. 7, 836 (2025)).

With ``all`` there is also the phase separation energy: the distance to the hull of everything of another composition,
negative for what is stable, by so much (Bartel et al., npj Comput. Mater. 6, 97 (2020); pymatgen's
``get_phase_separation_energy``). For a composition that has no phase on the hull it is the energy above the hull.

Crystals that were relaxed under pressure compete by their enthalpies, all at one pressure; energies may carry the
Materials Project's corrections of 2020. The column ``hull_of`` says what was compared.

Energies are in eV/atom. Formation energies refer to the lowest phase of each element among those that make the hull.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aiida_pet.analysis.hull.competing import Competing, competing_energies
from aiida_pet.analysis.hull.compositions import Compositions, element_names
from aiida_pet.analysis.hull.ensemble import spread
from aiida_pet.analysis.hull.levels_of_theory import (
    CorrectionKind,
    Theory,
    check_theories,
    corrected_theory,
    has_corrections,
    is_corrected,
    theory_in,
    to_correct,
)
from aiida_pet.analysis.hull.mp2020 import Corrections, can_be_corrected
from aiida_pet.analysis.hull.phases import PhaseSet, System
from aiida_pet.analysis.hull.references import References, converged, departures_of
from aiida_pet.tables.columns import units_of
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.table import Array, Table

# What is nearer to the hull than this is on it, in eV/atom, and amounts below it are none: pymatgen's
# PhaseDiagram.numerical_tol.
NUMERICAL_TOLERANCE = 1e-8


class HullKind(StrEnum):
    """What makes the hull."""

    ALL = "all"
    REFERENCES = "references"


class HullStatus(StrEnum):
    """Whether a row has an energy above hull, and if not why."""

    OK = "ok"
    NO_REFERENCE = "no_reference"  # one of its elements has no reference
    NOT_CONVERGED = "not_converged"  # the row has no answer to start from
    NO_ENERGY = "no_energy"  # its energy is not finite, or it has no atoms


@dataclass(frozen=True)
class HullResult:
    """Energies above hull of N rows.

    :ivar table: columns ``formation_energy``, ``e_above_hull``, with the hull of everything
        ``phase_separation_energy`` (eV/atom, NaN without an answer), ``is_stable`` (bool; 1, 0, NaN where some have no
        answer), ``decomposition`` (text: atomic fractions, formulas and ids of the products, largest first),
        ``decomposition_amounts`` ((N, L), the fractions in the same order, then zeros; NaN without an answer),
        ``hull_status``, ``hull_message``, ``hull_of`` (what competes: ``energy``, ``enthalpy at 60 GPa + correction``),
        ``correction`` (eV per cell; NaN without an answer) and ``correction_terms`` (its parts).
    :ivar summary: counts and levels of theory as plain values.
    :ivar warnings: what the user should know, in words.
    """

    table: Table
    summary: dict[str, Any]
    warnings: list[str]


def energies_above_hull(
    table: StructureTable,
    references: References | None = None,
    *,
    hull: HullKind | str = HullKind.ALL,
    theory: Theory | None = None,
    force_mixture: bool = False,
    stability_threshold: float = 0.0,
    column: str = "energy",
    label: str = "structures",
    pressure: float | None = None,
    corrections: CorrectionKind | str = CorrectionKind.AUTO,
    count_unconverged: bool = False,
) -> HullResult:
    """Return how far each row of ``table`` is above the hull, and what it decomposes into.

    Rows that did not converge, or hold an element that no reference covers, are in the result without numbers.

    :param table: with energies in eV per cell; only rows whose ``status`` is converged (if there is one) count.
    :param references: elements and competing phases; None if the rows themselves hold all of them.
    :param hull: what makes the hull.
    :param theory: level of theory of the rows; None takes their column ``level_of_theory``, if there is one.
    :param force_mixture: compare levels of theory that differ nevertheless.
    :param stability_threshold: eV/atom; up to this energy above the hull a row counts as stable.
    :param label: names the rows in messages.
    :param pressure: GPa, at which the rows were relaxed, where something else than the table says so.
    :param corrections: whether the rows get the Materials Project's corrections of 2020.
    :param count_unconverged: give numbers to rows as well whose relaxation ran out of steps, as matbench-discovery
        counts them; only where these rows do not make the hull.
    :raises MixedTheoryError: if rows and references are of different levels of theory or models, or the rows need
        corrections that are not for their level.
    :raises PressureError: if rows and references were relaxed at different pressures.
    :raises ValueError: if there are no energies, or no references where only they make the hull.

    >>> from ase.build import bulk
    >>> from aiida_pet.io.from_python import table_of_crystals
    >>> table = table_of_crystals({"Mo": bulk("Mo"), "W": bulk("W"), "MoW": bulk("MoW", "cesiumchloride", a=3.16)})
    >>> table.set_column("energy", [-10.8, -12.9, -23.8], "eV")  # of the cells
    >>> result = energies_above_hull(table)
    >>> result.table.columns["formation_energy"].round(3).tolist()
    [0.0, 0.0, -0.05]
    """
    hull = HullKind(hull)
    if hull is HullKind.REFERENCES and references is None:
        raise ValueError("hull = 'references' needs references: give references, or use hull = 'all'")
    if count_unconverged and hull is HullKind.ALL:
        raise ValueError(
            "count_unconverged = true needs hull = 'references': a hull of the set itself cannot hold crystals that "
            "did not converge"
        )
    theories = {label: theory or theory_in(table.columns)} | (references.theories if references else {})
    if has_corrections(table.columns):
        theories[label] = corrected_theory(theories[label])
    elif not can_be_corrected(Compositions.of_table(table)).any():
        theories[label] = replace(theories[label], neutral=not is_corrected(theories[label].level))
    correct = label in to_correct(theories, [label], corrections, force_mixture)
    competing = competing_energies(table, label, pressure=pressure, column=column, correct=correct)
    if correct:
        theories[label] = corrected_theory(theories[label])
    warnings = check_theories(theories, force_mixture) + (references.warnings if references else [])
    if references is not None:
        references.check_pressure(competing.pressure)

    rows = _Rows.of_table(table, competing, count_unconverged)
    phases, row_of_phase, name_of = _gather(rows, table.ids, references, hull)
    missing = rows.find_missing(phases)
    columns = _evaluate(rows, phases, row_of_phase, hull, name_of)
    columns |= _spread(rows, departures_of(table), references, hull, stability_threshold)
    units = units_of(columns)
    columns["is_stable"] = _is_stable(columns["e_above_hull"], stability_threshold)
    columns |= {"hull_status": rows.status.astype(str), "hull_message": np.array(rows.message, dtype=str)}
    columns["hull_of"] = np.full(len(table), competing.words)
    added = competing.corrections or Corrections(np.zeros(len(table)), [""] * len(table))
    columns["correction"] = np.where(rows.status == HullStatus.OK.value, added.values, np.nan)
    columns["correction_terms"] = np.array(added.terms, dtype=str)
    units["correction"] = "eV"
    result = Table(table.ids, columns, units)
    if missing:
        warnings.append(f"no reference for {element_names(missing)}")
    summary = _summary(result, hull, theories, references, missing)
    summary |= {"compared": competing.words, "pressure": competing.pressure, "warnings": warnings}
    return HullResult(result, summary, warnings)


@dataclass
class _Rows:
    """The rows of a table, and which of them have an answer."""

    compositions: Compositions
    energy_per_atom: NDArray[np.float64]
    systems: list[System]
    system_of: NDArray[np.int64]
    status: Array
    message: list[str]

    @classmethod
    def of_table(cls, table: StructureTable, competing: Competing, count_unconverged: bool) -> _Rows:
        compositions = Compositions.of_table(table)
        energies = competing.values
        per_atom = energies / np.where(table.n_atoms > 0, table.n_atoms, np.nan)
        status = np.where(np.isfinite(per_atom), HullStatus.OK.value, HullStatus.NO_ENERGY.value).astype(
            "U16"
        )
        status[~converged(table, or_out_of_steps=count_unconverged)] = HullStatus.NOT_CONVERGED.value
        message = [""] * len(table)
        for row in np.flatnonzero(status != HullStatus.OK.value).tolist():
            if status[row] == HullStatus.NOT_CONVERGED.value:
                message[row] = f"status {table.columns['status'][row]}: expected converged"
            else:
                message[row] = (
                    f"{competing.column} {energies[row]} eV of {table.n_atoms[row]} atoms: expected a finite value "
                    "and at least one atom"
                )
                terms = competing.corrections.terms[row] if competing.corrections else ""
                if terms and np.isnan(competing.corrections.values[row]):  # type: ignore[union-attr]
                    message[row] = f"its energy cannot be corrected: {terms}"
        systems, system_of = compositions.systems()
        return cls(compositions, per_atom, systems, system_of, status, message)

    @property
    def usable(self) -> NDArray[np.int64]:
        """Positions of the rows that have an answer so far."""
        return np.flatnonzero(self.status == HullStatus.OK.value)

    def find_missing(self, phases: PhaseSet) -> list[int]:
        """Mark the rows some of whose elements have no phase, and return these elements, ascending."""
        missing: set[int] = set()
        lacking = {number: phases.missing(system) for number, system in enumerate(self.systems)}
        for row in self.usable.tolist():
            elements = lacking[int(self.system_of[row])]
            if elements:
                missing.update(elements)
                self.status[row] = HullStatus.NO_REFERENCE.value
                self.message[row] = f"no reference for {element_names(elements)}"
        return sorted(missing)

    def by_system(self) -> list[tuple[System, NDArray[np.int64]]]:
        """Return the rows with an answer, by chemical system, small systems first."""
        usable = self.usable
        order = usable[np.argsort(self.system_of[usable], kind="stable")]
        parts = np.split(order, np.flatnonzero(np.diff(self.system_of[order])) + 1)
        groups = [(self.systems[int(self.system_of[part[0]])], part) for part in parts if len(part)]
        return sorted(groups, key=lambda group: len(group[0]))


def _gather(
    rows: _Rows, ids: Array, references: References | None, hull: HullKind
) -> tuple[PhaseSet, NDArray[np.int64], Callable[[int], str]]:
    """Return the phases that make the hull, (M,) the row of each (-1 for a reference), and their names."""
    parts: list[Compositions] = []
    energies: list[NDArray[np.float64]] = []
    row_of_phase: list[NDArray[np.int64]] = []
    names: list[Array] = []
    if references is not None:
        parts.append(references.compositions)
        energies.append(references.energy_per_atom)
        row_of_phase.append(np.full(len(references), -1))
        shared = np.isin(references.ids, ids)  # which of the two is meant must be seen
        named = np.char.add(np.char.add(references.source, ":"), references.ids)
        names.append(np.where(shared, named, references.ids) if hull is HullKind.ALL else references.ids)
    if hull is HullKind.ALL:
        usable = rows.usable
        parts.append(rows.compositions.take(usable))
        energies.append(rows.energy_per_atom[usable])
        row_of_phase.append(usable)
        names.append(ids[usable])
    compositions = Compositions.concatenate(parts)
    all_names = np.concatenate(names)

    def name_of(phase: int) -> str:
        formula = next(compositions.take(np.array([phase])).formulas())
        return f"{formula} ({all_names[phase]})"

    return PhaseSet(compositions, np.concatenate(energies)), np.concatenate(row_of_phase), name_of


def _evaluate(
    rows: _Rows, phases: PhaseSet, row_of_phase: Array, hull: HullKind, name_of: Callable[[int], str]
) -> dict[str, Array]:
    """Work out the columns, one chemical system after the other."""
    n_rows, width = rows.compositions.numbers.shape
    formation = rows.energy_per_atom - rows.compositions.weighted(phases.element_energies)
    formation[rows.status != HullStatus.OK.value] = np.nan
    above, separation = np.full(n_rows, np.nan), np.full(n_rows, np.nan)
    texts = [""] * n_rows
    amounts = np.where((rows.status == HullStatus.OK.value)[:, None], np.zeros((n_rows, width)), np.nan)
    phase_of_row = np.full(n_rows, -1)
    is_row = row_of_phase >= 0
    phase_of_row[row_of_phase[is_row]] = np.flatnonzero(is_row)
    names: dict[int, str] = {}
    for system, members in rows.by_system():
        found, vertices = phases.decompose(system, rows.compositions.fractions_of(members)[:, : len(system)])
        above[members] = formation[members] - found.energy
        separation[members] = above[members]
        if hull is HullKind.ALL:
            above[members] = np.maximum(above[members], 0.0)  # rounding; what makes the hull is not below it
            for vertex in vertices.tolist():
                alike = members[phases.alike(vertex, phase_of_row[members])]
                if len(alike):
                    separation[alike] = formation[alike] - phases.energy_without(system, vertex)
        for row, products, parts in zip(
            members.tolist(), found.products.tolist(), found.amounts.tolist(), strict=True
        ):
            pairs = sorted(
                ((part, p) for p, part in zip(products, parts, strict=True) if part > NUMERICAL_TOLERANCE),
                key=lambda pair: (-pair[0], pair[1]),
            )
            for _, phase in pairs:
                if phase not in names:
                    names[phase] = name_of(phase)
            texts[row] = " + ".join(f"{_figures(part)} {names[phase]}" for part, phase in pairs)
            amounts[row, : len(pairs)] = [part for part, _ in pairs]
    columns: dict[str, Array] = {"formation_energy": formation, "e_above_hull": above}
    if hull is HullKind.ALL:
        columns["phase_separation_energy"] = separation
    return columns | {"decomposition": np.array(texts, dtype=str), "decomposition_amounts": amounts}


def _spread(
    rows: _Rows,
    departures: NDArray[np.float64],
    references: References | None,
    hull: HullKind,
    threshold: float,
) -> dict[str, Array]:
    """Return how sure the energies above the hull are, if the rows have an ensemble of energies; {} if not."""
    if not departures.shape[1]:
        return {}

    def above(of_rows: NDArray[np.float64], of_references: NDArray[np.float64]) -> NDArray[np.float64]:
        changed = replace(rows, energy_per_atom=rows.energy_per_atom + of_rows)
        others = references
        if others is not None:
            others = replace(others, energy_per_atom=others.energy_per_atom + of_references)
        phases, row_of_phase, name_of = _gather(changed, np.arange(len(of_rows)).astype(str), others, hull)
        return _evaluate(changed, phases, row_of_phase, hull, name_of)["e_above_hull"]

    of_references = np.zeros((0, 0)) if references is None else references.departures
    return {**spread(above, (departures, of_references), threshold + NUMERICAL_TOLERANCE)}


def _is_stable(above: Array, threshold: float) -> Array:
    """Return (N,) bool, or 1, 0 and NaN where some are not known."""
    known = np.isfinite(above)
    stable: Array = above <= threshold + NUMERICAL_TOLERANCE
    return stable if known.all() else np.where(known, stable, np.nan)


def _figures(amount: float) -> str:
    return f"{amount:.2f}" if amount >= 0.005 else f"{amount:.1g}"


def _summary(
    result: Table,
    hull: HullKind,
    theories: dict[str, Theory],
    references: References | None,
    missing: list[int],
) -> dict[str, Any]:
    statuses = Counter(result.columns["hull_status"].tolist())
    return {
        "rows": len(result),
        "stable": int(np.nansum(result.columns["is_stable"])),
        "statuses": dict(statuses),
        "no_reference": statuses.get(HullStatus.NO_REFERENCE.value, 0),
        "not_converged": statuses.get(HullStatus.NOT_CONVERGED.value, 0),
        "hull": hull.value,
        "references": 0 if references is None else len(references),
        "levels_of_theory": {name: theory.level for name, theory in theories.items()},
        "models": {name: list(theory.models) for name, theory in theories.items()},
        "missing_elements": element_names(missing).split(", ") if missing else [],
    }

"""Reference phases: elements and competing compounds with their energies, of tables and of files.

A set of reference phases keeps of each phase its id, composition, energy per atom (eV/atom) and where it is from; it
becomes a plain table and back. Files are read by :mod:`aiida_pet.analysis.hull.reference_files`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from aiida_pet.analysis.hull.competing import PressureError, competing_energies, same_pressure, told_pressure
from aiida_pet.analysis.hull.compositions import Compositions
from aiida_pet.analysis.hull.levels_of_theory import (
    Theory,
    corrected_theory,
    has_corrections,
    is_corrected,
    theory_in,
)
from aiida_pet.analysis.hull.mp2020 import can_be_corrected
from aiida_pet.job.folder import RowStatus
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.table import Array, Table, check_unique

_COLUMNS = ("energy_per_atom", "atomic_numbers", "amounts", "source", "level_of_theory", "model")


@dataclass
class References:
    """M reference phases.

    :ivar ids: (M,) str, unique.
    :ivar compositions: compositions of each phase.
    :ivar energy_per_atom: (M,) float64, eV/atom: the enthalpy where ``pressure`` is not 0.
    :ivar source: (M,) str, label of the table or file.
    :ivar theories: by source, where the energies come from.
    :ivar warnings: what was left out or is not known, in words.
    :ivar pressure: (M,) float64, GPa, at which the phases were relaxed; zeros if not given.
    :ivar departures: (M, K) float64, eV/atom, by which the members of an ensemble differ from ``energy_per_atom``, 0
        where they are not known; K is 0 if no phase has any.
    """

    ids: Array
    compositions: Compositions
    energy_per_atom: NDArray[np.float64]
    source: Array
    theories: dict[str, Theory]
    warnings: list[str] = field(default_factory=list)
    pressure: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    departures: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))

    def __post_init__(self) -> None:
        self.ids = np.asarray(self.ids, dtype=str)
        self.source = np.asarray(self.source, dtype=str)
        self.energy_per_atom = np.asarray(self.energy_per_atom, dtype=np.float64)
        given = np.asarray(self.pressure, dtype=np.float64)
        self.pressure = given if len(given) else np.zeros(len(self.ids))
        if len(self.departures) != len(self.ids):
            self.departures = np.zeros((len(self.ids), 0))
        sizes = [len(self.ids), len(self.compositions), len(self.energy_per_atom), len(self.source)]
        sizes.append(len(self.pressure))
        if len(set(sizes)) > 1:
            raise ValueError(
                f"ids, compositions, energies, sources and pressures must be equally many, got {sizes} of them"
            )
        check_unique(self.ids.tolist())
        bad = np.flatnonzero(~np.isfinite(self.energy_per_atom) | (self.compositions.totals <= 0))
        if len(bad):
            raise ValueError(
                f"reference {self.ids[bad[0]]!r} has energy {self.energy_per_atom[bad[0]]} eV/atom and "
                f"{self.compositions.totals[bad[0]]:g} atoms: expected a finite energy and at least one atom"
            )

        correctable = set(self.source[can_be_corrected(self.compositions)].tolist())
        self.theories = {
            name: replace(theory, neutral=name not in correctable and not is_corrected(theory.level))
            for name, theory in self.theories.items()
        }

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def elements(self) -> list[int]:
        """Atomic numbers of the elements that have a phase of their own, ascending."""
        pure = (self.compositions.numbers > 0).sum(axis=1) == 1
        return sorted(set(self.compositions.numbers[pure, 0].tolist()))

    @classmethod
    def of_structures(
        cls,
        table: StructureTable,
        label: str,
        theory: Theory | None = None,
        *,
        column: str = "energy",
        pressure: float | None = None,
        correct: bool = False,
    ) -> References:
        """Return the converged rows of ``table`` as reference phases: by enthalpy if they were relaxed under pressure.

        :param label: names the table.
        :param theory: level of theory of its energies; None takes the column ``level_of_theory``, if there is one.
        :param column: energies in eV per cell.
        :param pressure: GPa, at which they were relaxed, where something else than the table says so.
        :param correct: add the Materials Project's corrections of 2020.
        :raises PressureError: if they were relaxed under pressure and have no enthalpies.
        :raises ValueError: naming the table, if it has no energies or none of its rows converged.
        """
        found = competing_energies(
            table, f"references {label!r}", pressure=pressure, column=column, correct=correct
        )
        usable = converged(table) & np.isfinite(found.values) & (table.n_atoms > 0)
        if not usable.any():
            raise ValueError(f"none of the {len(table)} references {label!r} converged with a finite energy")
        warnings = []
        if not usable.all():
            left_out = ", ".join(table.ids[~usable][:10].tolist())
            warnings.append(f"{(~usable).sum()} references of {label!r} did not converge: {left_out}")
        index = np.flatnonzero(usable)
        theory = theory or theory_in(table.columns)
        if correct or has_corrections(table.columns):
            theory = corrected_theory(theory)
        return cls(
            table.ids[index],
            Compositions.of_table(table).take(index),
            (found.values / np.maximum(table.n_atoms, 1))[index],
            np.full(len(index), label),
            {label: theory},
            warnings,
            np.full(len(index), found.pressure),
            departures_of(table)[index],
        )

    @classmethod
    def concatenate(cls, parts: Sequence[References]) -> References:
        """Return all phases of ``parts``; an id that two parts share is written ``source:id``.

        :raises DuplicateIdError: if an id occurs twice under one source.
        :raises ValueError: if there are no parts, or one source has two levels of theory.
        """
        if not parts:
            raise ValueError("no references given")
        ids = np.concatenate([part.ids for part in parts])
        source = np.concatenate([part.source for part in parts])
        found, counts = np.unique(ids, return_counts=True)
        shared = np.isin(ids, found[counts > 1])
        if shared.any():
            named = np.char.add(np.char.add(source, ":"), ids)
            ids = np.where(shared, named, ids)
        theories: dict[str, Theory] = {}
        for part in parts:
            for name, theory in part.theories.items():
                if theories.setdefault(name, theory) != theory:
                    raise ValueError(
                        f"two sources of references are called {name!r}, with the levels {theories[name]} and {theory}"
                    )
        return cls(
            ids,
            Compositions.concatenate([part.compositions for part in parts]),
            np.concatenate([part.energy_per_atom for part in parts]),
            source,
            theories,
            [warning for part in parts for warning in part.warnings],
            np.concatenate([part.pressure for part in parts]),
            _joined([part.departures for part in parts]),
        )

    def to_table(self) -> Table:
        """Return the phases as a table; its reverse is :meth:`of_table`."""
        theory_of = [self.theories.get(name, Theory()) for name in self.source.tolist()]
        columns = {
            "formula": np.array(list(self.compositions.formulas()), dtype=str),
            "energy_per_atom": self.energy_per_atom,
            "atomic_numbers": self.compositions.numbers,
            "amounts": self.compositions.amounts,
            "source": self.source,
            "level_of_theory": np.array([theory.level for theory in theory_of], dtype=str),
            "model": np.array([" ".join(theory.models) for theory in theory_of], dtype=str),
        }
        units = {"energy_per_atom": "eV/atom"}
        if self.pressure.any():  # energies are enthalpies at it
            columns["pressure"] = self.pressure
            units["pressure"] = "GPa"
        return Table(self.ids, columns, units)

    @classmethod
    def of_table(cls, table: Table) -> References:
        """Return the phases that :meth:`to_table` made a table of.

        :raises ValueError: naming the columns that are missing.
        """
        missing = [name for name in _COLUMNS if name not in table.columns]
        if missing:
            raise ValueError(
                f"no table of references: columns {', '.join(missing)} are missing, there are "
                f"{', '.join(table.columns) or 'none'}"
            )
        columns = table.columns
        source = columns["source"]
        theories = {}
        for name in np.unique(source).tolist():
            first = int(np.flatnonzero(source == name)[0])
            level, models = str(columns["level_of_theory"][first]), str(columns["model"][first])
            theories[name] = Theory(level, tuple(models.split()))
        compositions = Compositions(
            columns["atomic_numbers"].astype(np.int64), columns["amounts"].astype(np.float64)
        )
        pressure = columns.get("pressure", np.zeros(len(table)))
        return cls(table.ids, compositions, columns["energy_per_atom"], source, theories, pressure=pressure)

    def check_pressure(self, pressure: float) -> None:
        """Check that all phases were relaxed at ``pressure`` GPa.

        :raises PressureError: saying how many of which source were not, with an example.
        """
        wrong = [
            row for row, value in enumerate(self.pressure.tolist()) if not same_pressure(value, pressure)
        ]
        if not wrong:
            return
        first = wrong[0]
        given, one = (
            told_pressure(float(self.pressure[first])),
            f"{self.ids[first]} of {str(self.source[first])!r}",
        )
        raise PressureError(
            f"the crystals have {told_pressure(pressure)}, but {len(wrong)} of {len(self)} references have {given}, "
            f"for example {one}. Relax them at the same pressure. A phase of a file must state its `enthalpy` (eV) "
            "and `pressure` (GPa)"
        )


def departures_of(table: StructureTable) -> NDArray[np.float64]:
    """Return (N, K) eV/atom by which the members of an ensemble differ from the energy of each row.

    0 for a row without an answer; K is 0 if the table has no column ``ensemble``.
    """
    members = table.columns.get("ensemble")
    if members is None or "energy" not in table.columns:
        return np.zeros((len(table), 0))
    energies = np.asarray(table.columns["energy"], dtype=np.float64)
    found = (np.asarray(members, dtype=np.float64) - energies[:, None]) / np.maximum(table.n_atoms, 1)[
        :, None
    ]
    return np.nan_to_num(found, nan=0.0, posinf=0.0, neginf=0.0)


def _joined(parts: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return all rows of ``parts``, zeros where one has no members; none where two have another number of them."""
    numbers = {part.shape[1] for part in parts} - {0}
    width = numbers.pop() if len(numbers) == 1 else 0
    return np.concatenate(
        [part if part.shape[1] == width else np.zeros((len(part), width)) for part in parts]
    )


def converged(table: Table, or_out_of_steps: bool = False) -> NDArray[np.bool_]:
    """Return (N,) whether each row has its answer: all of them where there is no column ``status``.

    :param or_out_of_steps: count relaxations that ran out of steps as well.
    """
    if "status" not in table.columns:
        return np.ones(len(table), dtype=bool)
    counted = [RowStatus.CONVERGED.value, *([RowStatus.MAX_STEPS.value] if or_out_of_steps else [])]
    found: NDArray[np.bool_] = np.isin(table.columns["status"], counted)
    return found

"""Labels of crystals for a training: which columns they are, and which rows cannot be trained on, each with why.

Energies in eV, forces in eV/A, stresses in eV/A^3, positive under tension, in Voigt's order (xx yy zz yz xz xy). A
force or stress that a row lacks is NaN, which metatrain leaves out of the loss; a row without an energy is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from ase.data import chemical_symbols

from aiida_pet.crystals.validity import check_geometry
from aiida_pet.job.folder import RowStatus
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.table import Array
from aiida_pet.training.parameters import AUTO, TrainingError, TrainingParameters

NOT_DONE = sorted({status.value for status in RowStatus} - {RowStatus.CONVERGED.value})
"""Statuses of results of a launch whose rows have no labels; any other text of a column ``status`` says nothing."""
_ALTERNATIVES = {
    "energy": ("input_energy", "energy"),
    "forces": ("input_forces", "forces"),
    "stress": ("input_stress", "stress"),
}
_ITERATIONS = 25


@dataclass(frozen=True)
class Labels:
    """The labels of N rows with A atoms.

    :ivar energy: (N,) eV, of the cell.
    :ivar forces: (A, 3) eV/A, NaN where missing; None if no row has any, or none are wanted.
    :ivar stress: (N, 6) eV/A^3, NaN where missing; None if there are no stresses.
    :ivar reasons: (N,) why a row is refused, empty for one that is taken.
    :ivar kinds: (N,) the same without what differs from row to row, so that rows can be counted by it.
    :ivar values: (N,) what differs from row to row, such as ``250 eV/A``.
    :ivar excess: (N,) how far a row is out of bounds; 0 where there are none.
    :ivar levels: levels of theory that the rows name.
    :ivar columns: quantity -> the column that it is from.
    """

    energy: Array
    forces: Array | None
    stress: Array | None
    reasons: Array
    kinds: Array
    values: Array
    excess: Array
    levels: tuple[str, ...]
    columns: dict[str, str]

    @property
    def taken(self) -> Array:
        """(N,) whether a row is trained on."""
        return self.reasons == ""


def read_labels(
    table: StructureTable, parameters: TrainingParameters, elements: Collection[int] | None = None
) -> Labels:
    """Return the labels of ``table``.

    :param elements: atomic numbers that the model knows, where it cannot learn others; None for any.
    :raises TrainingError: if a column that is named is missing, has another shape or a unit that is not understood.
    """
    energy_column, forces_column, stress_column = check_label_columns(table, parameters)
    energy = _floats(table.columns[energy_column], (len(table),), energy_column)
    forces = stress = None
    if forces_column is not None:
        forces = _floats(table.atom_columns[forces_column], (len(table.numbers), 3), forces_column)
    if stress_column is not None:
        stress = _floats(table.columns[stress_column], (len(table), 6), stress_column)
    forces, stress = (
        None if values is None or np.isnan(values).all() else values for values in (forces, stress)
    )
    columns = {"energy": energy_column}
    columns |= {} if forces is None else {"forces": str(forces_column)}
    columns |= {} if stress is None else {"stress": str(stress_column)}
    refusals = _refused(table, parameters, (energy, forces, stress), elements)
    levels = _levels(table, parameters, refusals.reasons == "")
    return Labels(
        energy,
        forces,
        stress,
        refusals.reasons.astype(str),
        refusals.kinds.astype(str),
        refusals.values.astype(str),
        refusals.excess,
        levels,
        columns,
    )


def check_label_columns(
    table: StructureTable, parameters: TrainingParameters
) -> tuple[str, str | None, str | None]:
    """Return the columns of energies, forces and stresses; the last two may be None.

    :param table: with all its columns, so that a message can name those that may be meant.
    :raises TrainingError: if a column that is named is missing, or there are no energies.
    """
    energy = _column_of(table, "energy", parameters.energy)
    if energy is None:
        numbers = [name for name, values in table.columns.items() if _may_be_energy(values)]
        numbers.sort(key=lambda name: "energy" not in name.lower())  # the likely ones first
        there = (
            f"its columns of numbers are {', '.join(numbers)}" if numbers else "it has no column of numbers"
        )
        raise TrainingError(
            f"no energies: the set has no column {' or '.join(_ALTERNATIVES['energy'])}; {there}. Name the one that "
            "holds energies of the cell in eV with `energy`, or import the set with its energies"
        )
    return (
        energy,
        _column_of(table, "forces", parameters.forces),
        _column_of(table, "stress", parameters.stress),
    )


def told_with_all_columns(
    error: TrainingError, tables: Iterable[StructureTable], parameters: TrainingParameters
) -> str:
    """Return what ``error`` says; if it is that labels are missing, with all columns of the set.

    :param tables: with all their columns, also those that a training does not read.
    """
    for table in tables:
        try:
            check_label_columns(table, parameters)
        except TrainingError as fuller:
            return str(fuller)
    return str(error)


def _may_be_energy(values: Array) -> bool:
    """Return whether a column holds one number of each row."""
    return values.ndim == 1 and values.dtype.kind in "iuf"


def _column_of(table: StructureTable, quantity: str, asked: str | None) -> str | None:
    """:raises TrainingError: if a column that is named is not there."""
    columns = table.atom_columns if quantity == "forces" else table.columns
    if asked is None:
        return None
    if asked == AUTO:
        return next((name for name in _ALTERNATIVES[quantity] if name in columns), None)
    if asked not in columns:
        kind = "column per atom" if quantity == "forces" else "column"
        raise TrainingError(
            f"{quantity} = {asked!r}: the set has no such {kind}; it has {', '.join(columns) or 'none'}"
        )
    return asked


def _floats(values: Array, shape: tuple[int, ...], name: str) -> Array:
    array = np.asarray(values)
    if array.shape != shape or array.dtype.kind not in "iuf":
        raise TrainingError(
            f"column {name!r} has shape {array.shape} and type {array.dtype}: expected numbers of shape {shape}"
        )
    return array.astype(np.float64)


class _Refusals:
    """Collects why rows are refused; the first reason of a row counts."""

    def __init__(self, n: int) -> None:
        self.reasons, self.kinds, self.values = (np.full(n, "", dtype=object) for _ in range(3))
        self.excess = np.zeros(n)

    @property
    def left(self) -> Array:
        """(N,) rows that are not refused."""
        return np.asarray(self.reasons == "")

    def add(
        self,
        where: Array,
        kind: str,
        reason: str | None = None,
        *,
        values: Sequence[str] | None = None,
        excess: Array | None = None,
    ) -> None:
        """Refuse rows.

        :param where: (N,) rows that are meant.
        :param reason: of a row, with ``{}`` for its value; ``kind`` if not given.
        :param values: of each row, in words.
        :param excess: (N,) of each row, the larger the worse.
        """
        for row in np.flatnonzero(where & self.left).tolist():
            value = "" if values is None else values[row]
            self.kinds[row], self.values[row] = kind, value
            self.reasons[row] = (reason or kind).replace("{}", value)
            self.excess[row] = 0.0 if excess is None else excess[row]


TOO_FAR, TOO_STRONG, TOO_STRESSED = "max_energy", "max_force", "max_stress"
LIMITS = (TOO_FAR, TOO_STRONG, TOO_STRESSED)
"""Options whose bounds refuse rows for absurd labels; the kinds of these refusals name them."""


def _refused(
    table: StructureTable,
    parameters: TrainingParameters,
    labels: tuple[Array, Array | None, Array | None],
    elements: Collection[int] | None,
) -> _Refusals:
    """Return why rows are refused."""
    energy, forces, stress = labels
    found = _Refusals(len(table))
    if "status" in table.columns:
        status = table.columns["status"].astype(str)
        found.add(
            np.isin(status, NOT_DONE),
            "its status is not converged",
            "its status is {}",
            values=status.tolist(),
        )
    problems = check_geometry(table, np.unique(table.numbers).tolist(), parameters.min_distance)
    found.add(
        np.array([status is not None for status, _ in problems], dtype=bool),
        "its geometry is invalid",
        "its geometry is invalid: {}",
        values=[why for _, why in problems],
    )
    found.add(np.isnan(energy), "it has no energy")
    told = [f"{value:g}" for value in energy]
    found.add(~np.isfinite(energy), "its energy is not finite", "its energy is {}", values=told)
    if elements is not None:
        foreign = ~np.isin(table.numbers, list(elements))
        symbols = [
            " ".join(sorted({chemical_symbols[z] for z in table.numbers[first:last][foreign[first:last]]}))
            for first, last in pairwise(table.offsets.tolist())
        ]
        where = ~_row_all(~foreign, table.offsets)
        found.add(where, "the model does not know its elements", "the model does not know {}", values=symbols)
    if forces is not None:
        sizes = np.abs(np.nan_to_num(forces, nan=0.0, posinf=np.inf, neginf=-np.inf)).max(axis=1)
        _bound(found, _row_max(sizes, table.offsets), parameters.max_force, ("force", TOO_STRONG, "eV/A"))
    if stress is not None:
        sizes = np.abs(np.nan_to_num(stress, nan=0.0, posinf=np.inf, neginf=-np.inf)).max(axis=1)
        _bound(found, sizes, parameters.max_stress, ("stress", TOO_STRESSED, "eV/A^3"))
    residual = np.full(len(table), np.nan)
    left = found.left
    residual[left] = composition_residuals(table, energy, left)
    far = "from the energy expected for its composition"
    found.add(
        np.abs(residual) > parameters.max_energy,
        f"its energy differs by more than {TOO_FAR} = {parameters.max_energy:g} eV/atom {far}",
        f"its energy differs by {{}} {far}, more than {TOO_FAR} = {parameters.max_energy:g}",
        values=[f"{value:.3g} eV/atom" for value in residual],
        excess=np.abs(residual),
    )
    return found


def _bound(found: _Refusals, largest: Array, most: float, named: tuple[str, str, str]) -> None:
    """Refuse rows with forces or stresses above ``most``; ``named`` is label, option and unit."""
    label, option, unit = named
    found.add(
        largest > most,
        f"a {label} is above {option} = {most:g} {unit}",
        f"a {label} of {{}} is above {option} = {most:g}",
        values=[f"{value:.3g} {unit}" for value in largest],
        excess=largest,
    )


def composition_residuals(table: StructureTable, energy: Array, rows: Array) -> Array:
    """Return (n,) eV/atom: energies of ``rows`` less a sum over their atoms that fits them all in the least modulus.

    The least modulus and not least squares, so that one absurd energy does not move the others.

    :param rows: (N,) which rows are meant, n of them.
    """
    species, inverse = np.unique(table.numbers, return_inverse=True)
    owner = np.repeat(np.arange(len(table)), np.diff(table.offsets))
    counts = np.zeros((len(table), len(species)))
    np.add.at(counts, (owner, inverse), 1.0)
    sizes = np.maximum(np.diff(table.offsets), 1)
    shares, target = (counts / sizes[:, None])[rows], (energy / sizes)[rows]
    weights = np.ones(len(target))
    residual = target
    for _ in range(_ITERATIONS):  # least squares, weighted again and again, comes to the least modulus
        root = np.sqrt(weights)
        solution = np.linalg.lstsq(shares * root[:, None], target * root, rcond=None)[0]
        residual = target - shares @ solution
        weights = 1.0 / np.maximum(np.abs(residual), 1e-3)
    return residual


def _levels(table: StructureTable, parameters: TrainingParameters, taken: Array) -> tuple[str, ...]:
    """Return the levels of theory that the rows that are taken name, sorted; a row may name none."""
    column = parameters.level_column
    if column is None or column not in table.columns:
        return ()
    found = {text.strip() for text in table.columns[column].astype(str)[taken].tolist()}
    return tuple(sorted(found - {"", "nan", "None"}))


def _row_all(flags: Array, offsets: Array) -> Array:
    """Return (N,) whether ``flags`` (A,) hold for all atoms of each row; True for a row without atoms."""
    return np.array([bool(flags[a:b].all()) for a, b in pairwise(offsets.tolist())], dtype=bool)


def _row_max(values: Array, offsets: Array) -> Array:
    """Return (N,) the largest of ``values`` (A,) of each row; 0 for a row without atoms."""
    return np.array([values[a:b].max(initial=0.0) for a, b in pairwise(offsets.tolist())])

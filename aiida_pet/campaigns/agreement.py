"""How results agree with references, by the numbers that the field reports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from aiida_pet.analysis.metrics import conductivity, elastic, equation_of_state, phonons, report
from aiida_pet.analysis.metrics.report import Metric, compare_with_references
from aiida_pet.analysis.metrics.stability import STABILITY_THRESHOLD
from aiida_pet.analysis.metrics.structures import compare_structures, structure_metrics
from aiida_pet.campaigns.errors import ComparisonError, NoSuchColumnError, NothingToCompareError
from aiida_pet.campaigns.mode_conductivities import mode_numbers
from aiida_pet.campaigns.nodes import Named
from aiida_pet.campaigns.references import (
    PREFIX,
    Joined,
    Reference,
    join_references,
    load_reference,
    stored_units,
)
from aiida_pet.campaigns.results import Rows, rows
from aiida_pet.data.structures import StructureSetData
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.words import shortened

KNOWN = (
    *report.HULL,
    *phonons.UNITS,
    report.MIN_FREQUENCY,
    *elastic.MODULI,
    *equation_of_state.NUMBERS,
    conductivity.KAPPA,
)
"""Columns that the metrics know, and that are compared where nothing is named."""


@dataclass(frozen=True)
class Metrics:
    """How results agree with references.

    :ivar pk: pk of the results.
    :ivar missing: sentence on what the results lack; empty if they are complete.
    :ivar reference: file or node of the references; None if they are columns of the results.
    :ivar pairs: column of the results -> column of the references.
    :ivar numbers: the metrics by name, such as ``hull/F1``.
    :ivar n_rows: rows of the results.
    :ivar n_compared: rows in which at least one pair has both values; where no columns are paired, rows that are among
        the references.
    :ivar without_reference: ids of rows without any value of the references, or that are not among the references.
    :ivar without_result: ids of references that are not among the rows.
    :ivar without_value: ids of rows of the results that have no value in any of the compared columns.
    :ivar without_crystals: reason why crystals were not compared although the references have them; empty if they were
        compared.
    """

    pk: int | None
    missing: str
    reference: str | None
    pairs: dict[str, str]
    numbers: dict[str, Metric]
    n_rows: int
    n_compared: int
    without_reference: list[str]
    without_result: list[str]
    without_value: list[str] = field(default_factory=list)
    without_crystals: str = ""

    def __getitem__(self, name: str) -> float:
        """Return the number of a metric, such as ``hull/F1``.

        :raises KeyError: naming those that there are.
        """
        if name not in self.numbers:
            raise KeyError(f"no metric {name!r}: there are {', '.join(self.numbers)}")
        return self.numbers[name].value

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        return {
            "pk": self.pk,
            "complete": not self.missing,
            "reference": self.reference,
            "columns": self.pairs,
            "n_rows": self.n_rows,
            "n_compared": self.n_compared,
            "n_without_reference": len(self.without_reference),
            "n_without_result": len(self.without_result),
            "n_without_value": len(self.without_value),
            "without_reference": self.without_reference,
            "without_value": self.without_value,
            "metrics": {name: {"value": one.value, "unit": one.unit} for name, one in self.numbers.items()},
        }


def metrics(
    named: Named | Rows,
    reference: Named | Path | Rows | pd.DataFrame | None = None,
    *,
    pairs: Mapping[str, str] | Iterable[str] = (),
    id_column: str | None = None,
    unique_prototype: str | None = None,
    n_atoms: str | None = None,
    stability_threshold: float = STABILITY_THRESHOLD,
    symprec: float = 0.01,
    all_references: bool = False,
    with_structures: bool | None = None,
) -> Metrics:
    """Compare the results of a launch, set or table with references, and return error measures.

    Energies above the hull get the metrics of matbench-discovery (F1, DAF, MAE, ...), phonons get the metrics of the
    MDR benchmark, and conductivities get the metrics of kappa_SRME (mode by mode). Moduli get errors and errors of
    their logarithms. Any other column gets MAE, RMSE and R2. See :mod:`aiida_pet.analysis.metrics.report`.

    :param named: the results, by pk, uuid, label or as a node.
    :param reference: a csv or parquet file, a file of crystals, a data frame indexed by id, or a set, table or launch.
        None means that the references are columns of the results.
    :param pairs: column of the results -> column of the references, in the same unit, or names of columns that both
        have. If not given, all columns are compared that both have and that have a metric.
    :param id_column: column of a csv or parquet file that holds the ids.
    :param unique_prototype: column that says which rows are unique prototypes; the metrics of these rows alone are
        added.
    :param n_atoms: column with the number of atoms of the primitive cell; errors of thermal properties are then per
        atom.
    :param stability_threshold: largest energy above the hull (eV/atom) with which a crystal counts as stable.
    :param symprec: tolerance in A at which space groups are found and compared.
    :param all_references: count a reference without a row like a row that failed.
    :param with_structures: whether crystals are compared, if both sides have crystals. None means yes, unless ``pairs``
        is given.
    :raises CampaignError: if something cannot be found, read or compared.

    .. code-block:: python

        from pathlib import Path

        from aiida_pet.campaigns import metrics

        found = metrics("alloys", Path("dft.csv"), pairs={"energy": "e_dft"})
        print(found["energy/MAE"], found.n_compared)
    """
    found = rows(named)
    ours = found.table.to_dataframe()
    given = None if reference is None else load_reference(reference, id_column)
    wanted = dict(pairs) if isinstance(pairs, Mapping) else {name: name for name in pairs}
    chosen = pair_columns(wanted, ours, given)
    joined = join_references(ours, given, all_references)
    beside = {name: other if given is None else PREFIX + other for name, other in chosen.items()}
    try:
        numbers = compare_with_references(
            joined.frame,
            beside,
            unique_prototype=_place(joined.frame, unique_prototype, "unique_prototype"),
            n_atoms=_place(joined.frame, n_atoms, "n_atoms"),
            stability_threshold=stability_threshold,
            units=common_units(chosen, stored_units(found), given),
        )
    except ValueError as error:
        raise ComparisonError(str(error).replace(PREFIX, "")) from error
    if conductivity.KAPPA in chosen and given is not None and given.modes:
        numbers |= mode_numbers(found, given.modes, all_references)
    no_crystals = ""
    compare_crystals = not wanted if with_structures is None else with_structures
    if compare_crystals and given is not None and given.structures is not None:
        if isinstance(found.table, StructureSetData):
            numbers |= _structure_metrics(found.table, given.structures, symprec, all_references)
        else:
            no_crystals = f"structures are not compared: the results of <{found.pk}> hold no crystals"
    n_compared, no_reference, no_value = _counted(joined, beside)
    return Metrics(
        pk=found.pk,
        missing=found.missing,
        reference=None if given is None else given.name,
        pairs=chosen,
        numbers=numbers,
        n_rows=joined.n_rows,
        n_compared=n_compared,
        without_reference=no_reference,
        without_result=joined.without_result,
        without_value=no_value,
        without_crystals=no_crystals,
    )


def _counted(joined: Joined, pairs: Mapping[str, str]) -> tuple[int, list[str], list[str]]:
    """Return how many rows have both values of a pair, and the ids of rows without a reference and without a result.

    :param pairs: column of the results -> column of the references, as they are called in the joined frame.
    """
    rows_of_results = joined.frame[~joined.frame.index.isin(joined.without_result)]
    if not pairs:  # crystals alone
        return len(rows_of_results), joined.without_reference, []
    results = rows_of_results[list(pairs)].notna().to_numpy()
    references = rows_of_results[list(pairs.values())].notna().to_numpy()
    no_reference = rows_of_results.index[~references.any(axis=1)].tolist()
    no_value = rows_of_results.index[~results.any(axis=1)].tolist()
    n_compared = int((results & references).any(axis=1).sum())
    return n_compared, [*joined.without_reference, *no_reference], no_value


def pair_columns(wanted: Mapping[str, str], ours: pd.DataFrame, given: Reference | None) -> dict[str, str]:
    """Return column of results -> column of references.

    :param wanted: what was named; if nothing, all that are known to the metrics and in both.
    :raises NoSuchColumnError: for a column that there is not.
    :raises NothingToCompareError: if there is nothing to compare.
    """
    theirs = ours if given is None else given.frame
    for name, other in wanted.items():
        for column, frame, where in ((name, ours, "results"), (other, theirs, "references")):
            if column not in frame.columns:
                raise NoSuchColumnError(
                    f"the {where} have no column {column!r}: there are {shortened(list(frame.columns), 60)}",
                    "pairs",
                )
    pairs = dict(wanted)
    if not pairs and given is not None:
        pairs = {name: name for name in KNOWN if name in ours.columns and name in theirs.columns}
    if not pairs and (given is None or given.structures is None):
        raise NothingToCompareError("results" if given is None else "references", list(theirs.columns))
    return pairs


def common_units(
    pairs: Mapping[str, str], ours: Mapping[str, str], given: Reference | None
) -> dict[str, str]:
    """Return the unit of each column that is compared, where one side says it.

    :raises ComparisonError: if the two columns of a pair are in different units.
    """
    theirs = ours if given is None else given.units
    found: dict[str, str] = {}
    for name, other in pairs.items():
        first, second = ours.get(name, ""), theirs.get(other, "")
        if first and second and first != second:
            raise ComparisonError(
                f"{name} of the results is in {first}, {other} of the references in {second}: compare columns with "
                "the same unit"
            )
        found[name] = first or second
    return found


def _place(frame: pd.DataFrame, name: str | None, argument: str) -> str | None:
    """Return what the column ``name`` of results or references is called in ``frame``."""
    if name is None:
        return None
    for column in (name, PREFIX + name):
        if column in frame.columns:
            return column
    known = [str(column).removeprefix(PREFIX) for column in frame.columns]
    raise NoSuchColumnError(f"there is no column {name!r}: there are {shortened(known, 60)}", argument)


def _structure_metrics(
    ours: StructureSetData, theirs: StructureTable, symprec: float, count_all: bool
) -> dict[str, Metric]:
    comparison = compare_structures(ours.to_table(), theirs, symprec=symprec)
    numbers = structure_metrics(comparison, len(theirs), count_all)
    return {f"structures/{name}": Metric(value) for name, value in numbers.items()}

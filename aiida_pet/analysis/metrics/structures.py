"""How relaxed structures compare with reference structures: RMSD and symmetry, as matbench-discovery measures them.

As its ``structure.symmetry`` and ``metrics.geo_opt`` at commit 2c7f9fc: pymatgen's StructureMatcher with ``stol`` 1
and without scaling, whose RMSD is in units of (volume per atom)^(1/3) and so has no unit; a pair that it cannot match
counts with 1. Space groups and their operations are moyopy's, at one ``symprec`` (A).

A row without an answer (its job left it, the model does not know its elements, ...) still has the geometry that it was
given, which is no prediction: it counts as unmatched, in symmetry as well, and as missing. A relaxation that ran out of
steps has a prediction, as on the leaderboard.
"""

from __future__ import annotations

from typing import Any

import moyopy
import numpy as np
from numpy.typing import NDArray

from aiida_pet.job.folder import RowStatus
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.table import Table

# (A): the leaderboard gives both.
SYMPRECS = (1e-2, 1e-5)
# What a pair without match counts: the largest distance that the matcher allows.
UNMATCHED = 1.0
# How a row ended whose geometry is a prediction.
PREDICTED = (RowStatus.CONVERGED, RowStatus.MAX_STEPS)


def compare_structures(
    predicted: StructureTable, reference: StructureTable, *, symprec: float = SYMPRECS[0]
) -> Table:
    """Return how each row of ``predicted`` compares with the row of the same id.

    :param predicted: relaxed crystals; those that are not in ``reference`` are left out.
    :param symprec: distance up to which operations count as symmetry, A.
    :return: columns ``rmsd`` (no unit, NaN without match), ``max_distance`` (the same), ``spacegroup``,
        ``spacegroup_reference``, ``n_operations``, ``n_operations_reference`` (0 where none was found), ``answered``.
    :raises ValueError: if no id is in both.

    >>> from ase.build import bulk
    >>> from aiida_pet.io.from_python import table_of_crystals
    >>> ours = table_of_crystals({"W": bulk("W", a=3.20)})
    >>> theirs = table_of_crystals({"W": bulk("W", a=3.17)})
    >>> compare_structures(ours, theirs).columns["spacegroup"].tolist()
    [229]
    """
    from pymatgen.analysis.structure_matcher import StructureMatcher  # noqa: PLC0415 - seconds to import
    from pymatgen.io.ase import AseAtomsAdaptor  # noqa: PLC0415

    known = {name: row for row, name in enumerate(reference.ids.tolist())}
    pairs = [(row, known[name]) for row, name in enumerate(predicted.ids.tolist()) if name in known]
    if not pairs:
        raise ValueError(
            f"no id is both among the {len(predicted)} structures ({', '.join(predicted.ids[:3])}, ...) and the "
            f"{len(reference)} references ({', '.join(reference.ids[:3])}, ...)"
        )
    matcher = StructureMatcher(stol=1.0, scale=False)
    distances = np.full((len(pairs), 2), np.nan)
    groups = np.zeros((len(pairs), 4), dtype=np.int64)
    answered = _answered(predicted)[[row for row, _ in pairs]]
    for place, (row, other) in enumerate(pairs):
        groups[place, 2:] = _symmetry(reference, other, symprec)
        if not answered[place]:
            continue
        groups[place, :2] = _symmetry(predicted, row, symprec)
        if not _is_crystal(reference, other):
            continue
        first, second = (
            AseAtomsAdaptor.get_structure(atoms) for atoms in (predicted.ase_at(row), reference.ase_at(other))
        )
        found = matcher.get_rms_dist(first, second)
        if found is not None:
            distances[place] = found
    return Table(
        predicted.ids[[row for row, _ in pairs]],
        {
            "rmsd": distances[:, 0],
            "max_distance": distances[:, 1],
            "spacegroup": groups[:, 0],
            "n_operations": groups[:, 1],
            "spacegroup_reference": groups[:, 2],
            "n_operations_reference": groups[:, 3],
            "answered": answered,
        },
    )


def structure_metrics(
    comparison: Table, n_references: int | None = None, count_all: bool = False
) -> dict[str, float]:
    """Return the numbers of a comparison as a whole.

    :param comparison: result of :func:`compare_structures`.
    :param n_references: reference crystals there are; those without a row are counted in ``n_missing``.
    :param count_all: references without a row count as rows without an answer.
    :return: ``rmsd``, mean over all rows, 1 for those without an answer or a match; ``n_sym_ops_mae``, of the rows
        whose symmetry was found; ``symmetry_match``, ``symmetry_decrease`` and ``symmetry_increase``, shares of these
        and of the rows without an answer, which are none of the three; ``n_structures``, the rows whose symmetry was
        found; ``n_missing``, rows without an answer and references without a row.

    >>> from ase.build import bulk
    >>> from aiida_pet.io.from_python import table_of_crystals
    >>> ours = table_of_crystals({"W": bulk("W", a=3.20)})
    >>> theirs = table_of_crystals({"W": bulk("W", a=3.17)})
    >>> print(structure_metrics(compare_structures(ours, theirs))["symmetry_match"])
    1.0
    """
    columns = comparison.columns
    without_row = 0 if n_references is None else n_references - len(comparison)
    unanswered = int((~columns["answered"]).sum())
    counted = unanswered + (without_row if count_all else 0)
    rmsd = np.where(np.isnan(columns["rmsd"]), UNMATCHED, columns["rmsd"])
    total = float(rmsd.sum()) + UNMATCHED * (counted - unanswered)
    valid = (columns["spacegroup"] > 0) & (columns["spacegroup_reference"] > 0)
    changed = valid & (columns["spacegroup"] != columns["spacegroup_reference"])
    more = columns["n_operations"] - columns["n_operations_reference"]
    n_valid = int(valid.sum())

    def share(rows: Any) -> float:
        return float(rows.sum() / (n_valid + counted)) if n_valid + counted else float("nan")

    return {
        "rmsd": total / (len(rmsd) + counted - unanswered),
        "n_sym_ops_mae": float(np.abs(more[valid]).mean()) if n_valid else float("nan"),
        "symmetry_match": share(valid & ~changed),
        "symmetry_decrease": share(changed & (more < 0)),
        "symmetry_increase": share(changed & (more > 0)),
        "n_structures": n_valid,
        "n_missing": unanswered + without_row,
    }


def _answered(table: StructureTable) -> NDArray[np.bool_]:
    """Return (N,) whether the geometry of each row is what a relaxation made of it, converged or not."""
    found = np.array([_is_crystal(table, row) for row in range(len(table))], dtype=bool)
    if "status" in table.columns:
        found &= np.isin(table.columns["status"], [status.value for status in PREDICTED])
    return found


def _is_crystal(table: StructureTable, row: int) -> bool:
    part = table.atoms_of(row)
    finite = np.isfinite(table.positions[part]).all() and np.isfinite(table.cells[row]).all()
    return bool(finite and part.stop > part.start and abs(np.linalg.det(table.cells[row])) > 0)


def _symmetry(table: StructureTable, row: int, symprec: float) -> tuple[int, int]:
    """Return space group and number of operations of the cell as it stands; zeros where moyopy finds none."""
    if not _is_crystal(table, row):
        return 0, 0
    atoms = table.ase_at(row)
    cell = moyopy.Cell(atoms.cell.tolist(), atoms.get_scaled_positions().tolist(), atoms.numbers.tolist())
    try:
        found = moyopy.MoyoDataset(cell, symprec=symprec)
    except Exception:  # what moyopy raises has no name of its own
        return 0, 0
    return found.number, found.operations.num_operations

from __future__ import annotations

import numpy as np
import pytest
import spglib

from aiida_pet.analysis.metrics.structures import compare_structures, structure_metrics
from aiida_pet.tables.crystals import StructureTable
from support.relaxed_pairs import relaxed_pairs

# matbench_discovery.structure.symmetry.pred_vs_ref_struct_symmetry and metrics.geo_opt.calc_geo_opt_metrics at commit
# 2c7f9fc on `relaxed_pairs()`, with moyopy 0.21: differences of space group and number of operations, and the whole
DIFFERENCES = {
    "same": (0, 0),
    "grown": (0, 0),
    "rattled": (-135, -15),
    "symmetrised": (135, 15),
    "sheared": (-156, -40),
    "moved": (-122, -40),
    "primitive": (0, -144),
    "unmatched": (0, 0),
}
METRICS = {
    "rmsd": 0.14052906776448837,
    "n_sym_ops_mae": 31.75,
    "symmetry_decrease": 0.375,
    "symmetry_match": 0.5,
    "symmetry_increase": 0.125,
    "n_structures": 8,
    "n_missing": 0,
}


@pytest.fixture
def tables() -> tuple[StructureTable, StructureTable]:
    pairs = relaxed_pairs()
    return (
        StructureTable.from_ase((name, atoms) for name, atoms, _ in pairs),
        StructureTable.from_ase((name, atoms) for name, _, atoms in reversed(pairs)),
    )


@pytest.mark.parametrize("symprec", [1e-2, 1e-5])
def test_numbers_equal_those_of_matbench_discovery(
    tables: tuple[StructureTable, StructureTable], symprec: float
) -> None:
    found = compare_structures(*tables, symprec=symprec)
    columns = found.columns
    groups = columns["spacegroup"] - columns["spacegroup_reference"]
    operations = columns["n_operations"] - columns["n_operations_reference"]
    assert dict(
        zip(found.ids.tolist(), zip(groups.tolist(), operations.tolist(), strict=True), strict=True)
    ) == (DIFFERENCES)
    assert structure_metrics(found) == pytest.approx(METRICS, rel=1e-6)


def test_symmetry_is_that_of_spglib(tables: tuple[StructureTable, StructureTable]) -> None:
    found = compare_structures(*tables)
    for row, (_, atoms, _) in enumerate(relaxed_pairs()):
        cell = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
        dataset = spglib.get_symmetry_dataset(cell, symprec=1e-2)
        assert found.columns["spacegroup"][row] == dataset.number
        assert found.columns["n_operations"][row] == len(dataset.rotations)


def test_rmsd_is_in_units_of_the_distance_of_atoms(tables: tuple[StructureTable, StructureTable]) -> None:
    """One of two atoms moved by 0.3 A: both are 0.15 A off their common centre."""
    found = compare_structures(*tables)
    row = found.index("moved")
    assert found.columns["rmsd"][row] == pytest.approx(0.15 / (3.2**3 / 2) ** (1 / 3), rel=1e-9)
    assert np.isnan(found.columns["rmsd"][found.index("unmatched")])


def test_broken_rows_count_as_unmatched_and_missing_ones_are_counted(
    tables: tuple[StructureTable, StructureTable],
) -> None:
    predicted, reference = tables
    predicted = predicted.select(["same", "grown"])
    predicted.positions = predicted.positions.copy()
    predicted.positions[predicted.atoms_of(1)] = np.nan
    found = structure_metrics(compare_structures(predicted, reference), n_references=len(reference))
    assert (found["rmsd"], found["symmetry_match"], found["n_structures"], found["n_missing"]) == (
        0.5,
        0.5,
        1,
        7,
    )
    all_counted = structure_metrics(compare_structures(predicted, reference), len(reference), count_all=True)
    assert (all_counted["rmsd"], all_counted["symmetry_match"]) == (7 / 8, 1 / 8)


def test_the_fewer_rows_answer_the_worse_the_numbers(tables: tuple[StructureTable, StructureTable]) -> None:
    """A row without an answer has the geometry that it was given, which may be the reference itself."""
    _, reference = tables
    predicted = reference.select(reference.ids)
    found = []
    for answered in (8, 5, 0):
        statuses = ["converged", "max_steps"] * 4
        statuses[answered:] = [
            "left",
            "unsupported_element",
            "invalid_geometry",
            "failed",
            "too_large",
            "diverged",
        ][: 8 - answered] + ["left"] * max(0, 2 - answered)
        predicted.set_column("status", statuses)
        found.append(structure_metrics(compare_structures(predicted, reference)))
    assert [one["n_missing"] for one in found] == [0, 3, 8]
    assert [one["rmsd"] for one in found] == pytest.approx([0.0, 3 / 8, 1.0], abs=1e-6)
    assert [one["symmetry_match"] for one in found] == [1.0, 5 / 8, 0.0]


def test_tables_without_common_ids_are_refused(tables: tuple[StructureTable, StructureTable]) -> None:
    with pytest.raises(ValueError, match=r"no id is both among the 1 structures \(same"):
        compare_structures(tables[0].select(["same"]), tables[1].select(["moved"]))

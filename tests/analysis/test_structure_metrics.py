from __future__ import annotations

import numpy as np
import pytest
import spglib
from relaxed_pairs import relaxed_pairs

from aiida_pet.analysis.metrics.structures import compare_structures, structure_metrics
from aiida_pet.engine.table import StructureTable

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
        1.0,
        1,
        6,
    )


def test_tables_without_common_ids_are_refused(tables: tuple[StructureTable, StructureTable]) -> None:
    with pytest.raises(ValueError, match=r"no id is both among the 1 structures \(same"):
        compare_structures(tables[0].select(["same"]), tables[1].select(["moved"]))

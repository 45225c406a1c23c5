"""The files of a submission to matbench-discovery, read as its own code reads them: with pandas and pymatgen."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Structure

from aiida_pet.io.matbench_discovery import SubmissionError, write_submission
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.table import Table

NAME = "2026-11-21-discovery.csv.gz"


@pytest.fixture
def crystals(structure_table: StructureTable) -> StructureTable:
    """Results of a relaxation: of five rows one ran out of steps and one has no answer."""
    statuses = ["converged", "max_steps", "converged", "left", "converged"]
    structure_table.set_column("status", statuses)
    structure_table.set_column("energy", [-10.123456, -20.0, -30.5, np.nan, -50.0], "eV")
    structure_table.set_column("n_steps", np.array([3, 500, 7, 0, 9]))
    return structure_table


@pytest.fixture
def energies(crystals: StructureTable) -> Table:
    """The rows in another order, one of them without a number."""
    values = np.array([0.0, np.nan, 0.123456, -0.4, -1.25])
    return Table(crystals.ids[::-1], {"formation_energy": values}, {})


def test_energies_and_structures_are_read_as_the_benchmark_reads_them(
    tmp_path: Path, crystals: StructureTable, energies: Table
) -> None:
    done = write_submission(energies, crystals, tmp_path / NAME)
    assert (done.n_rows, done.n_missing, done.n_structures, done.n_unconverged) == (5, 1, 4, 1)
    frame = pd.read_csv(done.energies, dtype={"material_id": str}).set_index("material_id")
    assert list(frame) == ["e_form_per_atom"]
    assert frame.index.tolist() == energies.ids.tolist()
    np.testing.assert_array_equal(frame["e_form_per_atom"], [0.0, np.nan, 0.1235, -0.4, -1.25])

    assert done.structures == tmp_path / "2026-11-21-geo-opt.jsonl.gz"
    with gzip.open(done.structures, "rt") as text:
        records = {record["material_id"]: record for record in map(json.loads, text)}
    assert all(
        list(record) == ["material_id", "structure", "energy", "converged", "n_steps"]
        for record in records.values()
    )
    assert list(records) == [name for name in energies.ids.tolist() if name != crystals.ids[3]]
    ran_out = records[str(crystals.ids[1])]  # is among them, and says so
    assert (ran_out["energy"], ran_out["converged"], ran_out["n_steps"]) == (-20.0, False, 500)
    assert records[str(crystals.ids[0])]["energy"] == -10.123456
    for row_id, record in records.items():
        structure = Structure.from_dict(record["structure"])
        atoms = crystals.get_ase(row_id)
        assert list(structure.atomic_numbers) == atoms.numbers.tolist()
        np.testing.assert_allclose(structure.cart_coords, atoms.positions, atol=1e-12)
        np.testing.assert_allclose(structure.lattice.matrix, atoms.cell.array, rtol=0, atol=1e-12)


def test_neither_file_is_there_if_one_cannot_be_written(
    tmp_path: Path, crystals: StructureTable, energies: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(table: StructureTable, index: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("aiida_pet.io.matbench_discovery.structure_dict", fail)
    with pytest.raises(OSError, match="no space left"):
        write_submission(energies, crystals, tmp_path / NAME)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["x.csv", "pet.csv.gz", "-discovery.csv.gz", "21-11-26-discovery.csv.gz"])
def test_other_names_are_refused(
    tmp_path: Path, crystals: StructureTable, energies: Table, name: str
) -> None:
    with pytest.raises(SubmissionError, match=r"expected a date and -discovery\.csv\.gz, such as 20"):
        write_submission(energies, crystals, tmp_path / name)


def test_table_without_formation_energies_is_refused(tmp_path: Path, crystals: StructureTable) -> None:
    with pytest.raises(SubmissionError, match=r"no column 'formation_energy'.*hull"):
        write_submission(crystals, crystals, tmp_path / NAME)

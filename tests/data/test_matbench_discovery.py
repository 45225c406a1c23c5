"""The files of a submission to matbench-discovery, read as its own code reads them: with pandas and pymatgen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Structure

from aiida_pet.data.matbench_discovery import SubmissionError, column_name, write_submission
from aiida_pet.engine.table import StructureTable, Table


@pytest.fixture
def energies(structure_table: StructureTable) -> Table:
    """The rows in another order, one of them without a number."""
    return Table(
        structure_table.ids[::-1], {"formation_energy": np.array([np.nan, -0.4, 0.1, -1.25, 0.0])}, {}
    )


def test_energies_and_structures_are_read_as_the_benchmark_reads_them(
    tmp_path: Path, structure_table: StructureTable, energies: Table
) -> None:
    done = write_submission(energies, structure_table, tmp_path / "2026-11-21-pet-wbm.csv.gz", "PET-OAM XL")
    assert (done.energy_column, done.structure_column) == (
        "e_form_per_atom_pet_oam_xl",
        "pet_oam_xl_structure",
    )
    assert (done.n_rows, done.n_missing) == (5, 1)
    frame = pd.read_csv(done.energies).set_index("material_id")
    assert list(frame) == [done.energy_column]
    assert frame.index.tolist() == energies.ids.tolist()
    np.testing.assert_array_equal(frame[done.energy_column], energies.columns["formation_energy"])

    assert done.structures == tmp_path / "2026-11-21-pet-wbm.jsonl.gz"
    relaxed = pd.read_json(done.structures, lines=True).set_index("material_id")
    assert relaxed.index.tolist() == energies.ids[1:].tolist()
    for row_id, dictionary in relaxed[done.structure_column].items():
        structure = Structure.from_dict(dictionary)
        atoms = structure_table.get_ase(str(row_id))
        assert list(structure.atomic_numbers) == atoms.numbers.tolist()
        np.testing.assert_allclose(structure.cart_coords, atoms.positions, atol=1e-12)
        np.testing.assert_allclose(structure.lattice.matrix, atoms.cell.array, rtol=0, atol=1e-12)


def test_neither_file_is_there_if_one_cannot_be_written(
    tmp_path: Path, structure_table: StructureTable, energies: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(table: StructureTable, index: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("aiida_pet.data.matbench_discovery.structure_dict", fail)
    with pytest.raises(OSError, match="no space left"):
        write_submission(energies, structure_table, tmp_path / "x.csv.gz", "pet")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["x.csv", "x.json.gz", ".csv.gz"])
def test_other_names_are_refused(
    tmp_path: Path, structure_table: StructureTable, energies: Table, name: str
) -> None:
    with pytest.raises(SubmissionError, match=r"ends in \.csv\.gz"):
        write_submission(energies, structure_table, tmp_path / name, "pet")


def test_table_without_formation_energies_is_refused(tmp_path: Path, structure_table: StructureTable) -> None:
    with pytest.raises(SubmissionError, match=r"no column 'formation_energy'.*hull"):
        write_submission(structure_table, structure_table, tmp_path / "x.csv.gz", "pet")


def test_column_name_is_made_of_letters_and_digits() -> None:
    assert [column_name(name) for name in ("PET-OAM XL", "a;b$(c)", "é")] == ["pet_oam_xl", "a_b_c", "model"]

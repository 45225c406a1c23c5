"""`aiida-pet select`: uncertain rows that differ, as a file that can be labelled and imported again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
from ase.build import bulk
from click.testing import Result

from aiida_pet.data.structures import StructureSetData


@pytest.fixture
def unsure(aiida_profile: Any) -> Any:
    """A set of six crystals: three twins with the largest uncertainties, and three others."""
    crystals = {f"twin-{i}": bulk("W", a=3.16) for i in range(3)}
    crystals |= {"small": bulk("Mo", a=3.15), "large": bulk("Ta", cubic=True), "sure": bulk("Nb")}
    node = StructureSetData(crystals).to_table()
    node.set_column("uncertainty", np.array([0.9, 0.8, 0.7, 0.5, 1.2, np.nan]), "eV")
    node.set_column("energy", np.arange(6.0), "eV")
    return StructureSetData.from_table(node).store()


def test_uncertain_rows_that_differ_are_written(
    read: Callable[..., Any], unsure: Any, tmp_path: Path
) -> None:
    target = tmp_path / "for-dft.extxyz"
    document = read("select", unsure.pk, "--count", 3, "-o", target)
    # per atom: the cell of two Ta has 0.6 eV/atom, less than the twins
    assert document["ids"] == ["twin-0", "large", "small"] or document["ids"] == ["twin-0", "small", "large"]
    assert document["uncertainty"][0] == pytest.approx(0.9)
    frames = ase.io.read(target, ":")
    assert frames[0].get_chemical_formula() == "W"
    assert sorted(len(frame) for frame in frames) == [1, 1, 2]


def test_pool_of_one_takes_the_largest_and_where_narrows(
    read: Callable[..., Any], unsure: Any, tmp_path: Path
) -> None:
    plain = read("select", unsure.pk, "--count", 3, "--pool", 1, "-o", tmp_path / "a.json")
    assert plain["ids"] == ["twin-0", "twin-1", "twin-2"]
    narrow = read("select", unsure.pk, "--where", "n_atoms > 1", "-o", tmp_path / "b.json")
    assert narrow["ids"] == ["large"]


def test_column_that_is_not_there_says_how_to_make_it(
    invoke: Callable[..., Result], make_structures: Callable[..., Any], tmp_path: Path
) -> None:
    told = invoke("select", make_structures(3).pk, "-o", tmp_path / "c.json", status=1).output
    assert "aiida-pet launch calibrate" in told
    assert not (tmp_path / "c.json").exists()


def test_file_holds_no_results_that_a_training_would_take_for_labels(
    read: Callable[..., Any], aiida_profile: Any, tmp_path: Path
) -> None:
    from aiida_pet.io.readers import read_structures
    from aiida_pet.training.labels import read_labels
    from aiida_pet.training.parameters import TrainingError, parse_training

    table = StructureSetData({f"w-{i}": bulk("W", a=3.1 + 0.02 * i) for i in range(4)}).to_table()
    for name in ("energy", "input_energy"):
        table.set_column(name, np.arange(4.0), "eV")
    for name in ("stress", "input_stress"):
        table.set_column(name, np.ones((4, 6)), "eV/A^3")
    for name in ("forces", "input_forces"):
        table.atom_columns[name] = np.ones((4, 3))
    table.set_column("uncertainty", np.arange(4.0) + 1, "eV")
    table.set_column("status", np.array(["not_converged"] * 4))
    node = StructureSetData.from_table(table).store()
    for suffix in ("extxyz", "json"):
        target = tmp_path / f"for-dft.{suffix}"
        read("select", node.pk, "--count", 3, "--pool", 1, "-o", target)
        again = read_structures(target).table
        assert again.columns["uncertainty"].tolist() == [4.0, 3.0, 2.0]
        with pytest.raises(TrainingError, match="no energies"):
            read_labels(again, parse_training({}))
    assert not ase.io.read(tmp_path / "for-dft.extxyz").calc


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz", "rows.parquet", "rows.xlsx"])
def test_file_that_holds_no_crystals_is_refused_with_the_suffixes(
    invoke: Callable[..., Result], unsure: Any, tmp_path: Path, name: str
) -> None:
    told = " ".join(invoke("select", unsure.pk, "-o", tmp_path / name, status=2).output.split())
    assert "expected one of the suffixes .xyz, .extxyz, .cif" in told
    assert ".csv," not in told
    assert not (tmp_path / name).exists()


def test_fewer_rows_than_asked_for_are_told(
    invoke: Callable[..., Result], unsure: Any, tmp_path: Path
) -> None:
    result = invoke("select", unsure.pk, "--count", 1000, "-o", tmp_path / "a.xyz")
    assert "5 rows of 6 written" in result.stdout
    assert "fewer than --count 1,000 were written: only 5 rows have a value of uncertainty" in result.stderr
    exact = invoke("select", unsure.pk, "--count", 5, "-o", tmp_path / "b.xyz")
    assert "fewer than" not in exact.stderr

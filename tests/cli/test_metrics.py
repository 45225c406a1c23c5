"""`aiida-pet metrics`: references from wherever they are, joined by id, and the numbers of the metrics themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ase.build import bulk
from ase.io import write

from aiida_pet.analysis.metrics.stability import discovery_metrics, regression_metrics, stable_metrics
from aiida_pet.tables.crystals import StructureTable

COUNT = 20


@pytest.fixture
def frame() -> pd.DataFrame:
    """Results and references of the same crystals, ids like numbers with zeros before them."""
    rng = np.random.default_rng(0)
    columns = {
        "e_above_hull": rng.normal(0.02, 0.1, COUNT),
        "formation_energy": rng.normal(-1, 0.1, COUNT),
        "heat_capacity_300": rng.normal(23, 1, COUNT),
        "bulk_modulus": rng.normal(200, 20, COUNT),
        "volume": rng.normal(16, 1, COUNT),
    }
    columns |= {f"{name}_dft": values + rng.normal(0, 0.05, COUNT) for name, values in columns.items()}
    columns |= {"unique": rng.random(COUNT) < 0.7, "n_atoms_primitive": rng.integers(1, 4, COUNT)}
    return pd.DataFrame(columns, index=pd.Index([f"{i:04d}" for i in range(COUNT)], name="id"))


def stored(frame: pd.DataFrame) -> Any:
    """A stored set of bcc crystals with the columns of `frame`."""
    from aiida_pet.data.structures import StructureSetData

    table = StructureTable.from_ase((name, bulk("Mo", a=3.15)) for name in frame.index)
    for name in frame.columns:
        table.set_column(name, frame[name].to_numpy(), None)
    return StructureSetData.from_table(table).store()


def ours(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[[name for name in frame.columns if not name.endswith("_dft")]]


def theirs(frame: pd.DataFrame) -> pd.DataFrame:
    """References under the names of the results."""
    columns = [name for name in frame.columns if name.endswith("_dft")]
    return frame[columns].rename(columns=lambda name: name.removesuffix("_dft"))


def values(document: Any, family: str) -> dict[str, Any]:
    found = document["metrics"]
    return {
        name.removeprefix(f"{family}/"): number["value"]
        for name, number in found.items()
        if name.startswith(f"{family}/")
    }


def expected(numbers: dict[str, float]) -> Any:
    return {name: pytest.approx(value, rel=1e-12) for name, value in numbers.items()}


def test_references_may_be_columns_of_the_results(read: Any, frame: pd.DataFrame) -> None:
    document = read("metrics", stored(frame).pk, "--column", "e_above_hull=e_above_hull_dft")
    assert values(document, "hull") == expected(stable_metrics(frame.e_above_hull_dft, frame.e_above_hull))
    assert document["metrics"]["hull/MAE"]["unit"] == "eV/atom"
    assert document["columns"] == {"e_above_hull": "e_above_hull_dft"}
    assert (document["n_rows"], document["n_compared"]) == (COUNT, COUNT)


@pytest.mark.parametrize("name", ["dft.csv", "dft.csv.gz"])
def test_csv_is_joined_by_id_whatever_its_order(
    read: Any, frame: pd.DataFrame, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    theirs(frame).iloc[::-1].to_csv(path, index_label="material_id")
    document = read("metrics", stored(ours(frame)).pk, "--reference", path)
    assert set(document["columns"]) == {
        "e_above_hull",
        "formation_energy",
        "heat_capacity_300",
        "bulk_modulus",
    }
    numbers = discovery_metrics(frame.assign(unique_prototype=True), frame.formation_energy)
    assert values(document, "hull") == expected(numbers["full_test_set"])
    errors = (frame.heat_capacity_300 - frame.heat_capacity_300_dft).abs()
    assert values(document, "phonons")["mae_heat_capacity_300"] == pytest.approx(errors.mean())
    assert document["metrics"]["phonons/mae_heat_capacity_300"]["unit"] == "J/(K mol)"
    assert "elastic/mae_bulk_modulus" in document["metrics"]


def test_parquet_is_read_like_csv(read: Any, frame: pd.DataFrame, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / "dft.parquet"
    theirs(frame).to_parquet(path)
    document = read("metrics", stored(ours(frame)).pk, "--reference", path)
    assert document["n_compared"] == COUNT


def test_parquet_without_its_library_says_what_to_install(
    invoke: Any, frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(path: Path) -> None:
        raise ImportError("no engine")

    monkeypatch.setattr(pd, "read_parquet", missing)
    (tmp_path / "dft.parquet").touch()
    output = invoke("metrics", stored(frame).pk, "--reference", tmp_path / "dft.parquet", status=1).output
    assert "parquet files need pyarrow" in output


def test_a_node_may_be_the_reference(read: Any, frame: pd.DataFrame) -> None:
    reference = stored(theirs(frame))
    pk = stored(ours(frame)).pk
    document = read("metrics", pk, "--reference", reference.pk, "--column", "volume", "--structures")
    assert values(document, "volume") == expected(regression_metrics(frame.volume_dft, frame.volume))
    assert document["reference"] == f"<{reference.pk}>"
    assert values(document, "structures")["symmetry_match"] == 1.0


def test_missing_ids_are_counted_and_left_out(
    invoke: Any, read: Any, frame: pd.DataFrame, tmp_path: Path
) -> None:
    """Rows 15 to 19 have no reference, references 0 to 4 no row."""
    path = tmp_path / "dft.csv"
    theirs(frame).iloc[:15].to_csv(path)
    node = stored(ours(frame).iloc[5:])
    arguments = ("metrics", node.pk, "--reference", path, "--column", "e_above_hull")
    document = read(*arguments)
    assert [
        document[f"n_{name}"] for name in ("rows", "compared", "without_reference", "without_result")
    ] == [
        15,
        10,
        5,
        5,
    ]
    assert document["without_reference"] == frame.index[15:].tolist()
    part = frame.iloc[5:15]
    assert values(document, "hull") == expected(stable_metrics(part.e_above_hull_dft, part.e_above_hull))
    output = invoke(*arguments).output
    assert "10 rows compared, of 15\n" in output
    assert "5 rows without reference, left out: 0015 0016 0017 0018 0019\n" in output
    assert "5 references without row, left out (--all-references counts them): 0000 0001" in output


def test_all_references_counts_those_without_row_as_unstable(
    read: Any, frame: pd.DataFrame, tmp_path: Path
) -> None:
    path = tmp_path / "dft.csv"
    theirs(frame).to_csv(path)
    arguments = ("metrics", stored(ours(frame).iloc[8:]).pk, "--reference", path, "--column", "e_above_hull")
    document = read(*arguments, "--all-references")
    predicted = frame.e_above_hull.where(np.arange(COUNT) >= 8)
    assert values(document, "hull") == expected(stable_metrics(frame.e_above_hull_dft, predicted))
    assert values(document, "hull")["FN"] > values(read(*arguments), "hull")["FN"]


@pytest.mark.parametrize("within", ["results", "references"])
def test_unique_prototypes_are_found_on_either_side(
    read: Any, frame: pd.DataFrame, tmp_path: Path, within: str
) -> None:
    path = tmp_path / "dft.csv"
    theirs(frame).assign(**({"prototype": frame.unique} if within == "references" else {})).to_csv(path)
    mine = ours(frame).assign(**({"prototype": frame.unique} if within == "results" else {}))
    arguments = ["metrics", stored(mine).pk, "--reference", path]
    document = read(*arguments, "--unique-prototype", "prototype")
    numbers = discovery_metrics(frame, frame.formation_energy, unique_prototype="unique")
    assert values(document, "hull/unique_prototypes") == expected(numbers["unique_prototypes"])
    assert values(read(*arguments), "hull/unique_prototypes") == {}


def test_atoms_and_threshold_change_the_numbers(read: Any, frame: pd.DataFrame) -> None:
    pk = stored(frame).pk
    arguments = ("metrics", pk, "--column", "heat_capacity_300=heat_capacity_300_dft")
    arguments += ("--column", "e_above_hull=e_above_hull_dft")
    document = read(*arguments, "--n-atoms", "n_atoms_primitive", "--stability-threshold", "0.05")
    errors = (frame.heat_capacity_300 - frame.heat_capacity_300_dft).abs() / frame.n_atoms_primitive
    assert document["metrics"]["phonons/mae_heat_capacity_300"] == {
        "value": pytest.approx(errors.mean()),
        "unit": "J/(K mol) per atom",
    }
    numbers = stable_metrics(frame.e_above_hull_dft, frame.e_above_hull, stability_threshold=0.05)
    assert values(document, "hull") == expected(numbers)


def test_crystals_in_a_file_are_compared(read: Any, frame: pd.DataFrame, tmp_path: Path) -> None:
    """Of three crystals one is strained, at a tolerance that sees it and at one that does not."""
    crystals = [bulk("Mo", a=3.15) for _ in range(3)]
    crystals[1].set_cell(crystals[1].cell * [1, 1, 1.01], scale_atoms=True)
    frame = frame.rename(index="mo-{}".format)  # extxyz would read 0001 as a number
    for name, atoms in zip(frame.index, crystals, strict=False):
        atoms.info["id"] = name
    path = tmp_path / "dft.xyz"
    write(path, crystals, format="extxyz")
    node = stored(ours(frame))
    document = read("metrics", node.pk, "--reference", path)
    found = values(document, "structures")
    assert found["symmetry_match"] == pytest.approx(2 / 3)
    assert (found["n_structures"], found["n_missing"], document["n_without_reference"]) == (3, 0, COUNT - 3)
    loose = values(read("metrics", node.pk, "--reference", path, "--symprec", "0.2"), "structures")
    assert loose["symmetry_match"] == 1.0


def test_results_without_crystals_say_that_structures_are_not_compared(
    invoke: Any, frame: pd.DataFrame
) -> None:
    from aiida_pet.data.table import TableData
    from aiida_pet.tables.table import Table

    table = Table(np.array(frame.index), {"volume": frame.volume.to_numpy()})
    node = TableData.from_table(table).store()
    result = invoke("metrics", node.pk, "--reference", stored(theirs(frame)).pk)
    assert "structures are not compared" in result.stderr
    assert "structures/" not in result.stdout


def test_text_has_names_values_and_units(invoke: Any, frame: pd.DataFrame) -> None:
    lines = invoke(
        "metrics", stored(frame).pk, "--column", "bulk_modulus=bulk_modulus_dft"
    ).output.splitlines()
    assert lines[0] == "compared: bulk_modulus with bulk_modulus_dft"
    line = next(line.split() for line in lines if line.startswith("elastic/mae_bulk_modulus"))
    error = (frame.bulk_modulus - frame.bulk_modulus_dft).abs().mean()
    assert (float(line[1]), line[2]) == (pytest.approx(error, rel=1e-3), "GPa")


def with_units(frame: pd.DataFrame, units: dict[str, str]) -> Any:
    """A stored set of bcc crystals with columns in units."""
    from aiida_pet.data.structures import StructureSetData

    table = StructureTable.from_ase((name, bulk("Mo", a=3.15)) for name in frame.index)
    for name, unit in units.items():
        table.set_column(name, frame[name].to_numpy(), unit)
    return StructureSetData.from_table(table).store()


def test_errors_are_in_the_unit_of_the_columns_and_nothing_else_is_printed(
    invoke: Any, read: Any, frame: pd.DataFrame
) -> None:
    pk = with_units(frame, {"volume": "A^3", "bulk_modulus": "GPa"}).pk
    other = with_units(frame, {"volume": "A^3", "bulk_modulus": "GPa"}).pk
    document = read("metrics", pk, "--reference", other, "--column", "volume")
    units = {name: number["unit"] for name, number in document["metrics"].items()}
    assert units == {"volume/MAE": "A^3", "volume/RMSE": "A^3", "volume/R2": ""}
    both = read("metrics", pk, "--reference", other, "--column", "volume", "--structures")
    assert "structures/rmsd" in both["metrics"]
    third = with_units(frame, {"volume": "A^3/atom"}).pk
    message = invoke("metrics", pk, "--reference", third, "--column", "volume", status=1).output
    assert "volume of the results is in A^3, volume of the references in A^3/atom" in message


def test_rows_without_an_answer_are_no_prediction(read: Any, frame: pd.DataFrame) -> None:
    """The geometry that a row was given is that of the reference."""
    reference = stored(frame[["volume"]])
    few = frame[["volume"]].assign(status=["converged"] * 4 + ["left", "unsupported_element"] * 8)
    found = values(read("metrics", stored(few).pk, "--reference", reference.pk), "structures")
    assert (found["rmsd"], found["symmetry_match"]) == (pytest.approx(16 / 20), 4 / 20)
    assert found["n_missing"] == 16
    some = read("metrics", stored(few.iloc[:8]).pk, "--reference", reference.pk, "--all-references")
    assert values(some, "structures")["rmsd"] == pytest.approx(16 / 20)


def test_ids_of_a_csv_file_are_texts(read: Any, invoke: Any, frame: pd.DataFrame, tmp_path: Path) -> None:
    names = ["NA", "nan", "NaN", "0012", "1e3", "None", "null"]
    few = frame.iloc[: len(names)].set_axis(pd.Index(names, name="id"))
    path = tmp_path / "dft.csv"
    theirs(few).to_csv(path)
    document = read("metrics", stored(ours(few)).pk, "--reference", path, "--column", "volume")
    assert (document["n_compared"], document["n_without_reference"]) == (7, 0)
    path.write_text(path.read_text().replace("0012,", ","))
    message = invoke("metrics", stored(ours(few)).pk, "--reference", path, status=1).output
    assert "1 row without an id in column id, the first is row 4" in message


@pytest.mark.parametrize("texts", [("true", "false"), ("True", "False"), ("yes", ""), ("1", "0")])
def test_unique_prototypes_may_be_texts(
    read: Any, invoke: Any, frame: pd.DataFrame, tmp_path: Path, texts: tuple[str, str]
) -> None:
    pairs = ["--column", "e_above_hull", "--column", "formation_energy", "--unique-prototype", "unique"]
    path = tmp_path / "dft.csv"
    told = np.where(frame.unique, *texts)
    theirs(frame).assign(unique=told).to_csv(path)
    pk = stored(ours(frame).drop(columns="unique")).pk
    found = values(read("metrics", pk, "--reference", path, *pairs), "hull/unique_prototypes")
    assert sum(found[name] for name in ("TP", "FP", "TN", "FN")) == frame.unique.sum()
    theirs(frame).assign(unique="maybe").to_csv(path)
    message = invoke("metrics", pk, "--reference", path, *pairs, status=1).output
    assert "column 'unique' of 0000 is 'maybe': expected true or false" in message


@pytest.mark.parametrize(
    ("arguments", "message", "status"),
    [
        ((), "of the references with --column NAME=REFERENCE", 2),
        (("--column", "volume"), "'volume': expected NAME=REFERENCE", 2),
        (("--column", "volumes=volume_dft"), "the results have no column 'volumes'", 2),
        (("--reference", "dft.csv", "--column", "volume=v"), "the references have no column 'v'", 2),
        (("--reference", "dft.csv", "--unique-prototype", "u"), "there is no column 'u'", 2),
        (("--reference", "dft.csv", "--id-column", "mpid"), "no column mpid that holds ids", 1),
        (("--reference", "twice.csv"), "ids occur more than once in column id: 0001", 1),
        (("--reference", "others.csv"), "no id occurs both among the 20 rows (0000", 1),
        (("--reference", "nowhere.csv"), "--reference nowhere.csv: no such file, and no node", 1),
    ],
)
def test_what_cannot_be_compared_is_told(
    *,
    invoke: Any,
    frame: pd.DataFrame,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    message: str,
    status: int,
) -> None:
    monkeypatch.chdir(tmp_path)
    reference = theirs(frame)
    reference.to_csv("dft.csv")
    reference.iloc[[0, 1, 1]].to_csv("twice.csv")
    reference.rename(index="x{}".format).to_csv("others.csv")
    output = invoke("metrics", stored(frame).pk, *arguments, status=status).output
    assert message in " ".join(output.split())


def test_only_rows_with_both_values_are_compared(
    invoke: Any, read: Any, frame: pd.DataFrame, tmp_path: Path
) -> None:
    """References 0 to 2 are known, results 1 and 3 are missing, row 19 is not among the references."""
    frame = frame[["volume", "volume_dft"]].copy()
    frame.iloc[3:, 1] = np.nan
    frame.iloc[[1, 3], 0] = np.nan
    pk = stored(frame).pk
    document = read("metrics", pk, "--column", "volume=volume_dft")
    assert (document["n_compared"], document["n_rows"]) == (2, COUNT)
    assert document["without_reference"] == frame.index[3:].tolist()
    assert document["without_value"] == ["0001", "0003"]
    assert (document["n_without_reference"], document["n_without_value"]) == (17, 2)
    output = invoke("metrics", pk, "--column", "volume=volume_dft").output
    assert "2 rows compared, of 20\n17 rows without reference, left out: 0003 0004" in output
    assert "2 rows without a result to compare: 0001 0003\n" in output
    path = tmp_path / "dft.csv"
    theirs(frame).iloc[:19].to_csv(path)
    of_file = read("metrics", pk, "--reference", path, "--column", "volume", "--all-references")
    assert (of_file["n_compared"], of_file["n_without_reference"], of_file["n_without_value"]) == (2, 17, 2)


def test_a_row_is_compared_if_one_of_the_pairs_has_both_values(read: Any, frame: pd.DataFrame) -> None:
    frame = frame[["volume", "volume_dft", "bulk_modulus", "bulk_modulus_dft"]].copy()
    frame.iloc[:5, 0] = np.nan  # the modulus is compared
    frame.iloc[:2, 3] = np.nan  # and of two rows neither, although both have a result and a reference
    pairs = ("--column", "volume=volume_dft", "--column", "bulk_modulus=bulk_modulus_dft")
    document = read("metrics", stored(frame).pk, *pairs)
    counts = [document[f"n_{name}"] for name in ("compared", "without_reference", "without_value")]
    assert counts == [COUNT - 2, 0, 0]

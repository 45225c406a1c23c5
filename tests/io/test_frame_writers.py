"""Data frames as csv, JSON and parquet, read back by the standard library, pandas and pyarrow."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyarrow import parquet

from aiida_pet.io import frame_writers
from aiida_pet.io.frame_writers import (
    MissingParquetError,
    stream_csv,
    stream_json,
    write_csv,
    write_parquet,
)


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": ["a", 'b "c", d', "line\nbreak"],
            "energy": [-10.84504321987654, np.nan, np.inf],
            "n": [1, 2, 3],
            "kept": [True, False, True],
        }
    )


def test_csv_keeps_all_digits_and_quotes_text(frame: pd.DataFrame) -> None:
    handle = io.StringIO()
    stream_csv(frame.head(2), handle)
    rows = list(csv.reader(io.StringIO(handle.getvalue())))
    assert rows == [
        ["id", "energy", "n", "kept"],
        ["a", "-10.84504321987654", "1", "True"],
        ['b "c", d', "", "2", "False"],
    ]


def test_csv_is_compressed_as_its_name_says(frame: pd.DataFrame, tmp_path: Path) -> None:
    write_csv(frame, tmp_path / "out.csv.gz")
    with gzip.open(tmp_path / "out.csv.gz", "rt", newline="") as handle:
        assert [row["id"] for row in csv.DictReader(handle)] == frame["id"].tolist()
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv.gz"]


@pytest.mark.parametrize("slice_rows", [1, 2, 1000])
def test_json_is_one_document_whatever_the_slices(
    frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, slice_rows: int
) -> None:
    monkeypatch.setattr(frame_writers, "SLICE_ROWS", slice_rows)
    handle = io.StringIO()
    stream_json(frame, {"pk": 5, "units": {"energy": "eV"}}, handle)
    document = json.loads(handle.getvalue(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert (document["pk"], document["units"]) == (5, {"energy": "eV"})
    assert document["rows"] == [
        {"id": "a", "energy": -10.84504321987654, "n": 1, "kept": True},
        {"id": 'b "c", d', "energy": None, "n": 2, "kept": False},
        {"id": "line\nbreak", "energy": None, "n": 3, "kept": True},
    ]


@pytest.fixture
def mixed() -> pd.DataFrame:
    """Rows of two unlike tables: each has a text, a flag, a count and a number that the other lacks."""
    one = pd.DataFrame(
        {"id": ["a", "b"], "status": ["converged", "left"], "kept": [True, False], "n": [1, 2]}
    )
    two = pd.DataFrame({"id": ["c"], "reason": ["far\roff"], "done": np.array([True]), "energy": [np.inf]})
    return pd.concat([one, two])


@pytest.mark.parametrize("slice_rows", [1, 1000])
def test_json_of_unlike_tables_has_null_where_a_value_is_missing(
    mixed: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, slice_rows: int
) -> None:
    monkeypatch.setattr(frame_writers, "SLICE_ROWS", slice_rows)
    assert {str(dtype) for dtype in mixed.dtypes} == {"str", "object", "float64"}
    handle = io.StringIO()
    stream_json(mixed, {}, handle)
    lacks_two = {"reason": None, "done": None, "energy": None}
    assert json.loads(handle.getvalue())["rows"] == [
        {"id": "a", "status": "converged", "kept": True, "n": 1.0} | lacks_two,
        {"id": "b", "status": "left", "kept": False, "n": 2.0} | lacks_two,
        {
            "id": "c", "status": None, "kept": None, "n": None,
            "reason": "far\roff", "done": True, "energy": None,
        },
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pd.Series([1, None], dtype="Int64"), [1, None]),
        (pd.Series([0.5, None], dtype="Float64"), [0.5, None]),
        (pd.Series([True, None], dtype="boolean"), [True, None]),
        (pd.Series(["a", None], dtype="category"), ["a", None]),
        (pd.Series([np.bool_(True), np.float64("nan")], dtype=object), [True, None]),
        (pd.Series([[1.0, np.nan], np.array([[np.inf, 2.0]])], dtype=object), [[1.0, None], [[None, 2.0]]]),
    ],
    ids=["integers", "floats", "flags", "categories", "scalars of numpy", "lists and arrays"],
)
def test_json_has_null_for_what_is_missing_of_any_type(values: pd.Series, expected: list[object]) -> None:
    handle = io.StringIO()
    stream_json(pd.DataFrame({"x": values}), {}, handle)
    assert [row["x"] for row in json.loads(handle.getvalue())["rows"]] == expected


def test_csv_of_unlike_tables_is_empty_where_a_value_is_missing(mixed: pd.DataFrame) -> None:
    handle = io.StringIO()
    stream_csv(mixed, handle)
    rows = list(csv.reader(io.StringIO(handle.getvalue(), newline="")))
    assert rows == [
        ["id", "status", "kept", "n", "reason", "done", "energy"],
        ["a", "converged", "True", "1.0", "", "", ""],
        ["b", "left", "False", "2.0", "", "", ""],
        ["c", "", "", "", "far\roff", "True", "inf"],
    ]


def test_json_of_no_rows_is_a_document(frame: pd.DataFrame) -> None:
    handle = io.StringIO()
    stream_json(frame.head(0), {"pk": None}, handle)
    assert json.loads(handle.getvalue()) == {"pk": None, "rows": []}


def test_parquet_without_pyarrow_says_how_to_get_it(
    frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingParquetError, match=r"pip install 'aiida-pet\[parquet\]'"):
        write_parquet(frame, tmp_path / "out.parquet", {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("slice_rows", [1, 5000])
def test_parquet_is_read_by_pyarrow_with_units(
    frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slice_rows: int
) -> None:
    monkeypatch.setattr(frame_writers, "SLICE_ROWS", slice_rows)
    write_parquet(frame, tmp_path / "out.parquet", {"energy": "eV"})
    table = parquet.read_table(tmp_path / "out.parquet")
    assert table.column("id").to_pylist() == frame["id"].tolist()
    assert table.column("kept").to_pylist() == [True, False, True]
    assert table.column("energy").to_pylist()[0] == -10.84504321987654
    assert json.loads(table.schema.metadata[b"units"]) == {"energy": "eV"}


@pytest.mark.parametrize("slice_rows", [1, 5000])
def test_parquet_of_unlike_tables_has_null_where_a_value_is_missing(
    mixed: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slice_rows: int
) -> None:
    monkeypatch.setattr(frame_writers, "SLICE_ROWS", slice_rows)
    # so many that the rows of each kind fill slices of 20 and more of their own
    frame = pd.concat([mixed] * 30).sort_values("id")
    write_parquet(frame, tmp_path / "out.parquet", {})
    table = parquet.read_table(tmp_path / "out.parquet")
    assert table.column("status").to_pylist()[::30] == ["converged", "left", None]
    assert table.column("kept").to_pylist()[::30] == [True, False, None]
    assert table.column("reason").to_pylist()[::30] == [None, None, "far\roff"]
    assert table.column("done").to_pylist()[::30] == [None, None, True]
    assert pd.read_parquet(tmp_path / "out.parquet")["n"].tolist()[:31:30] == [1.0, 2.0]


def test_parquet_of_no_rows_has_the_columns(frame: pd.DataFrame, tmp_path: Path) -> None:
    write_parquet(frame.head(0), tmp_path / "out.parquet", {"energy": "eV"})
    table = parquet.read_table(tmp_path / "out.parquet")
    assert (table.num_rows, table.column_names) == (0, frame.columns.tolist())

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

from aiida_pet.data import frame_writers
from aiida_pet.data.frame_writers import (
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
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow, which writes parquet, is not installed")
    monkeypatch.setattr(frame_writers, "SLICE_ROWS", slice_rows)
    write_parquet(frame, tmp_path / "out.parquet", {"energy": "eV"})
    table = parquet.read_table(tmp_path / "out.parquet")
    assert table.column("id").to_pylist() == frame["id"].tolist()
    assert table.column("kept").to_pylist() == [True, False, True]
    assert table.column("energy").to_pylist()[0] == -10.84504321987654
    assert json.loads(table.schema.metadata[b"units"]) == {"energy": "eV"}

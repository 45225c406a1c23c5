"""Writes data frames to csv, JSON and parquet in slices of rows, never as one object per row. No AiiDA."""

from __future__ import annotations

import csv
import importlib
import importlib.util
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TextIO

import numpy as np
import pandas as pd

from aiida_pet.io.whole_files import open_whole, whole_file

# Rows that are Python objects at one time.
SLICE_ROWS = 5000


class MissingParquetError(ImportError):
    """Raised when a parquet file is asked for and pyarrow is not installed."""


def check_parquet() -> None:
    """:raises MissingParquetError: if pyarrow is not installed."""
    if importlib.util.find_spec("pyarrow") is None:
        raise MissingParquetError(
            "parquet needs pyarrow, which is not installed: `pip install 'aiida-pet[parquet]'`, or write csv"
        )


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write ``frame`` without its index, compressed if the name ends in ``.gz``, ``.bz2`` or ``.xz``."""
    with open_whole(path) as handle:
        stream_csv(frame, handle)


def stream_csv(frame: pd.DataFrame, handle: TextIO) -> None:
    """Write ``frame`` without its index as csv; numbers that are missing are empty."""
    texts = (frame.iloc[:, place] for place in range(frame.shape[1]))
    # Python 3.12 does not quote a carriage return, which readers take for an end of line
    returns = any(
        values.astype(str).str.contains("\r", regex=False).any() for values in texts if _is_text(values)
    )
    quoting: Literal[0, 2] = csv.QUOTE_NONNUMERIC if returns else csv.QUOTE_MINIMAL
    frame.to_csv(handle, index=False, lineterminator="\n", chunksize=SLICE_ROWS, quoting=quoting)


def _is_text(values: pd.Series) -> bool:
    return bool(values.dtype == object or isinstance(values.dtype, pd.StringDtype))


def stream_json(frame: pd.DataFrame, head: Mapping[str, Any], handle: TextIO) -> None:
    """Write one JSON object: what ``head`` has, and ``rows``, a list with one object per row on a line of its own.

    Values that are missing, of whatever type, and numbers that are not finite are null.
    """
    handle.write("{\n")
    for key, value in head.items():
        handle.write(f"  {json.dumps(key)}: {json.dumps(value)},\n")
    handle.write('  "rows": [')
    for index, record in enumerate(iter_records(frame)):
        handle.write(",\n    " if index else "\n    ")
        json.dump(record, handle, allow_nan=False)
    handle.write("\n  ]\n}\n" if len(frame) else "]\n}\n")


def iter_records(frame: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield each row as plain Python values by column, None for what is missing or not finite."""
    names = [str(name) for name in frame.columns]
    for start in range(0, len(frame), SLICE_ROWS):
        part = frame.iloc[start : start + SLICE_ROWS]
        columns = [_plain_values(part.iloc[:, place]) for place in range(len(names))]
        for values in zip(*columns, strict=True):
            yield dict(zip(names, values, strict=True))


def _plain_values(values: pd.Series) -> list[Any]:
    if isinstance(values.dtype, np.dtype):  # neither texts nor what pandas marks as missing in its own way
        if values.dtype.kind == "f":
            return [value if math.isfinite(value) else None for value in values.tolist()]
        if values.dtype.kind in "iub":
            return values.tolist()
    return [_plain(value) for value in values.tolist()]


def _plain(value: Any) -> Any:
    """Return a cell as JSON has it; rows of unlike tables leave NaN among texts and flags."""
    if isinstance(value, str):
        return value
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return None if pd.isna(value) else value


def write_parquet(frame: pd.DataFrame, path: Path, units: Mapping[str, str]) -> None:
    """Write ``frame`` without its index as parquet; the key ``units`` of its metadata has the units as JSON.

    :raises MissingParquetError: if pyarrow is not installed.
    """
    check_parquet()
    pyarrow, parquet = (importlib.import_module(name) for name in ("pyarrow", "pyarrow.parquet"))

    def arrow(part: pd.DataFrame) -> Any:
        made = pyarrow.Table.from_pandas(part, schema=schema, preserve_index=False)
        return made.replace_schema_metadata(metadata)

    schema = pyarrow.Schema.from_pandas(frame, preserve_index=False)
    metadata = {**(schema.metadata or {}), b"units": json.dumps(dict(units)).encode()}
    with (
        whole_file(path) as part,
        parquet.ParquetWriter(part, schema.with_metadata(metadata)) as writer,
    ):
        for start in range(0, max(len(frame), 1), 20 * SLICE_ROWS):
            writer.write_table(arrow(frame.iloc[start : start + 20 * SLICE_ROWS]))

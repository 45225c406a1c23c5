"""Flags that are not known of all rows: from the table to what people and programs read."""

from __future__ import annotations

import csv
import io
import json

import numpy as np

from aiida_pet.io.frame_writers import iter_records
from aiida_pet.tables.filter import filter_frame
from aiida_pet.tables.frame import frame_of
from aiida_pet.tables.table import Table
from aiida_pet.words import cell, plain

NAME = "symmetry_kept_0_01"


def table() -> Table:
    known = Table(["a", "b"], {NAME: np.array([True, False]), "mine": np.array([1.0, np.nan])})
    unknown = Table(["c"], {NAME: np.array([np.nan]), "mine": np.array([0.0])})
    return Table.concatenate([known, unknown])


def test_json_has_null_and_csv_nothing() -> None:
    frame = frame_of(table())
    records = list(iter_records(frame.reset_index()))
    assert [json.loads(json.dumps(record))[NAME] for record in records] == [True, False, None]
    rows = list(csv.DictReader(io.StringIO(frame.to_csv())))
    assert [row[NAME] for row in rows] == ["True", "False", ""]


def test_people_see_yes_no_and_a_dash() -> None:
    values = frame_of(table())[NAME].tolist()
    assert [cell(value) for value in values] == ["yes", "no", "-"]
    assert plain(values) == [True, False, None]


def test_counts_stay_whole_numbers() -> None:
    counts = frame_of(Table(["a", "b"], {"n_imaginary": np.array([3.0, np.nan])}))
    assert next(iter(csv.DictReader(io.StringIO(counts.to_csv()))))["n_imaginary"] == "3"
    assert [record["n_imaginary"] for record in iter_records(counts)] == [3, None]
    assert list(filter_frame(counts, "n_imaginary >= 0").index) == ["a"]
    assert list(filter_frame(counts, "n_imaginary == n_imaginary and not n_imaginary > 5").index) == ["a"]


def test_numbers_of_another_name_stay_numbers() -> None:
    assert frame_of(table())["mine"].dtype == np.float64
    flags = Table(["a"], {NAME: np.array([0.5])})  # of an input that calls something else so
    assert frame_of(flags)[NAME].tolist() == [0.5]

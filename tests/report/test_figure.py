"""Values as JSON holds them."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd

from aiida_pet.report.figure import Figure, Kind, columns_of, plain_list


def test_missing_values_are_null_and_numbers_short() -> None:
    assert plain_list([1.23456789, np.nan, np.inf, 2.0, -0.0]) == [1.234568, None, None, 2, 0]
    assert plain_list(pd.Series([True, None], dtype="boolean")) == [True, None]
    assert plain_list(pd.Series([3, None], dtype="Int64")) == [3, None]
    assert plain_list(np.array(["a", "</script>"])) == ["a", "</script>"]


def test_every_kind_has_a_function_that_draws_it() -> None:
    from importlib.resources import files

    script = (files("aiida_pet.report") / "assets" / "figures.js").read_text()
    for kind in Kind:
        assert f"\n    {kind.value}(div, f)" in script or f"\n    async {kind.value}(div, f)" in script


def test_a_figure_is_plain_values() -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": [0.5, np.nan]})
    figure = Figure("x", Kind.TABLE, "X", "an X", columns_of(frame))
    assert json.loads(json.dumps(figure.to_dict()))["columns"] == {"a": [1, 2], "b": [0.5, None]}

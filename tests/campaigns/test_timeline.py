"""When jobs ran, against their nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aiida.engine import run_get_node

from aiida_pet.campaigns.timeline import COLUMNS, job_times
from aiida_pet.workchains.batch import BatchWorkChain


def test_each_job_has_its_lane_times_and_rows(module_inputs: Callable[..., dict[str, Any]]) -> None:
    _, node = run_get_node(BatchWorkChain, lanes=2, job_size=1, **module_inputs(["a", "b", "c"]))
    frame = job_times(node.pk)
    assert tuple(frame.columns) == COLUMNS
    assert sorted(frame.groupby("lane")["rows_done"].sum()) == [1, 2]
    assert (frame["ended"] > frame["begun"]).all()
    assert frame["begun"].is_monotonic_increasing
    assert frame["engine_s"].sum() == pytest.approx(node.outputs.summary["engine_s"])
    assert not frame["cached"].any()
    assert set(frame["stage"]) == {""}

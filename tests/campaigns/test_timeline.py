"""When jobs began and ended, in which lane and stage."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiida_pet.campaigns.timeline import COLUMNS, timeline
from aiida_pet.figures import progress_of
from aiida_pet.job.folder import Progress


def test_a_row_per_job_by_lane_also_of_jobs_that_run(
    make_campaign: Callable[..., Any], tmp_path: Path
) -> None:
    campaign = make_campaign(["a", "b", "c", "d"])
    done = campaign.finish_job(["a", "b"])
    beat = Progress(rows_total=2, rows_done=1, step="running", updated=time.time(), rate=0.5, engine_s=2.0)
    running = campaign.add_job(["c", "d"], beat, tmp_path / "job")
    frame = timeline(campaign.node)
    assert tuple(frame.columns) == COLUMNS
    assert frame["job"].tolist() == [done.pk, running.pk]
    assert frame["lane"].tolist() == ["lane 1", "lane 2"]
    assert frame["stage"].tolist() == ["pet.relax".partition(".")[2]] * 2
    assert frame["rows_done"].tolist() == [2, 1]
    assert frame["engine_s"].tolist() == [60.0, 2.0]
    assert frame["begun"].tolist() == [one.ctime.timestamp() for one in (done, running)]
    assert frame["ended"][0] == done.outputs.summary.ctime.timestamp()
    assert abs(frame["ended"][1] - time.time()) < 60
    assert [lane.rows[-1] for lane in progress_of(frame).lanes] == [2, 1]

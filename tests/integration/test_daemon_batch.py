"""Batches through the daemon: every checkpoint of lanes and batches is written and read again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aiida.engine import submit
from aiida.engine.daemon.client import get_daemon_client
from aiida.engine.processes.control import iterate_process_tasks
from aiida.manage import get_manager
from click.testing import CliRunner

from aiida_pet.campaigns.progress import campaign_progress
from aiida_pet.cli import main
from aiida_pet.computers.repair import find_lost
from aiida_pet.workchains.batch import BatchWorkChain
from aiida_pet.workchains.jobs import jobs_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

PATIENCE_S = 400


def wait_until(condition: Callable[[], bool], complaint: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"{complaint} after {PATIENCE_S} s"
        time.sleep(0.5)


@pytest.fixture(scope="module", autouse=True)
def daemon(aiida_profile: Any, aiida_config: Any, aiida_profile_factory: Any) -> Iterator[Any]:
    """The running daemon of a profile of its own, with a broker that needs no service."""
    with aiida_profile_factory(aiida_config, broker_backend="core.zeromq") as profile:
        aiida_config.set_option("daemon.timeout", 120, scope=profile.name)  # the machine may be busy
        client = get_daemon_client(profile.name)
        client.start_daemon()
        wait_until(lambda: get_manager().get_broker().check_service_reachable(), "the broker does not answer")
        yield client
        client.stop_daemon(wait=True)


def test_batch_goes_on_after_the_daemon_was_restarted(
    daemon: Any, module_inputs: Callable[..., dict[str, Any]]
) -> None:
    # the killer comes last in its lane, or the next job would be made while the daemon stops
    inputs = module_inputs(["a", "b", "d", "e", "f", "killer"], STAND_IN_SLEEP=8)
    node = submit(BatchWorkChain, lanes=2, job_size=3, **inputs)
    # Not earlier: AiiDA itself loses a process that is stopped between its creation and its first message
    # (`verdi process repair` brings it back).
    wait_until(
        lambda: len([job for job in jobs_of(node) if job.get_job_id()]) == 2, "no two jobs were started"
    )
    daemon.stop_daemon(wait=True)
    assert not node.is_terminated
    daemon.start_daemon()
    wait_until(lambda: node.is_terminated, "the batch runs")
    assert node.is_finished_ok, node.exit_message
    results = node.outputs.results
    statuses = dict(zip(results.ids.tolist(), results.column("status").tolist(), strict=True))
    assert statuses == dict.fromkeys("abdef", "converged") | {"killer": "failed"}
    finished = [name for job in jobs_of(node) if "results" in job.outputs for name in job.outputs.results.ids]
    assert sorted(finished) == list("abdef")  # none done twice
    assert campaign_progress(node).rows_done == 6


def repaired(*options: str) -> str:
    result = CliRunner().invoke(main, ["repair", *options], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.skipif(
    "AIIDA_PET_REPAIR_TEST" not in os.environ,
    reason="its two jobs do not start within its patience on every machine: set AIIDA_PET_REPAIR_TEST to run it",
)
def test_repair_finds_what_the_broker_lost_and_changes_nothing_where_all_is_well(
    daemon: Any, module_inputs: Callable[..., dict[str, Any]]
) -> None:
    node = submit(BatchWorkChain, lanes=2, job_size=1, **module_inputs(["g", "h"], STAND_IN_SLEEP=8))
    wait_until(
        lambda: len([job for job in jobs_of(node) if job.get_job_id()]) == 2, "no two jobs were started"
    )
    assert "nothing was done" in repaired("--dry-run")
    assert daemon.is_daemon_running
    daemon.stop_daemon(wait=True)
    lost = find_lost(get_manager().get_broker()).active
    for task in iterate_process_tasks(get_manager().get_broker()):
        with task.processing() as outcome:
            outcome.set_result(False)
    assert f"{len(lost)} processes that the queue had lost: would be put back into it" in repaired(
        "--dry-run"
    )
    told = repaired()
    assert "the daemon was not running" in told
    assert f"{len(lost)} processes that the queue had lost: put back into it" in told
    assert "started the daemon with 1 worker" in told
    wait_until(lambda: node.is_terminated, "the batch runs")
    assert node.is_finished_ok, node.exit_message
    assert sorted(node.outputs.results.ids) == ["g", "h"]
    told = repaired()
    assert "stopped the daemon (1 worker)" in told
    assert "nothing was lost: 0 processes have not ended" in told
    assert daemon.is_daemon_running

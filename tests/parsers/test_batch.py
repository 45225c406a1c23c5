"""From what the engine left to nodes and exit codes; each way to end, with its message."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiida import orm
from aiida.cmdline.commands.cmd_calcjob import calcjob_inputcat, calcjob_outputcat
from aiida.common import LinkType
from aiida.engine import run_get_node
from click.testing import CliRunner

from aiida_pet.calculations.exit_codes import CODES
from aiida_pet.calculations.relax import RelaxCalculation
from aiida_pet.data.table import TableData
from aiida_pet.job.folder import JobFolder, Progress
from aiida_pet.parsers.batch import BatchParser
from aiida_pet.tables.crystals import StructureTable

Inputs = Callable[..., dict[str, Any]]


def run_job(inputs: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    outputs, node = run_get_node(RelaxCalculation, **inputs)
    return outputs, node


def test_finished_job_gives_results_in_the_order_of_the_job(job_inputs: Inputs) -> None:
    order = ["alloy-0004", "alloy-0000", "alloy-0002"]
    outputs, node = run_job(job_inputs(5) | {"rows": TableData.from_ids(order)})
    assert node.is_finished_ok, node.exit_message
    results = outputs["results"]
    assert results.ids.tolist() == order
    assert results.column("status").tolist() == ["converged"] * 3
    assert results.unit("energy") == "eV"
    assert np.allclose(results.column("energy"), -16.0, rtol=0, atol=0)
    assert results.atom_column("forces").shape == (6, 3)


def test_summary_says_what_was_done_and_what_it_cost(job_inputs: Inputs) -> None:
    inputs = job_inputs(["a", "b", "max_steps-1"])
    outputs, _ = run_job(inputs)
    summary = outputs["summary"].get_dict()
    assert summary["statuses"] == {"converged": 2, "max_steps": 1}
    assert (summary["rows_total"], summary["rows_done"], summary["rows_left"]) == (3, 3, 0)
    assert summary["evaluations"] == 21
    assert summary["engine_s"] > summary["compute_s"] > 0
    assert summary["model_sha256"] == inputs["model"].sha256
    assert summary["device"] == "cpu"
    assert summary["damaged_shards"] == []


def test_only_heartbeat_and_log_are_stored_with_the_job(job_inputs: Inputs) -> None:
    outputs, node = run_job(job_inputs())
    names = set(outputs["retrieved"].base.repository.list_object_names())
    assert {"progress.json", "engine.log"} <= names
    assert not [name for name in names if name.endswith(".npz")]
    assert "structures.npz" not in node.base.repository.list_object_names()
    assert "job.json" in node.base.repository.list_object_names()


def test_inputcat_and_outputcat_show_the_job_and_its_log(job_inputs: Inputs) -> None:
    _, node = run_job(job_inputs())
    runner = CliRunner()
    shown = runner.invoke(calcjob_inputcat, [str(node.pk)])
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.stdout)["task"] == "relax"
    shown = runner.invoke(calcjob_outputcat, [str(node.pk)])
    assert shown.exit_code == 0, shown.output
    assert "stand-in engine" in shown.stdout


LOGGING = """
import logging, sys, warnings
from pathlib import Path
from aiida_pet.engine.__main__ import _log_to
_log_to(Path(sys.argv[1]))
logging.info("Using best model from epoch 11")
logging.getLogger("aiida_pet.engine.run").info("12 rows")
warnings.warn("of some library")
logging.getLogger("aiida_pet.engine.run").error("it broke down")
"""


def test_log_of_the_engine_goes_to_its_file_and_only_errors_to_standard_error(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOGGING, str(tmp_path / "engine.log")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert [line.split(": ")[-1] for line in done.stderr.splitlines()] == ["it broke down"]
    log = (tmp_path / "engine.log").read_text()
    assert "12 rows" in log
    assert "of some library" in log
    assert "it broke down" in log
    assert "best model" not in log


@pytest.mark.parametrize(
    ("environment", "status", "message", "rows"),
    [
        (
            {"STAND_IN_ABSENT": 1},
            311,
            "The engine ended before it computed any rows: it left no files and no messages; the end of its stderr: "
            "pet-engine: command not found. `verdi calcjob outputcat {pk} _scheduler-stderr.txt` shows",
            0,
        ),
        (
            {"STAND_IN_FAIL": "CRASHED"},
            311,
            "before it computed any rows: CRASHED: as the test asked. `verdi calcjob outputcat {pk}",
            0,
        ),
        (
            {"STAND_IN_FAIL": "BAD_JOB"},
            302,
            "did not understand its job folder: as the test asked. Install the same version of aiida-pet",
            0,
        ),
        (
            {"STAND_IN_FAIL": "BAD_MODEL"},
            303,
            "The model was refused: as the test asked. A campaign uploads the model",
            0,
        ),
        (
            {"STAND_IN_FAIL": "BAD_DEVICE"},
            304,
            "The device cannot be used: as the test asked. Ask the queue for a GPU (`--gpus 1`)",
            0,
        ),
        (
            {"STAND_IN_DAMAGE": 1},
            305,
            "Rows are missing although the engine ended without an error: 2 of 5 rows are missing in the "
            "shards; damaged shards "
            "results-00000.npz. The other rows are in `results`",
            3,
        ),
        ({"STAND_IN_ROWS": 4}, 400, "Time ran out after 4 of 5 rows. Run the others again", 4),
        (
            {"STAND_IN_MEMORY": 4},
            410,
            "Memory ran out after 0 of 5 rows: 5 rows do not fit. Ask for more memory (`--memory`",
            0,
        ),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else None,
)
def test_each_ending_has_its_exit_code_and_message(
    job_inputs: Inputs, environment: dict[str, Any], status: int, message: str, rows: int
) -> None:
    outputs, node = run_job(job_inputs(5, **environment))
    assert node.exit_status == status, node.exit_message
    assert message.replace("{pk}", str(node.pk)) in node.exit_message
    assert outputs["summary"]["rows_done"] == rows
    assert len(outputs["results"]) == rows if rows else "results" not in outputs
    assert not node.base.caching.is_valid_cache


def test_killed_engine_keeps_the_rows_it_finished(job_inputs: Inputs) -> None:
    outputs, node = run_job(job_inputs(["a", "b", "killer", "d"]))
    assert node.exit_status == 310
    assert (
        "The engine broke down after 2 of 4 rows: it was killed; the end of its stderr:" in node.exit_message
    )
    assert outputs["results"].ids.tolist() == ["a", "b"]


# -- parsing by hand: what only a scheduler or a broken transport can cause ----------------------------------------


@pytest.fixture
def finished_job(job_inputs: Inputs, tmp_path: Path) -> Callable[..., tuple[Any, Path]]:
    """Return a factory of (CalcJobNode, folder of shards) of a job of 4 rows, with a heartbeat and some shards."""

    def make(
        heartbeat: Progress | str | None, n_done: int = 0, exit_status: int | None = None, stderr: bytes = b""
    ) -> Any:
        inputs = job_inputs(4)
        node = orm.CalcJobNode(computer=inputs["code"].computer, process_type="aiida.calculations:pet.relax")
        node.set_option("resources", {"num_machines": 1, "num_mpiprocs_per_machine": 1})
        node.set_option("scheduler_stderr", "_scheduler-stderr.txt")
        for name in ("code", "model", "structures"):
            node.base.links.add_incoming(inputs[name], LinkType.INPUT_CALC, name)
        node.store()
        if exit_status is not None:
            node.set_exit_status(exit_status)
        retrieved = orm.FolderData()
        if heartbeat is not None:
            text = heartbeat if isinstance(heartbeat, str) else heartbeat.to_json()
            retrieved.base.repository.put_object_from_bytes(text.encode(), "progress.json")
        if stderr:
            retrieved.base.repository.put_object_from_bytes(stderr, "_scheduler-stderr.txt")
        retrieved.base.links.add_incoming(node, LinkType.CREATE, "retrieved")
        retrieved.store()
        shards = tmp_path / "shards"
        shards.mkdir()
        if n_done:
            rows = inputs["structures"].to_table().take(range(n_done))
            rows.set_column("status", ["converged"] * n_done)
            JobFolder(shards).write_shard(rows)
        return node, shards

    return make


def parse(node: Any, shards: Path | None) -> tuple[dict[str, Any], Any]:
    """Parse as the engine does; return outputs and exit code."""
    parser = BatchParser(node)
    exit_code = parser.parse(**({} if shards is None else {"retrieved_temporary_folder": str(shards)}))
    return parser.outputs, exit_code


@pytest.mark.parametrize(
    ("scheduler", "n_done", "status", "message"),
    [
        (120, 2, 400, "Time ran out after 2 of 4 rows."),
        (120, 0, 400, "Time ran out after 0 of 4 rows."),
        (
            110,
            1,
            410,
            "Memory ran out after 1 of 4 rows: the scheduler killed it for the memory of the host.",
        ),
        (140, 1, 310, "The engine broke down after 1 of 4 rows: scheduler: 140."),
        (140, 0, 311, "The engine ended before it computed any rows: scheduler: 140."),
        (None, 0, 301, "it was killed; the end of its stderr: empty."),
    ],
)
def test_killed_engine_takes_its_reason_from_the_scheduler(
    finished_job: Any, scheduler: int | None, n_done: int, status: int, message: str
) -> None:
    node, shards = finished_job(Progress(rows_total=4, step="running", begun=True), n_done, scheduler)
    _, exit_code = parse(node, shards)
    assert exit_code.status == status
    assert message in exit_code.message


def test_engine_that_was_killed_before_it_began_with_its_rows_says_nothing_of_them(finished_job: Any) -> None:
    node, shards = finished_job(Progress(rows_total=4, step="loading"))
    _, exit_code = parse(node, shards)
    assert exit_code.status == 311
    assert "before it computed any rows: it was killed" in exit_code.message


def test_nul_bytes_in_a_log_come_into_no_message(finished_job: Any) -> None:
    """PostgreSQL takes none, and a disk that died leaves them."""
    beat = Progress(rows_total=4, step="running", begun=True)
    node, shards = finished_job(beat, stderr=b"node\x00\x00 failed\x1b[0m")
    _, exit_code = parse(node, shards)
    assert "the end of its stderr: node failed [0m." in exit_code.message


def test_job_whose_rows_are_all_there_is_finished_whatever_the_scheduler_says(finished_job: Any) -> None:
    node, shards = finished_job(Progress(rows_total=4, step="running", begun=True), 4, exit_status=120)
    outputs, exit_code = parse(node, shards)
    assert exit_code.status == 0
    assert len(outputs["results"]) == 4


def test_no_temporary_folder_says_so(finished_job: Any) -> None:
    node, _ = finished_job(None)
    _, exit_code = parse(node, None)
    assert exit_code.status == 300
    assert "The results of the job were not fetched" in exit_code.message


def test_job_whose_folder_was_removed_is_told_so_and_the_code_is_not_blamed(finished_job: Any) -> None:
    node, shards = finished_job(None)  # nothing was fetched, not even the files that the queue opens
    _, exit_code = parse(node, shards)
    assert exit_code.status == 311
    assert "its folder is gone" in exit_code.message
    assert "check that the code" not in exit_code.message


def test_no_exit_message_holds_a_placeholder(finished_job: Any) -> None:
    node, shards = finished_job(Progress(rows_total=4, step="running", begun=True))
    _, exit_code = parse(node, shards)
    assert f"`verdi calcjob outputcat {node.pk}` shows its log" in exit_code.message
    assert not [code.label for code in CODES if "PK" in code.message or "settings." in code.message]


def test_heartbeat_that_cannot_be_read_is_as_good_as_none(finished_job: Any) -> None:
    node, shards = finished_job("{", 1)
    outputs, exit_code = parse(node, shards)
    assert exit_code.status == 310
    assert outputs["summary"]["rows_done"] == 1


def test_keys_of_a_newer_heartbeat_are_passed_on(finished_job: Any) -> None:
    text = Progress(rows_total=4, step="done").to_json().replace("{", '{"version": "9.9", ', 1)
    node, shards = finished_job(text, 4)
    outputs, _ = parse(node, shards)
    assert outputs["summary"]["version"] == "9.9"


def test_rows_of_another_job_are_left_out(finished_job: Any, caplog: Any) -> None:
    node, shards = finished_job(Progress(rows_total=4, step="done"), 4)
    stranger = StructureTable.load(shards / "results-00000.npz").take([0])
    stranger.ids = np.array(["stranger"])
    JobFolder(shards).write_shard(stranger)
    outputs, exit_code = parse(node, shards)
    assert exit_code.status == 0
    assert "stranger" not in outputs["results"].ids.tolist()
    assert "1 rows in the shards do not belong to this job and are left out" in caplog.text


def test_rows_marked_as_left_are_not_results(finished_job: Any) -> None:
    node, shards = finished_job(Progress(rows_total=4, step="stopped", message="ROWS_LEFT: time"), 3)
    rows = StructureTable.load(shards / "results-00000.npz").take([2])
    rows.ids = np.array(["alloy-0003"])
    rows.columns["status"][:] = "left"
    JobFolder(shards).write_shard(rows)
    outputs, exit_code = parse(node, shards)
    assert exit_code.status == 400
    assert outputs["results"].ids.tolist() == ["alloy-0000", "alloy-0001", "alloy-0002"]


def test_5000_rows_in_100_shards_are_parsed(make_structures: Any, job_inputs: Inputs, tmp_path: Path) -> None:
    inputs = job_inputs(5000)
    node = orm.CalcJobNode(computer=inputs["code"].computer, process_type="aiida.calculations:pet.relax")
    for name in ("code", "model", "structures"):
        node.base.links.add_incoming(inputs[name], LinkType.INPUT_CALC, name)
    node.store()
    retrieved = orm.FolderData()
    retrieved.base.links.add_incoming(node, LinkType.CREATE, "retrieved")
    retrieved.store()
    table = inputs["structures"].to_table()
    for first in range(0, 5000, 50):
        part = table.take(range(first, first + 50))
        for column in range(20):
            part.set_column(f"column{column}", np.zeros(50))
        part.set_column("status", ["converged"] * 50)
        part.atom_columns["forces"] = np.zeros((len(part.numbers), 3))
        JobFolder(tmp_path).write_shard(part)
    outputs, _ = parse(node, tmp_path)
    results = outputs["results"].store()
    assert list(results.ids) == list(inputs["structures"].ids)
    assert set(results.column("status")) == {"converged"}

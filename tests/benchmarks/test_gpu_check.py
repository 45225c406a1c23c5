"""The script for a GPU, rehearsed on a CPU: it runs, and each of its comparisons finds an error that is put there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from aiida_pet.engine.batch.evaluation import Evaluation
from aiida_pet.engine.batch.pair_search import FoundPairs
from aiida_pet.engine.model.memory import calibrate
from benchmarks import gpu_check
from benchmarks.gpu import correct_memory, correct_tasks, correctness
from benchmarks.gpu.checks import Check, compared
from benchmarks.gpu.report import Report
from benchmarks.gpu.sides import Side
from benchmarks.gpu.throughput import Rate

ROOT = Path(__file__).parents[2]
WRONG = 1.01  # what a device that errs multiplies its answers with
COMPARISONS = {
    "evaluation": correctness.evaluation,
    "neighbors": correctness.neighbors,
    "averaging": correctness.averaging,
    "projection": correctness.projection,
    "relaxation": correct_tasks.relaxation,
    "phonons": correct_tasks.phonons,
    "elastic": correct_tasks.elastic,
    "job": correct_tasks.job,
    "halving": correct_memory.halving,
    "estimate": correct_memory.estimate,
}
#: What a device finds wrong whose answers are wrong, of each part; ends of names.
FOUND = {
    "evaluation": {"/energy", "/forces", "/stress", "/energies"},
    "averaging": {"/energy", "/forces", "/stress", "/energies"},
    "relaxation": {"/energy"},
    "phonons": {"/max_frequency", "/force constants"},
    "elastic": {"/elastic_tensor", "/bulk_modulus"},
    "halving": {"/energy", "/forces"},
}


class Wrong(Side):
    """A device whose answers are one per cent too large, whose searches miss a pair, whose projections err."""

    def model(self, **options: Any) -> Any:
        model = super().model(**options)
        answer = model._answer

        def wrong(prepared: Any, turn: Any) -> Evaluation:
            right = answer(prepared, turn)
            atoms = {name: WRONG * values for name, values in right.atoms.items()}
            energy, forces, stress = (WRONG * part for part in (right.energy, right.forces, right.stress))
            return replace(right, energy=energy, forces=forces, stress=stress, atoms=atoms)

        model._answer = wrong
        return model

    def pairs(self, batch: Any, cutoff: float) -> FoundPairs:
        found = super().pairs(batch, cutoff)
        return FoundPairs(*(tensor[1:] for tensor in found[:4]), found.searched)

    def projector(self, operations: Any, n_atoms: Any) -> Any:
        return super().projector([None, *operations[1:]], n_atoms)

    def job(self, *arguments: Any) -> Any:
        progress, table = super().job(*arguments)
        table.columns["energy"] = WRONG * table.columns["energy"]
        return replace(progress, device="another"), table


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def failed(part: str, tried: Side) -> set[str]:
    return {check.name for check in COMPARISONS[part](tried, Side("cpu"), True) if not check.passed}


@pytest.mark.parametrize("part", FOUND)
def test_wrong_answers_of_the_model_are_found(part):
    names = failed(part, Wrong("cpu"))
    for end in FOUND[part]:
        assert any(name.endswith(end) for name in names), f"nobody noticed {end}"


def test_pair_that_is_missed_is_found():
    assert {"neighbors/pairs within 4.5 A", "neighbors/distances within 8 A"} <= failed(
        "neighbors", Wrong("cpu")
    )


def test_list_that_is_kept_and_lacks_pairs_is_found(monkeypatch):
    monkeypatch.setattr(correctness.NeighborList, "_stale", lambda self, then, now: torch.zeros(len(now)) > 0)
    assert failed("neighbors", Side("cpu")) == {
        "neighbors/of a list that is kept",
        "neighbors/rows are rebuilt one by one",
    }


def test_group_that_is_left_out_is_found():
    assert failed("projection", Wrong("cpu")) == {"projection/forces", "projection/stress"}


def test_job_of_other_energies_on_another_device_is_found():
    assert failed("job", Wrong("cpu")) == {"job/energy", "job/heartbeat"}


def test_estimate_that_is_a_quarter_too_large_is_found(monkeypatch):
    def wrong(model: Any) -> Any:
        memory = calibrate(model)
        return replace(memory, per_token=1.25 * memory.per_token)

    monkeypatch.setattr(correct_memory, "calibrate", wrong)
    assert failed("estimate", Side("cpu")) == {"estimate/float64"}


def test_memory_that_never_ends_is_found(monkeypatch):
    monkeypatch.setattr(Side, "memory_for", lambda *arguments: _nothing())
    assert failed("halving", Side("cpu")) == {
        "halving/chunks are cut",
        "halving/status of a row that does not fit",
    }


class _nothing:  # noqa: N801
    def __enter__(self) -> None: ...

    def __exit__(self, *reason: object) -> None: ...


@pytest.mark.parametrize(
    ("got", "reference", "passes"),
    [
        ([1.0, 2.0], [1.0, 2.0 + 1e-10], True),
        ([1.0, 2.0], [1.0, 2.1], False),
        ([1.0, np.nan], [1.0, np.nan], True),
        ([1.0, np.nan], [1.0, 2.0], False),
        ([1.0, 2.0], [1.0, np.nan], False),
        ([1.0], [1.0, 2.0], False),
        ([np.nan], [np.nan], False),  # nothing was compared
        ([0.0, 0.0], [0.0, 0.0], False),
        ([], [], False),
        (["converged"], ["converged"], True),
        (["converged"], ["diverged"], False),
        ([1, 2], [1, 3], False),
    ],
)
def test_check_passes_only_if_numbers_were_compared_and_agree(got, reference, passes):
    assert compared("x", np.array(got), np.array(reference), 1e-9).passed is passes


@pytest.mark.timeout(1800)  # half a minute of CPU, which a busy machine makes minutes of
def test_quick_run_on_the_cpu_tells_all_in_one_file_and_one_table(tmp_path):
    out = tmp_path / "found" / "gpu.json"
    command = [sys.executable, "-m", "benchmarks.gpu_check", "--device", "cpu", "--quick", "--out", str(out)]
    run = subprocess.run(
        command,
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert run.returncode == 0, run.stdout + run.stderr
    found = json.loads(out.read_text())
    assert found["failed"] == []
    assert {check["name"].split("/")[0] for check in found["checks"]} >= set(COMPARISONS)
    assert all(check["passed"] and check["n_numbers"] for check in found["checks"])
    measured = {(rate["model"], rate["task"], rate["dtype"]) for rate in found["rates"] if rate["n_crystals"]}
    expected = {
        (model, task, dtype)
        for model, tasks in (("ships", ("static", "relax", "phonons")), ("XS", ("static", "relax")))
        for task in tasks
        for dtype in ("float64", "float32", "mixed")
    }
    assert expected <= measured
    assert "Not measured" not in run.stdout
    details = [rate["detail"] for rate in found["rates"]]
    shares = [
        detail["share of the matrix peak"] for detail in details if "share of the matrix peak" in detail
    ]
    assert shares
    assert all(0.0 < share < 1.0 for share in shares)
    table = out.with_suffix(".md").read_text()
    assert table in run.stdout
    assert "| evaluation | 23 of 23 |" in table


def run_with(monkeypatch: pytest.MonkeyPatch, out: Path, parts: dict[str, Any], budget: float = 100.0) -> int:
    monkeypatch.setattr(gpu_check, "parts_of", lambda run: parts)
    monkeypatch.setattr(gpu_check, "describe", lambda device: {"host": "a machine"})
    return gpu_check.main(
        ["--device", "cpu", "--quick", "--out", str(out), "--budget", str(budget), "--go-on"]
    )


def good() -> Iterator[Any]:
    yield Check("good/one", 0.0, 1.0, "eV", 3)
    yield Rate("ships", "static", "float64", 10, 0.5, 10, {})


def test_part_that_crashes_takes_no_other_with_it(monkeypatch, tmp_path):
    def crashing() -> Iterator[Any]:
        yield Check("crashing/before", 0.0, 1.0, "eV", 3)
        raise RuntimeError("no kernel image is available")

    out = tmp_path / "gpu.json"
    parts = {"crashing": gpu_check.Part(crashing, 1), "good": gpu_check.Part(good, 1)}
    assert run_with(monkeypatch, out, parts) == 1
    report = Report.taken_up(out)
    assert report.failed == ["crashing"]
    assert [check.name for check in report.checks] == ["crashing/before", "good/one"]
    assert "no kernel image" in out.with_suffix(".md").read_text()


def test_part_for_which_the_budget_does_not_suffice_is_named(monkeypatch, tmp_path):
    out = tmp_path / "gpu.json"
    parts = {"long": gpu_check.Part(good, 300), "good": gpu_check.Part(good, 1)}
    assert run_with(monkeypatch, out, parts) == 0
    report = Report.taken_up(out)
    assert "300 needed" in report.parts["long"]["left_out"]
    assert len(report.checks) == 1


def test_run_goes_on_after_what_it_found_before(monkeypatch, tmp_path):
    calls = []

    def counted() -> Iterator[Any]:
        calls.append(1)
        yield from good()

    out = tmp_path / "gpu.json"
    for _ in range(2):
        assert run_with(monkeypatch, out, {"good": gpu_check.Part(counted, 1)}) == 0
    assert calls == [1]
    assert Report.taken_up(out).rates == [Rate("ships", "static", "float64", 10, 0.5, 10, {})]


def test_device_that_answers_no_more_is_met_by_a_new_process(monkeypatch, tmp_path):
    def lost() -> Iterator[Any]:
        yield Check("lost/before", 0.0, 1.0, "eV", 3)
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    begun: list[list[str]] = []
    monkeypatch.setattr(gpu_check.os, "execv", lambda path, command: begun.append(command))
    out = tmp_path / "gpu.json"
    assert run_with(monkeypatch, out, {"lost": gpu_check.Part(lost, 1), "good": gpu_check.Part(good, 1)}) == 1
    (command,) = begun
    assert command[1:4] == ["-m", "benchmarks.gpu_check", "--go-on"]
    assert "illegal memory access" in Report.taken_up(out).parts["lost"]["problem"]
    assert run_with(monkeypatch, out, {"lost": gpu_check.Part(lost, 1), "good": gpu_check.Part(good, 1)}) == 1
    assert [check.name for check in Report.taken_up(out).checks] == ["lost/before", "good/one"]

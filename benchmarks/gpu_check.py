"""``python -m benchmarks.gpu_check``: what the engine does on a GPU, right and how fast, in one run of some minutes.

Each part compares a path of the engine on the device with the CPU, or measures what the device reaches. Parts come in
the order of their worth; after each, its lines are printed and the JSON file is written, so that a run that is cut
short has told what it found. A part is not begun when less of the budget is left than it takes. A device that is in an
error which no process outlives is met by a new process, which goes on with the part after.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from aiida_pet.job.folder import Task
from benchmarks.gpu import correct_memory, correct_tasks, correctness, peers
from benchmarks.gpu.ceilings import Ceilings, measure
from benchmarks.gpu.checks import Check
from benchmarks.gpu.report import Report
from benchmarks.gpu.sides import Side
from benchmarks.gpu.throughput import SHIPPED, Rate, rates
from benchmarks.harness import machine

BUDGET_S = 480.0
MARGIN_S = 5.0  # that a throughput leaves to what comes after it
LONGEST_S = 90.0  # of a part that measures throughput
RAN = "ran_s"


class Run:
    """One run of the script.

    :param device: that is looked at.
    :param report: to go on with.
    :param end: of the budget, on the clock of ``time.monotonic()``.
    :param quick: with a few crystals, to see that it runs.
    """

    def __init__(self, device: str, report: Report, end: float, quick: bool) -> None:
        cores = len(os.sched_getaffinity(0))
        self.tried = Side(device, 1)
        self.reference = Side("cpu", 1 if quick else cores)
        self.report = report
        self.end = end
        self.quick = quick

    def correct(self, compare: Callable[[Side, Side, bool], Iterable[Check]]) -> Callable[[], Iterable[Any]]:
        """Return the part that makes a comparison."""
        return lambda: compare(self.tried, self.reference, self.quick)

    def ceilings(self) -> Iterable[str]:
        """Measure what the device can do."""
        found = measure(self.tried.device, self.quick)
        self.report.ceilings = asdict(found)
        yield f"       {found.bandwidth / 1e9:.0f} GB/s of a copy"
        for name, value in found.matrix.items():
            yield f"       {value / 1e12:.3g} TFLOP/s of a product in {name}"

    def rates(self, model: str, *tasks: Task) -> Callable[[], Iterable[Rate]]:
        """Return the part that measures ``model``."""

        def part() -> Iterable[Rate]:
            known = Ceilings(**self.report.ceilings) if self.report.ceilings else None
            deadline = min(self.end - MARGIN_S, time.monotonic() + LONGEST_S)
            return rates(model, tasks, self.tried.device, deadline, known, quick=self.quick)

        return part

    def profile(self) -> Iterable[str]:
        """See where the time goes."""
        self.report.profile = peers.profile(self.tried.device, self.quick)
        for name, value in self.report.profile.items():
            if not isinstance(value, dict):
                yield f"       {name}: {value if isinstance(value, str) else f'{value:.4g}'}"
        for name, spent in list(self.report.profile.get("ms by name", {}).items())[:8]:
            yield f"       {spent:8.3f} ms {name}"


@dataclass(frozen=True)
class Part:
    """A part of the run.

    :ivar work: yields what it finds.
    :ivar needs_s: seconds of the budget that have to be left.
    """

    work: Callable[[], Iterable[Any]]
    needs_s: float


def parts_of(run: Run) -> dict[str, Part]:
    """Return the parts by name, in the order of their worth."""
    parts = {
        "evaluation": Part(run.correct(correctness.evaluation), 20),
        "neighbors": Part(run.correct(correctness.neighbors), 10),
        "averaging": Part(run.correct(correctness.averaging), 20),
        "projection": Part(run.correct(correctness.projection), 5),
        "relaxation": Part(run.correct(correct_tasks.relaxation), 60),
        "ceilings": Part(run.ceilings, 10),
        "static, model that ships": Part(run.rates(SHIPPED, Task.STATIC), 20),
        "relax, model that ships": Part(run.rates(SHIPPED, Task.RELAX), 30),
        "phonons": Part(run.correct(correct_tasks.phonons), 20),
        "elastic": Part(run.correct(correct_tasks.elastic), 20),
        "job": Part(run.correct(correct_tasks.job), 15),
        "estimate": Part(run.correct(correct_memory.estimate), 20),
        "halving": Part(run.correct(correct_memory.halving), 20),
        "wrapper": Part(lambda: peers.against_the_wrapper(run.quick), 20),
        "attention": Part(lambda: peers.ways_of_attention(run.tried.device, run.quick), 10),
        "phonons, model that ships": Part(run.rates(SHIPPED, Task.PHONONS), 30),
        "profile": Part(run.profile, 10),
    }
    sizes = ("XS",) if run.quick else ("S", "L", "XS", "M", "XL")
    for size in sizes:
        parts[f"random weights, {size}"] = Part(run.rates(size, Task.STATIC, Task.RELAX), 30)
    for size in sizes[:2]:
        parts[f"phonons, random weights, {size}"] = Part(run.rates(size, Task.PHONONS), 30)
    return parts


def perform(run: Run, chosen: Iterable[str]) -> None:
    """Do the parts ``chosen`` that the report does not hold yet, one after another.

    :raises torch.AcceleratorError: after which the device answers no more in this process.
    """
    for name, part in parts_of(run).items():
        if name not in chosen or name in run.report.parts:
            continue
        left = run.end - time.monotonic()
        if left < part.needs_s:
            run.report.parts[name] = {
                "left_out": f"{left:.0f} s of the budget were left, {part.needs_s:.0f} needed"
            }
            run.report.write()
            print(f"-- {name}: left out, {run.report.parts[name]['left_out']}", flush=True)
            continue
        print(f"-- {name}", flush=True)
        _perform_one(run, name, part)


def _perform_one(run: Run, name: str, part: Part) -> None:
    start = time.monotonic()
    entry: dict[str, Any] = {}
    run.report.parts[name] = entry
    try:
        for found in part.work():
            if isinstance(found, Check):
                run.report.checks.append(found)
            elif isinstance(found, Rate):
                run.report.rates.append(found)
            print(found, flush=True)
    except Exception as error:  # the other parts are worth as much without this one
        entry["problem"] = "".join(traceback.format_exception(error))
        print(f"FAILED {name} crashed: {entry['problem']}", flush=True)
        if isinstance(error, torch.AcceleratorError):
            raise
    finally:
        entry[RAN] = time.monotonic() - start
        run.report.write()
        if run.tried.device.type == "cuda":
            _forget(run.tried.device)
    print(f"   {entry[RAN]:.1f} s, {run.end - time.monotonic():.0f} s of the budget left", flush=True)


def _forget(device: torch.device) -> None:
    """Give back what is cached, which the next part would take for memory that is not there."""
    try:
        torch.cuda.synchronize(device)
        torch.cuda.empty_cache()
    except RuntimeError as error:  # a new process is about to begin
        print(f"       {error}", flush=True)


def describe(device: str) -> dict[str, Any]:
    """Return the machine in words."""
    found: dict[str, Any] = {"host": machine(), "torch": f"torch {torch.__version__}"}
    if device.startswith("cuda"):
        properties = torch.cuda.get_device_properties(torch.device(device))
        found = {"device": f"{properties.name} ({properties.total_memory / 2**30:.0f} GiB)"} | found
    return found


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu_check", description=__doc__.split("\n\n")[1]
    )
    parser.add_argument("--device", default="cuda", help="cpu to rehearse, cuda or cuda:N (default: cuda)")
    parser.add_argument("--quick", action="store_true", help="a few crystals, to see that it runs")
    parser.add_argument("--budget", type=float, default=BUDGET_S, metavar="S", help="seconds (default: 480)")
    parser.add_argument("--parts", nargs="*", metavar="NAME", help="only these, as the output names them")
    parser.add_argument(
        "--out", type=Path, default=Path("build/gpu_check.json"), help="JSON file; the tables go beside it"
    )
    parser.add_argument(
        "--go-on",
        action="store_true",
        help="go on with the JSON file: parts that it holds are not done again",
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for and return the exit status: 1 if anything failed."""
    options = make_parser().parse_args(arguments)
    started = time.monotonic()
    logging.basicConfig(level=logging.ERROR)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)  # as the engine does
    if options.device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # what looks for a device of its own finds none
    elif ":" in options.device:
        torch.cuda.set_device(options.device)
    report = Report.taken_up(options.out) if options.go_on and options.out.exists() else Report(options.out)
    report.machine = report.machine or describe(options.device)
    print(", ".join(report.machine.values()), flush=True)
    run = Run(options.device, report, started + options.budget, options.quick)
    known = parts_of(run)
    unknown = sorted(set(options.parts or ()) - known.keys())
    if unknown:
        make_parser().error(f"no part {', '.join(unknown)}; there are {', '.join(known)}")
    try:
        perform(run, options.parts or known)
    except torch.AcceleratorError:
        _begin_again(options, started + options.budget - time.monotonic())
    print(report.tables())
    print(f"{len(report.checks)} comparisons; failed: {', '.join(report.failed) or 'none'}", flush=True)
    return 1 if report.failed else 0


def _begin_again(options: argparse.Namespace, left_s: float) -> None:
    """Go on in a process that the device still answers."""
    print("the device answers no more in this process: going on in a new one", flush=True)
    command = [sys.executable, "-m", "benchmarks.gpu_check", "--go-on", "--device", options.device]
    command += ["--out", str(options.out), "--budget", f"{left_s:.0f}"]
    command += ["--quick"] if options.quick else []
    command += ["--parts", *options.parts] if options.parts else []
    os.execv(sys.executable, command)


if __name__ == "__main__":
    sys.exit(main())

"""``make faults``: campaigns over SLURM that are broken at a random moment, compared with one left alone.

A campaign relaxes ordered alloys in two lanes of a real SLURM queue, in jobs of a quarter of them. When a random part
of the rows is done, a fault is injected (:mod:`benchmarks.faults.kinds`). Then only what ``aiida-pet status`` says is
done, as a user would, until the campaign has ended well, and its rows are compared with those of the undisturbed one.
Prints a JSON line per campaign; ``--write FILE`` puts the table into a document, ``--read FILE`` takes lines of before.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import re
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from aiida_pet.job.folder import PROGRESS_FILE, JobFolderError, Progress
from benchmarks.faults.advice import follow, without_numbers
from benchmarks.harness import ROOT, machine

sys.path.append(str(ROOT / "tests"))  # the services are the tests' own

from benchmarks.faults.kinds import FAULTS, WORKERS, Fault, Site
from support.services.postgres import postgres_server
from support.services.profile import CommandError, Row, isolated_profile
from support.services.rabbitmq import rabbitmq_broker
from support.services.slurm import slurm_cluster

N_CRYSTALS, N_QUICK = 1000, 60
MAX_ATOMS = 6  # of a cell
JOBS = 4
SCRATCH = "256m"
EQUAL = 1e-6  # eV and A^3 per cell: batches differ after a fault, and with them the order of sums
POLL_S = 8.0
PATIENCE_S = 900.0
WINDOW = (0.05, 0.7)  # of the rows, in which the fault comes
MARKS = ("<!-- faults -->", "<!-- end of faults -->")


@dataclass
class Outcome:
    """What became of a campaign.

    :ivar fault: name of the fault.
    :ivar hit: in words.
    :ivar ended: whether it has ended well.
    :ivar rows: of the table; as many ids.
    :ivar missing: ids without a row, or with one that has no answer where the undisturbed campaign has one.
    :ivar different: rows with another status, energy or volume than the undisturbed campaign's.
    :ivar largest: largest difference in energy (eV).
    :ivar steps: commands that it took, as ``aiida-pet status`` said them.
    :ivar said: why the campaign ended before its time, in its own words; empty if it did not.
    :ivar jobs: jobs that ran.
    :ivar seconds: wall time.
    :ivar problem: why the campaign was given up, empty if it was not.
    """

    fault: str
    hit: str = ""
    ended: bool = False
    rows: int = 0
    missing: int = 0
    different: int = 0
    largest: float = 0.0
    steps: list[str] = field(default_factory=list)
    said: str = ""
    jobs: int = 0
    seconds: float = 0.0
    problem: str = ""

    @property
    def is_whole(self) -> bool:
        """Whether every id has exactly one row, equal to the undisturbed one."""
        return self.ended and not self.missing and not self.different


class Campaigns:
    """Campaigns over the same crystals on the same site."""

    def __init__(self, site: Site, crystals: Path, count: int) -> None:
        self.site = site
        self.count = count
        self.code = site.profile.make_computer("cluster", scheduler="core.slurm", work_dir=site.work_dir)
        imported = re.search(r"<(\d+)>", site.profile.pet("data", "import", str(crystals)))
        if imported is None:
            raise RuntimeError("`aiida-pet data import` names no set")
        self.crystals = imported[1]
        self.expected: dict[str, Row] = {}

    def launch(self, fault: Fault | None) -> int:
        """Start a campaign and return its pk."""
        lines = ["#SBATCH --gres=gpu:1"]
        if fault is not None and fault.minute:
            lines.append("#SBATCH --time=00:01:00")
        commands = json.dumps("\n".join(lines))
        return self.site.profile.launch(
            Path(self.crystals),
            self.code,
            f"--option=custom_scheduler_commands={commands}",
            f"--job-size={max(1, self.count // JOBS)}",
            "--setting=flush_interval_s=2",
            *(fault.launch if fault else ()),
        )

    def undisturbed(self) -> float:
        """Run the campaign that others are compared with, and return its seconds.

        :raises RuntimeError: if it does not end well.
        """
        outcome = Outcome("none")
        began = time.monotonic()
        pk = self.follow(self.launch(None), outcome)
        if not outcome.ended or outcome.steps:
            raise RuntimeError(f"the undisturbed campaign did not end well: {outcome}")
        self.expected = self.site.profile.rows(pk)
        return time.monotonic() - began

    def run(self, fault: Fault) -> Outcome:
        """Run a campaign with ``fault`` and return what became of it."""
        outcome = Outcome(fault.name)
        self.site.profile.verdi("daemon", "restart")  # what the fault before did to it is not this one's
        began = time.monotonic()
        since = time.time()
        pk = self.launch(fault)
        try:
            self.wait_for_rows(since, self.site.random.uniform(*WINDOW))
            outcome.hit = fault.inject(self.site)
            pk = self.follow(pk, outcome)
            self.compare(self.site.profile.rows(pk), outcome)
        except (CommandError, RuntimeError, ValueError, subprocess.SubprocessError, OSError) as error:
            outcome.problem = str(error)
            self.site.profile.pet("stop", str(pk), check=False)  # or it would be in the way of the next
        outcome.seconds = time.monotonic() - began
        return outcome

    def wait_for_rows(self, since: float, share: float) -> None:
        """Return when ``share`` of the rows are done, as engines started after ``since`` say.

        :raises RuntimeError: if they never are.
        """
        deadline = time.monotonic() + PATIENCE_S
        while True:
            done = 0
            for path in self.site.work_dir.rglob(PROGRESS_FILE):
                with contextlib.suppress(OSError, JobFolderError):
                    progress = Progress.from_json(path.read_text())
                    done += progress.rows_done if progress.started >= since else 0
            if done >= share * self.count:
                return
            if time.monotonic() > deadline:
                raise RuntimeError(f"{done} of {self.count} rows are done after {PATIENCE_S:.0f} s")
            time.sleep(0.2)

    def follow(self, pk: int, outcome: Outcome) -> int:
        """Do what ``aiida-pet status`` says until the campaign has ended well; return the pk of the last launch.

        :raises RuntimeError: if it does not end, or says nothing that helps.
        """
        profile = self.site.profile

        def type_in(command: str, status: dict[str, Any]) -> int:
            outcome.steps.append(without_numbers(command))
            arguments = command.split()[1:]
            if command.startswith("verdi"):
                profile.verdi(*arguments)
                return int(status["pk"])
            if arguments == ["repair"]:
                profile.pet(*arguments)
                return int(status["pk"])
            outcome.jobs += len(status["jobs"])
            outcome.said = outcome.said or status["message"] or status["state"]
            return int(json.loads(profile.pet(*arguments, "--json"))["pk"])

        status = follow(pk, profile.status, type_in, POLL_S)
        outcome.ended = status["exit_status"] == 0
        if not outcome.ended:
            raise RuntimeError(f"{status['state']}: {status['message']}; advice: {status['advice']}")
        outcome.jobs += len(status["jobs"])
        return int(status["pk"])

    def compare(self, rows: dict[str, Row], outcome: Outcome) -> None:
        """Compare ``rows`` with those of the undisturbed campaign."""
        outcome.rows = len(rows)
        outcome.missing = len(self.expected.keys() - rows.keys())
        for name, row in self.expected.items():
            found = rows.get(name)
            if found is None:
                continue
            if found["status"] != row["status"]:
                outcome.different += 1
                continue
            energy, volume = (abs(found[key] - row[key]) for key in ("energy", "volume"))
            outcome.largest = max(outcome.largest, energy)
            outcome.different += max(energy, volume) > EQUAL


@contextmanager
def campaigns(production: bool, count: int, seed: int) -> Iterator[Campaigns]:
    """Give campaigns of ``count`` crystals on a site of their own.

    :param production: with PostgreSQL and RabbitMQ in place of SQLite and ZeroMQ.
    """
    sys.path.append(str(ROOT / "examples"))
    from alloys import write_alloys

    with ExitStack() as stack:
        slurm = stack.enter_context(slurm_cluster())
        postgres = stack.enter_context(postgres_server()) if production else None
        profile = stack.enter_context(isolated_profile(slurm.environment))
        work_dir = profile.folder / "work"
        work_dir.mkdir()
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={SCRATCH},mode=755", "tmpfs", work_dir], check=True
        )
        stack.callback(subprocess.run, ["umount", "--lazy", work_dir], check=True)
        if postgres is not None:
            profile.set_up_services(postgres, stack.enter_context(rabbitmq_broker()))
        profile.set_up(workers=WORKERS)
        crystals = profile.folder / "alloys.xyz"
        write_alloys(crystals, MAX_ATOMS, limit=count)
        site = Site(slurm, profile, work_dir, postgres, random.Random(seed))
        yield Campaigns(site, crystals, count)


def table(outcomes: list[Outcome]) -> str:
    """Return the outcomes as a Markdown table, a line per fault."""
    by_fault: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        by_fault[outcome.fault].append(outcome)
    lines = [
        "| fault | campaigns | each id one row | values equal | largest difference | what it took | jobs | time |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, found in by_fault.items():
        done = [one for one in found if one.ended]
        steps = sorted({", ".join(f"`{step}`" for step in one.steps) or "nothing" for one in done})
        cells = (
            FAULTS[name].what,
            len(found),
            f"{sum(one.ended and not one.missing for one in found)} of {len(found)}",
            f"{sum(one.is_whole for one in found)} of {len(found)}",
            f"{max((one.largest for one in done), default=0.0):.0e} eV",
            "; or ".join(steps) or "did not end well",
            ", ".join(str(one.jobs) for one in found),
            ", ".join(f"{one.seconds:.0f} s" for one in found),
        )
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def write_table(path: Path, text: str) -> None:
    """Put ``text`` between the marks of the document ``path``.

    :raises ValueError: if it has no marks.
    """
    document = path.read_text()
    start, end = (document.find(mark) for mark in MARKS)
    if start < 0 or end < start:
        raise ValueError(f"{path} has no {MARKS[0]} ... {MARKS[1]}")
    path.write_text(f"{document[: start + len(MARKS[0])]}\n{text}\n{document[end:]}")


def read_outcomes(path: Path) -> list[Outcome]:
    """Return the outcomes that a run printed into ``path``."""
    lines = [json.loads(line) for line in path.read_text().splitlines() if line.startswith("{")]
    return [Outcome(**line) for line in lines if line["fault"] in FAULTS]


def run_all(chosen: list[Fault], count: int, repeats: int, seed: int) -> Iterator[Outcome]:
    """Run ``repeats`` campaigns of ``count`` crystals with each fault; print and yield what became of them."""
    for production in (False, True):
        faults = [fault for fault in chosen if fault.production == production]
        if not faults:
            continue
        with campaigns(production, count, seed) as site:
            seconds = round(site.undisturbed(), 1)
            said = {"crystals": count, "seed": seed, "machine": machine()}
            print(json.dumps({"fault": "none", "seconds": seconds} | said), flush=True)
            for fault in [fault for fault in faults for _ in range(repeats)]:
                outcome = site.run(fault)
                print(json.dumps(asdict(outcome)), flush=True)
                yield outcome


def main() -> int:
    """Run what the command line asks for; the exit status is 1 if a campaign was not whole."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.faults", description=__doc__.splitlines()[0].partition(": ")[2]
    )
    parser.add_argument(
        "names", nargs="*", metavar="FAULT", help=f"all if none is given: {', '.join(FAULTS)}"
    )
    parser.add_argument("--crystals", type=int, help=f"of a campaign; {N_CRYSTALS} if not given")
    parser.add_argument("--quick", action="store_true", help=f"{N_QUICK} crystals")
    parser.add_argument("--repeats", type=int, default=1, help="campaigns per fault")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    parser.add_argument(
        "--read", type=Path, nargs="+", metavar="FILE", help="lines of former runs, in place of new ones"
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="document to put the table into")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # services are stopped on the way out
    unknown = sorted(set(arguments.names) - set(FAULTS))
    if unknown:
        parser.error(f"no fault {', '.join(unknown)}; there are {', '.join(FAULTS)}")
    count = arguments.crystals or (N_QUICK if arguments.quick else N_CRYSTALS)
    chosen = [FAULTS[name] for name in arguments.names or FAULTS]
    if arguments.read:
        outcomes = [outcome for path in arguments.read for outcome in read_outcomes(path)]
    else:
        outcomes = list(run_all(chosen, count, arguments.repeats, arguments.seed))
    text = table(outcomes)
    print(text)
    if arguments.write is not None:
        write_table(arguments.write, text)
    return 0 if all(outcome.is_whole for outcome in outcomes) else 1

"""``python -m benchmarks [NAME ...]``: run the benchmarks named, or all, each in a process of its own."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import subprocess
import sys

from benchmarks.harness import ROOT, machine

NAMES = {
    "overhead": "what AiiDA adds to the engine per crystal, in a batch of 2,000 and of 20,000, and its bytes",
    "road": "200 alloys as a batch, by a job per crystal, and by aiida-ase per crystal: time, nodes, bytes",
    "evaluate": "one evaluation of 256 crystals against metatomic's wrapper, metatomic-ase and the model's ceiling",
    "start": "seconds of CPU from the start of an engine to the answer for one crystal, beyond importing torch",
    "relax": "relaxation of 256 alloys against ASE, torch-sim's optimize and the model's ceiling",
    "symmetry": "projection onto space groups and averages over rotations against what they cost elsewhere",
    "optimizers": "what L-BFGS saves against FIRE near a minimum, and what it changes in the results of 50 alloys",
    "precision": "what single and mixed precision change in the results of 50 alloys, and how much faster they are",
    "phonons": "phonons of 64 crystals in one run against phonopy and metatomic-ase one by one",
    "phonon_symmetry": "what phonons of six crystals change with all displacements, and with 84 and 42 rotations",
    "conductivity": "forces of four conductivities against metatomic-ase and the model alone, transport on two cores",
    "dynamics": "steps against ASE, torch-sim and the ceiling; memory of a long run; drifts of each way of forces",
    "nve": "drifts of ten crystals of the model that ships by LAMBench's protocol",
    "hull": "energies above hull of 16,000 entries against pymatgen's PatchedPhaseDiagram, and of 257,000",
    "funnel": "a screening of 2,000 crystals through AiiDA: time of each stage, share of the engine, bytes",
    "first_picture": "from the end of the install to the bands of a first crystal: each command that is typed",
    "eta": "the time left that a live status tells of a screening, over the truth",
    "campaign": "a campaign of 256,963 crystals: overhead, memory, bytes, and how long answers take",
    "interrupted": "such a campaign whose client and daemon are killed in the middle: what is done twice",
    "report": "the page of campaigns of 353, 10,000 and 257,000 rows: seconds, memory, bytes",
    "scaling": "relaxations of 64 to 4,096 rows: crystals per second, time per atom, memory",
}
ELSEWHERE = {"interrupted": "faults.interrupted"}  # benchmark -> its module, where that has another name
ON_ALL_CORES = {
    "evaluate",
    "relax",
    "symmetry",
    "phonons",
    "phonon_symmetry",
    "conductivity",
    "dynamics",
    "nve",
    "scaling",
}  # the others run several processes


def run_here(name: str, quick: bool) -> None:
    """Run benchmark ``name`` in this process and print its lines."""
    where = machine()
    for measurement in importlib.import_module(f"benchmarks.{ELSEWHERE.get(name, name)}").run(quick):
        print(measurement.to_json(where), flush=True)


def run_apart(command: list[str], environment: dict[str, str]) -> int:
    """Run ``command`` and return its exit status; who is told to stop lets it clean up before."""
    with subprocess.Popen(command, cwd=ROOT, env=environment) as process:
        try:
            return process.wait()
        except (KeyboardInterrupt, SystemExit):
            process.terminate()
            raise


def main() -> int:
    """Run what the command line asks for and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.split(":")[1].strip())
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="; ".join(f"{name}: {text}" for name, text in NAMES.items())
    )
    parser.add_argument(
        "--quick", action="store_true", help="a twentieth of the crystals, to see that it runs"
    )
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in NAMES]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(NAMES)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # daemons are stopped on the way out
    if arguments.here:
        run_here(arguments.names[0], arguments.quick)
        return 0
    cores = len(os.sched_getaffinity(0))
    failed = []
    for name in arguments.names or NAMES:
        threads = cores if name in ON_ALL_CORES else 1
        # numpy's threads would spin on the cores of torch's, ASE's loops thirty times slower
        environment = {"OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": "1"} | os.environ
        command = [
            sys.executable,
            "-m",
            "benchmarks",
            "--here",
            name,
            *(["--quick"] if arguments.quick else []),
        ]
        if run_apart(command, environment):
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""``python -m benchmarks [NAME ...]``: run the benchmarks named, or all, each in a process of its own."""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys

from benchmarks.harness import ROOT, machine

NAMES = {
    "overhead": "what AiiDA adds to the engine per crystal, in a batch of 2,000 and of 20,000, and its bytes",
    "road": "the same of one crystal per job, through aiida-ase",
    "relax": "batched relaxation against ASE one by one, same model and machine",
}


def run_here(name: str, quick: bool) -> None:
    """Run benchmark ``name`` in this process and print its lines."""
    where = machine()
    for measurement in importlib.import_module(f"benchmarks.{name}").run(quick):
        print(measurement.to_json(where), flush=True)


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
    if arguments.here:
        run_here(arguments.names[0], arguments.quick)
        return 0
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    failed = []
    for name in arguments.names or NAMES:
        command = [
            sys.executable,
            "-m",
            "benchmarks",
            "--here",
            name,
            *(["--quick"] if arguments.quick else []),
        ]
        if subprocess.run(command, cwd=ROOT, check=False).returncode:
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

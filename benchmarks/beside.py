"""``python -m benchmarks.beside TREE NAME ...``: this tree and another one in turn, and the ratios of their figures.

TREE is a checkout of another commit with a ``.venv`` of its own. Both run the same benchmarks of their own code,
A B A B ..., so that a drift of the machine's speed meets both; ratios are taken pair by pair.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.__main__ import NAMES
from benchmarks.harness import ROOT, Measurement, machine

REPEATS = 5
_LOWER_IS_BETTER = ("ms/crystal", "s", "B/crystal", "s/crystal")


def values_of(tree: Path, name: str, quick: bool) -> dict[str, tuple[float, str]]:
    """Run benchmark ``name`` of ``tree`` and return measurement -> (value, unit).

    :raises RuntimeError: if it fails.
    """
    python = tree / ".venv" / "bin" / "python"
    command = [str(python), "-m", "benchmarks", name, *(["--quick"] if quick else [])]
    environment = {**os.environ, "PATH": f"{python.parent}:{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} in {tree.name}: {done.stderr[-2000:]}")
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {line["name"]: (line["value"], line["unit"]) for line in lines}


def compared(other: Path, name: str, repeats: int, quick: bool) -> Iterator[Measurement]:
    """Yield the median of each figure of benchmark ``name``, and how many times better it is than the other tree's."""
    here, there = [], []
    for _ in range(repeats):
        there.append(values_of(other, name, quick))
        here.append(values_of(ROOT, name, quick))
    for label, (_, unit) in here[0].items():
        if unit not in _LOWER_IS_BETTER or label not in there[0]:
            continue
        mine, others = ([run[label][0] for run in runs] for runs in (here, there))
        ratios = [b / a for a, b in zip(mine, others, strict=True)]
        yield Measurement(
            f"beside/{label}",
            statistics.median(mine),
            unit,
            f"the other tree: {statistics.median(others):.3g} {unit}",
            statistics.median(ratios),
            {"ratios": ratios, "repeats": repeats, "quick": quick},
        )


def main() -> int:
    """Run what the command line asks for and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.beside", description=__doc__)
    parser.add_argument("tree", type=Path, metavar="TREE")
    parser.add_argument("names", nargs="+", metavar="NAME", choices=sorted(NAMES))
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    where = machine()
    for name in arguments.names:
        for measurement in compared(arguments.tree.resolve(), name, arguments.repeats, arguments.quick):
            print(measurement.to_json(where), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

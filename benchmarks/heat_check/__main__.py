"""``python -m benchmarks.heat_check PART --data FOLDER [--model MODEL.ckpt]``: heat and vibrations, part by part."""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from ase import Atoms

from benchmarks.heat_check import counts, expansion, heat_capacity, published, road
from benchmarks.heat_check.crystals import KINDS, known_to, phonondb
from benchmarks.heat_check.verdict import Verdict
from benchmarks.model_check.engine import Model
from benchmarks.model_check.phases import model_elements

PER_KIND = 4  # crystals of each structure type whose whole road is taken if none is named


def _model(arguments: argparse.Namespace) -> Model:
    if arguments.model is None:
        raise SystemExit(f"the part {arguments.part} needs a model: --model MODEL.ckpt")
    sha256 = hashlib.sha256(arguments.model.read_bytes()).hexdigest()
    print(f"model {arguments.model.name}, sha256 {sha256[:12]}", flush=True)
    return Model(arguments.model, sha256, arguments.threads, "cpu")


def _counts(arguments: argparse.Namespace) -> Iterator[Verdict]:
    crystals = phonondb(arguments.data)
    names = arguments.crystals or crystals
    return counts.verdicts({name: crystals[name] for name in names})


def _published(arguments: argparse.Namespace) -> Iterator[Verdict]:
    return published.verdicts(arguments.data, phonondb(arguments.data), arguments.crystals or published.NAMES)


def _road(arguments: argparse.Namespace) -> Iterator[Verdict]:
    model = _model(arguments)
    known = known_to(model_elements(model), phonondb(arguments.data))
    names = arguments.crystals
    if not names:
        kinds = {kind: [name for name in known if name.endswith(f"-{kind}")] for kind in KINDS.values()}
        names = [name for group in kinds.values() for name in group[:PER_KIND]]
    return road.verdicts(model, {name: _with_supercell(known[name], arguments.supercell) for name in names})


def _with_supercell(atoms: Atoms, supercell: list[int] | None) -> Atoms:
    """Return a crystal of the benchmark with ``supercell`` instead of its own of both orders, if one is given."""
    if supercell is not None:
        atoms.info |= dict.fromkeys(("fc2_supercell", "fc3_supercell"), np.diag(supercell))
    return atoms


def _qha(arguments: argparse.Namespace) -> Iterator[Verdict]:
    return expansion.verdicts(_model(arguments), arguments.crystals or expansion.CRYSTALS)


def _heat_capacity(arguments: argparse.Namespace) -> Iterator[Verdict]:
    model = _model(arguments)
    return heat_capacity.verdicts(model, heat_capacity.binaries(arguments.data, model_elements(model)))


PARTS: dict[str, Callable[[argparse.Namespace], Iterator[Verdict]]] = {
    "counts": _counts,
    "published": _published,
    "road": _road,
    "qha": _qha,
    "heat-capacity": _heat_capacity,
}


def main() -> int:
    """Run what the command line asks for; the exit status is 1 if a bound is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.heat_check", description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--data", type=Path, required=True, help="folder with phonondb/ and benchmarks/")
    parser.add_argument("--model", type=Path, help="checkpoint; it is loaded, so it has to be trusted")
    parser.add_argument(
        "--crystals", nargs="*", metavar="NAME", help="such as MgO-rs; if not given, those of the part"
    )
    parser.add_argument(
        "--supercell",
        nargs=3,
        type=int,
        metavar=("A", "B", "C"),
        help="of the road, in cells, for both orders; if not given, those of the benchmark",
    )
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    began, missed = time.perf_counter(), False
    for verdict in PARTS[arguments.part](arguments):
        print(verdict, flush=True)
        missed = missed or verdict.good is False
    print(f"{arguments.part}: {time.perf_counter() - began:.0f} s", flush=True)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())

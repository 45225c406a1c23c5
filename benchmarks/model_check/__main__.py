"""``python -m benchmarks.model_check MODEL.ckpt --data FOLDER``: judge a model, part by part."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.model_check import binaries, held_out, phases, references
from benchmarks.model_check.crystals import METALS, known_by, read_references
from benchmarks.model_check.engine import Model

PARTS = ("held-out", "references", "phases", "moduli")


def main() -> int:
    """Run what the command line asks for; the exit status is 0 also where a bound is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.model_check", description=__doc__)
    parser.add_argument("model", type=Path, help="checkpoint; it is loaded, so it has to be trusted")
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with common/, refractory/ and benchmarks/"
    )
    parser.add_argument(
        "--held-out", type=Path, nargs="*", help="labelled frames, instead of the validation sets"
    )
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=PARTS)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, help="write all figures to this file, as JSON")
    arguments = parser.parse_args()
    sha256 = hashlib.sha256(arguments.model.read_bytes()).hexdigest()
    model = Model(arguments.model, sha256, arguments.threads, arguments.device)
    document: dict[str, Any] = {"model": arguments.model.name, "sha256": sha256}
    for part in arguments.parts:
        start = time.perf_counter()
        document[part] = _PARTS[part](model, arguments)
        print(f"{part}: {time.perf_counter() - start:.0f} s\n", flush=True)
        if arguments.output:
            arguments.output.write_text(json.dumps(document, indent=1))
    return 0


def _held_out(model: Model, arguments: argparse.Namespace) -> dict[str, Any]:
    paths = arguments.held_out or [
        arguments.data / "common" / "validation.extxyz.xz",
        arguments.data / "refractory" / "validation.xyz.xz",
    ]
    table, steps = held_out.read_frames(paths, phases.model_elements(model))
    found = held_out.residuals(model, table)
    rows = held_out.errors_by_part(table, steps, found)
    for row in rows:
        figures = " ".join(
            f"{name} {1e3 * value:.1f}"
            for name, value in row.items()
            if name in ("energy_mae", "forces_mae", "stress_mae", "direct_forces_mae", "direct_stress_mae")
        )
        print(f"{row['id']:24} {row['n_rows']:5} rows: {figures}")
    return {"errors": rows, "verdicts": _told(held_out.verdicts(rows, found, table))}


def _references(model: Model, arguments: argparse.Namespace) -> dict[str, Any]:
    elements = phases.model_elements(model)
    known = known_by(sorted(elements), read_references(arguments.data / "common" / "references.json"))
    judged = references.judge_references(model, known)
    for one in judged:
        print(
            f"{one.name:22} V {one.volume:+.1%} K {one.bulk_modulus:+.0%} frequency {one.max_frequency:+.0%} "
            f"local K {one.departure:.0%} {'imaginary ' if one.imaginary else ''}{one.message}"
        )
    from ase.data import atomic_numbers

    metals = {atomic_numbers[symbol] for symbol in METALS} <= elements
    orderings = references.judge_orderings(model) if metals else {}
    return {
        "references": references.rows_of(judged),
        "orderings": {name: vars(one) for name, one in orderings.items()},
        "verdicts": _told(references.verdicts(judged, orderings)),
    }


def _phases(model: Model, _: argparse.Namespace) -> dict[str, Any]:
    return {"verdicts": _told(phases.verdicts(model))}


def _moduli(model: Model, arguments: argparse.Namespace) -> dict[str, Any]:
    learnt = binaries.learnt_formulas(arguments.data)
    judged = binaries.read_binaries(arguments.data, phases.model_elements(model), learnt)
    found = binaries.differences(model, judged)
    for name, bulk, shear in zip(found.names, found.bulk, found.shear, strict=True):
        print(f"{name:24} K {bulk:+.0%} G {shear:+.0%}")
    lines = {what: found.line(what) for what in ("bulk", "shear")}
    print(f"K {lines['bulk']}; G {lines['shear']}; without: {' '.join(found.without) or 'none'}")
    rows = zip(found.names, found.bulk.tolist(), found.shear.tolist(), strict=True)
    return {
        "crystals": [{"name": name, "bulk": bulk, "shear": shear} for name, bulk, shear in rows],
        "without": found.without,
        **lines,
    }


def _told(verdicts: Iterable[tuple[str, str, bool]]) -> list[dict[str, Any]]:
    found = []
    for asked, got, good in verdicts:
        print(f"{'yes' if good else 'NO ':3} {asked}: {got}", flush=True)
        found.append({"asked": asked, "found": got, "reached": bool(good)})
    return found


_PARTS = {"held-out": _held_out, "references": _references, "phases": _phases, "moduli": _moduli}

if __name__ == "__main__":
    sys.exit(main())

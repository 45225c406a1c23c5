"""The report of campaigns of 353, 10,000 and 257,000 rows: seconds, memory above what AiiDA takes, size of the file.

Rows are made up: binary crystals of two to eight atoms with the columns of a relaxation and of a hull. The report is
written in a process of its own, from a stored launch, as `aiida-pet report` does; the profile is one in memory and on
disk of its own, which is removed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from aiida_pet.tables.crystals import StructureTable
from benchmarks.harness import ROOT, Measurement, isolated_profile

SIZES = (353, 10_000, 257_000)
TARGET = "target for 257,000 rows: 60 s, 2,048 MiB, 25 MB"
CODE = """
import json, resource, sys, time
from aiida import load_profile
load_profile()
from aiida_pet.report import write_report
from aiida_pet.campaigns import status
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
start, cpu = time.perf_counter(), time.process_time()
written = write_report([int(sys.argv[1])], sys.argv[2])
print(json.dumps({"s": time.perf_counter() - start, "cpu_s": time.process_time() - cpu, "before_mib": before,
    "bytes": written.size, "rows": written.rows,
    "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""


def run(quick: bool = False) -> Iterator[Measurement]:
    """Measure each size.

    :param quick: a twentieth of the rows.
    """
    with isolated_profile(), tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            n_rows = max(20, size // 20) if quick else size
            yield measured(made_up_launch(n_rows).pk, n_rows, Path(folder, f"{n_rows}.html"))


def measured(pk: int, n_rows: int, path: Path) -> Measurement:
    """Measure one report, written in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(pk), str(path)], capture_output=True, text=True, check=True, cwd=ROOT
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return Measurement(
        name=f"report/{n_rows}",
        value=found["s"],
        unit="s",
        against=TARGET,
        ratio=None,
        detail={
            "cpu_s": found["cpu_s"],
            "peak_MiB": found["peak_mib"],
            "before_MiB": found["before_mib"],
            "file_MB": found["bytes"] / 1e6,
            "rows_in_table": found["rows"],
        },
    )


def made_up_launch(n_rows: int, ids: list[str] | None = None) -> Any:
    """Return a stored launch of a relaxation and hull of :func:`made_up_rows`, without jobs."""
    from aiida import orm
    from aiida.common import LinkType

    from aiida_pet.data.structures import StructureSetData

    table = made_up_rows(n_rows, ids)
    results = StructureSetData.from_table(table)
    table.columns, table.units = {}, {}
    given = StructureSetData.from_table(table, label="made up").store()
    node = orm.WorkChainNode(process_type="aiida.workflows:pet.relax", label=f"made up, {n_rows} rows")
    node.base.links.add_incoming(given, LinkType.INPUT_WORK, "structures")
    node.set_process_label("RelaxWorkChain")
    node.set_process_state("finished")
    node.set_exit_status(0)
    node.store()
    results.store().base.links.add_incoming(node, LinkType.RETURN, "results")
    return node


def made_up_rows(n_rows: int, ids: list[str] | None = None, seed: int = 0) -> StructureTable:
    """Return rows of random crystals of one or two elements, with columns of a relaxation and of a hull.

    :param ids: of the first rows.
    """
    rng = np.random.default_rng(seed)
    sizes = rng.integers(2, 9, n_rows)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    pairs = rng.integers(21, 31, (n_rows, 2))
    above = rng.gamma(1.5, 0.08, n_rows)
    groups = rng.choice([225, 229, 194, 166, 12], n_rows)
    status = np.where(rng.random(n_rows) < 0.98, "converged", "max_steps")
    changed = rng.random(n_rows) < 0.1
    names = [*(ids or []), *(f"made-up-{i}" for i in range(len(ids or []), n_rows))]
    columns: dict[str, Any] = {
        "status": status,
        "message": np.where(status == "converged", "", "500 steps were not enough"),
        "energy": -8.0 * sizes + rng.normal(0, 0.5, n_rows),
        "volume": 15.0 * sizes + rng.normal(0, 2, n_rows),
        "fmax": rng.gamma(2, 0.005, n_rows),
        "n_steps": rng.integers(0, 200, n_rows),
        "e_above_hull": above,
        "formation_energy": above - 0.2,
        "hull_status": np.full(n_rows, "ok"),
        "decomposition": np.full(n_rows, "0.5 Fe (made-up-1) + 0.5 Ni (made-up-2)"),
    }
    for label in ("0_001", "0_01", "0_1"):
        columns |= {
            f"initial_spacegroup_{label}": groups,
            f"spacegroup_{label}": np.where(changed, 1, groups),
            f"symmetry_kept_{label}": ~changed,
        }
    return StructureTable(
        ids=np.array(names),
        columns=columns,
        units={"energy": "eV", "volume": "A^3", "fmax": "eV/A", "e_above_hull": "eV/atom"}
        | {"formation_energy": "eV/atom"},
        numbers=pairs[np.repeat(np.arange(n_rows), sizes), rng.integers(0, 2, offsets[-1])],
        positions=rng.random((offsets[-1], 3)) * 4,
        cells=np.tile(4.0 * np.eye(3), (n_rows, 1, 1)),
        pbc=np.ones((n_rows, 3), bool),
        offsets=offsets,
    )

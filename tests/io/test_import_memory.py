"""The promise that 100,000 crystals are imported in under 2 GiB, measured in a process of its own."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

N_CRYSTALS = 100_000
LIMIT_KB = 2 * 1024**2

# A cubic cell of 8 atoms on the points (0 or 1/2, 0 or 1/2, 0 or 1/2), of another size for each crystal.
CORNERS = [(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)]

SCRIPT = """
import json, re, resource, sys
from pathlib import Path
from aiida_pet.io.readers import read_structures
before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
table = read_structures(sys.argv[1]).table
usage = resource.getrusage(resource.RUSAGE_SELF)
found = {"n": len(table), "last": table.ids[-1], "sum": table.positions.sum()}
# not ru_maxrss: Linux lets a process inherit the peak of the one that started it
peak_kb = int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
print(json.dumps(found | {"cpu_s": usage.ru_utime - before, "peak_kb": peak_kb}))
"""


def write_extxyz(path: Path) -> float:
    """:return: the sum of all coordinates written, A."""
    body = "".join("Mo " + " ".join("HALF" if c else "0" for c in corner) + "\n" for corner in CORNERS)
    total = 0.0
    with gzip.open(path, "wt", compresslevel=1) as handle:
        for index in range(N_CRYSTALS):
            half = f"{3 + index * 1e-5:.8f}"
            total += 12 * float(half)
            a = 2 * float(half)
            head = f'Lattice="{a} 0 0 0 {a} 0 0 0 {a}" Properties=species:S:1:pos:R:3'
            handle.write(
                f"8\n{head} material_id=wbm-{index} e_form={index * 1e-6}\n" + body.replace("HALF", half)
            )
    return total


def write_data_frame(path: Path) -> float:
    """The column of structures first, which is the harder order: their ids come after them.

    :return: the sum of all coordinates written, A.
    """
    sites = json.dumps(
        [
            {"species": [{"element": "Mo", "occu": 1}], "abc": [c / 2 for c in corner], "label": "Mo"}
            for corner in CORNERS
        ]
    )
    total = 0.0
    with gzip.open(path, "wt", compresslevel=1) as handle:
        handle.write('{"initial_structure": {')
        for index in range(N_CRYSTALS):
            a = 6 + index * 1e-5
            total += 6 * a
            lattice = f'{{"matrix": [[{a}, 0, 0], [0, {a}, 0], [0, 0, {a}]]}}'
            handle.write(f'{"," if index else ""}"{index}": {{"lattice": {lattice}, "sites": {sites}}}')
        ids = {str(index): f"wbm-{index}" for index in range(N_CRYSTALS)}
        values = {str(index): index * 1e-6 for index in range(N_CRYSTALS)}
        handle.write(f'}}, "material_id": {json.dumps(ids)}, "e_form": {json.dumps(values)}}}')
    return total


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "write"), [("set.xyz.gz", write_extxyz), ("frame.json.gz", write_data_frame)]
)
def test_100k_crystals_are_imported_in_under_2_gib(
    tmp_path: Path, name: str, write: object, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(write)
    total = write(tmp_path / name)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / name)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    found = json.loads(done.stdout)
    with capsys.disabled():
        rate = found["n"] / found["cpu_s"]
        sys.stdout.write(
            f"\n{name}: {rate:.0f} crystals/s of CPU time, peak {found['peak_kb'] / 1024:.0f} MiB\n"
        )
    assert found["n"] == N_CRYSTALS
    assert found["last"] == f"wbm-{N_CRYSTALS - 1}"
    assert found["sum"] == pytest.approx(total, rel=1e-9)
    assert found["peak_kb"] < LIMIT_KB

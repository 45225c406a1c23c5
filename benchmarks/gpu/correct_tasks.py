"""Comparisons of whole tasks on the device with the CPU: relaxation, phonons, elastic constants, a job."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from ase.build import bulk

from aiida_pet.engine.tasks.elastic import Elastic
from aiida_pet.engine.tasks.phonons import Phonons
from aiida_pet.engine.tasks.relax import Relax
from aiida_pet.job.folder import Task
from aiida_pet.job.parameters import parse_parameters
from aiida_pet.tables.crystals import StructureTable
from benchmarks.engine import random_alloys
from benchmarks.gpu.checks import Check, compared, holds
from benchmarks.gpu.sides import Side, odd_crystals, symmetric_crystals

TASKS = {Task.RELAX: Relax, Task.PHONONS: Phonons, Task.ELASTIC: Elastic}
LOOSE = {"fmax": 0.02, "stress_max": 0.1, "symprecs": []}
TIGHT = {"fmax": 1e-3, "stress_max": 1e-2, "symprecs": []}


def relaxation(tried: Side, reference: Side, quick: bool) -> Iterator[Check]:
    """Compare where relaxations end: by both optimisers, with and without symmetry, slabs, held atoms, averages."""
    alloys = random_alloys(2 if quick else 48)
    ways: dict[str, tuple[StructureTable, dict[str, Any]]] = {
        "fire": (alloys, LOOSE),
        "lbfgs, held to symmetry": (
            symmetric_crystals().take([0, 1] if quick else range(4)),
            TIGHT | {"optimizer": "lbfgs", "symmetry": "constrained"},
        ),
        "atoms held, under pressure": (_with_held_atoms(alloys.take([0, 1])), LOOSE | {"pressure": 5.0}),
    }
    if not quick:
        ways |= {
            "lbfgs": (alloys, LOOSE | {"optimizer": "lbfgs"}),
            "cell fixed": (alloys, LOOSE | {"cell": "fixed"}),
            "slab in its plane": (
                odd_crystals().select(["slab"]),
                LOOSE | {"cell": "plane", "max_steps": 60},  # of 400 to its end
            ),
            "averaged at the end": (
                random_alloys(4),
                LOOSE | {"averaging": "octahedral", "average_from_fmax": 0.05},
            ),
        }
    for name, (table, parameters) in ways.items():
        said, known = (run(side, Task.RELAX, parameters, table) for side in (tried, reference))
        yield from _ended_alike(f"relaxation/{name}", said, known)
        moved = np.abs(known.positions - table.positions).max() > 1e-4
        yield holds(f"relaxation/{name}/moves", bool(moved), "the crystals of the reference")


def phonons(tried: Side, reference: Side, quick: bool) -> Iterator[Check]:
    """Compare force constants and frequencies of the same exact crystals."""
    table = symmetric_crystals().take([0] if quick else range(4))
    given = {"relax_first": False, "symprecs": [], "min_image": 7.0 if quick else 10.0}
    said, known = (run(side, Task.PHONONS, given, table) for side in (tried, reference))
    yield compared("phonons/status", said.columns["status"], known.columns["status"], 0.0)
    for name, tolerance, unit in (
        ("min_frequency", 1e-4, "THz"),
        ("max_frequency", 1e-5, "THz"),
        ("dos", 1e-4, "1/THz"),
        ("hessian_asymmetry", 1e-5, "eV/A^2"),
    ):
        if name in known.columns:
            yield compared(f"phonons/{name}", said.columns[name], known.columns[name], tolerance, unit)
    constants = (one.ragged["force_constants"].values for one in (said, known))
    yield compared("phonons/force constants", *constants, tolerance=1e-6, unit="eV/A^2")


def elastic(tried: Side, reference: Side, quick: bool) -> Iterator[Check]:
    """Compare elastic tensors of crystals that are relaxed before and whose ions relax."""
    table = symmetric_crystals().take([1] if quick else range(4))
    given = TIGHT | ({"ions": "clamped", "relax_first": False} if quick else {})
    said, known = (run(side, Task.ELASTIC, given, table) for side in (tried, reference))
    yield compared("elastic/status", said.columns["status"], known.columns["status"], 0.0)
    for name, tolerance in (("elastic_tensor", 0.05), ("bulk_modulus", 0.02), ("fit_residual", 0.01)):
        yield compared(f"elastic/{name}", said.columns[name], known.columns[name], tolerance, "GPa")


def job(tried: Side, reference: Side, quick: bool) -> Iterator[Check]:
    """Compare a job from its folder to its shards, which measures the memory and writes heartbeats of the device."""
    table = random_alloys(3 if quick else 32)
    progress, said = tried.job(Task.RELAX, LOOSE, table)
    _, known = reference.job(Task.RELAX, LOOSE, table)
    yield from _ended_alike("job", said, known)
    told = f"device {progress.device}, peak {progress.memory_mb:.0f} MB, {progress.evaluations} evaluations"
    right = progress.device == str(tried.device) and progress.memory_mb > 1.0
    yield holds("job/heartbeat", right, told)


def run(side: Side, task: Task, parameters: dict[str, Any], table: StructureTable) -> StructureTable:
    """Run ``task`` on ``side`` and return its results in the order of ``table``."""
    finished: list[StructureTable] = []
    parsed = parse_parameters(task, parameters)
    TASKS[task](table, side.model(), parsed, finished=finished.append).run()
    return StructureTable.concatenate(finished).select(table.ids)


def _ended_alike(name: str, said: StructureTable, known: StructureTable) -> Iterator[Check]:
    """Compare ends that follow from steps which rounding may shift by one or two."""
    yield compared(f"{name}/status", said.columns["status"], known.columns["status"], 0.0)
    steps = [one.columns["n_steps"].astype(float) for one in (said, known)]
    yield compared(f"{name}/steps", *steps, tolerance=max(2.0, 0.05 * float(steps[1].max())))
    per_atom = [one.columns["energy"] / one.n_atoms for one in (said, known)]
    yield compared(f"{name}/energy", *per_atom, tolerance=1e-6, unit="eV/atom")
    volumes = [one.columns["volume"] / one.n_atoms for one in (said, known)]
    yield compared(f"{name}/volume", *volumes, tolerance=1e-3, unit="A^3/atom")


def _with_held_atoms(table: StructureTable) -> StructureTable:
    """Return ``table`` and a larger crystal, whose first atoms are held, one of them along one vector only."""
    large = bulk("Ta", "bcc", a=3.3, cubic=True) * (2, 1, 1)
    large.rattle(0.1, seed=3)
    rows = StructureTable.concatenate([table, StructureTable.from_ase([("held", large)])])
    held = np.zeros((len(rows.numbers), 3), dtype=bool)
    first = int(rows.offsets[-2])
    held[first] = True
    along = np.zeros_like(held)
    along[first + 1, 2] = True
    rows.atom_columns |= {"fixed_cartesian": held, "fixed_scaled": along}
    return rows

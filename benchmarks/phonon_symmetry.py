"""How far the phonons of a model that is not invariant depend on what symmetry it is taken to have: six crystals.

Displacements that the space group makes the same are computed once, or each is computed (``use_symmetry=false``);
forces are those of the model, or means over rotations with the inversion (``lebedev-3``) or without it
(``lebedev-3-proper``). Compared are all frequencies at the q-points of the supercell, where nothing is interpolated.
All crystals have the same supercells, and are relaxed before, held to their symmetry, with the model as it is.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk
from phonopy.harmonic.dynmat_to_fc import get_commensurate_points

from aiida_pet.crystals.phonons.stored import phonopy_of_row
from aiida_pet.engine.model.base import BatchModel
from aiida_pet.engine.tasks.phonons import Phonons
from aiida_pet.engine.tasks.relax import Relax
from aiida_pet.job.parameters import Dtype, Task, parse_parameters
from aiida_pet.tables.arrays import Floats
from aiida_pet.tables.crystals import StructureTable
from benchmarks.engine import batched
from benchmarks.harness import Measurement

WITH, WITHOUT = "lebedev-3", "lebedev-3-proper"
SETTINGS: dict[str, dict[str, Any]] = {
    "reduced": {},
    "all displacements": {"use_symmetry": False},
    WITH: {"averaging": WITH},
    WITHOUT: {"averaging": WITHOUT},
    f"{WITHOUT}, all displacements": {"averaging": WITHOUT, "use_symmetry": False},
}
PAIRS = (
    ("reduced", "all displacements"),
    ("reduced", WITH),
    (WITH, WITHOUT),
    (WITHOUT, f"{WITHOUT}, all displacements"),
)


def crystals() -> dict[str, Atoms]:
    """Return six crystals on bcc sites; the last has no centre of inversion."""
    a = 3.2
    found = {"Mo": bulk("Mo", "bcc", a=a), "Ta": bulk("Ta", "bcc", a=a), "W": bulk("W", "bcc", a=a)}
    found["MoTa"] = bulk("MoTa", "cesiumchloride", a=a)
    for name, numbers in {"Mo3Ta": (42, 42, 42, 73), "NbMoTaW": (41, 42, 73, 74)}.items():
        scaled = [(x, x, x) for x in (0.0, 0.25, 0.5, 0.75)]
        found[name] = Atoms(numbers, scaled_positions=scaled, cell=bulk("W", "fcc", a=2 * a).cell, pbc=True)
    return found


def run(quick: bool = False) -> Iterator[Measurement]:
    """Compute the phonons of the crystals with each setting.

    :param quick: the first two crystals only.
    :raises RuntimeError: if a crystal has no phonons.
    """
    model = batched(Dtype.FLOAT64)
    total = dict.fromkeys(SETTINGS, 0.0)
    for name, atoms in list(crystals().items())[: 2 if quick else None]:
        table = _relaxed(StructureTable.from_ase([(name, atoms)]), model)
        found, counts = {}, {}
        for setting, parameters in SETTINGS.items():
            start = time.perf_counter()
            rows = _with_phonons(table, model, parameters)
            total[setting] += time.perf_counter() - start
            found[setting] = frequencies(rows, name)
            counts[f"displacements, {setting}"] = int(rows.columns["n_displacements"][0])
        changes = {
            f"{first} to {second}, THz": float(np.abs(found[first] - found[second]).max())
            for first, second in PAIRS
        }
        yield Measurement(
            name=f"phonon_symmetry/{name}",
            value=changes["reduced to all displacements, THz"],
            unit="THz",
            against=f"its highest frequency, {found['reduced'].max():.3f} THz",
            ratio=None,
            detail=changes | counts,
        )
    yield Measurement(
        name="phonon_symmetry/seconds",
        value=total[WITH],
        unit="s",
        against=f"{WITHOUT}: {total[WITHOUT]:.1f} s",
        ratio=total[WITH] / total[WITHOUT],
        detail=total,
    )


def frequencies(rows: StructureTable, name: str) -> Floats:
    """Return the frequencies (Q, 3 P) of a row at the q-points of its supercell, THz."""
    phonopy = phonopy_of_row(rows, name)
    points = get_commensurate_points(phonopy.supercell_matrix)
    found: Floats = phonopy.run_qpoints(points).frequencies
    return found


def _relaxed(table: StructureTable, model: BatchModel) -> StructureTable:
    finished: list[StructureTable] = []
    parameters = parse_parameters(
        Task.RELAX,
        {"fmax": 1e-4, "stress_max": 1e-3, "symmetry": "constrained", "max_steps": 2000, "symprecs": []},
    )
    Relax(table, model, parameters, finished=finished.append).run()
    return StructureTable.concatenate(finished).select(table.ids)


def _with_phonons(table: StructureTable, model: BatchModel, changes: dict[str, Any]) -> StructureTable:
    finished: list[StructureTable] = []
    given = {"relax_first": False, "symprecs": [], "min_image": 8.0, "mesh": 10.0, "nac": False}
    Phonons(table, model, parse_parameters(Task.PHONONS, given | changes), finished=finished.append).run()
    rows = StructureTable.concatenate(finished).select(table.ids)
    wrong = rows.columns["status"] != "converged"
    if wrong.any():
        raise RuntimeError(
            f"no phonons of {rows.ids[wrong].tolist()}: {rows.columns['message'][wrong].tolist()}"
        )
    return rows

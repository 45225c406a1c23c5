"""Stands in for `pet-engine` where phonons are needed: its folder and statuses, ASE's EMT instead of PET, no torch.

Energies, space groups and force constants are real ones of the crystals as they are. Nothing is relaxed, but the
environment may say what a relaxation did: STAND_IN_MOVE=d moves the first atom of each crystal by d A along z;
STAND_IN_NOT_RELAXED kills the engine when it is asked to relax.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from aiida_pet.crystals.symmetry.spacegroup import spacegroup_numbers
from aiida_pet.job.folder import Task
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.testing.results import finish_rows
from aiida_pet.testing.stand_in_engine import main
from support.phonon_results import SYMPRECS, energy_and_forces, phonon_table


def finish(rows: StructureTable, task: Task, _: Mapping[str, Any]) -> StructureTable:
    """Rows as the engine would leave them."""
    if task == Task.RELAX and "STAND_IN_NOT_RELAXED" in os.environ:
        os.abort()
    found = finish_rows(rows)
    if task == Task.PHONONS:
        starts = dict(zip(rows.ids.tolist(), rows.iter_ase(), strict=True))
        moved = {name: atoms.copy() for name, atoms in starts.items()}
        for atoms in moved.values():
            atoms.positions[0, 2] += float(os.environ.get("STAND_IN_MOVE", "0"))
        solved, _ = phonon_table(moved, starts=starts, min_image=5.0)
        solved.columns = found.columns | solved.columns | {"status": found.columns["status"]}
        solved.units, solved.atom_columns = found.units | solved.units, found.atom_columns
        return solved
    for label, numbers in spacegroup_numbers(rows, SYMPRECS).items():
        found.set_column(f"spacegroup_{label}", numbers)
    found.set_column("heads", ["conservative"] * len(found))
    found.set_column("energy", [energy_and_forces(atoms)[0] for atoms in rows.iter_ase()], "eV")
    return found


if __name__ == "__main__":
    main(finish)

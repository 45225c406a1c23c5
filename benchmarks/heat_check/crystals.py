"""The crystals of the kappa_SRME benchmark, and how a table carries their supercells and meshes."""

from __future__ import annotations

from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms

from aiida_pet.tables.crystals import StructureTable

KINDS = {225: "rs", 216: "zb", 186: "wz"}
"""Space group -> rocksalt, zincblende, wurtzite."""


def phonondb(data: Path) -> dict[str, Atoms]:
    """Return the 103 crystals by their name in the benchmark, such as ``MgO-rs``.

    :param data: folder with ``phonondb/structures.extxyz``.
    """
    found = {}
    for atoms in ase.io.iread(data / "phonondb" / "structures.extxyz", index=":"):
        name = f"{atoms.info['name']}-{KINDS[atoms.info['symm.no']]}"
        found[name] = atoms
    return found


def known_to(elements: set[int], crystals: dict[str, Atoms]) -> dict[str, Atoms]:
    """Return the crystals whose atomic numbers are all among ``elements``."""
    return {name: atoms for name, atoms in crystals.items() if set(atoms.numbers.tolist()) <= elements}


def with_cells(crystals: dict[str, Atoms]) -> StructureTable:
    """Return the crystals with the columns that the protocol ``phonondb-v1`` reads."""
    table = StructureTable.from_ase(crystals.items())
    for column in ("fc2_supercell", "fc3_supercell", "q_mesh"):
        table.set_column(column, np.array([np.asarray(atoms.info[column]) for atoms in crystals.values()]))
    return table

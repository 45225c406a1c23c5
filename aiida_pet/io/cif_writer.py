"""Writes crystals as CIF: the id in ``_pet_id``, all atoms in P1, and the cell of the same hand as before. No AiiDA.

A CIF says lengths and angles only, and readers make a right-handed cell of them. A left-handed cell is therefore
written as the lattice vectors -a, -b, -c, which span the same lattice: fractional coordinates change their sign, and
the crystal stays what it is rather than its mirror image.
"""

from __future__ import annotations

import re
from typing import TextIO

import numpy as np
from ase.data import chemical_symbols
from ase.geometry import cell_to_cellpar

from aiida_pet.tables.crystals import StructureTable

ID_ITEM = "_pet_id"
# CIF 1.1: a block's name has at most 75 printable ASCII characters.
_NAME_LENGTH = 75
_SMALLEST_VOLUME = 1e-3


def is_writable(table: StructureTable, index: int) -> bool:
    """Return whether row ``index`` has finite coordinates and a cell of some volume."""
    cell, positions = table.cells[index], table.positions[table.atoms_of(index)]
    finite = bool(np.isfinite(cell).all() and np.isfinite(positions).all())
    return finite and abs(float(np.linalg.det(cell))) > _SMALLEST_VOLUME


def block_name(row_id: str, taken: set[str]) -> str:
    """Return a legal name of a data block that is not ``taken``, and add it."""
    base = name = re.sub(r"[^!-~]|['\"#;_]", "_", row_id)[: _NAME_LENGTH - 8] or "crystal"
    number = 2
    while name.lower() in taken:  # names of blocks do not tell a from A
        name, number = f"{base}_{number}", number + 1
    taken.add(name.lower())
    return name


def write_block(table: StructureTable, index: int, name: str, handle: TextIO) -> None:
    """Write row ``index`` as data block ``name``."""
    part = table.atoms_of(index)
    cell, positions = table.cells[index], table.positions[part]
    if np.linalg.det(cell) < 0:
        cell = -cell
    fractional = np.linalg.solve(cell.T, positions.T).T
    symbols = [chemical_symbols[number] for number in table.numbers[part].tolist()]
    handle.write(f"data_{name}\n{ID_ITEM} {quoted(str(table.ids[index]))}\n")
    handle.write(f"_chemical_formula_sum '{_formula(symbols)}'\n")
    labels = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    for label, value in zip(labels, cell_to_cellpar(cell), strict=True):
        handle.write(f"_cell_{label} {value:.12f}\n")
    handle.write("_space_group_name_H-M_alt 'P 1'\n_space_group_IT_number 1\n")
    handle.write("loop_\n_space_group_symop_operation_xyz\n'x, y, z'\n")
    if not symbols:
        return
    handle.write("loop_\n_atom_site_type_symbol\n_atom_site_label\n")
    handle.write("".join(f"_atom_site_fract_{axis}\n" for axis in "xyz") + "_atom_site_occupancy\n")
    counts: dict[str, int] = {}
    for symbol, (x, y, z) in zip(symbols, fractional.tolist(), strict=True):
        counts[symbol] = counts.get(symbol, 0) + 1
        handle.write(f"{symbol} {symbol}{counts[symbol]} {x:.14f} {y:.14f} {z:.14f} 1.0\n")
    handle.write("\n")


def _formula(symbols: list[str]) -> str:
    counts = {symbol: symbols.count(symbol) for symbol in sorted(set(symbols))}
    return " ".join(f"{symbol}{count}" for symbol, count in counts.items())


def quoted(text: str) -> str:
    """Return ``text`` as a quoted value of CIF 1.1; in lines of its own where it has both quotes or lines."""
    for quote in ('"', "'"):
        if quote not in text and text.splitlines() in ([text], []):
            return f"{quote}{text}{quote}"
    return f"\n;{text}\n;"

"""Sets of phases for tests of hulls, as tables of ours and as pymatgen entries."""

from __future__ import annotations

import numpy as np
from ase.data import atomic_numbers, chemical_symbols

from aiida_pet.analysis.hull.compositions import Compositions
from aiida_pet.analysis.hull.levels_of_theory import Theory
from aiida_pet.analysis.hull.references import References
from aiida_pet.tables.crystals import StructureTable


def phase_table(
    rows: list[tuple[str, dict[str, int], float]], status: list[str] | None = None
) -> StructureTable:
    """A table of (id, atoms of each element, energy per atom in eV): all atoms at the origin."""
    numbers = [np.repeat([atomic_numbers[s] for s in atoms], list(atoms.values())) for _, atoms, _ in rows]
    sizes = [len(part) for part in numbers]
    n_atoms = sum(sizes)
    columns = {"energy": np.array([energy * size for (*_, energy), size in zip(rows, sizes, strict=True)])}
    if status is not None:
        columns["status"] = np.array(status)
    return StructureTable(
        ids=np.array([name for name, *_ in rows]),
        columns=columns,
        units={"energy": "eV"},
        numbers=np.concatenate(numbers) if n_atoms else np.zeros(0),
        positions=np.zeros((n_atoms, 3)),
        cells=np.tile(np.eye(3), (len(rows), 1, 1)),
        pbc=np.ones((len(rows), 3), dtype=bool),
        offsets=np.concatenate([[0], np.cumsum(sizes)]),
    )


def random_rows(
    rng: np.random.Generator, elements: str, count: int, prefix: str = "x"
) -> list[tuple[str, dict[str, int], float]]:
    """Random phases of up to all of ``elements``; a third of them repeat a composition in a cell twice as large."""
    symbols = elements.split()
    rows: list[tuple[str, dict[str, int], float]] = []
    for i in range(count):
        if i % 3 == 2:
            atoms = {symbol: 2 * n for symbol, n in rows[-1][1].items()}
        else:
            chosen = rng.choice(symbols, rng.integers(1, len(symbols) + 1), replace=False)
            atoms = {str(symbol): int(rng.integers(1, 5)) for symbol in chosen}
        base = sum(n * -atomic_numbers[symbol] / 10 for symbol, n in atoms.items()) / sum(atoms.values())
        mixing = 0.0 if len(atoms) == 1 else rng.normal(-0.2, 0.3)
        rows.append((f"{prefix}-{i}", atoms, base + mixing + 0.01 * rng.random()))
    return rows


def element_rows(elements: str) -> list[tuple[str, dict[str, int], float]]:
    """One phase of each element."""
    return [(f"el-{s}", {s: 1}, -atomic_numbers[s] / 10) for s in elements.split()]


def references_of(
    rows: list[tuple[str, dict[str, int], float]], label: str = "refs", level: str = "PBE"
) -> References:
    """Reference phases."""
    return References(
        np.array([name for name, *_ in rows]),
        Compositions.of_mappings([{atomic_numbers[s]: n for s, n in atoms.items()} for _, atoms, _ in rows]),
        np.array([energy for *_, energy in rows]),
        np.full(len(rows), label),
        {label: Theory(level)},
    )


def entries_of(table: StructureTable) -> list:
    """The rows as pymatgen entries, named by their ids."""
    from pymatgen.analysis.phase_diagram import PDEntry
    from pymatgen.core import Composition

    entries = []
    for row, name in enumerate(table.ids.tolist()):
        symbols = [chemical_symbols[number] for number in table.numbers[table.atoms_of(row)].tolist()]
        composition = Composition({symbol: symbols.count(symbol) for symbol in set(symbols)})
        entries.append(PDEntry(composition, float(table.columns["energy"][row]), name=name))
    return entries

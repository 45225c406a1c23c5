"""Energies above hull of entries in many chemical systems, against pymatgen's PatchedPhaseDiagram on the same entries.

Entries are like those of a database that was searched by substitution: mostly of three elements, in systems that share
subsystems, several in each system. Both ways give the energy above hull, and the products, of every entry, to 1e-8
eV/atom. Where they differ by more, a linear program over all entries decides, and the benchmark fails if it is not with
us: among 64,000 entries pymatgen is off by up to 2e-5 eV/atom four times. Building pymatgen's entries and diagrams is
part of its time, as is sorting the rows part of ours.
"""

from __future__ import annotations

import resource
import time
import warnings
from collections.abc import Iterator
from importlib import import_module

import numpy as np
from ase.data import chemical_symbols
from scipy.optimize import linprog

from aiida_pet.analysis.hull.above_hull import HullResult, energies_above_hull
from aiida_pet.tables.crystals import StructureTable
from benchmarks.harness import Measurement

N_ENTRIES = 16_000
N_LARGE = 257_000
# Of entries: those of two to five elements.
SHARES = {2: 0.15, 3: 0.65, 4: 0.17, 5: 0.03}
PER_SYSTEM = 3
TOLERANCE = 1e-8  # eV/atom


def run(quick: bool = False) -> Iterator[Measurement]:
    """Measure the small set against pymatgen, and the size of WBM by itself.

    :param quick: a twentieth of the entries.
    :raises AssertionError: if the two ways disagree.
    """
    yield against_pymatgen(N_ENTRIES // 20 if quick else N_ENTRIES)
    yield large(N_LARGE // 20 if quick else N_LARGE)


def random_entries(count: int, seed: int = 0, n_elements: int = 80) -> StructureTable:
    """Return ``count`` phases with energies, and one of each element before them.

    :param n_elements: elements to draw from, the common ones more often than the rare.
    """
    rng = np.random.default_rng(seed)
    numbers = rng.permutation(np.arange(3, 84))[:n_elements]
    weights = 1.0 / np.sqrt(np.arange(1, n_elements + 1))
    weights /= weights.sum()
    sizes = rng.choice(list(SHARES), size=max(1, count // PER_SYSTEM), p=list(SHARES.values()))
    systems = [rng.choice(numbers, size, replace=False, p=weights) for size in sizes.tolist()]
    cohesion = rng.normal(-5.0, 1.5, len(chemical_symbols))
    atoms = [np.array([number]) for number in numbers]
    energies = [cohesion[number] for number in numbers]
    for choice in rng.integers(0, len(systems), count).tolist():
        own = np.repeat(systems[choice], rng.integers(1, 5, len(systems[choice])))
        atoms.append(own)
        energies.append(float(cohesion[own].mean() + rng.normal(-0.1, 0.3)) * len(own))
    lengths = np.array([len(part) for part in atoms])
    return StructureTable(
        ids=np.array([f"entry-{i}" for i in range(len(atoms))]),
        columns={"energy": np.array(energies)},
        units={"energy": "eV"},
        numbers=np.concatenate(atoms),
        positions=np.zeros((lengths.sum(), 3)),
        cells=np.tile(np.eye(3), (len(atoms), 1, 1)),
        pbc=np.ones((len(atoms), 3), dtype=bool),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
    )


def against_pymatgen(count: int) -> Measurement:
    """Measure ``count`` entries both ways and compare the numbers."""
    table = random_entries(count)
    mine_s, result = _timed(table)
    import_module("pymatgen.analysis.phase_diagram")  # seconds, once
    start = time.perf_counter()
    expected = _pymatgen(table)
    peer_s = time.perf_counter() - start
    mine = result.table.columns["e_above_hull"]
    apart = np.flatnonzero(np.abs(mine - expected) > TOLERANCE)
    for row in apart.tolist():
        exact = _by_linear_program(table, row, result.table.columns["formation_energy"])
        if abs(mine[row] - exact) > TOLERANCE:
            raise AssertionError(
                f"{table.ids[row]} is {mine[row]} eV/atom above the hull, pymatgen has {expected[row]}, a linear "
                f"program {exact}"
            )
    detail = {
        "n_entries": len(table),
        "n_systems": _n_systems(table),
        "stable": result.summary["stable"],
        "pymatgen_off": len(apart),
        "largest_difference_ev_atom": float(np.abs(mine - expected).max()),
    }
    words = f"pymatgen's PatchedPhaseDiagram: {1e3 * peer_s / len(table):.3g} ms/entry"
    return Measurement("hull/pymatgen", 1e3 * mine_s / len(table), "ms/entry", words, peer_s / mine_s, detail)


def large(count: int) -> Measurement:
    """Measure as many entries as WBM has, by themselves: time and memory."""
    table = random_entries(count)
    before = _peak_mib()
    seconds, result = _timed(table)
    detail = {
        "n_entries": len(table),
        "n_systems": _n_systems(table),
        "stable": result.summary["stable"],
        "peak_memory_mib": _peak_mib(),
        "peak_memory_before_mib": before,
    }
    return Measurement("hull/large", seconds, "s", "nothing in the same run", None, detail)


def _timed(table: StructureTable) -> tuple[float, HullResult]:
    start = time.perf_counter()
    result = energies_above_hull(table)
    return time.perf_counter() - start, result


def _pymatgen(table: StructureTable) -> np.ndarray:
    from pymatgen.analysis.phase_diagram import PatchedPhaseDiagram, PDEntry
    from pymatgen.core import Composition

    symbols = np.array(chemical_symbols)
    entries = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of electronegativities that noble gases lack
        for row, energy in enumerate(table.columns["energy"].tolist()):
            found, counts = np.unique(table.numbers[table.atoms_of(row)], return_counts=True)
            formula = dict(zip(symbols[found].tolist(), counts.tolist(), strict=True))
            entries.append(PDEntry(Composition(formula), energy))
        diagram = PatchedPhaseDiagram(entries, verbose=False)
        return np.array([diagram.get_e_above_hull(entry, check_stable=False) for entry in entries])


def _by_linear_program(table: StructureTable, row: int, formation: np.ndarray) -> float:
    """Return the energy above hull of ``row``: what its composition can decompose into at the least energy."""
    elements = np.unique(table.numbers[table.atoms_of(row)])
    outside = np.add.reduceat(~np.isin(table.numbers, elements), table.offsets[:-1]) > 0
    phases = np.flatnonzero(~outside)
    fractions = np.array(
        [
            [(table.numbers[table.atoms_of(i)] == number).mean() for number in elements]
            for i in phases.tolist()
        ]
    )
    own = fractions[np.searchsorted(phases, row)]
    tight = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    found = linprog(formation[phases], A_eq=fractions.T, b_eq=own, method="highs-ds", options=tight)
    return float(formation[row] - found.fun)


def _n_systems(table: StructureTable) -> int:
    return len({frozenset(table.numbers[table.atoms_of(row)].tolist()) for row in range(len(table))})


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB on Linux

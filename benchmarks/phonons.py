"""Phonons of 64 small crystals in one run, against phonopy and metatomic-ase one crystal after another.

Same model in float64, same supercells and displacements, same cores, one process; the crystals are relaxed before, and
that is no part of the time. By hand is what phonopy documents: the crystal, displacements, forces of ASE, force
constants, made symmetric, mesh, density of states, thermal properties; on one core and on all, and the faster counts.
Both ways must give the same frequencies.
"""

from __future__ import annotations

import itertools
import time
import warnings
from collections.abc import Iterator
from typing import Any

import ase.build
import numpy as np
import torch
from ase import Atoms

from aiida_pet.crystals.phonons.stored import phonopy_of_row
from aiida_pet.engine.model.base import BatchModel
from aiida_pet.engine.tasks.phonons import DEFAULT_DISPLACEMENT, Phonons
from aiida_pet.engine.tasks.relax import Relax
from aiida_pet.job.parameters import Dtype, Task, parse_parameters
from aiida_pet.job.phonon_parameters import PhononParameters
from aiida_pet.models import embedded_card, embedded_path
from aiida_pet.tables.crystals import StructureTable
from benchmarks.engine import batched, device
from benchmarks.harness import Measurement, threads

SYMBOLS = ("Nb", "Mo", "Ta", "W")
N_CRYSTALS = 64
TOLERANCE = 0.01  # THz


def run(quick: bool = False) -> Iterator[Measurement]:
    """Compute the phonons of the same crystals in one run, one by one, and by hand.

    :param quick: an eighth of the crystals.
    :raises RuntimeError: if a crystal has no phonons, or frequencies differ by more than 0.01 THz.
    """
    model = batched(Dtype.FLOAT64)
    table = relaxed(ordered_alloys(), model)
    if quick:
        table = table.take(np.arange(0, N_CRYSTALS, 8))
    parameters = parse_parameters(Task.PHONONS, {"relax_first": False, "symprecs": []})
    with_phonons(table.take([0]), model, parameters)  # what is loaded at the first call is loaded now
    together, results = with_phonons(table, model, parameters)
    one_by_one = sum(with_phonons(table.take([row]), model, parameters)[0] for row in range(len(table)))
    # whether one supercell gains from a second core is for the machine to say
    by_hand, difference = min(with_phonopy(results, parameters, cores) for cores in {1, threads()})
    if difference > TOLERANCE:
        raise RuntimeError(f"batch and phonopy differ by {difference:.3g} THz: one of them is wrong")
    displaced = results.columns["n_displacements"] * results.columns["n_atoms_supercell"]
    detail = {
        "n_crystals": len(table),
        "threads": threads(),
        "device": device(),
        "atoms_of_supercells": float(results.columns["n_atoms_supercell"].mean()),
        "displacements": float(results.columns["n_displacements"].mean()),
        "ms_per_displaced_atom": 1e3 * together / float(displaced.sum()),
        "largest_difference_thz": difference,
    }
    per_crystal = 1e3 * together / len(table)
    for name, words, seconds in (
        ("serial", "phonopy and metatomic-ase one by one", by_hand),
        ("one_by_one", "the engine one by one", one_by_one),
    ):
        reference = 1e3 * seconds / len(table)
        yield Measurement(
            f"phonons/{name}",
            per_crystal,
            "ms/crystal",
            f"{words}: {reference:.3g} ms/crystal",
            reference / per_crystal,
            detail,
        )


def ordered_alloys() -> StructureTable:
    """Return 64 ordered alloys on the bcc lattice, primitive cells of 1 to 4 atoms."""
    crystals: list[tuple[str, Atoms]] = [(f"A2-{a}", ase.build.bulk(a, "bcc", a=3.24)) for a in SYMBOLS]
    for a, b in itertools.combinations(SYMBOLS, 2):
        crystals += [(f"B2-{a}{b}", _on_diagonal(a, b)), (f"B32-{a}{b}", _on_diagonal(a, a, b, b))]
        crystals.append((f"B11-{a}{b}", _along_c(a, a, b, b)))
    for a, b in itertools.permutations(SYMBOLS, 2):
        crystals += [(f"D0_3-{a}{b}3", _on_diagonal(a, b, b, b)), (f"C11_b-{a}{b}2", _along_c(a, b, b))]
    for a in SYMBOLS:
        for b, c in itertools.combinations([symbol for symbol in SYMBOLS if symbol != a], 2):
            crystals.append((f"L2_1-{a}2{b}{c}", _on_diagonal(a, b, a, c)))
    crystals += [(f"L-{a}{b}{c}", _along_c(a, b, c)) for a, b, c in itertools.permutations(SYMBOLS, 3)]
    return StructureTable.from_ase(crystals[:N_CRYSTALS])


def _on_diagonal(*symbols: str) -> Atoms:
    """Return atoms a quarter of the diagonal of an fcc cell apart, or a half of that of a cube."""
    a = 3.24
    if len(symbols) == 2:
        return Atoms(symbols, scaled_positions=[[0] * 3, [0.5] * 3], cell=np.eye(3) * a, pbc=True)
    cell = a * (np.ones((3, 3)) - np.eye(3))
    places = [[place / 4] * 3 for place in range(4)]
    return Atoms(symbols, scaled_positions=places, cell=cell, pbc=True)


def _along_c(*symbols: str) -> Atoms:
    """Return square layers of one element each, stacked along c as in bcc."""
    a, n_layers = 3.24, len(symbols)
    half = a / 2
    positions = [(layer % 2 * half, layer % 2 * half, layer * half) for layer in range(n_layers)]
    last = (n_layers % 2 * half, n_layers % 2 * half, n_layers * half)
    return Atoms(symbols, positions=positions, cell=[(a, 0, 0), (0, a, 0), last], pbc=True)


def relaxed(table: StructureTable, model: BatchModel) -> StructureTable:
    """Return the crystals of ``table`` at their minimum, as phonons want it."""
    finished: list[StructureTable] = []
    tight = parse_parameters(
        Task.RELAX,
        {
            "fmax": 1e-4,
            "stress_max": 1e-3,
            "max_steps": 2000,
            "symmetry": "constrained",
            "symprecs": [],
        },
    )
    Relax(table, model, tight, finished=finished.append).run()
    return StructureTable.concatenate(finished).select(table.ids)


def with_phonons(
    table: StructureTable, model: BatchModel, parameters: PhononParameters
) -> tuple[float, StructureTable]:
    """Compute the phonons of ``table`` in one run and return seconds and results.

    :raises RuntimeError: if a row has none.
    """
    finished: list[StructureTable] = []
    start = time.perf_counter()
    Phonons(table, model, parameters, finished=finished.append).run()
    spent = time.perf_counter() - start
    results = StructureTable.concatenate(finished).select(table.ids)
    if set(results.columns["status"]) != {"converged"}:
        raise RuntimeError(f"not every crystal has phonons: {set(results.columns['message'])}")
    return spent, results


def with_phonopy(results: StructureTable, parameters: PhononParameters, cores: int) -> tuple[float, float]:
    """Compute the phonons of ``results`` again, one after another, by phonopy and ASE.

    :param cores: for each operation of the model.
    :return: seconds, and the largest difference of a frequency over the mesh, THz.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from phonopy import Phonopy
        from phonopy.structure.atoms import PhonopyAtoms

        from aiida_pet.engine.model.ase_calculator import pet_calculator

        torch.set_num_threads(cores)
        calculator = pet_calculator(embedded_path(), embedded_card()["sha256"], device=device())
        spent, largest = 0.0, 0.0
        for row, atoms in enumerate(results.iter_ase()):
            matrix = np.round(results.columns["supercell_matrix"][row]).astype(int)
            start = time.perf_counter()
            cell = PhonopyAtoms(numbers=atoms.numbers, cell=atoms.cell[:], positions=atoms.positions)
            phonopy = Phonopy(cell, matrix, primitive_matrix="P")
            phonopy.generate_displacements(
                distance=DEFAULT_DISPLACEMENT[parameters.forces], is_plusminus=True
            )
            phonopy.forces = np.array(
                [_forces(one, calculator) for one in phonopy.supercells_with_displacements]
            )
            phonopy.produce_force_constants()
            phonopy.symmetrize_force_constants()
            mesh = phonopy.run_mesh(parameters.mesh)
            low, high = results.columns["dos_frequencies"][row, [0, -1]]
            pitch = (high - low) / (parameters.dos_points - 1)
            phonopy.run_total_dos(sigma=parameters.dos_sigma, freq_min=low, freq_max=high, freq_pitch=pitch)
            phonopy.run_thermal_properties(temperatures=[*parameters.temperatures, 300.0])
            spent += time.perf_counter() - start
            ours = phonopy_of_row(results, str(results.ids[row])).run_qpoints(mesh.qpoints).frequencies
            largest = max(largest, float(np.abs(ours - mesh.frequencies).max()))
    torch.set_num_threads(1)
    return spent, largest


def _forces(cell: Any, calculator: Any) -> np.ndarray:
    atoms = Atoms(numbers=cell.numbers, positions=cell.positions, cell=cell.cell, pbc=True)
    atoms.calc = calculator
    return np.asarray(atoms.get_forces())

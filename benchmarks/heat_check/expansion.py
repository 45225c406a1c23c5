"""Thermal expansion of four crystals: the task ``qha`` beside ASE, metatomic-ase and phonopy by hand, and experiment.

Cells are cubic with fixed fractions, so that by hand nothing but the volume changes. Both ways take the volumes at
which the task has computed; by hand each cell is relaxed first to show that its volume is that of the task.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator

from aiida_pet.engine.model.ase_calculator import pet_calculator
from aiida_pet.job.tasks import Task
from aiida_pet.tables.arrays import Floats
from aiida_pet.tables.crystals import StructureTable
from benchmarks.heat_check.by_hand import forces_on, phonopy_atoms
from benchmarks.heat_check.verdict import Verdict
from benchmarks.model_check.engine import Model, run

VOLUME, EXPANSION, OF_EXPERIMENT = 1e-5, 0.01, 1.5  # relative, relative, factor
STEP = 10.0  # K, of the differences that phonopy's expansion is made of
CRYSTALS: dict[str, tuple[Atoms, float]] = {
    "Al": (bulk("Al", "fcc", a=4.05), 69.3e-6),
    "Cu": (bulk("Cu", "fcc", a=3.615), 49.5e-6),
    "Si": (bulk("Si", "diamond", a=5.43), 7.8e-6),
    "MgO": (bulk("MgO", "rocksalt", a=4.212), 31.2e-6),
}
"""Name -> crystal, volume expansion at 300 K by experiment, 1/K.

Three times the linear expansion: Al 23.1e-6, Cu 16.5e-6 and Si 2.6e-6 of the CRC Handbook of Chemistry and Physics
(2014), at 298 K; MgO 10.4e-6 of White and Anderson, J. Appl. Phys. 37, 430 (1966), at 293 K.
"""
GIVEN: dict[str, Any] = {
    "n_volumes": 7,
    "max_strain": 0.02,
    "at_volume": "nothing",
    "min_image": 8.0,
    "mesh": 60.0,
    "displacement": 0.03,
    "temperatures": [float(kelvin) for kelvin in range(0, 611, int(STEP))],
    "symprecs": [],
    "nac": False,
}


def verdicts(model: Model, names: Iterable[str] = tuple(CRYSTALS)) -> Iterator[Verdict]:
    """Yield volumes and expansions beside those by hand, and beside experiment."""
    calculator = pet_calculator(model.path, model.sha256, device="cpu")
    for name in names:
        atoms, measured = CRYSTALS[name]
        began = time.perf_counter()
        row = run(model, Task.QHA, StructureTable.from_ase([(name, atoms)]), **GIVEN)
        status = str(row.columns["status"][0])
        if status != "converged":
            yield Verdict(name, f"{status}: {row.columns['message'][0]}", False)
            continue
        middle = time.perf_counter()
        kelvins, volumes, expansions = by_hand(row, calculator)
        spent = f"{middle - began:.0f} s, by hand {time.perf_counter() - middle:.0f} s"
        grid = row.columns["temperatures"][0]
        places = [int(np.flatnonzero(grid == kelvin)[0]) for kelvin in kelvins]
        ours = row.columns["qha_volume"][0][places]
        volume = float(np.nanmax(np.abs(ours / volumes - 1)))
        at = int(np.flatnonzero(kelvins == 300.0)[0])
        here, there = float(row.columns["thermal_expansion_300"][0]), float(expansions[at]) * 1e6
        yield Verdict(
            name,
            f"volumes within {volume:.1e}; expansion at 300 K {here:.2f}, by hand {there:.2f} 1e-6/K; {spent}",
            bool(volume < VOLUME and abs(here / there - 1) < EXPANSION),
        )
        factor = here / (measured * 1e6)
        within = 1 / OF_EXPERIMENT < factor < OF_EXPERIMENT
        warning = "" if within else f" WARNING: off by more than a factor of {OF_EXPERIMENT}"
        yield Verdict(name, f"experiment {measured * 1e6:.1f} 1e-6/K, {factor:.2f} times that{warning}")


def by_hand(row: StructureTable, calculator: Calculator) -> tuple[Floats, Floats, Floats]:
    """Return temperatures (T,), K, volumes (T,) of the cell of the row, A^3, and expansions (T,), 1/K."""
    from phonopy import Phonopy, PhonopyQHA

    start = row.ase_at(0)
    kelvins = np.asarray(GIVEN["temperatures"])
    computed = row.columns["qha_volumes"][0]
    mesh: Any = GIVEN["mesh"]
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # the relaxed crystal comes first, and says the mesh of all volumes
        for volume in sorted(computed, key=lambda one: abs(one - start.get_volume())):
            atoms = start.copy()
            atoms.set_cell(start.cell * (volume / start.get_volume()) ** (1 / 3), scale_atoms=True)
            atoms.calc = calculator
            energy = atoms.get_potential_energy()
            primitive = row.columns["primitive_matrix"][0]
            supercell = np.round(primitive @ row.columns["supercell_matrix"][0]).astype(int)
            phonopy = Phonopy(phonopy_atoms(atoms), supercell, primitive_matrix=primitive)
            phonopy.generate_displacements(distance=GIVEN["displacement"], is_plusminus=True)
            phonopy.forces = forces_on(phonopy.supercells_with_displacements, calculator)
            phonopy.produce_force_constants()
            phonopy.symmetrize_force_constants()
            mesh = phonopy.run_mesh(mesh, is_gamma_center=True).mesh_numbers
            phonopy.run_thermal_properties(temperatures=kelvins, exclude_gamma_acoustic=True)
            found[volume] = energy, phonopy.get_thermal_properties_dict()
        energies, thermal = zip(*(found[volume] for volume in computed), strict=True)
        qha = PhonopyQHA(
            volumes=computed,
            electronic_energies=list(energies),
            temperatures=kelvins,
            free_energy=np.array([one["free_energy"] for one in thermal]).T,
            cv=np.array([one["heat_capacity"] for one in thermal]).T,
            entropy=np.array([one["entropy"] for one in thermal]).T,
            eos="vinet",
            t_max=600.0,
        )
        volumes = np.asarray(qha.volume_temperature)
        expansions = np.asarray(qha.thermal_expansion)
    count = min(len(volumes), len(expansions))
    return kelvins[:count], volumes[:count], expansions[:count]

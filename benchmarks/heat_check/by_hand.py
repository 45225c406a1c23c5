"""Conductivities, phonons and expansions as people compute them by hand: ASE, metatomic-ase, phonopy, phono3py.

Nothing here is shared with aiida-pet but the checkpoint.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from aiida_pet.tables.arrays import Floats


@dataclass(frozen=True)
class ByHand:
    """What phono3py says of a crystal.

    :ivar fc2: (D2, S2, 3) forces on displaced supercells of second order, eV/A.
    :ivar fc3: (D3, S3, 3), of third order.
    :ivar frequencies: (Q, B) on the whole mesh, THz.
    :ivar kappa: mean of the diagonal at 300 K, W/(m K); NaN for a crystal with imaginary modes.
    """

    fc2: Floats
    fc3: Floats
    frequencies: Floats
    kappa: float


def calculator_of(path: Any) -> Calculator:
    """Return metatomic's calculator of a checkpoint in float64; the file is loaded, so it has to be trusted."""
    import torch
    from metatomic_ase import MetatomicCalculator
    from metatrain.utils.io import load_model

    model = load_model(path)
    model = getattr(model, "model", model).to(torch.float64)  # without an uncertainty, which stays float32
    return MetatomicCalculator(model.export(), device="cpu")


def forces_on(cells: Iterable[Any], calculator: Calculator) -> Floats:
    """Return the forces on supercells of phonopy, eV/A."""
    found = []
    for cell in cells:
        atoms = Atoms(cell.numbers, cell.positions, cell=cell.cell, pbc=True)
        atoms.calc = calculator
        found.append(atoms.get_forces())
    return np.array(found)


def conductivity_by_hand(
    atoms: Atoms,
    calculator: Calculator,
    *,
    mesh: tuple[int, int, int],
    opposites: bool | str,
    distance: float,
) -> ByHand:
    """Return the conductivity of a relaxed crystal, whose supercells are in ``info``, in plain relaxation times."""
    from phono3py import Phono3py

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        phono3py = Phono3py(
            phonopy_atoms(atoms),
            supercell_matrix=atoms.info["fc3_supercell"],
            phonon_supercell_matrix=atoms.info["fc2_supercell"],
            primitive_matrix="auto",
            symprec=1e-5,
        )
        phono3py.generate_displacements(distance=distance, is_plusminus=opposites)
        fc2 = forces_on(phono3py.phonon_supercells_with_displacements, calculator)
        phono3py.phonon_forces = fc2
        phono3py.produce_fc2()
        phono3py.symmetrize_fc2()
        phono3py.mesh_numbers = mesh
        phono3py.init_phph_interaction()
        phono3py.run_phonon_solver()
        frequencies = np.array(phono3py.get_phonon_data()[0])
        fc3 = forces_on(phono3py.supercells_with_displacements, calculator)
        if frequencies.min() < -0.01:
            return ByHand(fc2, fc3, frequencies, float("nan"))
        phono3py.forces = fc3
        phono3py.produce_fc3()
        phono3py.symmetrize_fc3()
        phono3py.init_phph_interaction()
        phono3py.run_thermal_conductivity(temperatures=[300], is_isotope=True)
    return ByHand(fc2, fc3, frequencies, float(phono3py.thermal_conductivity.kappa[0, 0, :3].mean()))


def phonopy_atoms(atoms: Atoms) -> Any:
    """Return the cell as phonopy has it."""
    from phonopy.structure.atoms import PhonopyAtoms

    return PhonopyAtoms(numbers=atoms.numbers, cell=atoms.cell[:], positions=atoms.positions)

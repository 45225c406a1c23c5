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
    :ivar lowest: lowest frequency on the whole mesh, THz.
    :ivar kappa: mean of the diagonal at 300 K, W/(m K); NaN for a crystal with imaginary modes.
    """

    fc2: Floats
    fc3: Floats
    lowest: float
    kappa: float


def forces_on(cells: Iterable[Any], calculator: Calculator) -> Floats:
    """Return the forces on supercells of phonopy, eV/A."""
    found = []
    for cell in cells:
        atoms = Atoms(cell.numbers, cell.positions, cell=cell.cell, pbc=True)
        atoms.calc = calculator
        found.append(atoms.get_forces())
    return np.array(found)


class ConductivityByHand:
    """A relaxed crystal, whose supercells are in ``info``, displaced by phono3py."""

    def __init__(self, atoms: Atoms, *, opposites: bool | str, distance: float) -> None:
        from phono3py import Phono3py

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._phono3py = Phono3py(
                phonopy_atoms(atoms),
                supercell_matrix=atoms.info["fc3_supercell"],
                phonon_supercell_matrix=atoms.info["fc2_supercell"],
                primitive_matrix="auto",
                symprec=1e-5,
            )
            self._phono3py.generate_displacements(distance=distance, is_plusminus=opposites)

    def forces(self, calculator: Calculator) -> tuple[Floats, Floats]:
        """Return the forces of second and third order, one supercell after another, eV/A."""
        return (
            forces_on(self._phono3py.phonon_supercells_with_displacements, calculator),
            forces_on(self._phono3py.supercells_with_displacements, calculator),
        )

    def conductivity(self, fc2: Floats, fc3: Floats, mesh: tuple[int, int, int]) -> ByHand:
        """Return what ``fc2`` (D2, S2, 3) and ``fc3`` (D3, S3, 3) give on ``mesh`` in plain relaxation times."""
        phono3py = self._phono3py
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            phono3py.phonon_forces = fc2
            phono3py.produce_fc2()
            phono3py.symmetrize_fc2()
            phono3py.mesh_numbers = mesh
            phono3py.init_phph_interaction()
            phono3py.run_phonon_solver()
            lowest = float(np.min(phono3py.get_phonon_data()[0]))
            if lowest < -0.01:
                return ByHand(fc2, fc3, lowest, float("nan"))
            phono3py.forces = fc3
            phono3py.produce_fc3()
            phono3py.symmetrize_fc3()
            phono3py.init_phph_interaction()
            phono3py.run_thermal_conductivity(temperatures=[300], is_isotope=True)
        return ByHand(fc2, fc3, lowest, float(phono3py.thermal_conductivity.kappa[0, 0, :3].mean()))


def phonopy_atoms(atoms: Atoms) -> Any:
    """Return the cell as phonopy has it."""
    from phonopy.structure.atoms import PhonopyAtoms

    return PhonopyAtoms(numbers=atoms.numbers, cell=atoms.cell[:], positions=atoms.positions)

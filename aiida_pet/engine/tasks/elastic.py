"""Elastic constants of many crystals: each relaxed, strained, and fitted; see the modules that do it.

Strains are :mod:`~aiida_pet.crystals.elastic.strains`, fit and symmetry :mod:`~aiida_pet.crystals.elastic.fit`, axes
:mod:`~aiida_pet.crystals.symmetry.laue_axes`, moduli :mod:`~aiida_pet.crystals.elastic.moduli`. The crystal as it is
is one of the children, evaluated as the strained ones are: its stress is where the fit starts.

A strained crystal has the symmetry that crystal and strain share. With ``symmetry = constrained`` ions relax within
that, so that strains do not let a crystal fall off a symmetric saddle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from ase.data import atomic_masses

from aiida_pet.crystals.elastic.fit import (
    fit_elastic_tensor,
    second_piola_kirchhoff,
    stress_strain_coefficients,
    symmetrize_stress,
    symmetrize_tensor,
)
from aiida_pet.crystals.elastic.moduli import debye_temperature, elastic_moduli, sound_velocities
from aiida_pet.crystals.elastic.strains import PROTOCOLS, StrainAmounts, deformation_gradients, strain_tensors
from aiida_pet.crystals.elastic.voigt import voigt_to_stress
from aiida_pet.crystals.symmetry.laue_axes import ieee_tensor, laue_class
from aiida_pet.crystals.symmetry.operations import Operations
from aiida_pet.crystals.symmetry.spacegroup import operations_of_row
from aiida_pet.engine.symmetry.rotations_of_rows import EXACT
from aiida_pet.engine.tasks.driver import Driver
from aiida_pet.engine.tasks.expansion import Expansion, Reduced
from aiida_pet.engine.tasks.relax import Relax
from aiida_pet.engine.tasks.static import Static
from aiida_pet.job.elastic_parameters import ElasticParameters
from aiida_pet.job.parameters import CellFilter, Ions, Symmetry
from aiida_pet.tables.arrays import Floats
from aiida_pet.tables.columns import Source
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.warnings import Warned
from aiida_pet.units import GPA

#: Share of the stresses that a fit may leave, and of the largest component that its symmetry may cost.
ROUGH = 0.05


@dataclass(frozen=True)
class StrainPlan:
    """How the children of a crystal were made of it.

    :ivar strains: Green-Lagrange, (K, 3, 3).
    :ivar deformations: (K, 3, 3), what lattice vectors and positions were multiplied with.
    :ivar operations: the space group of the crystal.
    """

    strains: Floats
    deformations: Floats
    operations: Operations


SINGULAR = "the elastic tensor is singular, since some strain costs no energy: there are no moduli"
"""Message of a row without moduli, such as molecules and layers that do not touch each other."""


class Elastic(Expansion[ElasticParameters, StrainPlan]):
    """Elastic tensor, moduli and Debye temperature of each row.

    Columns: ``elastic_tensor`` (6, 6), GPa, in the axes in which the relaxed crystal is given, Voigt order xx yy zz yz
    xz xy; ``elastic_tensor_ieee`` in the setting of the IEEE. They are stress-strain coefficients: under pressure
    those of the Cauchy stress, else the second derivatives of the energy. All of
    :class:`~aiida_pet.crystals.elastic.moduli.ElasticModuli` under its names, and ``debye_temperature``, K. Of the fit:
    ``fit_residual``, the root mean square of what it leaves of the stress, GPa; ``fit_relative_residual``, the same
    over that of the stress; ``laue_deviation``, GPa, the largest change of a component by making the tensor symmetric
    and holding it to its Laue class, which is zero for an equivariant model with a conservative stress; ``n_strains``;
    ``laue_class`` and ``crystal_system``.
    """

    SOURCE = Source.ELASTIC

    def codes_of(self, columns: Mapping[str, Any]) -> set[str]:
        """Return whether the tensor is too rough to be trusted."""
        largest = np.abs(columns["elastic_tensor"]).max()
        is_rough = columns["fit_relative_residual"] > ROUGH or columns["laue_deviation"] > ROUGH * largest
        return {Warned.ROUGH} if is_rough else set()

    def expand(self, crystal: StructureTable) -> tuple[StructureTable, StrainPlan]:
        """Return the crystal as it is and under each strain.

        :raises ValueError: if it is not periodic in all directions.
        """
        if not crystal.pbc.all():
            pbc = "".join("T" if flag else "F" for flag in crystal.pbc[0])
            raise ValueError(f"elastic constants need a crystal periodic in all directions, but pbc is {pbc}")
        strains = strain_tensors(self.amounts())
        deformations = deformation_gradients(strains)
        plan = StrainPlan(strains, deformations, operations_of_row(crystal, 0, self.parameters.symprec))
        return _strained(crystal, np.concatenate([np.eye(3)[None], deformations])), plan

    def amounts(self) -> StrainAmounts:
        """Return the strains that the parameters ask for."""
        named, given = PROTOCOLS[self.parameters.strains], self.parameters
        return StrainAmounts(given.normal_strains or named.normal, given.shear_strains or named.shear)

    def make_children(self, table: StructureTable, **options: Any) -> Driver:
        """Return the driver of strained crystals: ions follow the strain, or relax in the fixed cell."""
        changes: dict[str, Any] = {"symprecs": (), "outputs": ()}
        if self.parameters.symmetry is Symmetry.CONSTRAINED:
            # what crystal and strain share: at a tolerance that a small strain exceeds
            changes["symprec"] = EXACT
        if self.parameters.ions is Ions.CLAMPED:
            return Static(table, self.model, self.static_parameters(**changes), **options)
        parameters = self.relax_parameters(cell=CellFilter.FIXED, pressure=0.0, **changes)
        return Relax(table, self.model, parameters, **options)

    def usual_evaluations(self) -> float:
        """Return how often a child is evaluated: relaxed as the rows were, it takes about as long."""
        return (
            1.0
            if self.parameters.ions is Ions.CLAMPED or self._first is None
            else self._first.usual_evaluations()
        )

    def reduce(self, crystal: StructureTable, plan: StrainPlan, children: StructureTable) -> Reduced:
        """Return tensors, moduli and what the fit is worth.

        :raises ValueError: if the strains do not determine the tensor, or a stress is not finite.
        """
        cauchy = voigt_to_stress(children.columns["stress"] * GPA)
        stresses = second_piola_kirchhoff(cauchy[1:], plan.deformations)
        fit = fit_elastic_tensor(plan.strains, stresses, cauchy[0])
        rotations = plan.operations.cartesian if self.parameters.symmetrize else np.eye(3)[None]
        tensor = stress_strain_coefficients(
            symmetrize_tensor(fit.tensor, rotations), symmetrize_stress(cauchy[0], rotations)
        )
        moduli = elastic_moduli(tensor)
        volume, n_atoms = float(crystal.volumes()[0]), len(crystal.numbers)
        mass = float(atomic_masses[crystal.numbers].sum())
        sound = sound_velocities(moduli.bulk_modulus, moduli.shear_modulus, mass, volume)
        name, system = laue_class(plan.operations.number)
        held = symmetrize_tensor(fit.tensor, plan.operations.cartesian)
        message = {} if np.isfinite(moduli.bulk_modulus) else {"message": SINGULAR}
        return Reduced(
            message
            | {
                "elastic_tensor": tensor,
                "elastic_tensor_ieee": ieee_tensor(tensor, plan.operations),
                **asdict(moduli),
                "debye_temperature": debye_temperature(sound.mean, n_atoms, volume),
                "fit_residual": fit.residual,
                "fit_relative_residual": fit.relative_residual,
                "laue_deviation": np.abs(fit.tensor - held).max(),
                "n_strains": len(plan.strains),
                "laue_class": name,
                "crystal_system": system.value,
            }
        )


def _strained(crystal: StructureTable, deformations: Floats) -> StructureTable:
    """Return the one row of ``crystal`` under each of ``deformations`` (K, 3, 3), as rows "0", "1" and so on."""
    count = len(deformations)
    return StructureTable(
        ids=np.arange(count).astype(str),
        numbers=np.tile(crystal.numbers, count),
        positions=(crystal.positions @ deformations).reshape(-1, 3),
        cells=crystal.cells[0] @ deformations,
        pbc=np.tile(crystal.pbc, (count, 1)),
        offsets=np.arange(count + 1) * len(crystal.numbers),
    )

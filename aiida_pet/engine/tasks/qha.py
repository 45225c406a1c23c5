"""Quasi-harmonic properties of many crystals: each relaxed, taken to other volumes, and its phonons computed there.

A crystal at another volume is a row of the task ``phonons`` with the volume held: atoms and shape relax, then its
displaced supercells are evaluated, in the supercell of the relaxed crystal at every volume. Supercells of all volumes
of several crystals go through one queue. A job that is killed takes a crystal up again where it was relaxed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from phonopy.physical_units import get_physical_units

from aiida_pet.crystals.eos.fit import FEWEST
from aiida_pet.crystals.eos.volumes import at_volumes
from aiida_pet.crystals.phonons.harmonic import (
    ROOM_TEMPERATURE,
    make_phonopy,
    mesh_numbers,
    thermal_temperatures,
)
from aiida_pet.crystals.phonons.stored import phonopy_of_row
from aiida_pet.crystals.phonons.supercells import Supercell, choose_supercell
from aiida_pet.crystals.qha.gruneisen import ModeGruneisen, mode_gruneisen
from aiida_pet.crystals.qha.thermal import QuasiHarmonic, VolumeSeries, quasi_harmonic
from aiida_pet.engine.tasks.eos import CELL_AT_VOLUME, ratios_of
from aiida_pet.engine.tasks.expansion import Expansion, Reduced, part_of
from aiida_pet.engine.tasks.phonons import Phonons
from aiida_pet.engine.tasks.runner import Runner
from aiida_pet.job.choices import AtVolume
from aiida_pet.job.given_charges import has_charges
from aiida_pet.job.given_columns import MESH, PRIMITIVE, SUPERCELL
from aiida_pet.job.parameters import CellFilter
from aiida_pet.job.phonon_parameters import PhononParameters
from aiida_pet.job.volume_parameters import QhaParameters
from aiida_pet.tables.arrays import Array, Floats, Integers
from aiida_pet.tables.columns import Source
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.warnings import Warned
from aiida_pet.units import GPA

_MICRO = 1e6  # thermal expansions are in 1e-6/K
_AT_300 = {
    "qha_volume_300": "qha_volume",
    "thermal_expansion_300": "thermal_expansion",
    "qha_bulk_modulus_300": "qha_bulk_modulus",
    "qha_heat_capacity_300": "qha_heat_capacity",
    "gruneisen_300": "gruneisen",
}


@dataclass(frozen=True)
class VolumesPlan:
    """What the children of a crystal are.

    :ivar supercell: supercell of all of them.
    :ivar mesh: numbers of q-points of all of them.
    """

    supercell: Supercell
    mesh: list[int]


class Qha(Expansion[QhaParameters, VolumesPlan]):
    """Volume, expansion, bulk modulus and heat capacity of each row over the temperature.

    Volumes and Gibbs energies belong to the cell of the row, heat capacities to a mole of primitive cells, as those of
    phonons do.
    """

    SOURCE = Source.QHA
    WORK_OF_A_CHILD: ClassVar[int] = 100

    def expand(self, crystal: StructureTable) -> tuple[StructureTable, VolumesPlan]:
        """Return the crystal at each volume, with the supercell that all of them take.

        :raises ValueError: if it is not periodic in all directions.
        """
        if not crystal.pbc.all():
            pbc = "".join("T" if flag else "F" for flag in crystal.pbc[0])
            raise ValueError(
                f"quasi-harmonic properties need a crystal periodic in all directions, but pbc is {pbc}"
            )
        given = self.parameters
        supercell = choose_supercell(
            crystal.cells[0],
            crystal.positions,
            crystal.numbers,
            min_image=given.min_image,
            max_atoms=given.max_atoms,
            supercell=given.supercell,
            symprec=given.phonon_symprec,
        )
        children = at_volumes(crystal, ratios_of(given))
        count = len(children)
        mesh = self._mesh(crystal, supercell)
        columns: dict[str, Array] = {
            SUPERCELL: np.tile(supercell.matrix, (count, 1, 1)),
            PRIMITIVE: np.tile(supercell.primitive_matrix, (count, 1, 1)),
            MESH: np.tile(mesh, (count, 1)),
        }
        atoms: dict[str, Array] = {}
        if self._knows_charges():
            row = self.table.index(str(crystal.ids[0]))
            columns["dielectric_tensor"] = np.tile(
                self.table.columns["dielectric_tensor"][row], (count, 1, 1)
            )
            borns = self.table.atom_columns["born_charges"][self.table.atoms_of(row)]
            atoms["born_charges"] = np.tile(borns, (count, 1, 1))
        return replace(children, columns=columns, atom_columns=atoms), VolumesPlan(supercell, mesh.tolist())

    def make_children(self, table: StructureTable, **options: Any) -> Runner:
        """Return the phonons of crystals at volumes."""
        given = self.parameters
        changes: dict[str, Any] = {
            "symprecs": (),
            "outputs": (),
            "pressure": 0.0,
            "supercell": None,
            "given_cells": True,
            "given_displacements": False,
            "relax_first": given.at_volume is not AtVolume.NOTHING,
            "cell": CELL_AT_VOLUME.get(given.at_volume, CellFilter.FIXED),
        }
        return Phonons(table, self.model, part_of(PhononParameters, given, changes), **options)

    def reduce(self, crystal: StructureTable, plan: VolumesPlan, children: StructureTable) -> Reduced:
        """Return the properties, without the volumes at which the crystal is unstable.

        :raises ValueError: if fewer than five volumes are stable.
        """
        volumes = children.volumes()
        stable = children.columns["is_dynamically_stable"].astype(bool)
        if stable.sum() < FEWEST:
            soft = ", ".join(f"{volume:.2f}" for volume in volumes[~stable])
            raise ValueError(
                f"{(~stable).sum()} of {len(volumes)} volumes have imaginary modes ({soft} A^3); at least {FEWEST} "
                "volumes without imaginary modes are needed"
            )
        series = _series(children, len(crystal.numbers)).take(stable)
        found = quasi_harmonic(
            series, pressure=self.parameters.pressure / GPA, equation=self.parameters.equation
        )
        modes = self._modes(children.take(np.flatnonzero(stable)), found, series, plan.mesh)
        supercell = plan.supercell
        columns = self._columns(
            found, series.temperatures, len(crystal.numbers) / len(supercell.primitive_atoms)
        )
        columns |= {
            "mode_gruneisen_300": modes.mean(ROOM_TEMPERATURE),
            "n_qha_volumes": len(volumes),
            "n_unstable_volumes": int((~stable).sum()),
            "qha_volumes": volumes,
            "qha_energies": children.columns["energy"].astype(np.float64),
            "qha_min_frequencies": children.columns["min_frequency"].astype(np.float64),
            "supercell_matrix": supercell.matrix,
            "primitive_matrix": supercell.primitive_matrix,
            "n_atoms_primitive": len(supercell.primitive_atoms),
            "n_atoms_supercell": supercell.n_atoms,
            "supercell_image": supercell.min_image,
            "supercell_capped": supercell.capped,
        }
        return Reduced(columns, _ragged(modes) if self.parameters.modes else {})

    def sizes(self) -> dict[str, int]:
        """Return the numbers of volumes and temperatures."""
        return {
            "V": len(ratios_of(self.parameters)),
            "T": len(thermal_temperatures(self.parameters.temperatures)),
        }

    def codes_of(self, columns: Mapping[str, Any]) -> set[str]:
        """Return what there is to say of volumes, temperatures and the supercell."""
        top = columns["qha_max_temperature"]
        codes = {
            Warned.UNSTABLE_VOLUME: columns["n_unstable_volumes"] > 0,
            Warned.VOLUME_AT_EDGE: not np.isfinite(top),
            Warned.TEMPERATURE_RANGE: np.isfinite(top) and top < columns["temperatures"].max(),
            Warned.SUPERCELL_CAPPED: columns["supercell_capped"],
        }
        return {code for code, holds in codes.items() if holds}

    def _knows_charges(self) -> bool:
        return self.parameters.nac and has_charges(self.table)

    def _columns(self, found: QuasiHarmonic, temperatures: Floats, cells: float) -> dict[str, Any]:
        """Return the columns over the temperature, and those at 300 K.

        :param cells: primitive cells of the cell of the row.
        """
        per_mole = 1000 * get_physical_units().EvTokJmol / cells
        columns: dict[str, Any] = {
            "temperatures": temperatures,
            "qha_volume": found.volume,
            "thermal_expansion": found.expansion * _MICRO,
            "qha_bulk_modulus": found.bulk_modulus * GPA,
            "qha_gibbs_energy": found.gibbs,
            "qha_heat_capacity": found.heat_capacity_p * per_mole,
            "qha_heat_capacity_v": found.heat_capacity_v * per_mole,
            "gruneisen": found.gruneisen,
            "qha_max_temperature": found.max_temperature,
        }
        room = int(np.flatnonzero(temperatures == ROOM_TEMPERATURE)[0])
        return columns | {name: float(columns[of][room]) for name, of in _AT_300.items()}

    def _mesh(self, crystal: StructureTable, supercell: Supercell) -> Integers:
        """Return the numbers (3,) of q-points of all volumes: a mesh that changed with them would be a step in F(V)."""
        kept = supercell.primitive_atoms
        primitive = make_phonopy(
            supercell.primitive_matrix.T @ crystal.cells[0],
            crystal.positions[kept],
            crystal.numbers[kept],
            np.eye(3, dtype=np.int64),
            symprec=self.parameters.phonon_symprec,
        )
        return mesh_numbers(primitive, self.parameters.mesh)

    def _modes(
        self, stable: StructureTable, found: QuasiHarmonic, series: VolumeSeries, mesh: list[int]
    ) -> ModeGruneisen:
        """Return the mode Grueneisen parameters at the volume nearest to that at 300 K, from its neighbours."""
        room = found.volume[series.temperatures == ROOM_TEMPERATURE][0]
        wanted = room if np.isfinite(room) else series.volumes[series.energies.argmin()]
        order = np.argsort(series.volumes)
        nearest = int(np.abs(series.volumes[order] - wanted).argmin())
        middle = min(max(nearest, 1), len(order) - 2)
        smaller, here, larger = (
            phonopy_of_row(stable, str(stable.ids[order[place]]), symprec=self.parameters.phonon_symprec)
            for place in (middle - 1, middle, middle + 1)
        )
        return mode_gruneisen(smaller, here, larger, mesh=mesh)


def _series(children: StructureTable, n_atoms: int) -> VolumeSeries:
    """Return what the phonons of the children say, per cell of ``n_atoms`` atoms."""
    columns = children.columns
    units = get_physical_units()
    cells = (n_atoms / columns["n_atoms_primitive"])[:, None]
    return VolumeSeries(
        volumes=children.volumes(),
        energies=columns["energy"].astype(np.float64),
        temperatures=columns["temperatures"][0],
        free_energies=columns["free_energy"] * cells / units.EvTokJmol,
        entropies=columns["entropy"] * cells / units.EvTokJmol / 1000,
        heat_capacities=columns["heat_capacity"] * cells / units.EvTokJmol / 1000,
    )


def _ragged(modes: ModeGruneisen) -> dict[str, Array]:
    """Return one entry for each mode of the mesh, branches of a q-point in order."""
    branches = modes.frequencies.shape[1]
    return {
        "gruneisen_q_points": np.repeat(modes.q_points, branches, axis=0),
        "gruneisen_weights": np.repeat(modes.weights, branches),
        "gruneisen_frequencies": modes.frequencies.ravel(),
        "gruneisen_modes": modes.gruneisen.ravel(),
    }

"""Calcfunctions for crystals with imaginary modes: displaced along the softest of each, and what became of them.

Between them lies a free relaxation (:class:`~aiida_pet.workchains.phonons.PhononWorkChain`).
"""

from __future__ import annotations

import numpy as np
from aiida import orm
from aiida.engine import calcfunction

from aiida_pet.analysis.hull.competing import PressureError, gains
from aiida_pet.calculations.harmonic_parameters import FollowParameters, read_parameters
from aiida_pet.calculations.theory import pressure_behind
from aiida_pet.crystals.phonons.modes import SoftMode, softest_mode
from aiida_pet.crystals.phonons.stored import phonopy_of_row
from aiida_pet.crystals.symmetry.warnings import symmetry_warnings
from aiida_pet.data.structures import StructureSetData
from aiida_pet.data.table import TableData
from aiida_pet.job.folder import RowStatus
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.table import Array, Table

_AFTER = "spacegroup_"
_CARRIED = ("mode_frequency", "mode_q", "mode_amplitude", "n_cells")


def rows_to_follow(results: StructureSetData) -> list[str]:
    """Return the ids of phonon results that have imaginary modes in their supercell (column ``n_imaginary``)."""
    if "n_imaginary" not in results.column_names:
        return []
    has = (results.column("status") == RowStatus.CONVERGED.value) & (results.column("n_imaginary") > 0)
    found: list[str] = results.ids[has].tolist()
    return found


@calcfunction
def displace_along_modes(results: StructureSetData, parameters: orm.Dict) -> StructureSetData:
    """Return each crystal that has imaginary modes, displaced along its softest one, under its id.

    The softest of the modes that are periodic in the supercell of the force constants, in the smallest supercell of the
    primitive cell in which it repeats. A crystal whose imaginary modes all lie between those q-points is left out.

    :param results: results of the task ``phonons``.
    :param parameters: :class:`~aiida_pet.calculations.harmonic_parameters.FollowParameters`.
    :return: columns ``mode_frequency``, THz; ``mode_q`` (3,), in the reciprocal basis of the primitive cell;
        ``mode_amplitude``, A; ``n_cells``, primitive cells of the supercell.
    :raises ValueError: if there is no such crystal.
    """
    given = read_parameters(FollowParameters, parameters)
    table = results.to_table()
    found: dict[str, SoftMode] = {}
    for name in rows_to_follow(results):
        phonopy = phonopy_of_row(table, name, symprec=given.phonon_symprec)
        mode = softest_mode(phonopy, given.amplitude)
        if mode.frequency < -given.imaginary_threshold:
            found[name] = mode
    if not found:
        raise ValueError(
            f"no crystal has a mode below {-given.imaginary_threshold:g} THz at a q-point of its supercell: there is "
            "nothing to follow"
        )
    displaced = StructureTable.from_ase((name, mode.atoms) for name, mode in found.items())
    modes = found.values()
    displaced.set_column("mode_frequency", [mode.frequency for mode in modes], "THz")
    displaced.set_column("mode_q", np.array([mode.q for mode in modes]))
    displaced.set_column("mode_amplitude", np.full(len(found), given.amplitude), "A")
    displaced.set_column("n_cells", [round(np.linalg.det(mode.matrix)) for mode in modes])
    return StructureSetData.from_table(displaced)


@calcfunction
def compare_followed(
    results: StructureSetData, displaced: StructureSetData, relaxed: StructureSetData
) -> TableData:
    """Return what following the softest mode led to, a row for each crystal that was displaced.

    :param results: the phonons, hence the crystals before.
    :param displaced: result of :func:`displace_along_modes`.
    :param relaxed: these, relaxed freely.
    :return: columns of ``displaced``; ``status`` and ``message`` of the relaxation; ``energy_gained``, eV/atom, before
        minus after, in enthalpy under pressure; ``volume_change``, A^3/atom, after minus before;
        ``initial_spacegroup_*`` before and ``spacegroup_*`` after, at each tolerance; ``symmetry_warning``;
        ``heads``. NaN for a row without result.
    """
    after = relaxed.to_table().select(displaced.ids)
    before = results.to_table().select(displaced.ids)
    moved = displaced.to_table()
    columns: dict[str, Array] = {name: after.columns[name] for name in ("status", "message")}
    columns |= {name: moved.columns[name] for name in _CARRIED}
    told = ("the crystals with imaginary modes", "the crystals relaxed from them")
    columns["energy_gained"] = np.full(len(after), np.nan)
    if all("energy" in table.columns for table in (before, after)):
        try:
            columns["energy_gained"] = gains(before, after, told, pressure_behind(relaxed))
        except PressureError as error:  # no energies that compare: the rest of the table stands
            silent = columns["message"] == ""
            columns["message"] = np.where(silent, f"no energy_gained: {error}", columns["message"])
    columns["volume_change"] = after.volumes() / after.n_atoms - before.volumes() / before.n_atoms
    columns["volume_change"][columns["status"] == RowStatus.LEFT.value] = np.nan
    begun, ended = _groups(before), _groups(after)
    both = [label for label in ended if label in begun]
    columns |= {f"initial_{_AFTER}{label}": begun[label] for label in both}
    columns |= {f"{_AFTER}{label}": ended[label] for label in both}
    if both:
        columns["symmetry_warning"] = symmetry_warnings(
            {label: ended[label] for label in both}, {label: begun[label] for label in both}
        )
    if "heads" in after.columns:
        columns["heads"] = after.columns["heads"]
    units = {name: moved.units[name] for name in _CARRIED if name in moved.units}
    units |= {"energy_gained": "eV/atom", "volume_change": "A^3/atom"}
    return TableData.from_table(Table(displaced.ids, columns, units))


def _groups(table: StructureTable) -> dict[str, Array]:
    """Return label of a tolerance -> (N,) space groups."""
    return {
        name.removeprefix(_AFTER): values for name, values in table.columns.items() if name.startswith(_AFTER)
    }

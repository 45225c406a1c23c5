"""A crystal relaxed twice: held to its symmetry, then free from a rattle, and what that changed.

Held to its symmetry, a crystal cannot leave a symmetric saddle; a free relaxation leaves it, but also strays from a
true minimum by the noise of an unconstrained model. The energy tells the two apart, under pressure the enthalpy.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from aiida_pet.analysis.hull.competing import gains
from aiida_pet.job.input_columns import only_carried
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.fixed_atoms import dual_vectors, is_fixed, projectors
from aiida_pet.tables.table import Array

CONVERGED = "converged"


def rattle(table: StructureTable, stdev: float, seed: int, *, strained: bool = True) -> StructureTable:
    """Return the crystals with atoms moved and cells strained at random, each by a stream of its own.

    The displacement of a row depends on its id and ``seed`` alone, not on the rows around it. What holds an atom in
    place holds it here too, and columns that travel with a row stay with it.

    :param stdev: standard deviation of each coordinate, A; the strain has the same displacement at the mean distance of
        atoms, that is a standard deviation of ``stdev`` over the cube root of the volume per atom.
    :param strained: false leaves the cells as they are.
    """
    positions, cells = table.positions.copy(), table.cells.copy()
    volumes, held = table.volumes(), is_fixed(table)
    for row, name in enumerate(table.ids.tolist()):
        random = np.random.default_rng([seed, *name.encode()])
        atoms = table.atoms_of(row)
        strain = random.normal(scale=stdev / np.cbrt(volumes[row] / table.n_atoms[row]), size=(3, 3))
        deformation = np.eye(3) + (strain + strain.T) / 2 * strained
        cells[row] = cells[row] @ deformation
        positions[atoms] = positions[atoms] @ deformation
        moves = random.normal(scale=stdev, size=positions[atoms].shape)
        if held[atoms].any():
            directions = np.concatenate([np.eye(3), dual_vectors(cells[row], table.pbc[row])])
            moves = np.einsum("aij,aj->ai", projectors(held[atoms], directions), moves)
        positions[atoms] += moves
    return replace(only_carried(table), positions=positions, cells=cells)


def combine(
    constrained: StructureTable, free: StructureTable, *, min_gain: float, pressure: float | None = None
) -> StructureTable:
    """Return the rows of ``constrained``, those that left a saddle with what the free relaxation made of them.

    Columns: those of the relaxation that stands; ``relaxation`` says which (constrained, free), ``energy_gained`` how
    far the free relaxation lowered the energy (eV/atom; in enthalpy where both were relaxed under pressure),
    ``free_status`` how it ended, ``free_spacegroup_*`` where it landed and ``constrained_spacegroup_*`` where it came
    from.

    :param constrained: held to their symmetry.
    :param free: of the same crystals from a rattle; rows may be missing.
    :param min_gain: eV/atom; below this, what the free relaxation changed is noise of the model.
    :param pressure: GPa, at which they were relaxed, where something else than the tables says so.
    :raises PressureError: if they were relaxed at different pressures, or enthalpies are missing.
    """
    places = constrained.positions_of(free.ids)
    gained = np.full(len(constrained), np.nan)
    both = ("the constrained relaxations", "the free relaxations")
    if len(free):  # where nothing was freed, there may be no energies at all
        gained[places] = gains(constrained.take(places), free, both, pressure)
    status = np.full(len(constrained), "", dtype=object)
    status[places] = free.columns["status"]
    leaves = (gained > min_gain) & (status == CONVERGED)
    kept = constrained.take(np.flatnonzero(~leaves))
    parts = [part for part in (kept, free.select(constrained.ids[leaves])) if len(part)]
    table = StructureTable.concatenate(parts).select(constrained.ids)
    table.set_column("relaxation", np.where(leaves, "free", "constrained"))
    table.set_column("energy_gained", gained, "eV/atom")
    table.set_column("free_status", status.astype(str))
    for name in [name for name in constrained.columns if name.startswith("spacegroup_")]:
        table.set_column(f"constrained_{name}", constrained.columns[name])
        table.set_column(f"free_{name}", _spread(free.columns.get(name), places, len(constrained)))
    return table


def _spread(values: Array | None, places: Array, size: int) -> Array:
    """Return (size,) with ``values`` at ``places``, and NaN where there are none."""
    spread = np.full(size, np.nan)
    if values is None:
        return spread
    if len(values) == size:
        spread = np.empty_like(values)
    spread[places] = values
    return spread

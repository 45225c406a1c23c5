"""Molecular dynamics: each row on its own path, with its own temperature, length, time step and random numbers.

A row is judged, sampled and written down once its step is complete, then moved to the next point that is to be
evaluated. Its random numbers follow from its id, its seed and its step
(:mod:`aiida_pet.engine.dynamics.random_numbers`), and its neighbours are listed where they were listed before: so a row
has the same path alone, in any batch, and after a restart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import ase.data
import numpy as np
import torch

from aiida_pet.crystals.symmetry.rotation_sets import random_rotations
from aiida_pet.crystals.symmetry.spacegroup import Groups
from aiida_pet.engine.batch.batch import Batch, Tensor
from aiida_pet.engine.batch.evaluation import Evaluation
from aiida_pet.engine.dynamics.making import integrator_of
from aiida_pet.engine.dynamics.motion import Conditions, Motion, Scene, degrees_of_freedom
from aiida_pet.engine.dynamics.plan import Plan
from aiida_pet.engine.dynamics.random_numbers import key_of
from aiida_pet.engine.dynamics.results import QUANTITIES, columns_of_samples, frame_of, quantities_of
from aiida_pet.engine.dynamics.sampling import Blocks, Slope
from aiida_pet.engine.dynamics.velocities import maxwell_velocities, scaled_to, without_rotation
from aiida_pet.engine.model.base import BatchModel
from aiida_pet.engine.symmetry.averaging import Rotations, RowRotations
from aiida_pet.engine.tasks import row_state
from aiida_pet.engine.tasks.driver import Driver
from aiida_pet.engine.tasks.guards import faults_of_move
from aiida_pet.engine.tasks.row_state import PER_ATOM
from aiida_pet.job.dynamics_columns import VELOCITIES, given_velocities
from aiida_pet.job.dynamics_parameters import DynamicsParameters, Ensemble, Rotation
from aiida_pet.job.folder import RowStatus
from aiida_pet.job.parameters import Derivation
from aiida_pet.job.suitability import why_not_moved
from aiida_pet.job.trajectory_files import Frames, TrajectoryWriter
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.fixed_atoms import COLUMNS, allowed_directions
from aiida_pet.tables.table import Array
from aiida_pet.units import BOLTZMANN, FEMTOSECOND, GPA

NOT_STATE = (*COLUMNS, VELOCITIES)  # columns per atom of the input that go to files with the state


@dataclass
class _Rows:
    """What is kept of the rows in flight, in the order of the batch; see :mod:`aiida_pet.engine.tasks.row_state`.

    :ivar bath: what the integrator remembers.
    :ivar moving: (N,) bool, false of rows that were never evaluated.
    :ivar volume0: (N,) A^3, at the start.
    :ivar n_frames: (N,) int64, of the trajectory.
    :ivar blocks: samples of :data:`aiida_pet.engine.dynamics.results.QUANTITIES`.
    :ivar drift: the conserved energy, eV/atom, over time, ps.
    :ivar listed: (A, 3) positions at which neighbours were listed; filled in for files.
    :ivar listed_cells: (N, 3, 3) cells there.
    """

    motion: Motion
    conditions: Conditions
    bath: Any
    moving: Tensor
    volume0: Tensor
    n_frames: Tensor
    blocks: Blocks
    drift: Slope
    listed: Tensor = field(metadata=PER_ATOM)
    listed_cells: Tensor


class Dynamics(Driver[DynamicsParameters]):
    """Moves each row for its steps."""

    def __init__(
        self, table: StructureTable, model: BatchModel, parameters: DynamicsParameters, **options: Any
    ) -> None:
        super().__init__(table, model, parameters, **options)
        self._plan = Plan.of(table, parameters)
        self._inner = None if parameters.respa is None else _inner_model(model)
        self._integrator = integrator_of(parameters, self._inner_forces)
        self._turns: Rotations | None = None  # of the outer step that is being taken
        self._writer: TrajectoryWriter | None = None
        self._keys = [
            key_of(str(name), int(seed)) for name, seed in zip(table.ids, self._plan.seed, strict=True)
        ]
        self._state = self._fresh([], self.batch)
        self._resumed = table.take([])

    # -- rows come and go ----------------------------------------------------------------------------------------

    def attach(self, folder: Path) -> None:
        """Let the trajectories grow in ``folder``."""
        if self.parameters.frames_every:
            self._writer = TrajectoryWriter(folder)

    def refusals(self) -> dict[int, str]:
        """Return row -> why it is not moved."""
        return super().refusals() | why_not_moved(self.table, self.parameters)

    def codes_of(self, rows: Array) -> list[set[str]]:
        """Return the codes of ``rows``, including the code for a long time step."""
        found = zip(super().codes_of(rows), rows.tolist(), strict=True)
        return [codes | self._plan.codes(self.table, row) for codes, row in found]

    def enter(self, rows: list[int], batch: Batch) -> Batch:
        """Return the geometry with which ``rows`` enter: as given, or where they were left."""
        state = self._going_on(rows, batch, self._fresh(rows, batch))
        self._state = row_state.cat([self._state, state])
        return batch.moved(state.motion.positions, state.motion.cells)

    def listed(self, batch: Batch) -> Batch:
        """Return ``batch``, rows that just entered, where their neighbours were listed before."""
        n_rows, n_atoms = len(batch), len(batch.numbers)
        state = self._state
        return batch.moved(
            state.listed[len(state.listed) - n_atoms :], state.listed_cells[len(state.moving) - n_rows :]
        )

    def keep(self, kept: Tensor) -> None:
        """Forget what is kept of all rows but those at ``kept`` of the batch."""
        self._state = row_state.take(self._state, self.batch, kept)

    def snapshot(self) -> StructureTable:
        """Return the rows that have begun with their state, after their frames are on disk."""
        if self._writer is not None:
            self._writer.flush()
        anchor = self._neighbors.anchor(self.batch)
        self._state.listed, self._state.listed_cells = anchor.positions, anchor.cells
        columns, atom_columns = row_state.to_columns(self._state)
        given = self.table.take(self.rows.numpy())
        further = {name: given.atom_columns[name] for name in NOT_STATE if name in given.atom_columns}
        here = replace(given, columns=columns, atom_columns=atom_columns | further, units={})
        return StructureTable.concatenate([here, self._resumed]) if len(self._resumed) else here

    def restore(self, rows: StructureTable) -> None:
        """Let ``rows`` of a :meth:`snapshot` go on from there when they enter.

        :raises ValueError: if it is none of dynamics like these.
        """
        state = {name: values for name, values in rows.atom_columns.items() if name not in NOT_STATE}
        row_state.from_columns(self._state, rows.columns, state)
        self._resumed = rows

    def _going_on(self, rows: list[int], batch: Batch, fresh: _Rows) -> _Rows:
        """Return ``fresh``, the state of ``rows`` that are about to begin, with those replaced that go on."""
        waiting = {name: place for place, name in enumerate(self._resumed.ids.tolist())}
        ids = self.table.ids[rows].tolist()
        places = [place for place, name in enumerate(ids) if name in waiting]
        if not places:
            return fresh
        found = self._resumed.take([waiting[ids[place]] for place in places])
        atoms = {name: values for name, values in found.atom_columns.items() if name not in NOT_STATE}
        resumed = row_state.from_columns(fresh, found.columns, atoms)
        taken = {ids[place] for place in places}
        self._resumed = self._resumed.take([place for name, place in waiting.items() if name not in taken])
        which = torch.tensor(places, device=batch.device)
        order = torch.arange(len(batch), device=batch.device)
        order[which] = torch.arange(len(batch), len(batch) + len(places), device=batch.device)
        return row_state.take(row_state.cat([fresh, resumed]), Batch.cat([batch, batch.take(which)]), order)

    def _fresh(self, rows: list[int], batch: Batch) -> _Rows:
        """Return the state of ``rows`` that are about to begin."""
        device, p = batch.device, self.parameters
        nothing = torch.zeros(len(rows), dtype=torch.long, device=device)
        allowed = self._allowed_of(rows, batch)
        fixed = torch.tensor(self._has_fixed_atoms[rows], dtype=torch.bool, device=device)
        centred = ~fixed & p.remove_drift
        is_molecule = ~batch.pbc.any(dim=1) & ~fixed & p.remove_rotation & p.remove_drift
        keeps_rotation = is_molecule & (p.thermostat_used != "langevin") & (p.rotation is Rotation.NONE)
        kt = self._kt(rows, np.zeros(len(rows)), device)
        conditions = Conditions(
            masses=torch.as_tensor(ase.data.atomic_masses, device=device)[batch.numbers],
            keys=torch.tensor([self._keys[row] for row in rows], dtype=torch.long, device=device).reshape(
                -1, 2
            ),
            dof=degrees_of_freedom(batch, allowed, centred, keeps_rotation),
            centred=centred,
            timestep=torch.as_tensor(self._plan.timestep[rows] * FEMTOSECOND, device=device),
            kt=kt,
            pressure=torch.as_tensor(self._plan.pressure[rows] / GPA, device=device),
        )
        scene = Scene(batch, conditions, allowed, nothing.bool())
        velocities = self._velocities(rows, batch, scene, is_molecule)
        motion = Motion(batch.positions, velocities, batch.cells, nothing, torch.zeros_like(kt))
        return _Rows(
            motion,
            conditions,
            self._integrator.start(batch, scene),
            nothing.bool(),
            batch.volumes(),
            nothing,
            Blocks.start(len(rows), len(QUANTITIES), device),
            Slope.start(len(rows), device),
            batch.positions,
            batch.cells,
        )

    def _velocities(self, rows: list[int], batch: Batch, scene: Scene, is_molecule: Tensor) -> Tensor:
        start = self.parameters.initial_temperature
        kt = scene.conditions.kt if start is None else torch.full_like(scene.conditions.kt, start * BOLTZMANN)
        found = maxwell_velocities(scene, kt)
        is_drawn = torch.ones_like(kt, dtype=torch.bool)
        ends = torch.cumsum(batch.n_atoms, 0).tolist()
        for place, (row, end) in enumerate(zip(rows, ends, strict=True)):
            given = given_velocities(self.table, row)
            if given is not None:
                found[end - len(given) : end] = torch.as_tensor(given / FEMTOSECOND)
                is_drawn[place] = False
        # those of the input too: what is held or at rest has no part in the degrees of freedom that are counted
        found = without_rotation(scene.held(found), batch.positions, scene, is_molecule)
        if not self.parameters.exact_temperature:
            return found
        return torch.where(scene.of_atoms(is_drawn), scaled_to(found, scene, kt), found)

    def _allowed_of(self, rows: list[int], batch: Batch) -> Tensor | None:
        if self._allowed is None:
            return None
        eye = np.eye(3)
        parts = [batch.positions.new_zeros(0, 3, 3)]
        for place, row in enumerate(rows):
            found = allowed_directions(self.table, row, batch.cells[place].cpu().numpy())
            size = int(self.table.n_atoms[row])
            parts.append(torch.as_tensor(np.tile(eye, (size, 1, 1)) if found is None else found).to(parts[0]))
        return torch.cat(parts)

    def _kt(self, rows: Any, steps: Array, device: torch.device) -> Tensor:
        kelvin = self._plan.kt_shares(self.parameters, np.asarray(rows, dtype=np.int64), steps)
        return torch.as_tensor(kelvin * BOLTZMANN, device=device)

    # -- one step ------------------------------------------------------------------------------------------------

    def _rotations_now(self) -> Rotations | None:
        """Return a rotation of each row by its key and its step, where they are random."""
        if self.parameters.rotation is Rotation.NONE:
            self._turns = super()._rotations_now()
            return self._turns
        high, low = self._state.conditions.keys.cpu().numpy().astype(np.uint64).T
        steps = self._state.motion.steps.cpu().numpy()
        matrices = random_rotations(high << np.uint64(32) | low, 0, steps)
        self._turns = Rotations([RowRotations(matrix[None], np.ones(1)) for matrix in matrices])
        return self._turns

    def _inner_forces(self, positions: Tensor, cells: Tensor) -> Tensor:
        assert self._inner is not None
        batch = self.batch.moved(positions, cells)
        pairs = self._neighbors.update(batch)
        self.counters.evaluations += len(self.rows)
        return self._inner.evaluate(batch, pairs, self._turns).forces

    def _scene(self) -> Scene:
        return Scene(self.batch, self._state.conditions, self._allowed, self._state.moving)

    def advance(self, evaluation: Evaluation) -> None:
        """Complete the step of each row, judge it, sample it, write it down, and move those that have steps left."""
        state = self._state
        state.bath = self._integrator.end(state.motion, state.bath, evaluation, self._scene())
        conserved = self._integrator.conserved(state.motion, state.bath, evaluation, self._scene())
        values = quantities_of(state.motion, evaluation, self._scene(), conserved)
        ends = self._judged(evaluation, values)
        exploded = torch.zeros_like(state.moving)
        exploded[list(ends)] = True
        self._take_samples(values, ~exploded)
        self._take_frames(values, ~exploded)
        done = state.motion.steps >= self._last_steps()
        for place in (done & ~exploded).nonzero().flatten().tolist():
            ends[place] = (RowStatus.CONVERGED, "")
        if ends:
            before = self.batch
            kept = self.retire(ends, evaluation)
            if not len(kept):
                return
            evaluation = evaluation.take(before, kept)
        self._move(evaluation)

    def evaluations_left(self) -> Tensor:
        """Return how often each row of the batch is still to be evaluated, (N,)."""
        return 1.0 + self._last_steps() - self._state.motion.steps

    def usual_evaluations(self) -> float:
        """Return how often a row is evaluated."""
        return 1.0 + self.parameters.steps_before + float(self._plan.steps.mean())

    def _last_steps(self) -> Tensor:
        last = self.parameters.steps_before + self._plan.steps[self.rows.numpy()]
        return torch.as_tensor(last, device=self.batch.device)

    def _move(self, evaluation: Evaluation) -> None:
        state = self._state
        state.conditions.kt = self._kt(self.rows.numpy(), state.motion.steps.cpu().numpy(), self.batch.device)
        state.bath = self._integrator.begin(state.motion, state.bath, evaluation, self._scene())
        state.moving = torch.ones_like(state.moving)
        moved = self.batch.moved(state.motion.positions, state.motion.cells)
        faults = faults_of_move(
            moved,
            self._neighbors,
            state.volume0,
            volume_ratio_max=self.parameters.volume_ratio_max,
            min_distance=self.parameters.min_distance,
        )
        if faults:
            steps = state.motion.steps.tolist()
            ends = {
                place: (RowStatus.EXPLODED, f"at step {steps[place]} {why}") for place, why in faults.items()
            }
            moved = moved.take(self.retire(ends, None))
        self.batch = moved

    def _judged(self, evaluation: Evaluation, values: Tensor) -> dict[int, tuple[RowStatus, str]]:
        """Return place -> how rows end that must not go on."""
        energy, temperature = evaluation.energy, values[:, 1]
        largest = self.batch.row_max(torch.linalg.vector_norm(evaluation.forces, dim=1))
        stress = evaluation.stress.sum(dim=(1, 2)) if self.parameters.ensemble is Ensemble.NPT else energy
        finite = torch.isfinite(energy) & torch.isfinite(largest) & torch.isfinite(stress)
        bad = ~(finite & (temperature <= self.parameters.temperature_max))
        ends = {}
        for place in bad.nonzero().flatten().tolist():
            step = int(self._state.motion.steps[place])
            why = (
                f"temperature {temperature[place]:.4g} K exceeds temperature_max = "
                f"{self.parameters.temperature_max:g} K"
                if bool(finite[place])
                else f"the model gives no finite number: energy {energy[place]:g} eV, force {largest[place]:g} eV/A"
            )
            ends[place] = (RowStatus.EXPLODED, f"at step {step} {why}")
        return ends

    # -- samples and frames --------------------------------------------------------------------------------------

    def _take_samples(self, values: Tensor, fine: Tensor) -> None:
        state, before = self._state, self.parameters.steps_before
        step = state.motion.steps - before
        now = (step >= 0) & (step % self.parameters.sample_every == 0) & fine
        if not bool(now.any()):
            return
        state.blocks = state.blocks.added(values, now)
        time = step * self.parameters.inner_steps * state.conditions.timestep / FEMTOSECOND / 1000.0
        state.drift = state.drift.added(time, values[:, 4] / self.batch.n_atoms, now)

    def _take_frames(self, values: Tensor, fine: Tensor) -> None:
        if self._writer is None:
            return
        state = self._state
        now = (state.motion.steps % self.parameters.frames_every == 0) & fine
        ends = torch.cumsum(self.batch.n_atoms, 0)
        for place in now.nonzero().flatten().tolist():
            atoms = slice(int(ends[place] - self.batch.n_atoms[place]), int(ends[place]))
            row = int(self.rows[place])
            time = int(state.motion.steps[place]) * self.parameters.inner_steps * self._plan.timestep[row]
            frame = frame_of(
                state.motion, values, place, atoms, time=time, velocities=self.parameters.velocities
            )
            numbers = self.table.numbers[self.table.atoms_of(row)]
            self._writer.append(
                str(self.table.ids[row]),
                int(state.n_frames[place]),
                Frames(numbers, self.table.pbc[row], frame),
            )
        state.n_frames = state.n_frames + now

    # -- results -------------------------------------------------------------------------------------------------

    def columns_of(
        self, places: Tensor, rows: Array, columns: dict[str, Array], groups: Mapping[str, Groups]
    ) -> dict[str, Array]:
        """Return what was sampled of each row."""
        which = row_state.take(self._state, self.batch, places)
        steps = which.motion.steps.cpu().numpy()
        time = steps * self.parameters.inner_steps * self._plan.timestep[rows] / 1000.0
        return {
            "n_md_steps": steps,
            "md_time": time,
            "n_frames": which.n_frames.cpu().numpy(),
            **columns_of_samples(which.blocks, which.drift, columns["n_atoms"]),
        }

    def columns_of_refused(self, columns: dict[str, Array]) -> dict[str, Array]:
        """Return the same of rows that never moved."""
        size = len(columns["status"])
        blocks, drift = Blocks.start(size, len(QUANTITIES)), Slope.start(size)
        none = np.zeros(size, dtype=np.int64)
        return {
            "n_md_steps": none,
            "md_time": np.zeros(size),
            "n_frames": none,
            **columns_of_samples(blocks, drift, columns["n_atoms"]),
        }


def _inner_model(model: BatchModel) -> BatchModel:
    """Return the model with direct forces, the stress direct too if it has such a head: none is wanted.

    :raises aiida_pet.engine.model.heads.UnsupportedModelError: if the model has no direct forces.
    """
    from aiida_pet.engine.model.heads import UnsupportedModelError  # noqa: PLC0415

    if model.sibling is None:
        raise UnsupportedModelError(
            "respa needs direct forces too, and models of other engines do not have them: leave respa out, or use a "
            "PET model with direct heads"
        )
    try:
        return model.sibling(forces=Derivation.DIRECT, stress=Derivation.DIRECT, outputs=())
    except UnsupportedModelError:
        return model.sibling(forces=Derivation.DIRECT, outputs=())

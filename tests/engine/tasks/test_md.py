"""Molecular dynamics as a task: rows alone, together and restarted; ends, samples, frames and columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import ase
import ase.build
import ase.units
import numpy as np
import pytest
from ase.calculators.lj import LennardJones as AseLennardJones
from ase.md.verlet import VelocityVerlet

from aiida_pet.engine.model.base import BatchModel
from aiida_pet.engine.tasks.md import Dynamics
from aiida_pet.job.parameters import parse_parameters
from aiida_pet.job.tasks import Task
from aiida_pet.job.trajectory_files import Trajectories, segments_of
from aiida_pet.tables.columns import columns_of
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.units import FEMTOSECOND
from support.classical import LennardJones

SHORT: dict[str, Any] = {
    "temperature": 40.0,
    "timestep": 4.0,
    "equilibration_steps": 0,
    "steps": 30,
    "sample_every": 2,
    "frames_every": 5,
    "symprecs": (),
}


def argon(**further: Any) -> LennardJones:
    model = LennardJones(cutoff=8.7, direct_error=0.02, **further)
    model.sibling = lambda **_: model.with_direct_forces()
    return model


def crystals() -> StructureTable:
    big = ase.build.bulk("Ar", a=5.3, cubic=True)
    big.rattle(0.1, seed=1)
    return StructureTable.from_ase(
        {
            "one": ase.build.bulk("Ar", a=5.3) * (1, 1, 2),
            "four": big,
            "eight": big * (1, 1, 2),
            "mixed": ase.Atoms("ArKr", [(0, 0, 0), (2.7, 2.7, 2.7)], cell=[5.4] * 3, pbc=True),
        }.items()
    )


def run(
    table: StructureTable,
    given: dict[str, Any],
    model: BatchModel | None = None,
    *,
    folder: Path | None = None,
    state: StructureTable | None = None,
    proceed: Callable[[], bool] = lambda: True,
) -> tuple[StructureTable | None, Dynamics]:
    finished: list[StructureTable] = []
    driver = Dynamics(
        table,
        model or argon(),
        parse_parameters(Task.MD, SHORT | given),
        finished=finished.append,
        proceed=proceed,
    )
    if folder is not None:
        driver.attach(folder)
    if state is not None:
        driver.restore(state)
    driver.run()
    if not finished:
        return None, driver
    found = StructureTable.concatenate(finished)
    return found.select([name for name in table.ids.tolist() if name in set(found.ids.tolist())]), driver


def stop_after(steps: int) -> Callable[[], bool]:
    left = iter(range(steps))
    return lambda: next(left, None) is not None


ENSEMBLES: list[dict[str, Any]] = [
    {"ensemble": "nve"},
    {"ensemble": "nvt", "thermostat": "langevin"},
    {"ensemble": "nvt", "thermostat": "bussi"},
    {"ensemble": "nvt", "thermostat": "nose_hoover"},
    {"ensemble": "npt", "barostat": "cell_rescaling"},
    {"ensemble": "npt", "barostat": "nose_hoover"},
    {"ensemble": "nve", "respa": {"every": 4}},
    {"ensemble": "nvt", "thermostat": "langevin", "respa": {"every": 2}},
]


@pytest.mark.parametrize("given", ENSEMBLES, ids=lambda given: "-".join(map(str, given.values())))
def test_rows_are_the_same_alone_together_and_restarted(given, tmp_path):
    table = crystals()
    together, _ = run(table, given)
    assert together.columns["status"].tolist() == ["converged"] * 4
    assert together.columns["n_md_steps"].tolist() == [30] * 4
    alone, _ = run(table.take([2]), given)
    mine = together.atoms_of(2)
    assert np.abs(alone.positions - together.positions[mine]).max() < 1e-9
    assert np.abs(together.positions[mine] - table.positions[table.atoms_of(2)]).max() > 1e-3
    nothing, first = run(table, given, proceed=stop_after(14))
    assert nothing is None
    state = StructureTable.from_arrays(first.snapshot().to_arrays())  # as it goes through a file
    again, _ = run(table, given, state=state)
    np.testing.assert_array_equal(again.positions, together.positions)
    np.testing.assert_array_equal(again.cells, together.cells)
    for name, values in together.columns.items():
        np.testing.assert_array_equal(again.columns[name], values, err_msg=name)


def test_paths_are_those_of_ase():
    table = crystals().select(["four", "eight"])
    rng = np.random.default_rng(0)
    fast = rng.normal(size=(12, 3)) * 2e-3
    fast[:4] -= fast[:4].mean(axis=0)
    fast[4:] -= fast[4:].mean(axis=0)
    given = {"ensemble": "nve", "steps": 100, "sample_every": 1}
    found, _ = run(replace(table, atom_columns={"velocities": fast}), given)
    for row in range(2):
        atoms = table.ase_at(row)
        atoms.calc = AseLennardJones(sigma=3.4, epsilon=0.0104, rc=8.7, smooth=False)
        atoms.set_velocities(fast[table.atoms_of(row)] / FEMTOSECOND)
        total = [atoms.get_total_energy()]
        dynamics = VelocityVerlet(atoms, 4.0 * ase.units.fs)
        total += [atoms.get_total_energy() for _ in dynamics.irun(100)]
        assert np.abs(atoms.positions - found.positions[found.atoms_of(row)]).max() < 1e-8
        energies = np.array(total)[-101:] / len(atoms)
        slope = np.polyfit(np.arange(101) * 4e-3, energies, 1)[0]
        assert found.columns["drift"][row] == pytest.approx(slope, rel=1e-4, abs=1e-9)
        # as LAMBench has it: over times in ASE's unit, times 1000
        theirs = abs(np.polyfit(np.arange(101) * 4.0 * ase.units.fs, energies, 1)[0]) * 1000
        assert found.columns["lambench_drift"][row] == pytest.approx(theirs, rel=1e-4, abs=1e-8)


def test_velocities_of_the_input_have_no_drift_either():
    """The temperature is that of 3 N - 3 degrees of freedom: a centre of mass that moves would be heat."""
    table = crystals().select(["mixed", "four"])
    fast = np.random.default_rng(0).normal(size=(6, 3)) * 2e-3
    masses = ase.data.atomic_masses[table.numbers]
    given = {"ensemble": "nve", "steps": 20, "sample_every": 1}
    calm = fast.copy()
    for row in range(2):
        mine = table.atoms_of(row)
        calm[mine] -= np.average(fast[mine], axis=0, weights=masses[mine])
    results = [run(replace(table, atom_columns={"velocities": one}), given)[0] for one in (fast, calm)]
    assert np.abs(results[0].positions - results[1].positions).max() < 1e-10
    kept, _ = run(replace(table, atom_columns={"velocities": fast}), given | {"remove_drift": False})
    assert np.abs(kept.positions - results[0].positions).max() > 1e-3


def test_rows_leave_and_enter(monkeypatch):
    table = crystals()
    table = replace(table, columns={"md_steps": np.array([5.0, np.nan, 12.0, 8.0])})
    monkeypatch.setattr(LennardJones, "tokens_in_flight", 400.0)
    batches = []
    model = argon()
    evaluate = model.evaluate
    model.evaluate = lambda batch, *rest: batches.append(len(batch)) or evaluate(batch, *rest)
    few, _ = run(table, {"ensemble": "nvt"}, model)
    assert max(batches) < 4
    monkeypatch.undo()
    all_at_once, _ = run(table, {"ensemble": "nvt"})
    assert few.columns["n_md_steps"].tolist() == [5, 30, 12, 8]
    assert np.abs(few.positions - all_at_once.positions).max() < 1e-9


def test_a_row_that_explodes_takes_no_other_along():
    table = crystals()
    # so hot that atoms are thrown upon each other at once
    hot = replace(table, columns={"md_temperature": np.array([40.0, 4e7, 40.0, 40.0])})
    given = {"ensemble": "nvt", "thermostat": "langevin", "steps": 20}
    found, _ = run(hot, given | {"temperature_max": 1e5})
    assert found.columns["status"].tolist() == ["converged", "exploded", "converged", "converged"]
    assert "at step 0 temperature" in found.columns["message"][1]
    assert "temperature_max = 100000 K" in found.columns["message"][1]
    alone, _ = run(table.take([2]), given)
    assert np.abs(found.positions[found.atoms_of(2)] - alone.positions).max() < 1e-9
    late, _ = run(hot, given | {"temperature_max": 1e12})
    assert late.columns["status"].tolist() == ["converged", "exploded", "converged", "converged"]
    assert late.columns["message"][1].startswith("at step 1 ")


def test_what_cannot_be_moved_is_refused_with_its_reason():
    table = crystals()
    slab = replace(
        table,
        pbc=np.array([[True, True, False]] + [[True] * 3] * 3),
        columns={"md_timestep": np.array([1.0, -1.0, 1.0, 1.0])},
    )
    found, _ = run(slab, {"ensemble": "npt"})
    assert found.columns["status"].tolist() == ["failed", "failed", "converged", "converged"]
    assert "periodic in three directions" in found.columns["message"][0]
    assert "md_timestep = -1" in found.columns["message"][1]


def test_bad_columns_fail_their_rows_alone():
    table = crystals()
    fast = np.full((len(table.numbers), 3), np.nan)
    fast[table.atoms_of(0)] = 1e-3
    fast[table.atoms_of(3)][:1] = 1e-3  # the other atom has none
    bad = replace(
        table,
        columns={
            "md_steps": np.array([5.0, 10.5, np.nan, 5.0]),
            "md_seed": np.array([1.0, -1.0, np.nan, 1.0]),
        },
        atom_columns={"velocities": fast},
    )
    found, _ = run(bad, {"ensemble": "nvt"})
    assert found.columns["status"].tolist() == ["converged", "failed", "converged", "failed"]
    assert "md_steps = 10.5: expected a whole number" in found.columns["message"][1]
    assert "velocities = nan nan nan of atom 1 " in found.columns["message"][3]
    assert found.columns["n_md_steps"].tolist() == [5, 0, 30, 0]


def test_long_time_steps_are_warned_of():
    heavy = ase.build.bulk("Ar", a=5.3, cubic=True)
    light = heavy.copy()
    light.numbers[3] = 1
    table = StructureTable.from_ase({"heavy": heavy, "light": light}.items())
    found, _ = run(table, {"ensemble": "nvt", "timestep": 3.0, "steps": 2})
    assert found.columns["warnings"].tolist() == ["", "long_timestep"]
    slower = replace(table, columns={"md_timestep": np.array([6.0, 0.5])})
    found, _ = run(slower, {"ensemble": "nvt", "steps": 2})
    assert found.columns["warnings"].tolist() == ["long_timestep", ""]


def test_frames_are_at_their_strides_and_survive_a_kill(tmp_path):
    table = crystals()
    given = {"ensemble": "nvt", "velocities": True, "thermostat": "langevin"}
    whole = tmp_path / "whole"
    whole.mkdir()
    found, driver = run(table, given, folder=whole)
    driver.snapshot()
    expected = Trajectories(segments_of(whole))
    assert found.columns["n_frames"].tolist() == [7] * 4
    for row, name in enumerate(table.ids.tolist()):
        frames = expected.read(name)
        assert frames.series["steps"].tolist() == [0, 5, 10, 15, 20, 25, 30]
        assert frames.series["times"].tolist() == [4.0 * step for step in frames.series["steps"]]
        np.testing.assert_allclose(
            frames.series["positions"][-1], found.positions[found.atoms_of(row)], atol=1e-5
        )
        masses = ase.data.atomic_masses[frames.numbers]
        fast = frames.series["velocities"].astype(float) / FEMTOSECOND
        kinetic = 0.5 * (masses[None, :, None] * fast**2).sum(axis=(1, 2))
        dof = 3 * len(frames.numbers) - 3
        np.testing.assert_allclose(
            2 * kinetic / (dof * ase.units.kB), frames.series["temperatures"], rtol=1e-5
        )
    broken = tmp_path / "broken"
    broken.mkdir()
    _, first = run(table, given, folder=broken, proceed=stop_after(14))
    state = first.snapshot()  # flushed here; killed some steps later, whose frames may have been flushed too
    run(table, given, folder=broken, state=state, proceed=stop_after(9))[1].snapshot()
    run(table, given, folder=broken, state=state)[1].snapshot()
    again = Trajectories(segments_of(broken))
    for name in table.ids.tolist():
        for series, values in expected.read(name).series.items():
            np.testing.assert_array_equal(again.read(name).series[series], values, err_msg=f"{name} {series}")


def test_inner_steps_count_as_time():
    found, _ = run(crystals().take([1]), {"ensemble": "nve", "respa": {"every": 8}, "timestep": 0.5})
    assert found.columns["md_time"].tolist() == [pytest.approx(30 * 8 * 0.5 / 1000)]
    plain, _ = run(crystals().take([1]), {"ensemble": "nve", "timestep": 4.0})
    assert np.abs(found.positions - plain.positions).max() < 2e-2


def test_atoms_that_are_held_stay():
    table = crystals().select(["four"])
    held = np.zeros((4, 3), dtype=bool)
    held[0] = True
    held[1, 2] = True
    fixed = replace(table, atom_columns={"fixed_cartesian": held})
    found, _ = run(fixed, {"ensemble": "nvt", "thermostat": "langevin", "temperature": 60.0})
    moved = np.abs(found.positions - table.positions)
    assert moved[held].max() == 0.0
    assert moved[~held].min() > 1e-3


def test_heating_begins_cold_and_production_may_end_hot():
    given = {
        "ensemble": "nvt",
        "thermostat": "langevin",
        "thermostat_time": 8.0,
        "initial_temperature": 0.0,
        "heating_steps": 100,
        "equilibration_steps": 50,
        "steps": 200,
        "temperature_end": 80.0,
    }
    table = crystals().select(["eight"])
    _, driver = run(table, given, proceed=stop_after(0))
    kelvin = driver._plan.kt_shares(
        driver.parameters, np.zeros(7, dtype=int), np.array([0, 50, 100, 149, 150, 250, 350])
    )
    assert kelvin.tolist() == [0.0, 20.0, 40.0, 40.0, 40.0, 60.0, 80.0]
    found, _ = run(table, given)
    assert 45.0 < found.columns["mean_temperature"][0] < 75.0


@pytest.mark.parametrize("given", [{}, {"ensemble": "npt"}, {"respa": {"every": 2}, "ensemble": "nve"}])
def test_columns_are_those_of_the_catalogue(given):
    table = StructureTable.concatenate(
        [crystals(), StructureTable.from_ase({"unknown": ase.build.bulk("Cu")}.items())]
    )
    found, driver = run(table, given)
    assert found.columns["status"].tolist() == ["converged"] * 4 + ["unsupported_element"]
    names = {column.name for column in columns_of("md", driver.parameters) if not column.is_family}
    assert {*found.columns, *found.atom_columns} == names
    for column in columns_of("md", driver.parameters):
        if column.name in found.columns:
            assert found.units.get(column.name, "") == column.unit, column.name
    assert np.isnan(found.columns["mean_temperature"][4])
    assert found.columns["n_samples"].tolist() == [16, 16, 16, 16, 0]


def test_random_rotations_are_seeded_by_row_and_step(load_pet, alloys):
    """With the model that ships, which is not exactly invariant."""
    table = alloys(3, seed=5)
    given = {"ensemble": "nve", "rotation": "random", "temperature": 500.0, "timestep": 2.0, "steps": 8}
    together, _ = run(table, given, load_pet())
    alone, _ = run(table.take([1]), given, load_pet())
    mine = together.atoms_of(1)
    assert np.abs(alone.positions - together.positions[mine]).max() < 1e-8
    plain, _ = run(table, given | {"rotation": "none"}, load_pet())
    assert np.abs(plain.positions - together.positions).max() > 1e-7
    state = run(table, given, load_pet(), proceed=stop_after(4))[1].snapshot()
    again, _ = run(table, given, load_pet(), state=state)
    np.testing.assert_array_equal(again.positions, together.positions)


def test_direct_forces_of_the_same_checkpoint_go_inside(model_file):
    from aiida_pet.engine.model.pet import make_model

    model = partial(make_model, *model_file)()
    assert model.sibling is not None
    table = StructureTable.from_ase({"w": ase.build.bulk("W", a=3.2, cubic=True)}.items())
    found, driver = run(table, {"ensemble": "nve", "respa": {"every": 2}, "timestep": 1.0, "steps": 4}, model)
    assert driver._inner is not None
    assert driver._inner.forces == "direct"
    assert found.columns["status"].tolist() == ["converged"]
    assert driver.counters.evaluations == 5 + 1 + 4 * 2

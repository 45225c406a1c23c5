"""Tasks that make other crystals of each row: their relaxation, rows that fail, jobs that are killed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from aiida_pet.engine.model.heads import UnsupportedModelError
from aiida_pet.engine.model.pet import BatchedPet, load_model
from aiida_pet.engine.run import Job, _runner_class
from aiida_pet.engine.tasks.relax import Relax
from aiida_pet.job.folder import STATE_FILE, EngineSettings, ExitStatus, JobFolder, JobSpec, Task
from aiida_pet.job.parameters import ParameterError, TightRelaxParameters, parse_parameters
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.table import encode_strings
from aiida_pet.testing.models import tiny_pet
from support.interrupted import Interrupted

LOOSE = {"fmax": 1e-3, "stress_max": 0.03}
# as few and as small children as there can be
SMALL: dict[Task, dict[str, Any]] = {
    Task.PHONONS: {**LOOSE, "supercell": (2, 2, 2), "mesh": 10.0, "dos_points": 11},
    Task.ELASTIC: {
        **LOOSE,
        "normal_strains": (-0.005, 0.005),
        "shear_strains": (-0.005, 0.005),
        "ions": "clamped",
    },
}
# what of a row says that its children were evaluated
ANSWER = {Task.PHONONS: "max_frequency", Task.ELASTIC: "bulk_modulus"}
TASKS = pytest.mark.parametrize("task", list(SMALL), ids=str)


def off_centre() -> Atoms:
    """B2 with an axis and an atom off it by more than 0.01 A and less than 0.1 A."""
    atoms = bulk("MoTa", "cesiumchloride", a=3.25)
    atoms.set_cell(np.diag([3.25, 3.25, 3.28]), scale_atoms=True)
    atoms.positions[1, 2] += 0.04
    return atoms


@pytest.fixture
def compute(model_file: tuple[Path, str]) -> Callable[..., StructureTable]:
    """Run a task as a job does, but in memory: rows in the order they were given."""

    def run(
        task: Task, crystals: dict[str, Atoms] | StructureTable, *, pet: Any = None, **changes: Any
    ) -> StructureTable:
        table = (
            crystals if isinstance(crystals, StructureTable) else StructureTable.from_ase(crystals.items())
        )
        parameters = parse_parameters(task, SMALL[task] | changes)
        names = ("forces", "stress", "dtype", "variant", "outputs")
        model = BatchedPet(
            pet or load_model(*model_file), **{name: getattr(parameters, name) for name in names}
        )
        finished: list[StructureTable] = []
        assert _runner_class(task)(table, model, parameters, finished=finished.append).run()
        return StructureTable.concatenate(finished).select(table.ids)

    return run


# -- parameters of the relaxation and of what is evaluated ------------------------------------------------------------

# parameter -> another value than the default, column that must change, what else is given both times
CHANGES: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "forces": ("direct", "answer", {"relax_first": False}),
    "stress": ("direct", "volume", {}),
    "dtype": ("float32", "answer", {"relax_first": False}),
    "outputs": (("features",), "features", {}),
    "symprecs": ((0.02,), "spacegroup_0_02", {}),
    "symprec": (0.2, "spacegroup_0_001", {}),
    "averaging": ("spacegroup", "answer", {"relax_first": False, "symprec": 0.2}),
    "min_distance": (3.0, "status", {}),
    "relax_first": (False, "volume", {}),
    "fmax": (0.1, "n_steps", {"stress_max": 1.0}),
    "stress_max": (1.0, "n_steps", {"fmax": 0.1}),
    "max_steps": (3, "status", {}),
    "optimizer": ("lbfgs", "n_steps", {}),
    "cell": ("fixed", "volume", {}),
    "pressure": (10.0, "volume", {}),
    "symmetry": ("none", "answer", {}),
    "average_from_fmax": (
        0.5,
        "initial_energy",
        {"averaging": "lebedev-1", "symprec": 0.2, "fmax": 0.1, "stress_max": 0.5},
    ),
    "max_step": (0.001, "n_steps", {"fmax": 0.1, "stress_max": 1.0}),
    "volume_ratio_max": (1.001, "status", {}),
    "force_cap": (1e-3, "status", {}),
}


def test_every_parameter_has_a_case():
    # `variant` needs a model of its own; `seed` is of averaging = random, which no derivative can follow
    assert {*CHANGES, "variant", "seed"} == set(TightRelaxParameters.model_fields)
    for task in SMALL:
        with pytest.raises(ParameterError, match="averaging=random changes the energy"):
            parse_parameters(task, {"averaging": "random"})


# one task does for what both take from their base class; direct forces say nothing of clamped ions
@pytest.mark.parametrize("name", list(CHANGES))
def test_every_parameter_changes_what_comes_out(compute, name):
    value, column, given = CHANGES[name]
    task = Task.PHONONS if column == "answer" else Task.ELASTIC
    column = ANSWER[task] if column == "answer" else column
    plain, other = (
        compute(task, {"b2": off_centre()}, **given, **change).columns for change in ({}, {name: value})
    )
    assert plain["status"].tolist() == ["converged"]
    if column not in plain:
        assert column in other
    elif plain[column].dtype.kind == "f":
        assert abs(other[column][0] / plain[column][0] - 1) > 1e-7
    else:
        assert other[column].tolist() != plain[column].tolist()


@TASKS
def test_variant_decides_which_outputs_are_taken(compute, task):
    def answer(variant: str) -> float:
        pet = tiny_pet(variants=("pbe", "scan"))
        results = compute(task, {"b2": off_centre()}, pet=pet, variant=variant, relax_first=False)
        return results.columns[ANSWER[task]][0]

    assert abs(answer("pbe") - answer("scan")) > 1e-3
    with pytest.raises(UnsupportedModelError):
        answer("pw91")


@TASKS
def test_relaxed_crystal_is_that_of_the_task_relax(compute, load_pet, task):
    crystals = {"b2": off_centre()}
    result = compute(task, crystals, symmetry="none")
    finished: list[StructureTable] = []
    table = StructureTable.from_ase(crystals.items())
    Relax(table, load_pet(), parse_parameters(Task.RELAX, LOOSE), finished=finished.append).run()
    np.testing.assert_allclose(result.cells, finished[0].cells, atol=1e-9)
    np.testing.assert_allclose(result.positions, finished[0].positions, atol=1e-9)
    for name in ("energy", "n_steps", "spacegroup_0_01"):
        assert result.columns[name][0] == pytest.approx(finished[0].columns[name][0], abs=1e-9)


# -- rows that fail ----------------------------------------------------------------------------------------------


def bad_and_good() -> dict[str, Atoms]:
    slab = bulk("Mo", cubic=True)
    slab.pbc = (True, True, False)
    broken = bulk("W")
    broken.positions[0, 0] = np.nan
    slow = bulk("MoTa", "cesiumchloride", a=3.6)
    return {
        "molecule": Atoms("MoW", [[0, 0, 0], [2.4, 0, 0]]),
        "good": bulk("Mo", a=3.16),
        "nan": broken,
        "slab": slab,
        "iron": bulk("Fe"),
        "empty": Atoms(cell=np.eye(3) * 3, pbc=True),
        "slow": slow,
    }


@TASKS
def test_rows_that_fail_end_with_their_status_and_spoil_no_other(compute, task):
    crystals = bad_and_good()
    results = compute(task, crystals, max_steps=15)
    statuses = dict(zip(crystals, results.columns["status"].tolist(), strict=True))
    assert statuses == {
        "molecule": "invalid_geometry",
        "good": "converged",
        "nan": "invalid_geometry",
        "slab": "invalid_geometry",
        "iron": "unsupported_element",
        "empty": "invalid_geometry",
        "slow": "max_steps",
    }
    alone = compute(task, {"good": crystals["good"]}, max_steps=15)
    answers = results.columns[ANSWER[task]]
    assert answers[1] == pytest.approx(alone.columns[ANSWER[task]][0], rel=1e-9)
    assert np.isnan(np.delete(answers, 1)).all()
    assert all(results.columns["message"][np.array(list(crystals)) != "good"])
    for column in results.ragged.values():
        assert [len(values) > 0 for values in (column[row] for row in range(7))] == [
            name == "good" for name in crystals
        ]


@TASKS
def test_crystals_taken_as_they_are_must_be_periodic(compute, task):
    crystals = {name: bad_and_good()[name] for name in ("molecule", "good", "slab")}
    results = compute(task, crystals, relax_first=False)
    assert results.columns["status"].tolist() == ["failed", "converged", "failed"]
    assert results.columns["message"][0].endswith("need a crystal periodic in all directions, but pbc is FFF")
    assert results.columns["message"][2].endswith("need a crystal periodic in all directions, but pbc is TTF")


# -- jobs that are stopped ---------------------------------------------------------------------------------------


@pytest.fixture
def make_job(tmp_path: Path, model_file: tuple[Path, str]) -> Callable[..., JobFolder]:
    def make(task: Task, name: str, crystals: dict[str, Atoms] | None = None, **parameters: Any) -> JobFolder:
        folder = JobFolder(tmp_path / name)
        path, sha256 = model_file
        settings = EngineSettings(device="cpu", threads=1, flush_interval_s=0.0, max_batch_cost=30.0)
        spec = JobSpec(task, SMALL[task] | parameters, sha256, model_path=str(path), settings=settings)
        folder.write_inputs(spec, StructureTable.from_ase((crystals or three()).items()))
        return folder

    return make


def three() -> dict[str, Atoms]:
    return {"w": bulk("W", a=3.2), "b2": off_centre(), "ta": bulk("Ta", a=3.35)}


def results_of(folder: JobFolder) -> StructureTable:
    results, damaged = folder.read_results()
    assert not damaged
    assert results is not None
    return results.select(list(three()))


def state_of(folder: JobFolder) -> StructureTable:
    with np.load(folder.path / STATE_FILE) as arrays:
        return StructureTable.from_arrays({name: arrays[name] for name in arrays.files if name != "purpose"})


@TASKS
def test_killed_job_does_no_relaxation_again(make_job, task):
    whole = make_job(task, "whole")
    assert Job(whole).run() is ExitStatus.OK
    wanted = results_of(whole)
    relaxation = int((wanted.columns["n_steps"] + 1).sum())
    children = whole.read_progress().evaluations - relaxation
    last_step = int(wanted.columns["n_steps"].max()) + 1

    folder = make_job(task, "killed")
    assert Interrupted(folder, last_step + 1).run() is ExitStatus.ROWS_LEFT  # one step of the children
    state = state_of(folder)
    assert state.columns["relaxed"].all()
    done = folder.read_results()[0]
    finished = 0 if done is None else len(done)
    assert len(state) + finished == 3
    assert len(state) > 0
    # at the next start nothing is left but the children of the rows in the state
    assert Job(folder).run() is ExitStatus.OK
    assert folder.read_progress().evaluations <= children
    assert not (folder.path / STATE_FILE).exists()
    assert_same(results_of(folder), wanted)


@TASKS
def test_killed_while_some_relax_and_others_wait_for_their_children(make_job, task):
    whole, folder = make_job(task, "whole"), make_job(task, "killed")
    assert Job(whole).run() is ExitStatus.OK
    wanted = results_of(whole)
    first, *_, last = sorted(wanted.columns["n_steps"].tolist())
    assert first + 2 < last
    assert Interrupted(folder, first + 2).run() is ExitStatus.ROWS_LEFT
    state = state_of(folder)
    assert sorted(set(state.columns["relaxed"].tolist())) == [False, True]
    # stopped at once, it keeps both kinds
    assert Interrupted(folder, 0).run() is ExitStatus.ROWS_LEFT
    assert sorted(state_of(folder).ids.tolist()) == sorted(state.ids.tolist())
    assert Job(folder).run() is ExitStatus.OK
    saved = int(state.columns["steps"][~state.columns["relaxed"]].sum())
    saved += int((wanted.select(state.ids[state.columns["relaxed"]]).columns["n_steps"] + 1).sum())
    assert folder.read_progress().evaluations == whole.read_progress().evaluations - saved
    assert_same(results_of(folder), wanted)


@pytest.mark.parametrize("kept", ["theirs", "of other children"])
def test_killed_in_the_middle_of_the_children_no_child_is_evaluated_again(make_job, kept):
    skewed = off_centre()
    skewed.positions[1] += (0.03, -0.05, 0.0)
    crystals = {"skewed": skewed, "w": bulk("W", a=3.2)}
    whole = make_job(Task.PHONONS, "whole", crystals, relax_first=False)
    assert Job(whole).run() is ExitStatus.OK
    total = whole.read_progress().evaluations

    folder = make_job(Task.PHONONS, "killed", crystals, relax_first=False)
    assert Interrupted(folder, total // 2 + 1).run() is ExitStatus.ROWS_LEFT
    before = folder.read_progress().evaluations
    state = state_of(folder)
    done = state.ragged["children.numbers"].sizes
    assert done.sum() > 3
    assert len(state.ragged["children.forces"].values) >= 8 * done.sum()
    if kept == "of other children":
        spoil(folder, **{"column/children.made": np.array(["0" * 64] * len(state))})
    assert Job(folder).run() is ExitStatus.OK
    repeated = 0 if kept == "theirs" else int(done.sum())
    assert before + folder.read_progress().evaluations == total + repeated
    found, wanted = (job.read_results()[0].select(list(crystals)) for job in (folder, whole))
    assert_same(found, wanted)


def spoil(folder: JobFolder, **changed: Any) -> None:
    path = folder.path / STATE_FILE
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    for name, values in changed.items():
        assert name in arrays, sorted(arrays)
        arrays[name] = encode_strings(values)
    np.savez(path, **arrays)


@TASKS
def test_state_of_another_task_is_refused(make_job, task, caplog):
    folder = make_job(task, "job")
    assert Interrupted(folder, 3).run() is ExitStatus.ROWS_LEFT
    other = make_job(Task.ELASTIC if task is Task.PHONONS else Task.PHONONS, "other")
    (other.path / STATE_FILE).write_bytes((folder.path / STATE_FILE).read_bytes())
    assert Interrupted(other, 2).run() is ExitStatus.ROWS_LEFT
    assert "is ignored" in caplog.text
    assert state_of(other).columns["steps"].tolist() == [2, 2, 2]


def assert_same(ours: StructureTable, wanted: StructureTable) -> None:
    assert set(ours.columns) == set(wanted.columns)
    assert set(ours.ragged) == set(wanted.ragged)
    assert set(ours.atom_columns) == set(wanted.atom_columns)
    assert ours.units == wanted.units
    np.testing.assert_allclose(ours.positions, wanted.positions, atol=1e-8)
    for name, values in wanted.columns.items():
        if name.startswith(("hessian", "acoustic", "laue", "fit", "net")):
            continue  # noise of what is zero
        if values.dtype.kind == "f":
            np.testing.assert_allclose(
                ours.columns[name], values, rtol=1e-4, atol=1e-4, err_msg=name, equal_nan=True
            )
        else:
            assert ours.columns[name].tolist() == values.tolist(), name

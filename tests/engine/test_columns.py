"""What the engine writes against the catalogue of columns: names, shapes, types and units, whatever is asked for."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import ase.build
import ase.units
import numpy as np
import pytest

from aiida_pet.engine.model.pet import BatchedPet
from aiida_pet.engine.symmetry.averaging import DEVIATIONS
from aiida_pet.job.parameters import parse_parameters
from aiida_pet.job.tasks import OWN, Task, TaskEntry, entry_of
from aiida_pet.plugins import load
from aiida_pet.tables.columns import COLUMNS, Column, Kind, Source, columns_of, find_columns
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.warnings import Warned, codes_in
from aiida_pet.testing.models import tiny_pet

# anything is converged
LOOSE: dict[str, Any] = {"fmax": 1e4, "stress_max": 1e6}
FEW: dict[str, Any] = LOOSE | {"min_image": 4.0, "mesh": 8.0, "dos_points": 31, "temperatures": (0.0, 100.0)}
FLAT: dict[str, Any] = {"n_volumes": 5, "imaginary_threshold": 1e3}  # whatever the tiny model says is stable
CELLS: dict[str, Any] = {"fc2_supercell": (1, 1, 1), "fc3_supercell": (1, 1, 1), "pair_cutoff": 2.0}
SHORT: dict[str, Any] = {
    "steps": 2,
    "equilibration_steps": 0,
    "sample_every": 1,
    "timestep": 0.1,
    "temperature": 1.0,
}
FURTHER = ["energies", "features", "invariance"]
CASES: list[tuple[Task, dict[str, Any]]] = [
    (Task.STATIC, {}),
    (Task.STATIC, {"symprecs": (), "outputs": FURTHER}),
    (Task.STATIC, {"forces": "direct", "stress": "direct", "symprecs": (1e-5, 0.01)}),
    (Task.STATIC, {"averaging": "lebedev-3"}),
    (Task.RELAX, LOOSE),
    (Task.RELAX, LOOSE | {"pressure": 5.0, "symprecs": (), "outputs": FURTHER}),
    (Task.RELAX, LOOSE | {"averaging": "spacegroup", "forces": "direct"}),
    (Task.PHONONS, FEW),
    (Task.PHONONS, FEW | {"pressure": 2.0, "supercell_check": 5.0, "dos_range": (-5.0, 9.0)}),
    (Task.PHONONS, FEW | {"relax_first": False, "symprecs": (), "forces": "direct"}),
    (Task.PHONONS, FEW | {"averaging": "spacegroup", "outputs": FURTHER}),
    (Task.ELASTIC, LOOSE | {"ions": "clamped", "pressure": 2.0}),
    (
        Task.ELASTIC,
        LOOSE | {"ions": "clamped", "forces": "direct", "averaging": "spacegroup", "outputs": FURTHER},
    ),
    (Task.ELASTIC, LOOSE | {"relax_first": False, "ions": "clamped", "symprecs": ()}),
    (Task.CONDUCTIVITY, LOOSE | CELLS | {"opposites": "auto", "pressure": 2.0}),
    (Task.CONDUCTIVITY, LOOSE | CELLS | {"relax_first": False, "symprecs": (), "forces": "direct"}),
    (Task.CONDUCTIVITY, LOOSE | CELLS | {"averaging": "spacegroup", "outputs": FURTHER}),
    (Task.QHA, FEW | FLAT | {"pressure": 2.0, "modes": True}),
    (Task.QHA, FEW | FLAT | {"relax_first": False, "symprecs": (), "forces": "direct"}),
    (Task.QHA, FEW | FLAT | {"at_volume": "nothing", "averaging": "spacegroup", "outputs": FURTHER}),
    (Task.EOS, LOOSE | {"n_volumes": 5, "pressure": 2.0}),
    (Task.EOS, LOOSE | {"n_volumes": 5, "relax_first": False, "symprecs": (), "forces": "direct"}),
    (
        Task.EOS,
        LOOSE | {"n_volumes": 6, "at_volume": "nothing", "averaging": "spacegroup", "outputs": FURTHER},
    ),
    (Task.MD, SHORT | {"ensemble": "nve", "outputs": FURTHER}),
    (Task.MD, SHORT | {"forces": "direct", "averaging": "lebedev-1", "symprecs": ()}),
    (Task.MD, SHORT | {"ensemble": "npt", "symprecs": ()}),
]


@pytest.fixture(scope="module")
def pet() -> Iterator[Any]:
    pet = tiny_pet()

    def make(given: dict[str, Any]) -> BatchedPet:
        options = {name: given[name] for name in ("forces", "stress", "outputs") if name in given}
        return BatchedPet(copy.deepcopy(pet), **options)  # which takes out what is not asked for

    return make


def crystals(*, charged: bool = False) -> StructureTable:
    good = ase.build.bulk("MoTa", "cesiumchloride", a=3.3)
    slab = good.copy()
    slab.pbc = [True, True, False]
    table = StructureTable.from_ase(
        {
            "good": good,
            "alone": ase.build.bulk("W", a=3.2),
            "unknown": ase.build.bulk("Cu"),
            "slab": slab,
        }.items()
    )
    if not charged:
        return table
    return replace(
        table,
        columns={"dielectric_tensor": np.tile(2 * np.eye(3), (len(table), 1, 1))},
        atom_columns={"born_charges": np.zeros((len(table.numbers), 3, 3))},
    )


def run(table: StructureTable, task: Task, model: Any, given: dict[str, Any]) -> StructureTable:
    finished: list[StructureTable] = []
    driver = load(entry_of(task).driver)(
        table, model, parse_parameters(task, given), finished=finished.append
    )
    assert driver.run()
    for part in finished:  # a part is a file: it must say the same as the whole
        assert part.columns.keys() == finished[0].columns.keys()
        assert part.ragged.keys() == finished[0].ragged.keys()
    return StructureTable.concatenate(finished).select(table.ids)


def sizes_of(parameters: Any) -> dict[str, int]:
    temperatures = {*getattr(parameters, "temperatures", ()), 300.0}
    return {"T": len(temperatures), "G": getattr(parameters, "dos_points", 0), "F": 24} | {
        "V": getattr(parameters, "n_volumes", 0)
    }


def assert_as_in_the_catalogue(result: StructureTable, column: Column, parameters: Any) -> None:
    for name in column.names(parameters.symprecs):
        values = result.columns.get(name, result.atom_columns.get(name))
        shape = list(column.shape)
        if name in result.ragged:
            values = result.ragged[name].values
            assert shape.pop(0) == "*", name
        elif name in result.atom_columns:
            assert shape.pop(0) == "A", name
        assert values is not None, f"{name} is in the catalogue and not in the results"
        sizes = sizes_of(parameters)
        assert values.shape[1:] == tuple(
            int(length) if length.isdigit() else sizes[length] for length in shape
        ), name
        assert result.units.get(name, "") == column.unit, name
        missing = values.dtype.kind == "f" and np.isnan(values).any()
        kinds = {Kind.TEXT: "U", Kind.NUMBER: "f", Kind.COUNT: "i", Kind.FLAG: "b"}
        wanted = "f" if missing and column.kind is not Kind.TEXT else kinds[column.kind]
        assert values.dtype.kind == wanted, name


@pytest.mark.parametrize(
    ("task", "given"), CASES, ids=[f"{task.value}-{number}" for number, (task, _) in enumerate(CASES)]
)
def test_the_engine_writes_what_the_catalogue_says(pet, task, given):
    parameters = parse_parameters(
        task, given | ({"cell": "fixed"} if task is Task.RELAX and "pressure" not in given else {})
    )
    given = {name: getattr(parameters, name) for name in type(parameters).model_fields}
    result = run(crystals(), task, pet(given), given)
    assert "converged" in result.columns["status"][:2]
    expected = columns_of(Source(task.value), parameters)
    names = {name for column in expected for name in column.names(parameters.symprecs)}
    assert {*result.columns, *result.atom_columns, *result.ragged} == names
    for column in expected:
        assert_as_in_the_catalogue(result, column, parameters)
    assert result.columns["warnings"][2] == ""
    for text in result.columns["warnings"].tolist():
        assert {*codes_in(text)} <= {*Warned}


@pytest.mark.parametrize("task", [Task.PHONONS, Task.ELASTIC])
def test_a_job_whose_rows_all_fail_has_all_columns_and_nothing_in_them(pet, task):
    """Of rows that were refused, and of one that has no children: conditions can name what nobody has."""
    given = (FEW if task is Task.PHONONS else LOOSE) | {"relax_first": False, "symprecs": (0.01,)}
    table = crystals().select(["unknown", "slab"])
    result = run(table, task, pet({}), given)
    assert result.columns["status"].tolist() == ["unsupported_element", "failed"]
    expected = columns_of(Source(task.value), parse_parameters(task, given))
    names = {name for column in expected for name in column.names((0.01,))}
    assert {*result.columns, *result.atom_columns, *result.ragged} == names
    for column in expected:
        if column.sources == (Source(task.value),) and column.name in result.columns:
            values = result.columns[column.name]
            assert (values == "").all() if column.kind is Kind.TEXT else np.isnan(values).all(), column.name
    assert all(not len(column.values) for column in result.ragged.values())


def test_charges_make_columns_in_every_row(pet):
    given = FEW | {"relax_first": False}
    result = run(crystals(charged=True), Task.PHONONS, pet({}), given)
    for name in ("has_nac", "dielectric_tensor", "primitive_born_charges"):
        [column] = [one for one in find_columns(name) if Source.PHONONS in one.sources]
        assert_as_in_the_catalogue(result, column, parse_parameters(Task.PHONONS, given))
    assert result.columns["has_nac"].tolist()[:2] == [1.0, 1.0]
    assert np.isnan(result.columns["has_nac"][2:]).all()


def test_rows_that_were_never_relaxed_say_nothing_of_a_relaxation(pet):
    """One that never entered, and one that the model never said anything of."""
    far = ase.build.bulk("W", a=3.2)
    far.positions += 5e9
    table = StructureTable.from_ase(
        {"good": ase.build.bulk("W", a=3.2), "unknown": ase.build.bulk("Cu"), "far": far}.items()
    )
    given = LOOSE | {"pressure": 3.0, "symprecs": (0.01,)}
    columns = run(table, Task.RELAX, pet({}), given).columns
    assert columns["status"].tolist() == ["converged", "unsupported_element", "invalid_geometry"]
    for name in ("symmetry_kept_0_01", "initial_energy", "energy", "enthalpy"):
        assert np.isnan(columns[name]).tolist() == [False, True, True], name
    assert columns["symmetry_kept_0_01"][0] == 1.0
    assert columns["n_steps"].tolist() == [0, 0, 0]
    assert columns["initial_spacegroup_0_01"][:2].tolist() == [229, 225]  # of the crystals as they are
    assert columns["warnings"].tolist()[1:] == ["", ""]


@pytest.mark.parametrize("task", [Task.RELAX, Task.PHONONS, Task.ELASTIC])
def test_enthalpy_is_e_plus_p_v(pet, task):
    pressure = -4.0
    given = (FEW if task is Task.PHONONS else LOOSE) | {"pressure": pressure, "symprecs": ()}
    if task is Task.ELASTIC:
        given |= {"ions": "clamped"}
    if task is Task.RELAX:
        given |= {"fmax": 1e-9, "max_steps": 2}  # at the end, not at the start
    columns = run(crystals(), task, pet({}), given).columns
    expected = columns["energy"] + pressure * ase.units.GPa * columns["volume"]
    np.testing.assert_allclose(columns["enthalpy"], expected, rtol=1e-12)
    assert np.isfinite(columns["enthalpy"]).tolist() == [True, True, False, False]
    if task is Task.RELAX:
        assert (columns["volume"] != columns["initial_volume"])[:2].any()


def test_warnings_say_what_happened(pet):
    table = StructureTable.from_ase({"a": ase.build.bulk("W", a=3.2)}.items())
    given = {"fmax": 1e-9, "stress_max": 1e-9, "max_steps": 40, "symprecs": (0.01,)}
    for pressure, has_answer in ((-1.0, True), (200.0, False)):
        columns = run(table, Task.RELAX, pet({}), given | {"pressure": pressure}).columns
        assert np.isfinite(columns["energy"][0]) == has_answer
        change = columns["volume"][0] / columns["initial_volume"][0] - 1.0
        assert abs(change) > 0.1
        assert (Warned.VOLUME_CHANGE in codes_in(columns["warnings"][0])) == has_answer
    capped = run(crystals(), Task.PHONONS, pet({}), FEW | {"min_image": 8.0, "max_atoms": 8}).columns
    assert np.array([Warned.SUPERCELL_CAPPED in codes_in(text) for text in capped["warnings"]]).tolist() == [
        value == 1.0 for value in capped["supercell_capped"].tolist()
    ]
    assert Warned.SUPERCELL_CAPPED in codes_in(capped["warnings"][0])
    rough = run(
        crystals(), Task.ELASTIC, pet({}), LOOSE | {"ions": "clamped", "normal_strains": (0.1, -0.1)}
    ).columns
    for place in range(2):
        share = rough["laue_deviation"][place] / np.abs(rough["elastic_tensor"][place]).max()
        is_rough = share > 0.05 or rough["fit_relative_residual"][place] > 0.05
        assert (Warned.ROUGH in codes_in(rough["warnings"][place])) == is_rough
    assert Warned.ROUGH in codes_in(rough["warnings"][1])


def test_every_warning_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "warnings.md").read_text()
    for code in Warned:
        assert f"| `{code}` | {code.meaning} |" in text


def test_every_task_of_the_catalogue_is_among_the_cases() -> None:
    assert {task for task, _ in CASES} == {entry.task for entry in OWN}
    assert set(Task) == {entry.task for entry in OWN}


@pytest.mark.parametrize("entry", OWN, ids=lambda entry: entry.name)
def test_every_column_of_a_task_is_written_in_one_of_the_cases(entry: TaskEntry) -> None:
    written = {
        column.name
        for task, given in CASES
        if task is entry.task
        for column in columns_of(task, parse_parameters(task, given))
    }
    there = {column.name for column in COLUMNS if entry.name in column.sources and not column.of_the_set}
    assert there - written == {
        "uncertainty",
        "ensemble",
    }  # of calibrated models: tests/engine/test_outputs.py


def test_names_of_deviations_are_in_the_catalogue() -> None:
    assert all(find_columns(name) for name in DEVIATIONS)

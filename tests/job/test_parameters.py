"""What the parameters of a task refuse, and how they say so."""

from __future__ import annotations

from typing import Any

import pytest

from aiida_pet.job.folder import Task
from aiida_pet.job.parameters import (
    Averaging,
    ParameterError,
    describe_parameters,
    lebedev_degree,
    parse_parameters,
)
from aiida_pet.job.tasks import schema_of


@pytest.mark.parametrize(
    "averaging", [*Averaging, "lebedev-1", "lebedev-3", "lebedev-3-proper", "lebedev-131"]
)
def test_known_averagings_are_taken(averaging):
    assert parse_parameters(Task.STATIC, {"averaging": averaging}).averaging == averaging


@pytest.mark.parametrize(
    "averaging",
    ["lebedev", "lebedev-0", "lebedev-132", "lebedev-x", "lebedev-proper", "icosahedral-proper", "o3", ""],
)
def test_unknown_averaging_is_refused_with_what_there_is(averaging):
    with pytest.raises(
        ParameterError, match=rf"averaging = '{averaging}': expected one of none, .*lebedev-3"
    ):
        parse_parameters(Task.STATIC, {"averaging": averaging})


def test_degree_is_that_of_the_name():
    assert lebedev_degree("lebedev-5") == lebedev_degree("lebedev-5-proper") == 5
    assert lebedev_degree("icosahedral") is None


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"averaging": "random"}, "no relaxation can follow"),
        ({"average_from_fmax": 0.1}, "no effect without averaging"),
        ({"averaging": "lebedev-3", "average_from_fmax": 0.01}, "must be above fmax = 0.02 eV/A"),
        ({"pressure": 1.0, "cell": "fixed"}, "pressure 1.0 GPa has no effect"),
        ({"average_from_fmax": -1.0, "averaging": "lebedev-3"}, "average_from_fmax = -1.0 eV/A"),
        ({"averging": "lebedev-3"}, "averging: unknown; known are forces, stress"),
    ],
)
def test_contradictions_are_refused(parameters, message):
    with pytest.raises(ParameterError, match=message):
        parse_parameters(Task.RELAX, parameters)


def test_descriptions_name_the_averagings():
    (row,) = [row for row in describe_parameters(Task.RELAX) if row[0] == "averaging"]
    assert row[1] == "none"
    assert "lebedev-3" in row[3]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"mesh": 0.0}, "mesh must be positive"),
        ({"mesh": (19, 19, -1)}, "mesh must be positive"),
        ({"temperatures": (0.0, 300.0)}, "temperatures must be positive"),
        ({"masses": {"B": 0.0}}, "masses must be positive"),
        ({"masses": {"Xx": 3.0}}, "masses: there is no element 'Xx'"),
        ({"masses": {"X": 3.0}}, "masses: there is no element 'X'"),
        ({"mass_variances": {"B": 1e-4, "b": 1e-4}}, "mass_variances: there is no element 'b'"),
        ({"mass_variances": {"B": -1e-4}}, "mass_variances must not be negative"),
        ({"cell": "plane"}, "periodic in all directions"),
    ],
)
def test_conductivities_that_cannot_be_are_refused(parameters, message):
    with pytest.raises(ParameterError, match=message):
        parse_parameters(Task.CONDUCTIVITY, parameters)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"volumes": (0.9, 0.95, 1.0, 1.05)}, "at least 5 different numbers"),
        ({"volumes": (0.9, 0.95, 1.0, 1.05, 1.05)}, "at least 5 different numbers"),
        ({"volumes": (90, 95, 100, 105, 110)}, "between 0.3 and 3, such as 0.94"),
        ({"n_volumes": 4}, "n_volumes = 4"),
        ({"max_strain": 0.5}, "max_strain = 0.5"),
        ({"cell": "plane"}, "periodic in all directions"),
    ],
)
def test_volumes_of_which_no_equation_can_be_made_are_refused(parameters, message):
    with pytest.raises(ParameterError, match=message):
        parse_parameters(Task.EOS, parameters)


def test_mesh_is_a_length_or_three_numbers():
    assert parse_parameters(Task.CONDUCTIVITY, {"mesh": [19, 19, 15]}).mesh == (19, 19, 15)
    assert parse_parameters(Task.CONDUCTIVITY, {"mesh": 40}).mesh == 40.0


@pytest.mark.parametrize(
    ("task", "name"),
    [
        (Task.CONDUCTIVITY, "fc3_supercell"),
        (Task.CONDUCTIVITY, "fc2_supercell"),
        (Task.PHONONS, "supercell"),
        (Task.QHA, "supercell"),
    ],
)
@pytest.mark.parametrize(
    "matrix",
    [
        [2, 2],
        [0, 2, 2],
        [2, -2, -2],
        [2, 2, 2.5],
        [float("nan")] * 3,
        [[1, 0, 0], [1, 0, 0], [0, 0, 1]],
        [[2, 0, 0], [0, 2, 0], [0, 0, -2]],
        [[1, 0, 0], [0, float("nan"), 0], [0, 0, 1]],
        [[2, 0], [0, 2]],
        "2 2 2",
    ],
)
def test_a_matrix_that_makes_no_supercell_is_refused_once_by_name(task, name, matrix):
    with pytest.raises(ParameterError) as caught:
        parse_parameters(task, {name: matrix})
    first, *lines = str(caught.value).splitlines()
    assert first == f"bad parameters of {task.value}:"
    assert len(lines) == 1
    assert lines[0].startswith(
        f"  {name} = {matrix!r}: expected 3 positive whole numbers, or a 3 x 3 matrix of whole"
    )


@pytest.mark.parametrize(
    "matrix", [[3, 2, 1], [[0, 2, 2], [2, 0, 2], [2, 2, 0]], [[1, 1, 0], [-1, 1, 0], [0, 0, 2]]]
)
def test_a_matrix_with_a_volume_is_taken(matrix):
    parameters = parse_parameters(Task.CONDUCTIVITY, {"fc3_supercell": matrix})
    assert parameters.model_dump(mode="json")["fc3_supercell"] == matrix


@pytest.mark.parametrize("mesh", [0, float("nan"), float("inf"), [5, 5, 0]])
def test_a_mesh_that_is_none_is_refused(mesh):
    with pytest.raises(
        ParameterError, match=r"mesh must be positive|mesh = .*: expected a positive length in A"
    ):
        parse_parameters(Task.CONDUCTIVITY, {"mesh": mesh})


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("task", list(Task))
def test_no_number_of_any_task_may_be_infinite_or_none(task: Task, number: float) -> None:
    """Each of all fields that take floats, alone and in lists and dictionaries."""
    tried = 0
    for name, field in schema_of(task).model_fields.items():
        kind = str(field.annotation)
        if "float" not in kind:
            continue
        value = {"B": number} if "dict" in kind else [number] * 2 if "tuple[float" in kind else number
        with pytest.raises(ParameterError, match=rf"{name}(\.\w+)? = .*: expected .*"):
            parse_parameters(task, {name: value})
        tried += 1
    assert tried > 0


@pytest.mark.parametrize(
    ("task", "given", "message"),
    [
        (Task.MD, {"temperature": True}, "temperature = 'True' K: expected a number > 0"),
        (Task.MD, {"steps": True}, "steps = 'True': expected a whole number >= 1"),
        (Task.MD, {"respa": {"every": True}}, "respa.every = 'True': expected a whole number"),
        (Task.PHONONS, {"temperatures": [True, 0]}, "temperatures.0 = 'True': expected a number"),
        (Task.PHONONS, {"supercell": [True, 2, 2]}, "supercell = .*: expected 3 positive whole numbers"),
        (Task.RELAX, {"forces": True}, "forces = 'True': expected conservative or direct"),
        (Task.RELAX, {"variant": True}, "variant = True: expected a text"),
    ],
)
def test_true_and_false_are_no_numbers(task: Task, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        parse_parameters(task, given)


def test_true_and_false_are_taken_where_they_belong() -> None:
    assert parse_parameters(Task.MD, {"velocities": True}).velocities is True
    assert parse_parameters(Task.PHONONS, {"nac": False}).nac is False

import json

import pytest
from click.testing import CliRunner

from aiida_pet.cli import main
from aiida_pet.job.tasks import Task, schema_of


def test_params_prints_units_defaults_and_choices():
    output = CliRunner().invoke(main, ["params", "relax"]).output
    fmax = next(line for line in output.splitlines() if line.startswith("fmax"))
    assert fmax.split()[:3] == ["fmax", "0.02", "eV/A"]
    assert "fire, lbfgs" in output


@pytest.mark.parametrize("task", list(Task))
def test_params_json_holds_every_parameter(task):
    document = json.loads(CliRunner().invoke(main, ["params", task.value, "--json"]).output)
    assert set(document) == set(schema_of(task).model_fields)
    assert document["dtype"] == {
        "default": "float64",
        "unit": None,
        "choices": ["float32", "mixed", "float64"],
        "description": "precision of the model",
    }


def test_params_of_an_unknown_task_names_the_known():
    result = CliRunner().invoke(main, ["params", "boil"])
    assert result.exit_code == 2
    assert "'boil' is not one of 'static', 'relax', 'phonons', 'elastic'" in result.output


def test_params_say_what_each_protocol_is_for_and_what_it_sets():
    output = CliRunner().invoke(main, ["params", "relax"]).output
    assert "--protocol moderate (or balanced), the default: For convex hulls and screening" in output
    only = CliRunner().invoke(main, ["params", "relax", "--protocols"]).output
    precise = only.splitlines()[
        only.splitlines().index(next(x for x in only.splitlines() if "stringent" in x)) + 1
    ]
    assert "fmax=0.0001" in precise.split()
    document = json.loads(CliRunner().invoke(main, ["params", "relax", "--protocols", "--json"]).output)
    assert document["fast"]["parameters"]["dtype"] == "float32"

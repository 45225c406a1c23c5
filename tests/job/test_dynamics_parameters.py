from __future__ import annotations

import pytest

from aiida_pet.job.parameters import ParameterError, parse_parameters
from aiida_pet.job.tasks import Task


def parsed(**given):
    return parse_parameters(Task.MD, given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"ensemble": "nve", "thermostat": "bussi"}, "thermostat = bussi has no effect with ensemble=nve"),
        ({"pressure": 1.0}, r"pressure = 1.0 has no effect with ensemble=nvt"),
        ({"ensemble": "npt", "rotation": "random"}, "rotation=random cannot be used with ensemble=npt"),
        ({"averaging": "random"}, "use rotation=random"),
        ({"averaging": "lebedev-3", "rotation": "random"}, "choose one of the two"),
        ({"ensemble": "npt", "respa": {}}, "respa needs ensemble=nve or nvt"),
        ({"respa": {"inner": "conservative"}}, "expected inner = direct"),
        ({"respa": {}, "forces": "direct"}, "leave forces out"),
        ({"ensemble": "npt", "barostat": "nose_hoover", "thermostat": "langevin"}, "has its own chains"),
        ({"timestep": 0.0}, "timestep = 0"),
        ({"friction": 3}, "friction"),
    ],
)
def test_what_does_not_go_together_is_refused_in_words(given, said):
    with pytest.raises(ParameterError, match=said):
        parsed(**given)


@pytest.mark.parametrize(
    ("given", "thermostat"),
    [
        ({"ensemble": "nve"}, None),
        ({}, "bussi"),
        ({"thermostat": "langevin"}, "langevin"),
        ({"ensemble": "npt"}, "bussi"),
        ({"ensemble": "npt", "barostat": "nose_hoover"}, "nose_hoover"),
    ],
)
def test_a_thermostat_is_chosen_where_none_is_named(given, thermostat):
    assert parsed(**given).thermostat_used == thermostat


def test_steps_are_counted():
    parameters = parsed(respa={"every": 4}, heating_steps=3, equilibration_steps=4)
    assert parameters.steps_before == 7
    assert parameters.inner_steps == 4
    assert parsed().inner_steps == 1

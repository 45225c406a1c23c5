"""Arguments of a launch: all WorkChains take the same, and a slip is told with what was meant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from aiida_pet.workchains.batch import BatchWorkChain
from aiida_pet.workchains.hull import HullWorkChain
from aiida_pet.workchains.launch import Launch, LaunchError, read_launch
from aiida_pet.workchains.phonons import PhononWorkChain
from aiida_pet.workchains.relax import RelaxWorkChain
from aiida_pet.workchains.screening import ScreeningWorkChain

WORKCHAINS = [BatchWorkChain, RelaxWorkChain, PhononWorkChain, ScreeningWorkChain]


@pytest.mark.parametrize("kind", WORKCHAINS)
def test_every_argument_reaches_the_builder(
    kind: Any, pet_code: Any, pet_model: Any, make_structures: Callable[..., Any]
) -> None:
    given: Launch = {
        "lanes": 3,
        "job_size": 7,
        "job_duration": 60,
        "clean_workdir": True,
        "options": {"queue_name": "short"},
        "settings": {"threads": 2},
        "resources": {"walltime": "1h"},
    }
    assert set(given) == set(Launch.__annotations__)
    builder = kind.get_builder_from_protocol(pet_code, pet_model, make_structures(2), **given)
    told = {name: getattr(builder, name).value for name in ("lanes", "job_size", "job_duration")}
    assert told == {"lanes": 3, "job_size": 7, "job_duration": 60}
    assert builder.clean_workdir.value is True
    assert builder.options["queue_name"] == "short"
    assert builder.options["max_wallclock_seconds"] == 3600
    assert builder.settings["threads"] == 2


@pytest.mark.parametrize("kind", WORKCHAINS)
def test_argument_that_there_is_not_is_told_with_the_one_that_was_meant(
    kind: Any, pet_code: Any, pet_model: Any, make_structures: Callable[..., Any]
) -> None:
    inputs = (pet_code, pet_model, make_structures(1))
    for slip, meant in (("lane", "lanes"), ("protocl", "protocol"), ("overides", "overrides")):
        with pytest.raises(
            LaunchError, match=rf"{kind.__name__}.* no argument '{slip}' \(did you mean {meant}"
        ):
            kind.get_builder_from_protocol(*inputs, **{slip: 1})
    with pytest.raises(LaunchError, match=r"known are .*lanes, job_size, job_duration"):
        kind.get_builder_from_protocol(*inputs, zzz=1)
    with pytest.raises(LaunchError, match="lanes = 'two': expected a whole number"):
        kind.get_builder_from_protocol(*inputs, lanes="two")


def test_arguments_of_classes_below_are_known_too() -> None:
    with pytest.raises(LaunchError, match=r"'follow_mode' \(did you mean follow_modes"):
        read_launch(PhononWorkChain, {"follow_mode": True})


def test_hull_that_relaxes_nothing_knows_its_arguments_too(make_structures: Callable[..., Any]) -> None:
    with pytest.raises(LaunchError, match=r"'job_sice' \(did you mean job_size"):
        HullWorkChain.get_builder_from_protocol(make_structures(1), job_sice=1)  # type: ignore[call-arg]


def test_numbers_of_numpy_are_taken() -> None:
    assert read_launch(BatchWorkChain, {"lanes": np.int64(2)})["lanes"] == 2

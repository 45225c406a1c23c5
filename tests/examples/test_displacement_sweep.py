"""The sweep of displacements: what each launch is asked for, and the table. No job runs."""

from __future__ import annotations

import argparse
from typing import Any

import pytest


@pytest.fixture
def sweep(load_script: Any) -> Any:
    return load_script("displacement_sweep")


def test_every_kind_of_forces_has_every_displacement(sweep: Any) -> None:
    found = sweep.settings()
    assert [str(one) for one in found[:2]] == ["C, 0.03 A", "C, 0.05 A"]
    assert len(set(found)) == len(found) == 12
    assert found[0].parameters == {"displacement": 0.03}
    assert found[4].parameters == {"displacement": 0.03, "forces": "direct", "stress": "direct"}
    assert found[-1].parameters == found[7].parameters | {"relax_first": False}


def test_table_has_a_line_for_each_launch(sweep: Any) -> None:
    found = {one: {"SRME": 0.1 * place} for place, one in enumerate(sweep.settings((0.03, 0.1)))}
    head, *lines = sweep.table(found)
    assert head.split()[:3] == ["forces", "A", "SRME"]
    assert [line.split()[-5] for line in lines] == [f"{0.1 * place:.4f}" for place in range(6)]
    assert lines[-1].startswith("NC from C    0.1")
    assert lines[-1].endswith("nan")


def test_launches_have_the_protocol_of_the_benchmark_but_for_their_setting(
    sweep: Any, monkeypatch: Any, make_structures: Any, pet_code: Any, pet_model: Any
) -> None:
    from aiida import orm

    builders = []

    def submitted(builder: Any) -> Any:
        builders.append(builder)
        return orm.WorkChainNode().store()

    monkeypatch.setattr(sweep, "submit", submitted)
    given = argparse.Namespace(code=str(pet_code.pk), model=str(pet_model.pk))
    structures = make_structures(2)
    direct = sweep.settings((0.07,))[-1]
    node = sweep.submitted(direct, structures, given)
    (builder,) = builders
    parameters = builder.parameters.get_dict()
    assert (parameters["displacement"], parameters["forces"]) == (0.07, "direct")
    assert parameters["relax_first"] is False
    assert (parameters["modes"], parameters["boundary"]) == (True, 1e6)
    assert builder.structures.uuid == structures.uuid
    assert node.label == "displacement sweep: NC from C, 0.07 A"
    group = orm.load_group(sweep.GROUP)
    assert node.uuid in [one.uuid for one in group.nodes]

"""Builders say what is going to be launched."""

from __future__ import annotations

from typing import Any

import pytest
from aiida.plugins import WorkflowFactory
from aiida.plugins.entry_point import get_entry_point_names

from aiida_pet.workchains.builder import SpeakingBuilder
from aiida_pet.workchains.relax import RelaxWorkChain
from aiida_pet.workchains.screening import ScreeningWorkChain


def test_inputs_are_told_in_a_line_and_in_a_table(
    pet_code: Any, pet_model: Any, make_structures: Any
) -> None:
    structures = make_structures(["a", "b"])
    builder: Any = RelaxWorkChain.get_builder_from_protocol(
        pet_code, pet_model, structures, overrides={"parameters": {"fmax": 0.0123}}, lanes=3
    )
    line = repr(builder)
    assert line.startswith("<builder of RelaxWorkChain: ")
    for part in (repr(structures), repr(pet_model), pet_code.full_label, "fmax=0.0123", "lanes 3"):
        assert part in line
    assert "\n" not in line
    page = builder._repr_html_()
    assert "<th>lanes</th><td>3</td>" in page
    assert "&lt;StructureSetData" in page


def test_conditions_of_stages_are_told(pet_code: Any, pet_model: Any, make_structures: Any) -> None:
    overrides = {"relax": {"keep": "energy < 0"}}
    builder = ScreeningWorkChain.get_builder_from_protocol(
        pet_code, pet_model, make_structures(["a"]), stages=["relax"], overrides=overrides
    )
    assert "keep=energy < 0" in repr(builder)


def test_a_builder_without_inputs_says_so() -> None:
    assert repr(SpeakingBuilder(RelaxWorkChain)) == "<builder of RelaxWorkChain: no inputs yet>"


@pytest.mark.parametrize(
    "name", sorted(one for one in get_entry_point_names("aiida.workflows") if one.startswith("pet."))
)
def test_an_input_with_a_default_need_not_be_given(aiida_profile: Any, name: str) -> None:
    """aiida-workgraph and `verdi plugin list` read the ports, and ask for what is required."""
    inputs = WorkflowFactory(name).spec().inputs
    assert [port for port in inputs if inputs[port].has_default() and inputs[port].required] == []

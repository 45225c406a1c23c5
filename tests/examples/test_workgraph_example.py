"""A graph of WorkChains of aiida-pet, as aiida-workgraph runs it, with EMT for the engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ase.build import bulk

from aiida_pet.testing.nodes import build_code

pytest.importorskip(
    "aiida_workgraph", reason="aiida-workgraph is not installed: pip install 'aiida-pet[workgraph]'"
)


@pytest.fixture
def graph(load_script: Callable[[str], ModuleType], pet_computer: Any, pet_model: Any, tmp_path: Path) -> Any:
    from aiida import orm

    engine = Path(__file__).parents[1] / "support" / "stand_in_phonons.py"
    code = build_code(pet_computer, tmp_path, f'"{engine}"')
    crystal = orm.StructureData(ase=bulk("Cu", "fcc", a=3.59))
    made = load_script("workgraph").relax_then_properties(crystal, code=code, model=pet_model)
    made.run()
    return made


@pytest.mark.timeout(600)  # three WorkChains and their jobs
def test_the_relaxed_crystal_goes_into_phonons_and_elastic_constants(graph: Any) -> None:
    assert graph.process.is_finished_ok, (graph.process.exit_status, graph.process.exit_message)
    relax, phonons, elastic = (graph.tasks[name].process for name in ("relax", "phonons", "elastic"))
    for process in (phonons, elastic):
        assert process.inputs.structure.uuid == relax.outputs.output_structure.uuid
        assert process.caller.pk == graph.process.pk
        assert process.outputs.output_parameters["status"] == "converged"
    assert "ElasticCalculation" in {node.process_label for node in elastic.called_descendants}
    # EMT for copper, whose highest frequency is measured as 7.2 to 7.5 THz
    assert 6 < phonons.outputs.output_parameters["max_frequency"] < 9

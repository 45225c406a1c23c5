"""A screening with the real engine and the model that ships: what the stages write is what conditions may name."""

from __future__ import annotations

from typing import Any

import pytest
from aiida.engine import run_get_node
from ase import Atoms
from ase.build import bulk
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition

from aiida_pet.data.structures import StructureSetData
from aiida_pet.job.stages import STAGES
from aiida_pet.tables.columns import COLUMNS
from aiida_pet.workchains.screening import ScreeningWorkChain
from aiida_pet.workchains.stages import known_columns

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

OVERRIDES = {
    "relax": {"mode": "constrained_then_free", "parameters": {"fmax": 0.01}},
    "phonons": {"parameters": {"min_image": 5.0}},
}


def crystals() -> list[tuple[str, Atoms]]:
    """Elements, B2 MoTa, fcc W (a saddle that falls when it is let go), and one the model does not know."""
    ordered = bulk("Mo", "bcc", a=3.2, cubic=True)
    ordered.numbers[1] = 73
    return [
        ("Mo", bulk("Mo", "bcc", a=3.15)),
        ("Ta", bulk("Ta", "bcc", a=3.3)),
        ("MoTa", ordered),
        ("W", bulk("W", "bcc", a=3.17)),
        ("W-fcc", bulk("W", "fcc", a=4.05)),
        ("Cu", bulk("Cu", "fcc", a=3.6)),
    ]


@pytest.fixture(scope="module")
def node(engine_inputs: dict[str, Any]) -> Any:
    structures = StructureSetData.from_iterator(crystals()).store()
    builder = ScreeningWorkChain.get_builder_from_protocol(
        structures=structures, protocol="fast", overrides=OVERRIDES, **engine_inputs
    )
    return run_get_node(builder)[1]


def test_every_row_ends_with_an_answer_or_a_reason(node: Any) -> None:
    assert node.is_finished_ok, node.exit_message
    table = node.outputs.results.to_dataframe()
    assert table.index.tolist() == [name for name, _ in crystals()]
    assert table.loc["Cu", "stage"] == "relax"
    assert table.loc["Cu", "reason"].startswith("unsupported_element")
    assert table.loc[["Mo", "Ta", "MoTa", "W"], "passed"].all()
    assert (table.loc[table["passed"], "bulk_modulus"] > 50).all()
    assert (table.loc[table["passed"], "min_frequency"] > -0.1).all()


def test_a_crystal_on_a_saddle_falls_when_it_is_let_go_and_says_so(node: Any) -> None:
    row = node.outputs.results.to_dataframe().loc["W-fcc"]
    assert row["relaxation"] == "free"
    assert row["energy_gained"] > 0.05
    assert row["constrained_spacegroup_0_01"] == 225
    assert row["free_spacegroup_0_01"] != 225
    assert row["symmetry_warning"] != ""
    stays = node.outputs.results.to_dataframe().loc["W"]
    assert stays["relaxation"] == "constrained"
    assert abs(stays["energy_gained"]) < 0.001


def test_distances_are_those_of_pymatgen(node: Any) -> None:
    table = node.outputs.stages.relax.to_dataframe()
    table = table[table["status"] == "converged"]
    entries = {
        name: PDEntry(
            Composition(row["formula"]) * (row["n_atoms"] / Composition(row["formula"]).num_atoms),
            row["energy"],
        )
        for name, row in table.iterrows()
    }
    diagram = PhaseDiagram(list(entries.values()))
    found = node.outputs.results.to_dataframe()["e_above_hull"]
    for name, entry in entries.items():
        assert found[name] == pytest.approx(diagram.get_e_above_hull(entry), abs=1e-9)


@pytest.mark.parametrize("stage", STAGES)
def test_columns_that_conditions_may_name_are_those_that_the_stage_writes(node: Any, stage: str) -> None:
    table, final = node.outputs.stages[stage].to_table(), node.outputs.results.to_dataframe()
    written = {name for name, values in table.columns.items() if values.ndim == 1 and name in final.columns}
    known = set(known_columns(stage, node.inputs.stages[stage]))
    assert written - known == set()
    # and nothing is promised that does not come; averages and further outputs come on request, layer groups with slabs
    of_slabs = {name for name in known if "layergroup_" in name}
    of_sets = {
        column.name for column in COLUMNS if column.of_the_set
    }  # with Born charges, or rows of an ensemble
    assert known - of_slabs - of_sets - {"id", *final.columns} == set()

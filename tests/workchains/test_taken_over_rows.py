"""A row that is taken over is the row that was asked for: crystal and columns tell, and not the id."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from aiida import orm
from aiida.common.links import LinkType
from aiida.engine import run_get_node

from aiida_pet.campaigns.resumption import resume_builder, what_is_done
from aiida_pet.data.structures import StructureSetData
from aiida_pet.data.table import TableData
from aiida_pet.job.folder import Task
from aiida_pet.job.input_columns import read_by
from aiida_pet.tables.fingerprints import fingerprints_of
from aiida_pet.workchains.done import Given, maker_of
from aiida_pet.workchains.jobs import jobs_of
from aiida_pet.workchains.relax import RelaxWorkChain
from aiida_pet.workchains.screening import FREE, ScreeningWorkChain

Inputs = Callable[..., dict[str, Any]]
IDS = ["a", "saddle", "c"]
STAGES = ("relax", "phonons")
FREED = {"relax": {"mode": "constrained_then_free"}, "phonons": {"keep": None}}


def screening(inputs: dict[str, Any], **options: Any) -> Any:
    """Return the builder of a screening of ``inputs``."""
    given = {"stages": STAGES, "reuse": False, "options": inputs["options"]} | options
    crystals = (inputs[name] for name in ("code", "model", "structures"))
    return ScreeningWorkChain.get_builder_from_protocol(*crystals, **given)


@pytest.fixture(scope="module")
def held(module_inputs: Inputs) -> dict[str, Any]:
    """Inputs, and a screening whose crystals stay on their saddles."""
    inputs = module_inputs(IDS)
    overrides = {"relax": {"mode": "constrained"}, "phonons": {"keep": None}}
    _, node = run_get_node(screening(inputs, overrides=overrides))
    assert node.is_finished_ok, node.exit_message
    return inputs | {"node": node}


def test_results_say_what_their_jobs_were_given(held: dict[str, Any]) -> None:
    relax, phonons = jobs_of(held["node"])
    for job, task in ((relax, Task.RELAX), (phonons, Task.PHONONS)):
        given = fingerprints_of(job.inputs.structures.to_table(), read_by(task))
        assert np.array_equal(job.outputs.results.fingerprints(), given)
        assert given.nbytes == 16 * len(IDS)
    # it is no column, and what is merged or made of results has none
    assert not any("fingerprint" in name for name in held["node"].outputs.results.column_names)
    assert held["node"].outputs.results.fingerprints() is None


def test_phonons_of_another_geometry_are_computed_again(held: dict[str, Any]) -> None:
    """The relaxation lets a crystal leave its saddle now: what was computed on the saddle is of another crystal."""
    _, undisturbed = run_get_node(screening(held, overrides=FREED))
    builder = screening(held, overrides=FREED)
    builder.done = what_is_done(held["node"])
    _, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    table = node.outputs.results.to_dataframe()
    assert table["relaxation"].tolist() == ["constrained", "free", "constrained"]
    assert table["min_frequency"].tolist() == [0.0, 0.0, 0.0]
    assert table.equals(undisturbed.outputs.results.to_dataframe())
    again = [job for job in jobs_of(node) if job.process_class.TASK is Task.PHONONS]
    assert [job.outputs.results.ids.tolist() for job in again] == [["saddle"]]
    # what was taken over of a table is traced to the job that made it, and taken over once more
    kept = what_is_done(node)["phonons"]
    assert {maker_of(one).process_class.TASK for one in kept.values()} == {Task.PHONONS}
    _, third = run_get_node(resume_builder(node))
    assert jobs_of(third) == []
    assert third.outputs.results.to_dataframe().equals(table)


def test_rows_whose_free_relaxation_is_left_do_not_go_on(
    held: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One job is stopped behind the first two rows: the third has no free relaxation, and no phonons of a saddle."""
    inputs = held | {"structures": StructureSetData.from_table(held["structures"].to_table()).store()}
    asked: list[str] = []

    def is_stopped(node: orm.ProcessNode) -> bool:
        batch = node.caller.base.links.get_incoming(link_type=LinkType.CALL_WORK).one()
        asked.append(batch.link_label)
        return batch.link_label == FREE and asked.count(FREE) > 1

    monkeypatch.setattr("aiida_pet.workchains.lane.is_stop_requested", is_stopped)
    monkeypatch.setattr("aiida_pet.workchains.screening.is_stop_requested", lambda _: False)
    _, first = run_get_node(screening(inputs, overrides=FREED, job_size=2))
    monkeypatch.undo()
    assert first.exit_status == 400
    table = first.outputs.results.to_dataframe()
    left = table[table["reason"].str.startswith("left: no job finished its free relaxation")]
    assert len(left) == 1
    assert set(left["stage"]) == {"relax"}
    _, second = run_get_node(resume_builder(first))
    assert second.is_finished_ok, second.exit_message
    assert second.outputs.results.to_dataframe()["min_frequency"].tolist() == [0.0, 0.0, 0.0]


def test_crystals_under_the_same_ids_are_refused_by_name(held: dict[str, Any]) -> None:
    node = held["node"]
    table = held["structures"].to_table()
    table.numbers = np.where(np.arange(len(table.numbers)) == 0, 41, table.numbers)
    other = StructureSetData.from_table(table).store()
    relax = node.called[0] if node.called[0].process_label == "RelaxWorkChain" else None
    assert relax is not None
    builder = resume_builder(relax)
    builder.structures = other
    with pytest.raises(ValueError, match=r"other crystals than the input for the ids 'a':"):
        run_get_node(builder)
    screen = screening(held | {"structures": other}, overrides={"relax": {"mode": "constrained"}})
    screen.done = what_is_done(node)
    with pytest.raises(ValueError, match=r"done.relax.* for the ids 'a':"):
        run_get_node(screen)


def test_a_column_that_the_task_reads_is_part_of_the_row(held: dict[str, Any]) -> None:
    table = held["structures"].to_table()
    table.atom_columns = {"fixed_cartesian": np.zeros((len(table.numbers), 3), bool)}
    first = held["node"].called[0]
    builder = resume_builder(first)
    builder.structures = StructureSetData.from_table(table).store()
    run_get_node(builder)  # that nothing is held is said in another way, and changes nothing
    table.atom_columns["fixed_cartesian"][2, 1] = True
    builder.structures = StructureSetData.from_table(table).store()
    builder.resumes = None
    with pytest.raises(ValueError, match="for the ids 'saddle':"):
        run_get_node(builder)


def test_of_tables_without_fingerprints_the_inputs_of_the_jobs_tell(
    held: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    results = jobs_of(held["node"])[1].outputs.results
    stored = results.fingerprints()
    monkeypatch.setattr(TableData, "fingerprints", lambda self: None)
    assert np.array_equal(Given(Task.PHONONS).of_results(results), stored)


def test_a_single_crystal_is_known_by_more_than_its_one_id(held: dict[str, Any]) -> None:
    first, other = (orm.StructureData(ase=held["structures"].get_ase(name)) for name in ("a", "c"))
    inputs = {name: held[name] for name in ("code", "model", "options")}
    _, node = run_get_node(RelaxWorkChain, structure=first, **inputs)
    builder = resume_builder(node)
    builder.structure = other
    with pytest.raises(ValueError, match="for the ids 'structure':"):
        run_get_node(builder)


def test_born_charges_reach_the_phonons_of_a_screening(held: dict[str, Any]) -> None:
    table = held["structures"].select(["a", "c"])
    table.set_column("dielectric_tensor", np.tile(np.eye(3) * 4, (2, 1, 1)))
    table.atom_columns["born_charges"] = np.tile(np.eye(3), (len(table.numbers), 1, 1))
    inputs = held | {"structures": StructureSetData.from_table(table).store()}
    _, node = run_get_node(screening(inputs, overrides=FREED))
    assert node.is_finished_ok, node.exit_message
    assert node.outputs.results.column("has_nac").tolist() == [True, True]
    assert "dielectric_tensor" in node.outputs.results.column_names
    assert "input_dielectric_tensor" not in node.outputs.results.column_names

"""The funnel as a WorkChain, with the engine that stands in: -8 eV per atom, `high*` 0.25 more, `soft*` unstable."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from ase.build import bulk

from aiida_pet.analysis.hull.reference_files import read_references
from aiida_pet.data.structures import StructureSetData
from aiida_pet.data.table import TableData
from aiida_pet.workchains.jobs import jobs_of
from aiida_pet.workchains.protocols import Protocol, ProtocolError
from aiida_pet.workchains.screening import ScreeningWorkChain
from aiida_pet.workchains.stages import check_stages, make_stages

Inputs = Callable[..., dict[str, Any]]


def tungsten(ids: list[str]) -> StructureSetData:
    """Cells of two atoms of W."""
    return StructureSetData.from_iterator((name, bulk("W", a=3.17, cubic=True)) for name in ids).store()


def screening(inputs: dict[str, Any], stages: tuple[str, ...] | None = None, **options: Any) -> Any:
    """Run a screening and return its node."""
    chosen = {} if stages is None else {"stages": stages}
    builder = ScreeningWorkChain.get_builder_from_protocol(
        inputs["code"], inputs["model"], inputs["structures"], options=inputs["options"], **chosen, **options
    )
    return run_get_node(builder)[1]


@pytest.fixture(scope="module")
def whole(module_inputs: Inputs) -> Any:
    """All stages; one row has no answer, one is unstable, one is off the hull."""
    inputs = module_inputs(1) | {"structures": tungsten(["a", "soft", "max_steps", "w", "high"])}
    node = screening(inputs, overrides={"hull": {"keep": "e_above_hull <= 0.025"}}, lanes=2, job_size=2)
    return inputs | {"node": node}


def test_rows_leave_where_and_why(whole: dict[str, Any]) -> None:
    node = whole["node"]
    assert node.is_finished_ok, node.exit_message
    results = node.outputs.results
    assert results.ids.tolist() == ["a", "soft", "max_steps", "w", "high"]
    stages = dict(zip(results.ids.tolist(), results.column("stage").tolist(), strict=True))
    reasons = dict(zip(results.ids.tolist(), results.column("reason").tolist(), strict=True))
    assert stages == {
        "a": "done",
        "soft": "phonons",
        "max_steps": "relax",
        "w": "done",
        "high": "hull",
    }
    assert reasons["soft"] == "not is_dynamically_stable (is_dynamically_stable = False)"
    assert reasons["max_steps"] == "max_steps"
    assert reasons["high"] == "not e_above_hull <= 0.025 (e_above_hull = 0.25)"


def test_summary_counts_what_came_and_went_on(whole: dict[str, Any]) -> None:
    summary = whole["node"].outputs.summary.get_dict()
    counts = {one["name"]: (one["rows_in"], one["rows_out"]) for one in summary["stages"]}
    assert counts == {
        "relax": (5, 4),
        "symmetry": (4, 4),
        "hull": (4, 3),
        "phonons": (3, 2),
        "elastic": (2, 2),
    }
    assert summary["planned"] == ["relax", "symmetry", "hull", "phonons", "elastic"]
    assert (summary["rows"], summary["passed"]) == (5, 2)
    assert summary["left_at"] == {"done": 2, "phonons": 1, "relax": 1, "hull": 1}
    assert summary["stages"][0]["jobs"] == 3
    assert all(one["wall_s"] > 0 for one in summary["stages"] if one["name"] != "symmetry")


def test_tables_of_stages_are_outputs(whole: dict[str, Any]) -> None:
    stages = whole["node"].outputs.stages
    assert {name: len(stages[name]) for name in stages} == {
        "relax": 5,
        "symmetry": 5,
        "hull": 5,
        "phonons": 3,
        "elastic": 2,
    }
    assert stages["phonons"].ids.tolist() == ["a", "soft", "w"]


def test_launched_again_it_takes_what_is_done_from_the_cache(whole: dict[str, Any]) -> None:
    again = screening(whole, overrides={"hull": {"keep": "e_above_hull <= 0.025"}}, lanes=2, job_size=2)
    assert again.is_finished_ok
    jobs = jobs_of(again)
    assert len(jobs) == len(jobs_of(whole["node"]))
    assert all(job.base.caching.is_created_from_cache for job in jobs)
    cached = {one["name"]: one["jobs_cached"] for one in again.outputs.summary["stages"] if one["jobs"]}
    assert cached == {"relax": 3, "phonons": 2, "elastic": 2}
    table, before = again.outputs.results.to_dataframe(), whole["node"].outputs.results.to_dataframe()
    assert table.equals(before)
    # and not if it is not wanted
    afresh = screening(whole, stages=("relax",), reuse=False)
    assert not any(job.base.caching.is_created_from_cache for job in jobs_of(afresh))


def test_folders_of_all_stages_are_removed_if_that_is_wanted(module_inputs: Inputs) -> None:
    inputs = module_inputs(1) | {"structures": tungsten(["clean-1", "clean-2"])}
    builder = ScreeningWorkChain.get_builder_from_protocol(
        inputs["code"],
        inputs["model"],
        inputs["structures"],
        options=inputs["options"],
        stages=("relax", "phonons"),
    )
    builder.clean_workdir = True
    _, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    remotes = [job.outputs.remote_folder for job in jobs_of(node)]
    assert [remote.is_cleaned for remote in remotes] == [True, True]
    assert not any(Path(remote.get_remote_path()).exists() for remote in remotes)


def test_rows_left_stop_nothing_and_the_next_launch_goes_on(module_inputs: Inputs) -> None:
    inputs = module_inputs(["w-1", "killer", "w-3", "w-4"])
    builder = ScreeningWorkChain.get_builder_from_protocol(
        *(inputs[name] for name in ("code", "model", "structures")),
        options=inputs["options"],
        stages=("relax", "phonons"),
        job_size=1,
    )
    builder.max_failures = orm.Int(1)
    _, first = run_get_node(builder)
    assert first.exit_status == 400
    assert f"`aiida-pet resume {first.pk}` goes on with them" in first.exit_message
    table = first.outputs.results.to_dataframe()
    left = table[table["reason"].str.startswith("left")]
    assert set(left["stage"]) == {"relax"}
    assert "killer" in left.index
    assert len(left) < 4
    assert table.drop(left.index)["passed"].all()


def test_row_that_ends_its_jobs_leaves_the_funnel_with_the_reason(module_inputs: Inputs) -> None:
    inputs = module_inputs(["w-1", "killer", "w-3", "w-4"])
    node = screening(inputs, stages=("relax", "phonons"), job_size=1)
    assert node.is_finished_ok, node.exit_message
    table = node.outputs.results.to_dataframe()
    assert table.loc["killer", "stage"] == "relax"
    assert table.loc["killer", "reason"].startswith("failed")
    assert table.drop("killer")["passed"].all()


def test_a_condition_that_names_no_column_is_refused_before_anything_runs(module_inputs: Inputs) -> None:
    inputs = module_inputs(3)
    with pytest.raises(ValueError, match=r"stage hull: keep: no column 'e_hull'.*did you mean"):
        screening(inputs, overrides={"hull": {"keep": "e_hull < 1"}})


def test_constrained_then_free_says_what_changed(module_inputs: Inputs) -> None:
    inputs = module_inputs(["w-1", "w-2", "max_steps"])
    node = screening(inputs, stages=("relax",), overrides={"relax": {"mode": "constrained_then_free"}})
    assert node.is_finished_ok, node.exit_message
    results = node.outputs.results
    assert results.column("relaxation").tolist() == ["constrained"] * 3
    assert results.column("energy_gained")[:2].tolist() == pytest.approx([0.0, 0.0], abs=1e-12)
    assert results.column("free_status").tolist() == ["converged", "converged", ""]
    assert {"constrained_spacegroup_0_01", "free_spacegroup_0_01"} <= set(results.column_names)
    held, free = (job.inputs for job in jobs_of(node))
    assert held.parameters["symmetry"] == "constrained"
    assert free.parameters["symmetry"] == "none"
    start = free.structures.to_table()
    # not from where the first one ended, but from a rattle of it
    assert 0.001 < np.abs(start.positions - results.select(start.ids).positions).max() < 0.2


@pytest.mark.parametrize(
    ("mode", "symmetry"), [("free", "none"), ("constrained", "constrained"), (None, "constrained")]
)
def test_mode_decides_the_symmetry(module_inputs: Inputs, mode: str | None, symmetry: str) -> None:
    overrides = {"relax": {"mode": mode}} if mode else None
    node = screening(module_inputs(1), stages=("relax",), overrides=overrides)
    assert jobs_of(node)[0].inputs.parameters["symmetry"] == symmetry


def test_rattle_seed_and_bar_reach_their_functions(module_inputs: Inputs) -> None:
    options = {"mode": "constrained_then_free", "rattle": 0.0, "seed": 3, "min_gain": -0.0}
    node = screening(module_inputs(2), stages=("relax",), overrides={"relax": options})
    called = {one.process_label: one for one in node.called}
    assert called["rattle_structures"].inputs.parameters.get_dict() == {
        "rattle": 0.0,
        "seed": 3,
        "cell": "full",
    }
    assert called["combine_relaxations"].inputs.parameters.get_dict() == {"min_gain": 0.0}
    moved = called["rattle_structures"].outputs.result.to_table()
    assert moved.positions == pytest.approx(node.inputs.structures.to_table().positions)


def test_symmetry_tolerance_and_condition(module_inputs: Inputs) -> None:
    overrides = {"symmetry": {"symprec": 0.1, "keep": "crystal_system == cubic and n_elements == 1"}}
    node = screening(module_inputs(4), stages=("relax", "symmetry"), overrides=overrides)
    # W with Nb, Mo, Ta and W: B2, B2, B2, and bcc
    table = node.outputs.results.to_dataframe()
    assert table["spacegroup"].tolist() == [221, 221, 221, 229]
    assert table["passed"].tolist() == [False, False, False, True]
    assert table["reason"].iloc[0] == "not n_elements == 1 (n_elements = 2)"


def test_references_compete(module_inputs: Inputs) -> None:
    inputs = module_inputs(1) | {"structures": tungsten(["high-0", "high-1"])}
    node = screening(inputs, stages=("relax", "hull"), reference_structures=tungsten(["w", "high-2"]))
    assert node.is_finished_ok, node.exit_message
    found = node.outputs.results.column("e_above_hull").tolist()
    assert found[0] == pytest.approx(0.25)
    [hull] = [one for one in node.called if one.process_label == "HullWorkChain"]
    finished = hull.outputs.relaxed_references
    given = screening(inputs, stages=("relax", "hull"), references={"phases": finished})
    assert given.outputs.results.column("e_above_hull").tolist() == pytest.approx(found)
    alone = screening(inputs, stages=("relax", "hull"))
    assert alone.outputs.results.column("e_above_hull")[0] == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ({"hull": {"level_of_theory": "r2SCAN"}}, "structures is r2SCAN.* but phases is PBE"),
        ({"relax": {"parameters": {"pressure": 60.0}}}, "have enthalpies at 60 GPa, but 1 of 1 references"),
    ],
)
def test_references_that_cannot_compete_are_refused_before_the_relaxation(
    module_inputs: Inputs, tmp_path: Path, overrides: dict[str, Any], told: str
) -> None:
    """Not after all rows are relaxed."""
    path = tmp_path / "phases.json"
    path.write_text(json.dumps([{"composition": {"W": 1}, "energy": -8.0, "entry_id": "w"}]))
    phases = TableData.from_table(read_references(path, level_of_theory="PBE").to_table()).store()
    with pytest.raises(ValueError, match=told):
        screening(
            module_inputs(1), stages=("relax", "hull"), overrides=overrides, references={"phases": phases}
        )


def test_references_are_freed_as_the_set_is(module_inputs: Inputs) -> None:
    inputs = module_inputs(1) | {"structures": tungsten(["high-3"])}
    options = {"mode": "constrained_then_free", "rattle": 0.02, "seed": 5}
    node = screening(
        inputs,
        stages=("relax", "hull"),
        overrides={"relax": options},
        reference_structures=tungsten(["w-3", "high-4"]),
    )
    assert node.is_finished_ok, node.exit_message
    hull = next(one for one in node.called if one.process_label == "HullWorkChain")
    assert hull.inputs.free["rattle"] == 0.02
    assert hull.inputs.free["seed"] == 5
    symmetries = [job.inputs.parameters["symmetry"] for job in jobs_of(hull)]
    assert sorted(symmetries) == ["constrained", "none"]
    assert "relaxation" in hull.outputs.relaxed_references.column_names
    assert node.outputs.results.column("e_above_hull").tolist() == pytest.approx([0.25])


def test_hull_without_relaxation_takes_the_energies_of_the_set(whole: dict[str, Any]) -> None:
    inputs = whole | {"structures": whole["node"].outputs.stages.relax}
    node = screening(inputs, stages=("hull",))
    assert node.is_finished_ok, node.exit_message
    assert node.outputs.results.column("e_above_hull")[4] == pytest.approx(0.25)
    with pytest.raises(ValueError, match="needs a column `energy`"):
        screening(whole, stages=("hull",))


def test_stage_that_fails_is_named(module_inputs: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    node = screening(module_inputs(2, STAND_IN_FAIL="BAD_DEVICE"), stages=("relax", "phonons"))
    assert node.exit_status in (400, 410)
    assert "relax" in node.exit_message


@pytest.mark.parametrize(
    ("stages", "overrides", "message"),
    [
        (("relax", "melt"), None, "unknown stages: melt"),
        ((), None, "expected some of relax, symmetry"),
        (("relax",), {"hull": {"keep": None}}, "options are given for hull"),
        (("relax",), {"relax": {"mod": "free"}}, "mod: unknown; known are mode, rattle"),
        (
            ("relax",),
            {"relax": {"mode": "held"}},
            "mode = 'held': expected free, constrained or constrained_then_free",
        ),
        (("relax",), {"relax": {"rattle": -1}}, "rattle = -1 A"),
        (("relax",), {"relax": {"seed": 1.5}}, "seed = 1.5"),
        (("relax",), {"relax": {"min_gain": "x"}}, "min_gain = 'x' eV/atom"),
        (("symmetry",), {"symmetry": {"symprec": 0}}, "symprec = 0 A: expected a number > 0 and < 10"),
        (("hull",), {"hull": {"hull": "some"}}, "hull = 'some'"),
        (("hull",), {"hull": {"keep": 3}}, "keep = 3: expected a condition"),
        (("hull",), {"hull": {"keep": "e_above_hull <"}}, "cannot read"),
        (
            ("phonons",),
            {"phonons": {"resources": {"memory": "64GB"}}},
            "stage phonons: resources: the jobs of all stages",
        ),
        (
            ("relax",),
            {"relax": {"options": {}, "settings": {}}},
            "settings, options: .* Choose options that are enough",
        ),
    ],
)
def test_stages_that_cannot_be_are_refused(
    stages: tuple[str, ...], overrides: dict[str, Any] | None, message: str
) -> None:
    with pytest.raises(ProtocolError, match=message):
        make_stages(stages, None, overrides)


def test_protocol_that_sets_more_than_parameters_is_refused_and_not_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parameters = make_stages(("relax",))["relax"]["parameters"]
    asking = Protocol(parameters, resources={"gpus": 1}, max_failures=3)
    monkeypatch.setattr("aiida_pet.workchains.stages.protocol_inputs", lambda *_: asking)
    with pytest.raises(
        ProtocolError, match="stage relax: protocol 'fast': resources, max_failures: the jobs of all stages"
    ):
        make_stages(("relax",), "fast")


def test_protocols_differ_and_unknown_ones_are_named() -> None:
    fast, precise = (make_stages(("phonons",), name)["phonons"]["parameters"] for name in ("fast", "precise"))
    assert fast["min_image"] < precise["min_image"]
    mixed = make_stages(("relax", "phonons"), "precise", {"phonons": {"protocol": "fast"}})
    assert mixed["phonons"]["parameters"] == fast
    assert mixed["relax"]["parameters"]["fmax"] == 1e-4
    with pytest.raises(ProtocolError, match="no protocol 'best' for phonons"):
        make_stages(("phonons",), None, {"phonons": {"protocol": "best"}})
    with pytest.raises(ProtocolError, match=r"protocol: unknown"):
        make_stages(("hull",), None, {"hull": {"protocol": "fast"}})
    with pytest.raises(ProtocolError, match="no protocol 'best' of a screening: there are fast, moderate"):
        make_stages(("relax",), "best")


def test_conditions_may_use_columns_of_the_set_and_of_all_stages_before() -> None:
    stages = make_stages(overrides={"elastic": {"keep": "series == 'even' and e_above_hull < 1"}})
    assert check_stages(stages, ["series"]) is None
    assert "no column 'series'" in str(check_stages(stages, ["other"]))
    early = make_stages(("relax", "hull"), overrides={"relax": {"keep": "e_above_hull < 1"}})
    assert "no column 'e_above_hull'" in str(check_stages(early, []))


@pytest.mark.parametrize(
    ("stage", "keep"),
    [
        ("eos", "eos_bulk_modulus > 100 and warnings == ''"),
        ("qha", "thermal_expansion_300 < 20 and n_unstable_volumes == 0"),
        ("conductivity", "kappa_300 < 2 and not has_imaginary_modes"),
    ],
)
def test_heat_and_volumes_are_stages_that_a_screening_has_if_it_names_them(stage: str, keep: str) -> None:
    assert stage not in make_stages()
    planned = make_stages(["phonons", stage, "relax"], overrides={stage: {"keep": keep}})
    assert list(planned) == ["relax", "phonons", stage]
    assert planned[stage]["parameters"]["fmax"] == 1e-4
    assert make_stages([stage], "precise")[stage]["parameters"] != planned[stage]["parameters"]
    assert check_stages(planned, []) is None
    wrong = check_stages({stage: {"keep": "kapa_300 < 2"}}, [])
    assert wrong is not None
    assert "kapa_300" in wrong
    # and the columns of a stage that comes later are not there yet
    early = check_stages({"relax": {"keep": keep}, stage: {}}, [])
    assert early is not None
    assert "stage relax" in early

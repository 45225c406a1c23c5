"""The library of campaigns from a script: what it says is what the outputs of the WorkChains say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.manage.configuration import get_config

from aiida_pet import campaigns
from aiida_pet.campaigns import compare, errors, find, metrics, resume, rows, sheet, status, trace
from aiida_pet.campaigns.launches import campaigns_with_results
from aiida_pet.campaigns.nodes import load
from aiida_pet.campaigns.plans import Plan, Site, refused_rows, unsupported_elements
from aiida_pet.campaigns.stopping import stop
from aiida_pet.workchains.jobs import jobs_of
from aiida_pet.workchains.relax import RelaxWorkChain

IDS = ["lib-a", "lib-b", "max_steps-lib", "lib-d"]
SCRIPT = """
import json, sys
import aiida.engine, aiida.orm
from aiida import load_profile
load_profile(sys.argv[1])  # AiiDA imports click itself, for its log
sys.modules["click"] = None
from aiida_pet.campaigns import compare, find, metrics, rows, sheet, status, trace
first, second = int(sys.argv[2]), sys.argv[3]
frame = rows(first).frame(where="status == converged", columns=["energy", "n_atoms"], sort="-energy")
crystal = sheet(first, "lib-b")
found = compare(first, second, columns=["energy"])
print(json.dumps({
    "rows": frame.reset_index().to_dict("list"),
    "units": frame.attrs["units"],
    "sheet": {"energy": crystal["energy"], "volume": crystal.geometry.volume, "symbols": crystal.geometry.symbols},
    "status": status(first).to_dict(),
    "find": find(ids=["lib-d"], campaigns=[first, second])[["campaign", "id", "energy"]].values.tolist(),
    "compare": [found.n_common, found.n_answered, found.differences[0].max_abs, list(found.settings)],
    "metrics": metrics(first, second, pairs=["energy"])["energy/MAE"],
    "trace": [step.role for step in trace(first, "lib-b")],
    "cli": [name for name in sys.modules if name.startswith("aiida_pet.cli")],
}))
"""


@pytest.fixture(scope="module")
def launches(module_inputs: Callable[..., dict[str, Any]]) -> tuple[Any, Any]:
    """The same four crystals relaxed twice, to two thresholds."""
    inputs = module_inputs(IDS)
    made = []
    for fmax in (0.05, 0.01):
        own = inputs | {"parameters": {"fmax": fmax}, "metadata": {"label": f"library {fmax}"}}
        made.append(run_get_node(RelaxWorkChain, lanes=2, **own)[1])
    return made[0], made[1]


def test_script_without_click_reads_what_the_workchains_wrote(launches: tuple[Any, Any]) -> None:
    first, second = launches
    path = {**os.environ, "AIIDA_PATH": str(Path(get_config().dirpath).parent)}
    arguments = [sys.executable, "-W", "ignore", "-c", SCRIPT, get_config().default_profile_name]
    done = subprocess.run(
        [*arguments, str(first.pk), second.uuid], capture_output=True, text=True, check=False, env=path
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    results = first.outputs.results.to_dataframe()
    converged = results[results["status"] == "converged"].sort_values("energy", ascending=False)
    assert told["rows"] == converged[["energy", "n_atoms"]].reset_index().to_dict("list")
    assert told["units"] == {"energy": first.outputs.results.unit("energy")}
    atoms = first.outputs.results.get_ase("lib-b")
    assert told["sheet"] == {
        "energy": results.loc["lib-b", "energy"],
        "volume": pytest.approx(atoms.get_volume()),
        "symbols": atoms.get_chemical_symbols(),
    }
    assert (told["status"]["rows_done"], told["status"]["rows_left"]) == (4, 0)
    assert told["status"]["statuses"] == results["status"].value_counts().to_dict()
    assert sorted(job["pk"] for job in told["status"]["jobs"]) == [job.pk for job in jobs_of(first)]
    energies = [node.outputs.results.to_dataframe()["energy"] for node in launches]
    assert told["find"] == [
        [node.pk, "lib-d", values["lib-d"]]
        for node, values in zip(launches[::-1], energies[::-1], strict=True)
    ]
    change = (energies[1] - energies[0])[results["status"] == "converged"]
    assert told["compare"] == [4, 3, pytest.approx(change.abs().max()), ["parameters.fmax"]]
    assert told["metrics"] == pytest.approx((energies[1] - energies[0]).abs().mean())
    assert told["trace"][0] == "result"
    assert "job" in told["trace"]
    assert told["cli"] == []


def test_package_waits_for_nothing_before_it_is_used() -> None:
    code = (
        "import sys; import aiida_pet.campaigns as c; c.CampaignError\n"
        "heavy = {'aiida', 'numpy', 'pandas', 'click', 'ase', 'torch'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_module_hides_a_function_of_its_name() -> None:
    modules = {path.stem for path in Path(campaigns.__file__).parent.glob("*.py")}
    assert not modules & set(campaigns.__all__)
    assert sorted(campaigns._HOMES) == sorted(campaigns.__all__)
    assert all(callable(getattr(campaigns, name)) for name in campaigns.__all__)


def test_launch_is_named_by_pk_uuid_label_or_node(launches: tuple[Any, Any], pet_model: Any) -> None:
    node = launches[0]
    for named in (node.pk, str(node.pk), node.uuid, node.uuid[:20], node.label, node):
        assert load(named).pk == node.pk
        assert rows(named).pk == node.pk
    with pytest.raises(errors.NoSuchNodeError, match="no node with pk, label or uuid 'nobody'"):
        rows("nobody")
    with pytest.raises(
        errors.WrongNodeError, match=r"is a PetModelData, expected a TableData or ProcessNode"
    ):
        rows(pet_model)
    with pytest.raises(errors.WrongNodeError, match="expected a ProcessNode"):
        status(node.outputs.results)


def test_rows_read_columns_that_are_asked_for(launches: tuple[Any, Any]) -> None:
    node = launches[0]
    found = rows(node)
    assert rows(found) is found
    assert (len(found), found.is_complete, found.ids) == (4, True, node.outputs.results.ids.tolist())
    whole = found.frame()
    pd.testing.assert_frame_equal(whole, node.outputs.results.to_dataframe())
    assert whole.attrs["units"]["energy"] == "eV"
    assert found.frame(columns=["id", "energy"], limit=2).shape == (2, 1)
    table = found.to_table("status != converged")
    assert table.ids.tolist() == ["max_steps-lib"]
    assert found.table_at(np.array([1]), ["energy"]).columns.keys() == {"energy"}
    with pytest.raises(errors.NoSuchColumnError, match="did you mean energy"):
        found.frame(columns=["enrgy"])
    with pytest.raises(errors.NoSuchColumnError) as caught:
        found.frame(sort="enrgy")
    assert caught.value.argument == "sort"


def test_rows_of_a_launch_that_has_none_yet_say_so() -> None:
    node = orm.WorkChainNode()
    node.set_process_state("created")
    node.store()
    with pytest.raises(errors.NoRowsError, match="is created and has no results yet") as caught:
        rows(node)
    assert caught.value.pk == node.pk


def test_row_that_is_not_there_is_told_with_the_closest(launches: tuple[Any, Any]) -> None:
    with pytest.raises(errors.NoSuchRowError, match="closest are lib-b") as caught:
        sheet(launches[0], "lib-bb")
    assert isinstance(caught.value, KeyError)
    assert not str(caught.value).startswith("'")
    with pytest.raises(errors.NoSuchRowError):
        trace(launches[0], "lib-bb")


def test_sheet_has_every_scalar_of_the_row(launches: tuple[Any, Any]) -> None:
    node = launches[0]
    found = sheet(node, "lib-a")
    for name, value in node.outputs.results.row("lib-a").items():
        if isinstance(value, str | int | float) and name != "id" and value == value:  # noqa: PLR0124 - NaN
            assert found[name] == value
    assert found.to_dict()["structure"]["n_atoms"] == 2
    with pytest.raises(KeyError, match="no value 'nothing' of lib-a"):
        found["nothing"]


def test_references_may_be_a_data_frame(launches: tuple[Any, Any]) -> None:
    energies = launches[0].outputs.results.to_dataframe()[["energy"]]
    reference = (energies + 0.5).rename(columns={"energy": "energy_dft"}).iloc[:3]
    found = metrics(launches[0], reference, pairs={"energy": "energy_dft"})
    assert found["energy/MAE"] == pytest.approx(0.5)
    assert (found.n_rows, found.n_compared, found.without_reference) == (4, 3, ["lib-d"])
    reference.attrs["units"] = {"energy_dft": "meV"}
    with pytest.raises(errors.ComparisonError, match="energy of the results is in eV, energy_dft"):
        metrics(launches[0], reference, pairs={"energy": "energy_dft"})
    with pytest.raises(errors.NothingToCompareError):
        metrics(launches[0], reference)


def test_what_ended_well_is_not_taken_up(launches: tuple[Any, Any]) -> None:
    with pytest.raises(errors.NothingLeftError, match=r"nothing is left to do$"):
        resume(launches[0])


def test_launch_is_taken_up_from_a_script_with_what_is_other_than_before(
    module_inputs: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    with monkeypatch.context() as patched:  # stopped after its first job
        patched.setattr(
            "aiida_pet.workchains.lane.is_stop_requested", lambda node: asked.append(node) or len(asked) > 1
        )
        first = run_get_node(RelaxWorkChain, **module_inputs(["up-1", "up-2", "up-3"]), job_size=1)[1]
    assert not first.is_finished_ok
    n_done = int((first.outputs.results.column("status") == "converged").sum())
    assert n_done == 1
    found = resume(first, lanes=2, settings={"flush_interval_s": 3})
    assert (found.pk, found.rows_done, found.computed_again) == (first.pk, n_done, [])
    builder: Any = found.builder
    assert (builder.lanes.value, dict(builder.settings)["flush_interval_s"]) == (2, 3)
    second = run_get_node(builder)[1]
    assert second.is_finished_ok, second.exit_message
    assert rows(second).frame(where="status == converged").index.tolist() == ["up-1", "up-2", "up-3"]
    with pytest.raises(
        errors.TakenUpError, match=f"was resumed by launch <{second.pk}>, which ended well"
    ) as caught:
        resume(first)
    assert (caught.value.by, caught.value.is_finished_ok) == (second.pk, True)
    with pytest.raises(errors.HasEndedError, match="has ended already"):
        stop(first)


def test_launch_is_planned_from_a_script(launches: tuple[Any, Any]) -> None:
    code, model, structures = (launches[0].inputs[name] for name in ("code", "model", "structures"))
    site = Site.of(code, model, lanes=2, job_size=1, settings={"threads": 1})
    plan = Plan.of("relax", structures, site, parameters={"fmax": 0.007}, where="id in ['lib-a', 'lib-d']")
    assert (plan.ids, plan.parameters["fmax"]) == (["lib-a", "lib-d"], 0.007)
    assert plan.table().ids.tolist() == ["lib-a", "lib-d"]
    assert site.estimate("relax", plan.table().n_atoms).jobs == 2
    builder: Any = plan.builder()
    assert (builder.lanes.value, builder.job_size.value) == (2, 1)
    assert builder.rows.ids.tolist() == plan.ids
    assert builder.parameters["fmax"] == 0.007
    assert unsupported_elements(plan.table(), model) == []
    assert refused_rows("relax", plan.table(), plan.parameters) == {}
    with pytest.raises(errors.NoRowsChosenError, match="none of the 4 crystals fulfils 'n_atoms > 99'"):
        Plan.of("relax", structures, site, where="n_atoms > 99")


def test_launches_with_results_are_known_without_reading_them(launches: tuple[Any, Any]) -> None:
    found = {one.pk: one for one in campaigns_with_results()}
    for node in launches:
        assert found[node.pk].label == node.label
        assert found[node.pk].table == node.outputs.results.pk
        assert [model.sha256 for model in found[node.pk].models] == [node.inputs.model.sha256]


def test_two_launches_of_other_crystals_are_not_compared(
    launches: tuple[Any, Any], make_structures: Callable[..., Any]
) -> None:
    with pytest.raises(errors.ComparisonError, match="the two share no id"):
        compare(launches[0], make_structures(["elsewhere"]))
    found = find(ids=["lib-a"], campaigns=list(launches))
    assert found.attrs["units"]["energy"] == "eV"
    assert find(ids=["lib-a"], campaigns=list(launches), limit=1)["campaign"].tolist() == [launches[1].pk]


def test_errors_are_of_one_family_and_name_no_option() -> None:
    for name in dir(errors):
        kind = getattr(errors, name)
        if isinstance(kind, type) and issubclass(kind, Exception):
            assert issubclass(kind, errors.CampaignError), name
    assert "--" not in str(errors.NothingLeftError(1, 2))
    assert "--" not in str(errors.SetByHandError(["gpus"]))

"""Trainings through AiiDA with the real metatrain: two thousand weights on two dozen cells, a few epochs."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from aiida.engine import run_get_node
from ase.build import bulk

from aiida_pet.data.structures import StructureSetData
from aiida_pet.training.parameters import Mode
from support.labelled_crystals import TINY, labelled
from support.small_model import small_model_node

EPOCHS = 240  # a job takes about as long to start as for forty of them

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def site(module_inputs: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """Code and settings of the real engine."""
    from aiida import orm

    for module in ("torch", "metatrain"):
        pytest.importorskip(module, reason="needs the extra `engine`")
    code = orm.InstalledCode(
        label="pet-engine",
        computer=module_inputs(1)["code"].computer,
        filepath_executable=str(Path(sys.executable).parent / "pet-engine"),
    ).store()
    return {"code": code, "settings": {"threads": 1, "device": "cpu"}}


@pytest.fixture(scope="module")
def training_set(site: dict[str, Any]) -> StructureSetData:
    """Two dozen labelled cells."""
    return StructureSetData.from_table(labelled()).store()


def with_walltime_of(node: Any, site: dict[str, Any]) -> dict[str, Any]:
    """Return `site` with a walltime in which a job can start, and train some dozens of epochs at most."""
    [job] = [one for one in jobs_below(node) if one.inputs.stage.value == "conservative"]
    walltime = 1.4 * job.outputs.summary["engine_s"]
    return site | {"settings": site["settings"] | {"walltime_s": walltime, "walltime_margin_s": 1.0}}


def launch(
    site: dict[str, Any], structures: Any, mode: str, parameters: dict[str, Any], **inputs: Any
) -> Any:
    """Run a training to its end, and return its node."""
    from aiida_pet.workchains.train import TrainWorkChain

    builder = TrainWorkChain.get_builder_from_protocol(
        structures=structures, mode=mode, overrides={"parameters": TINY | parameters}, **site, **inputs
    )
    return run_get_node(builder)[1]


def jobs_below(node: Any) -> list[Any]:
    """Return the jobs of a training, oldest first."""
    found = [one for one in node.called_descendants if one.process_label == "TrainCalculation"]
    return sorted(found, key=lambda one: one.pk)


@pytest.fixture(scope="module")
def scratch(site: dict[str, Any], training_set: StructureSetData) -> Any:
    """A model from scratch in its two stages, and its calibration."""
    options = {"calibrate": True, "level_of_theory": "EMT", "licence": "CC0-1.0", "name": "tiny-emt"}
    node = launch(site, training_set, Mode.SCRATCH, options)
    assert node.is_finished_ok, node.exit_message
    return node


def test_training_from_scratch_makes_a_model_with_heads_and_uncertainty(scratch: Any) -> None:
    model = scratch.outputs.model
    assert model.name == "tiny-emt"
    assert model.outputs == [
        "energy",
        "energy_uncertainty",
        "non_conservative_force",
        "non_conservative_stress",
    ]
    assert model.elements == [29, 79]
    assert model.base.attributes.get("licence") == "CC0-1.0"
    assert model.base.attributes.get("level_of_theory") == "EMT"
    assert [job.inputs.stage.value for job in jobs_below(scratch)] == ["direct", "conservative", "calibrate"]


def test_model_says_what_it_was_trained_on_and_when_it_is_unsure(scratch: Any) -> None:
    from aiida_pet.job.checkpoint import load_checkpoint, trained_pairs, uncertainty_limit

    model = scratch.outputs.model
    with model.as_path() as path:
        checkpoint = load_checkpoint(path, model.sha256)
    assert trained_pairs(checkpoint) == {(29, 29), (29, 79), (79, 79)}
    assert 0 < uncertainty_limit(checkpoint) < 10


def test_rows_of_a_crystal_are_on_one_side(scratch: Any, training_set: StructureSetData) -> None:
    rows = scratch.outputs.rows.to_dataframe()
    base = dict(zip(training_set.ids.tolist(), training_set.column("base").tolist(), strict=True))
    sides = rows.groupby(rows["row"].map(base))["split"].nunique()
    assert (sides == 1).all()
    assert set(rows["split"]) == {"training", "validation", "test"}


def test_learning_curve_has_an_epoch_per_row_and_errors_are_by_kind_and_element(scratch: Any) -> None:
    curve = scratch.outputs.learning_curve.conservative
    assert curve.column("epoch").tolist() == [0, 1]
    assert curve.unit("validation_forces_mae") == "eV/A"
    errors = scratch.outputs.errors.conservative.to_dataframe()
    assert {"all", "Cu", "Au", "kind alloy", "kind element"} == set(errors["part"])
    whole = errors[errors["part"] == "all"].iloc[0]
    parts = errors[errors["part"].str.startswith("kind")]
    assert whole["n_rows"] == parts["n_rows"].sum()
    mean = np.average(parts["energy_mae"], weights=parts["n_rows"])
    assert abs(mean - whole["energy_mae"]) < 1e-9
    assert {"before_energy_mae", "direct_forces_mae", "stress_rmse"} <= set(errors.columns)
    assert "z_scale" in scratch.outputs.errors.calibrate.to_dataframe().columns


# -- fine-tuning, killed and stopped ------------------------------------------------------


def processes_in(folder: Path, word: str) -> list[psutil.Process]:
    """Return the processes that work in ``folder`` or below and have ``word`` in their command."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if Path(process.cwd()).is_relative_to(folder) and word in " ".join(process.cmdline()):
                found.append(process)
    return found


def kill_once(folder: Path) -> None:
    """Kill the engine of the next training in `folder`, without warning, once it has a checkpoint."""
    seen = {path.parent for path in folder.rglob("outputs/2*/*/model_*.ckpt")}  # of other trainings
    deadline = time.time() + 500
    while time.time() < deadline:
        fresh = {path.parent for path in folder.rglob("outputs/2*/*/model_*.ckpt")} - seen
        victims = processes_in(folder, "pet-engine") if fresh else []
        if victims:
            for victim in victims:
                victim.kill()
            return
        time.sleep(0.05)


def launch_and_kill(site: dict[str, Any], *arguments: Any, **inputs: Any) -> Any:
    """Run a training to its end, whose first job is killed, and return its node."""
    work = Path(site["code"].computer.get_workdir())
    thread = threading.Thread(target=kill_once, args=(work,), daemon=True)
    thread.start()
    node = launch(site, *arguments, **inputs)
    thread.join(1)
    assert not thread.is_alive()
    assert node.is_finished_ok, node.exit_message
    return node


def assert_it_was_killed_and_stopped_by_walltime(node: Any, epochs: int) -> None:
    """The first job was killed, those after it left by their walltime, and each went on where the one before ended."""
    jobs = [one for one in jobs_below(node) if one.inputs.stage.value == "conservative"]
    killed, *stopped, last = jobs
    assert killed.exit_status == 400
    assert "was killed" in killed.exit_message
    assert stopped
    for job in stopped:
        assert job.exit_status == 400
        assert "walltime: " in job.exit_message
    assert last.exit_status == 0
    done = [job.outputs.summary["rows_done"] for job in jobs]
    assert done == sorted(set(done))
    assert done[-1] == epochs
    for before, after in pairwise(jobs):
        assert after.inputs.remote_state.uuid == before.outputs.remote_folder.uuid


@pytest.fixture(scope="module")
def tuned(site: dict[str, Any], training_set: StructureSetData, scratch: Any) -> Any:
    """A fine-tuning of the calibrated model whose first job was killed and whose next ones had too little time."""
    return launch_and_kill(
        with_walltime_of(scratch, site),
        training_set,
        Mode.FINETUNE,
        {"epochs": EPOCHS, "learning_rate": 1e-3, "patience": None},
        model=scratch.outputs.model,
        old=StructureSetData.from_table(labelled(6, seed=3)).store(),
    )


def test_fine_tuning_goes_on_after_jobs_that_were_killed_and_ended(tuned: Any) -> None:
    assert_it_was_killed_and_stopped_by_walltime(tuned, EPOCHS)
    epochs = tuned.outputs.learning_curve.conservative.column("epoch").tolist()
    assert epochs == sorted(set(epochs))
    # the figures of an epoch are lost with a job that is killed, not its weights
    assert EPOCHS - len(epochs) <= 2
    assert epochs[-1] == EPOCHS - 1


def test_fine_tuning_ends_calibrated_again_and_says_what_it_forgot(tuned: Any, scratch: Any) -> None:
    assert [job.inputs.stage.value for job in jobs_below(tuned)][-2:] == ["conservative", "calibrate"]
    assert "energy_uncertainty" in tuned.outputs.model.outputs
    assert "non_conservative_force" in tuned.outputs.model.outputs
    errors = tuned.outputs.errors.conservative.to_dataframe().set_index("set")
    old = errors.loc["old"].iloc[0]
    assert np.isfinite([old["energy_mae"], old["before_energy_mae"]]).all()
    assert old["energy_mae"] != old["before_energy_mae"]
    for name in ("licence", "level_of_theory"):
        inherited = [node.outputs.model.base.attributes.get(name) for node in (tuned, scratch)]
        assert inherited[0] == inherited[1]


# -- distillation, and the way back ------------------------------------------------------


@pytest.fixture(scope="module")
def teacher(site: dict[str, Any]) -> Any:
    return small_model_node()


@pytest.fixture(scope="module")
def distilled(site: dict[str, Any], teacher: Any, scratch: Any) -> Any:
    """A student whose training was killed and stopped, like the fine-tuning."""
    crystals = {}
    for i in range(12):
        cell = bulk("W", "bcc", a=3.16 * (1 + 0.004 * (i % 5)), cubic=True)
        cell.numbers[1] = (42, 74)[i % 2]
        cell.rattle(0.02, seed=i)
        crystals[f"alloy-{i:02d}"] = cell
    structures = StructureSetData(crystals).store()
    options = {
        "group": None,
        "report_by": None,
        "cutoff": 4.5,
        "epochs_direct": 0,
        "epochs": EPOCHS,
        "patience": None,
    }
    return launch_and_kill(
        with_walltime_of(scratch, site), structures, Mode.DISTILL, options, teacher=teacher
    )


def test_distillation_goes_on_after_jobs_that_were_killed_and_ended(distilled: Any) -> None:
    assert_it_was_killed_and_stopped_by_walltime(distilled, EPOCHS)


def test_student_learns_labels_of_its_teacher_and_inherits_licence_and_level(
    distilled: Any, teacher: Any
) -> None:
    labelled_set = distilled.outputs.labelled
    label = next(one for one in distilled.called if one.process_label == "BatchWorkChain")
    np.testing.assert_array_equal(labelled_set.column("input_energy"), label.outputs.results.column("energy"))
    model = distilled.outputs.model
    assert model.base.attributes.get("licence") == teacher.base.attributes.get("licence")
    assert model.base.attributes.get("level_of_theory") == teacher.base.attributes.get("level_of_theory")
    assert model.elements == [42, 74]
    assert model.base.attributes.get("n_parameters") < 5000


def test_trace_walks_from_a_relaxed_row_to_the_data_of_its_model(
    distilled: Any, site: dict[str, Any], teacher: Any
) -> None:
    from aiida_pet.campaigns import trace
    from aiida_pet.workchains.relax import RelaxWorkChain

    crystal = StructureSetData({"one": bulk("W", "bcc", a=3.17)}).store()
    builder = RelaxWorkChain.get_builder_from_protocol(
        site["code"],
        distilled.outputs.model,
        crystal,
        settings=site["settings"],
        overrides={"parameters": {"max_steps": 1}},
    )
    _, node = run_get_node(builder)
    steps = trace(node, "one")
    roles = [step.role for step in steps]
    nodes = [step.node.pk for step in steps]
    assert roles.count("training job") == 1
    assert distilled.outputs.labelled.pk in nodes
    assert teacher.pk in nodes
    assert distilled.inputs.structures.pk in nodes
    assert nodes.index(distilled.outputs.model.pk) < nodes.index(distilled.outputs.labelled.pk)


# -- the command line ------------------------------------------------------


def command(*arguments: Any, status: int = 0) -> str:
    from click.testing import CliRunner

    from aiida_pet.cli import main

    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == status, result.output
    return result.output


def test_status_and_results_of_a_training_tell_epochs_and_errors(tuned: Any) -> None:
    told = command("status", tuned.pk)
    assert "finetune finished [0]" in told
    assert "conservative  done" in " ".join(told.split()).replace("conservative done", "conservative  done")
    assert f"{EPOCHS}/{EPOCHS}" in told
    assert "meV/atom" in told
    document = json.loads(command("status", tuned.pk, "--json"))
    assert [stage["epochs_done"] for stage in document["stages"]] == [EPOCHS, 1]
    assert "energy_mae" in command("results", tuned.pk, "--format", "csv")


def test_list_counts_no_rows_of_a_training_and_trace_tells_what_a_row_was_used_for(scratch: Any) -> None:
    from aiida_pet.campaigns import trace
    from aiida_pet.campaigns.listing import launches

    line = next(one for one in launches() if one.pk == scratch.pk)
    assert (line.rows_done, line.rows) == (None, None)
    row = str(scratch.outputs.rows.ids[0])
    steps = trace(scratch, row)
    assert steps[0].row["split"] in ("training", "validation", "test")
    told = {step.role: step.node.uuid for step in steps}
    assert told["training set"] == scratch.inputs.structures.uuid


def test_model_that_was_trained_is_exported_with_what_made_it(tuned: Any, tmp_path: Path) -> None:
    target = tmp_path / "tuned.ckpt"
    command("model", "export", tuned.pk, "-o", target)
    card = json.loads(target.with_suffix(".json").read_text())
    assert card["sha256"] == hashlib.sha256(target.read_bytes()).hexdigest()
    assert [one["stage"] for one in card["trained_by"]] == [
        "calibrate", "conservative", "calibrate", "conservative", "direct"
    ]  # fmt: skip
    assert "exists already" in command("model", "export", tuned.outputs.model.pk, "-o", target, status=1)
    command("model", "export", tuned.outputs.model.pk, "-o", tmp_path / "tuned.pt")
    from metatomic.torch import load_atomistic_model

    outputs = load_atomistic_model(str(tmp_path / "tuned.pt")).capabilities().outputs
    assert "energy" in outputs


def test_dry_run_tells_rows_units_sign_and_cost(
    training_set: Any, scratch: Any, site: dict[str, Any]
) -> None:
    new_model = ("architecture", "cutoff", "neighbors", "epochs_direct")  # no effect in a fine-tuning
    options = [f"--set={name}={json.dumps(value)}" for name, value in TINY.items() if name not in new_model]
    arguments = ["launch", "train", training_set.pk, "--code", site["code"].pk, *options, "--dry-run"]
    model = ["--model", scratch.outputs.model.pk]
    told = command("launch", "finetune", training_set.pk, *model, *arguments[3:])
    assert "training 12, validation 6, test 6" in told
    assert "stress from input_stress (eV/A^3, tension positive)" in told
    assert "energies change " in told
    assert "nothing was started" in told
    document = json.loads(command("launch", "finetune", training_set.pk, *model, *arguments[3:], "--json"))
    assert document["stages"] == ["conservative", "calibrate"]
    assert document["core_s"]["conservative"] > 0
    bad = command("launch", "finetune", training_set.pk, *model, *arguments[3:], "--set=epochz=3", status=1)
    assert "epochz: unknown" in bad


# -- without a training -------------------------------------------------------


def test_a_launch_that_resumes_one_takes_over_the_stages_that_are_done(
    tuned: Any, generate_workchain: Callable[..., Any]
) -> None:
    from aiida_pet.campaigns.training import resume_training
    from aiida_pet.workchains.train import TrainWorkChain

    told = command("resume", tuned.pk, "--dry-run", status=1)
    assert f"has ended well: its model is <{tuned.outputs.model.pk}>" in told or "nothing is left" in told
    builder = resume_training(tuned)
    assert builder.resumes == tuned.uuid
    assert builder.parameters.get_dict() == tuned.inputs.parameters.get_dict()
    process = generate_workchain(TrainWorkChain, dict(builder))
    assert process.setup() is None
    assert process.ctx.stages == []
    assert process.ctx.model.uuid == tuned.outputs.model.uuid
    assert process.has_stages() is False


@pytest.mark.parametrize(
    ("mode", "changes", "told"),
    [
        ("finetune", {}, "mode finetune needs a model"),
        ("distill", {}, "mode distill needs a teacher"),
        ("scratch", {"method": "lora"}, "method lora needs a fine-tuning"),
        ("scratch", {"min_rows": 100}, "12 rows to train on, expected 100 or more"),
        ("scratch", {"max_force": 1e-6}, "0 rows to train on"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_starts(
    site: dict[str, Any], training_set: StructureSetData, mode: str, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        launch(site, training_set, mode, changes)


def test_protocols_are_those_of_other_tasks_and_grow() -> None:
    from aiida_pet.workchains.protocols.train import training_inputs
    from aiida_pet.workchains.train import TrainWorkChain

    names = list(TrainWorkChain.get_available_protocols())
    assert names == ["fast", "moderate", "precise"]
    assert TrainWorkChain.get_default_protocol() == "moderate"
    epochs = [training_inputs(Mode.SCRATCH, name).parameters["epochs"] for name in names]
    assert epochs == sorted(epochs)
    assert training_inputs(Mode.FINETUNE, "fast").parameters["learning_rate"] == 1e-4

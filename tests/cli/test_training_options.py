"""Options of trainings that do not fit or have no effect, outputs that a model lacks, rows without a label."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write
from click.testing import Result

OUTPUTS = ["energy", "non_conservative_force", "non_conservative_stress"]


@pytest.fixture
def labelled_file(tmp_path: Path) -> Path:
    """Cells of W and Mo at several volumes with E = 40 eV (V / V0 - 1)^2 and its stress, and some forces."""
    frames = []
    for i in range(40):
        cell = bulk("W", "bcc", a=3.16 * (1 + 0.01 * (i % 6 - 2.5)), cubic=True)
        cell.numbers[1] = (42, 74)[i % 2]
        ratio = cell.get_volume() / 3.16**3 - 1
        slope = 80 * ratio / 3.16**3
        cell.info |= {"energy": 40 * ratio**2 - 20.0, "stress": slope * np.eye(3).ravel()}
        cell.info |= {"id": f"cell-{i:02d}", "base": f"crystal-{i % 4}"}
        cell.arrays["forces"] = np.array([[0.1, 0, 0], [-0.1, 0, 0]]) * (1 + i % 3)
        frames.append(cell)
    path = tmp_path / "labelled.extxyz"
    write(path, frames, format="extxyz")
    return path


@pytest.fixture(autouse=True)
def _can_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Launches are refused for what is tested here, not for want of a daemon; nothing is started."""
    monkeypatch.setattr("aiida_pet.computers.daemon.daemon_problem", lambda: None)
    monkeypatch.setattr("aiida.engine.submit", lambda *_, **__: pytest.fail("something was started"))


def model_with(tmp_path: Path, outputs: list[str], **card: Any) -> Any:
    from aiida_pet.data.model import PetModelData

    path = tmp_path / "other.ckpt"
    path.write_bytes(f"not a checkpoint of {tmp_path} with {outputs}".encode())
    card = {"name": "other", "elements": ["Nb", "Mo", "Ta", "W"], "outputs": outputs} | card
    return PetModelData.get_or_create(path, card)


def pairs_in(output: str) -> str:
    return " ".join(output.split())


@pytest.mark.parametrize("arguments", [["--dry-run"], []])
def test_method_without_a_fine_tuning_is_one_line_in_dry_run_and_launch(
    invoke: Callable[..., Result], pet_code: Any, labelled_file: Path, arguments: list[str]
) -> None:
    told = invoke(
        "launch", "train", labelled_file, "--code", pet_code.pk, "--set", "method=lora", *arguments, status=1
    ).output
    assert "Error: method lora needs a fine-tuning" in told
    assert "Traceback" not in told


def test_dry_run_shows_what_is_used_and_warns_of_what_is_not(
    invoke: Callable[..., Result], read: Callable[..., Any], site: list[Any], labelled_file: Path
) -> None:
    given = ["--set", "architecture=s", "--set", "cutoff=5", "--set", "epochs=3"]
    result = invoke("launch", "finetune", labelled_file, *site, *given, "--dry-run")
    assert "Warning: architecture, cutoff have no effect in a fine-tuning" in pairs_in(result.output)
    used = read("launch", "finetune", labelled_file, *site, *given, "--dry-run")["parameters"]
    assert used["epochs"] == 3
    assert not {"architecture", "cutoff", "epochs_direct", "lora_rank", "ensemble"} & set(used)
    given = ["--set", "epochs=3", "--set", "method=lora", "--set", "ensemble=4"]
    result = invoke("launch", "calibrate", labelled_file, *site, *given, "--dry-run")
    assert "Warning: epochs, method have no effect in a calibration" in pairs_in(result.output)
    used = read("launch", "calibrate", labelled_file, *site, *given, "--dry-run")["parameters"]
    assert used["ensemble"] == 4
    assert not {"epochs", "learning_rate", "method", "batch_atoms"} & set(used)


def test_variant_says_which_outputs_the_new_model_will_not_have(
    invoke: Callable[..., Result], pet_code: Any, labelled_file: Path, tmp_path: Path
) -> None:
    arguments = ["launch", "finetune", labelled_file, "--code", pet_code.pk, "--dry-run"]
    arguments += ["--model", model_with(tmp_path, OUTPUTS).pk, "--set", "variant=r2"]
    told = pairs_in(invoke(*arguments).output)
    assert "will not have the outputs of energy: method=full changes the weights" in told
    assert "no direct stress of variant=r2" in told
    told = pairs_in(invoke(*arguments, "--set", "method=heads").output)
    assert "outputs of energy stay as they are" in told


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["static"], "no output 'energy', but energy/r2: set variant=r2"),
        (["relax", "--set", "variant=hse"], "no output 'energy/hse', but energy/r2: set variant=r2"),
        (["static", "--set", "variant=r2", "--set", "forces=direct"], "set forces=conservative"),
        (["screen", "--stages", "relax"], "stage relax: the model has no output 'energy', but energy/r2"),
        (["finetune"], "no output 'energy', but energy/r2: set variant=r2"),
        (["calibrate"], "no output 'energy', but energy/r2"),
    ],
)
def test_launch_that_needs_an_output_that_the_model_lacks_is_refused(
    invoke: Callable[..., Result], pet_code: Any, labelled_file: Path, command: list[str], told: str
) -> None:
    model = model_with(labelled_file.parent, ["energy/r2"])
    arguments = [command[0], labelled_file, *command[1:], "--code", pet_code.pk, "--model", model.pk]
    for last in (["--dry-run"], []):
        assert told in pairs_in(invoke("launch", *arguments, *last, status=1).output)


def test_work_chain_refuses_a_model_without_the_output(
    batch_inputs: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    from aiida.engine import run
    from aiida.plugins import WorkflowFactory

    inputs = batch_inputs(2) | {"model": model_with(tmp_path, ["energy/r2"])}
    with pytest.raises(ValueError, match="set variant=r2"):
        run(WorkflowFactory("pet.batch"), **inputs)


def test_rows_that_a_teacher_cannot_label_are_counted_or_refuse_the_launch(
    invoke: Callable[..., Result], read: Callable[..., Any], pet_code: Any, tmp_path: Path
) -> None:
    teacher = model_with(tmp_path, OUTPUTS)
    frames = [bulk(name, "bcc", a=3.2, cubic=True) for name in ["W"] * 20 + ["Au"] * 3]
    some, every = tmp_path / "some.xyz", tmp_path / "every.xyz"
    write(some, frames, format="extxyz")
    write(every, frames[20:], format="extxyz")
    arguments = ["--teacher", teacher.pk, "--code", pet_code.pk, "--dry-run"]
    assert read("launch", "distill", some, *arguments)["rows"] == {"to label": 20, "refused": 3}
    told = pairs_in(invoke("launch", "distill", some, *arguments).output)
    assert "3 rows will not be used: the teacher other does not know Au" in told
    for last in ([], ["--dry-run"]):
        told = invoke("launch", "distill", every, *arguments[:-1], *last, status=1).output
        assert "does not know Au: 3 of 3 rows cannot be labelled, and 0 are left" in pairs_in(told)


def test_walltime_below_the_start_of_a_job_is_refused(
    invoke: Callable[..., Result], site: list[Any], labelled_file: Path
) -> None:
    arguments = ["launch", "finetune", labelled_file, *site, "--dry-run", "--walltime"]
    assert "--walltime: a job takes 15 s or more to start" in pairs_in(
        invoke(*arguments, "1", status=2).output
    )
    assert "15 s or more to start each job" in pairs_in(invoke(*arguments, "1h").output)

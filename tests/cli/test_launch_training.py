"""`aiida-pet launch train|finetune|distill|calibrate`: every option reaches the process, or is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write
from click.testing import Result


def crystals(n: int, sign: float = 1.0) -> list[Atoms]:
    """Cells of W and Mo at several volumes, with E = 40 eV (V / V0 - 1)^2 and the stress that goes with it."""
    found = []
    for i in range(n):
        cell = bulk("W", "bcc", a=3.16 * (1 + 0.01 * (i % 6 - 2.5)), cubic=True)
        cell.numbers[1] = (42, 74)[i % 2]
        reference = 3.16**3
        ratio = cell.get_volume() / reference - 1
        slope = 80 * ratio / reference  # eV/A^3, the mean stress
        cell.info |= {"energy": 40 * ratio**2 - 20.0, "stress": sign * slope * np.eye(3).ravel()}
        cell.info |= {"id": f"cell-{i:02d}", "base": f"crystal-{i % 4}"}
        cell.arrays["forces"] = np.zeros((2, 3))
        found.append(cell)
    return found


@pytest.fixture
def labelled_file(tmp_path: Path) -> Path:
    path = tmp_path / "labelled.extxyz"
    write(path, crystals(40), format="extxyz")
    return path


def test_options_of_a_fine_tuning_reach_its_builder(
    prepare: Callable[..., Any], labelled_file: Path, tmp_path: Path, own_model: Any
) -> None:
    other = tmp_path / "other.extxyz"
    write(other, crystals(6), format="extxyz")
    builder = prepare(
        "finetune", labelled_file, "--validation", other, "--old", other, "--protocol", "fast",
        "--set", "epochs=7", "--set", "group=base", "--walltime", "2h", "--clean-workdir",
        "--setting", "device=cpu",
    )  # fmt: skip
    assert builder.mode.value == "finetune"
    assert builder.model.uuid == own_model.uuid
    parameters = builder.parameters.get_dict()
    assert (parameters["epochs"], parameters["group"], parameters["learning_rate"]) == (7, "base", 1e-4)
    assert (len(builder.structures), len(builder.validation), len(builder.old)) == (40, 6, 6)
    assert builder.options["max_wallclock_seconds"] == 7200
    assert builder.settings["device"] == "cpu"
    assert builder.clean_workdir.value is True
    assert builder.metadata.label == "finetune 40 of labelled"


def test_calibration_and_distillation_name_their_models(
    prepare: Callable[..., Any], labelled_file: Path, own_model: Any, invoke: Callable[..., Result]
) -> None:
    builder = prepare("calibrate", labelled_file, "--set", "ensemble=16")
    assert builder.mode.value == "calibrate"
    assert builder.parameters["ensemble"] == 16
    told = invoke(
        "launch", "distill", labelled_file, "--teacher", own_model.pk, "--model", own_model.pk, status=2
    )
    assert "--student names a model to begin from" in told.output


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--lanes", 2], "--lanes: a training runs one job at a time"),
        (["--job-size", 5], "--job-size: a training runs one job at a time"),
    ],
)
def test_options_that_a_training_does_not_have_are_refused(
    invoke: Callable[..., Result], site: list[Any], labelled_file: Path, options: list[Any], told: str
) -> None:
    assert told in invoke("launch", "finetune", labelled_file, *site, *options, "--dry-run", status=2).output


def test_stress_of_another_sign_is_refused_with_the_option_that_turns_it(
    invoke: Callable[..., Result], site: list[Any], tmp_path: Path
) -> None:
    path = tmp_path / "turned.extxyz"
    write(path, crystals(40, sign=-1.0), format="extxyz")
    told = invoke("launch", "finetune", path, *site, "--dry-run", status=1).output
    assert "wrong sign" in told
    assert "--stress-sign minus" in told
    invoke("launch", "finetune", path, *site, "--set", "stress=null", "--dry-run")


def test_dry_run_of_a_new_model_says_what_it_takes_and_stores_nothing(
    read: Callable[..., Any], pet_code: Any, labelled_file: Path
) -> None:
    from aiida import orm

    from aiida_pet.data.structures import StructureSetData

    before = orm.QueryBuilder().append(StructureSetData).count()
    arguments = ("launch", "train", labelled_file, "--code", pet_code.pk, "--dry-run")
    small, large = (read(*arguments, "--set", f"architecture={size}") for size in ("xxs", "s"))
    assert small["stages"] == ["direct", "conservative"]
    assert small["rows"] == {"training": 32, "validation": 4, "test": 4, "refused": 0}
    assert small["stress_ratio"] == pytest.approx(1, abs=0.15)
    assert large["core_s"]["direct"] > 10 * small["core_s"]["direct"]
    assert orm.QueryBuilder().append(StructureSetData).count() == before

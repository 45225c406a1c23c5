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


def crystals(n: int, sign: float = 1.0, first: int = 0, scale: float = 1.0) -> list[Atoms]:
    """Cells of W and Mo at several volumes, with E = 40 eV (V / V0 - 1)^2 and the stress that goes with it.

    :param first: cells with other numbers are others.
    :param scale: of energies, such as that of another unit.
    """
    found = []
    for i in range(first, first + n):
        cell = bulk("W", "bcc", a=3.16 * (1 + 0.01 * (i % 6 - 2.5) + 1e-5 * i), cubic=True)
        cell.numbers[1] = (42, 74)[i % 2]
        reference = 3.16**3
        ratio = cell.get_volume() / reference - 1
        slope = 80 * ratio / reference  # eV/A^3, the mean stress
        cell.info |= {"energy": scale * (40 * ratio**2 - 20.0), "stress": sign * slope * np.eye(3).ravel()}
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
    write(other, crystals(6, first=40), format="extxyz")
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
    assert large["core_s"]["direct"] > 3 * small["core_s"]["direct"]
    assert orm.QueryBuilder().append(StructureSetData).count() == before


def test_dry_run_names_the_rows_that_are_refused_with_their_values(
    invoke: Callable[..., Result], site: list[Any], tmp_path: Path
) -> None:
    frames = crystals(40)
    frames[3].info["energy"] = -1e9
    frames[5].info["energy"] = -500.0
    frames[7].info["energy"] = np.inf
    frames[9].positions[1] = frames[9].positions[0]
    path = tmp_path / "with-bad-rows.extxyz"
    write(path, frames, format="extxyz")
    told = " ".join(invoke("launch", "finetune", path, *site, "--dry-run").output.split())
    assert f"2 rows of the training set ({path}) will not be used: its energy differs by more than" in told
    assert "composition: cell-03 (-5e+08 eV/atom), cell-05 (-240 eV/atom)" in told
    assert "its energy is not finite: cell-07 (inf)" in told
    assert "its geometry is invalid: cell-09 (atoms 0 (W) and 1 (Mo) are 0 A apart" in told.replace(
        "(Mo) and 1 (W)", "(W) and 1 (Mo)"
    ).replace("(W) and 1 (W)", "(W) and 1 (Mo)")
    assert "..." not in told.split("will not be used", 1)[1]


def test_dry_run_says_what_energies_tell_of_stresses_and_that_forces_were_not_checked(
    invoke: Callable[..., Result], site: list[Any], labelled_file: Path
) -> None:
    told = " ".join(invoke("launch", "finetune", labelled_file, *site, "--dry-run").output.split())
    assert "energies change 1.0" in told
    assert "times as much as the stresses predict" in told
    assert "sign and unit of the forces were not checked" in told


def test_energies_in_another_unit_are_not_blamed_on_the_stresses(
    invoke: Callable[..., Result], site: list[Any], tmp_path: Path
) -> None:
    path = tmp_path / "hartree.extxyz"
    write(path, crystals(40, scale=1 / 27.211386), format="extxyz")
    told = " ".join(invoke("launch", "finetune", path, *site, "--dry-run", status=1).output.split())
    assert "Either the energies or the stresses" in told
    assert "energies in Hartree (multiply them by 27.2114)" in told
    assert "--stress-unit" not in told


@pytest.mark.parametrize("option", ["group", "report_by", "level_column"])
def test_columns_that_are_not_there_are_refused(
    invoke: Callable[..., Result], site: list[Any], labelled_file: Path, option: str
) -> None:
    told = invoke("launch", "finetune", labelled_file, *site, "--set", f"{option}=nix", "--dry-run", status=1)
    assert f"{option} = 'nix': the set has no such column" in " ".join(told.output.split())


def test_columns_are_looked_for_before_a_teacher_labels(
    invoke: Callable[..., Result], labelled_file: Path, own_model: Any, pet_code: Any
) -> None:
    place = ("--code", pet_code.pk, "--teacher", own_model.pk, "--dry-run")
    invoke("launch", "distill", labelled_file, *place, "--set", "group=base")
    told = invoke("launch", "distill", labelled_file, *place, "--set", "group=nix", status=1)
    assert "group = 'nix': the set has no such column" in " ".join(told.output.split())


def test_energy_under_another_name_is_named_among_the_columns_of_the_set(
    invoke: Callable[..., Result], site: list[Any], tmp_path: Path
) -> None:
    frames = crystals(40)
    for frame in frames:
        frame.info["dft_energy"] = frame.info.pop("energy")
    path = tmp_path / "other.extxyz"
    write(path, frames, format="extxyz")
    told = " ".join(invoke("launch", "finetune", path, *site, "--dry-run", status=1).output.split())
    assert "its columns of numbers are dft_energy" in told


def test_charges_and_labels_that_are_missing_are_told(
    invoke: Callable[..., Result], site: list[Any], tmp_path: Path
) -> None:
    frames = crystals(40)
    for place, frame in enumerate(frames):
        frame.info["charge"] = place % 2
        del frame.arrays["forces"]
        del frame.info["stress"]
    path = tmp_path / "charged.extxyz"
    write(path, frames, format="extxyz")
    told = " ".join(invoke("launch", "finetune", path, *site, "--dry-run").output.split())
    assert "column 'charge' is not 0 in 20 rows" in told
    assert "the training set has no forces and no stresses: the model is trained on energies only" in told
    assert "sign and unit of the energies were not checked" in told


def test_launch_says_what_was_not_checked(
    prepare: Callable[..., Any], labelled_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr("aiida_pet.cli.launch_training.note", told.append)
    prepare("finetune", labelled_file)
    assert any("sign and unit of the forces were not checked" in sentence for sentence in told)

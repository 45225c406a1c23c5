"""Options: what is asked for, and what metatrain is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest

from aiida_pet.training.cost import cost_of
from aiida_pet.training.curve import best_epoch, column_of, read_curve, unit_of
from aiida_pet.training.options import write_frames, write_options
from aiida_pet.training.parameters import Mode, Stage, TrainingError, parse_training
from aiida_pet.training.prepare import prepare
from aiida_pet.training.presets import PRESETS
from aiida_pet.training.scales import check_label_counts
from support.labelled_crystals import TINY, labelled


def options_of(folder: Path, stage: Stage, begun: bool = False, **changes: Any) -> dict[str, Any]:
    parameters = parse_training(TINY | changes)
    prepared = prepare({"training": labelled()}, parameters)
    return write_options(folder, stage, parameters, prepared, device="cpu", begun=begun)


def test_stages_by_mode() -> None:
    parameters = parse_training(TINY)
    direct, conservative, calibrate = Stage.DIRECT, Stage.CONSERVATIVE, Stage.CALIBRATE
    assert parameters.stages(Mode.SCRATCH) == [direct, conservative]
    assert parameters.stages(Mode.FINETUNE, calibrated=True) == [conservative, calibrate]
    assert parameters.stages(Mode.DISTILL) == [direct, conservative]
    assert parameters.stages(Mode.CALIBRATE) == [calibrate]
    assert parse_training(TINY | {"epochs_direct": 0}).stages(Mode.SCRATCH) == [conservative]
    assert parse_training(TINY | {"calibrate": False}).stages(Mode.FINETUNE, calibrated=True) == [
        conservative
    ]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"epoch": 3}, "epoch: unknown; known are architecture, .*epochs"),
        ({"epochs": 0}, "epochs = 0: expected a whole number >= 1"),
        ({"hypers": {"d_pett": 3}}, r"unknown hypers \['d_pett'\]; known are .*d_pet"),
        ({"hypers": {"num_heads": 3}}, "d_pet 4 is not a multiple of num_heads 3"),
        ({"architecture": "xs", "hypers": {"d_pet": 7}}, "d_pet 7 is not a multiple of num_heads 8"),
        ({"hypers": {"d_pet": "wide"}}, "d_pet = 'wide': expected a whole number"),
        ({"cutoff": 1.5, "cutoff_width": 3.0}, "cutoff_width 3 A is not below the cutoff 1.5 A"),
        ({"hypers": {"cutoff_width": 9.0}}, "cutoff_width 9 A is not below the cutoff 4 A"),
        ({"validation_fraction": 0.6, "test_fraction": 0.5}, "leave nothing to train on"),
    ],
)
def test_options_that_are_none_are_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(TrainingError, match=told):
        parse_training(TINY | changes)


def test_direct_stage_has_no_gradients_and_the_conservative_one_a_small_weight_on_heads(
    tmp_path: Path,
) -> None:
    direct = options_of(tmp_path, Stage.DIRECT)["architecture"]["training"]["loss"]
    assert "gradients" not in direct["energy"]
    assert direct["non_conservative_force"]["weight"] == 1.0
    later = options_of(tmp_path, Stage.CONSERVATIVE, begun=True)["architecture"]
    assert set(later["training"]["loss"]["energy"]["gradients"]) == {"positions", "strain"}
    assert later["training"]["loss"]["non_conservative_force"]["weight"] == 0.01
    assert later["training"]["finetune"]["read_from"] == "start.ckpt"
    assert "model" not in later  # the checkpoint knows


def test_variant_names_its_targets_and_has_no_direct_stress(tmp_path: Path) -> None:
    training = options_of(tmp_path, Stage.CONSERVATIVE, begun=True, variant="r2scan")
    # metatrain divides the direct stress by the volume, but not that of a variant
    assert set(training["training_set"]["targets"]) == {"energy/r2scan", "non_conservative_force/r2scan"}
    settings = training["architecture"]["training"]
    assert set(settings["loss"]) == set(training["training_set"]["targets"])
    assert settings["per_structure_targets"] == []
    # copies are in the checkpoint that it begins with, with their scales: metatrain would copy heads alone
    assert settings["finetune"]["inherit_heads"] == {}


def test_element_whose_forces_vanish_gets_the_scale_of_all_atoms(tmp_path: Path) -> None:
    table = labelled()
    gold = table.numbers == 79
    parameters = parse_training(TINY)
    plain = write_options(
        tmp_path,
        Stage.DIRECT,
        parameters,
        prepare({"training": table}, parameters),
        device="cpu",
        begun=False,
    )
    assert "fixed_scaling_weights" not in plain["architecture"]["training"]
    table.atom_columns["input_forces"][gold] = 0.0
    prepared = prepare({"training": table}, parameters)
    told = write_options(tmp_path, Stage.DIRECT, parameters, prepared, device="cpu", begun=False)
    scales = told["architecture"]["training"]["fixed_scaling_weights"]["non_conservative_force"]
    assert set(scales) == {29, 79}
    used = np.repeat(prepared.parts["training"].split == "training", table.n_atoms)
    forces = table.atom_columns["input_forces"]
    assert scales[79] == pytest.approx(np.sqrt((forces[used] ** 2).mean()))
    assert scales[29] == pytest.approx(np.sqrt((forces[used & ~gold] ** 2).mean()))


def test_parts_without_forces_are_refused_before_anything_starts() -> None:
    table = labelled()
    parameters = parse_training(TINY)
    split = prepare({"training": table}, parameters).parts["training"].split
    table.atom_columns["input_forces"][np.repeat(split == "validation", table.n_atoms)] = np.nan
    with pytest.raises(TrainingError, match=r"no row of the validation part has forces.*forces=null"):
        check_label_counts(prepare({"training": table}, parameters))


def test_frames_carry_labels_and_nan_where_they_are_missing(tmp_path: Path) -> None:
    table = labelled()
    table.columns["input_stress"][0] = np.nan
    parameters = parse_training(TINY | {"validation_fraction": 0.0})
    validation = labelled(3, seed=9)
    write_frames(tmp_path, prepare({"training": table, "validation": validation}, parameters))
    frames = ase.io.read(tmp_path / "train.xyz", ":")
    by_energy = {round(frame.get_potential_energy(), 6): frame for frame in frames}
    missing = 0
    for row in range(len(table)):
        frame = by_energy.get(round(float(table.columns["input_energy"][row]), 6))
        if frame is None:  # a test row
            continue
        atoms = slice(table.offsets[row], table.offsets[row + 1])
        np.testing.assert_allclose(frame.get_forces(), table.atom_columns["input_forces"][atoms], atol=1e-7)
        if row:
            np.testing.assert_allclose(frame.get_stress(), table.columns["input_stress"][row], atol=1e-7)
        else:
            missing += int(np.isnan(frame.get_stress()).all())
    assert len(ase.io.read(tmp_path / "validation.xyz", ":")) == 3
    assert missing == 1 or not any(
        round(float(table.columns["input_energy"][0]), 6) in by_energy for _ in "x"
    )


def test_learning_curve_is_read_in_electronvolts(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_text(
        "Epoch,learning rate,training loss,training energy RMSE (per atom),training forces MAE,validation loss,"
        "validation energy MAE (per atom),validation forces[energy/pbe] MAE,"
        "validation non_conservative_force/pbe MAE (per atom)\n"
        ",,,meV,meV/A,,meV,meV/A,meV/A\n"
        "   0,1e-3,2.0,100.0,50.0,3.0,90.0,40.0,30.0\n"
        "   1,5e-4,1.0,80.0,45.0,2.5,70.0,60.0,20.0\n"
        "   2,1e-4,0.5"  # being written
    )
    rows = read_curve(path)
    assert [row["epoch"] for row in rows] == [0, 1]
    assert rows[1]["training_energy_rmse"] == pytest.approx(0.080)
    assert rows[0]["validation_direct_forces_mae"] == pytest.approx(0.030)
    assert rows[0]["validation_forces_mae"] == pytest.approx(0.040)
    assert best_epoch(rows, "loss") == 1
    assert best_epoch(rows, "mae_prod") == 1  # 70 x 60 x 20 against 90 x 40 x 30
    assert unit_of("validation_direct_stress_mae") == "eV/A^3"
    assert column_of("something new") == ""


def test_published_sizes_have_the_parameters_that_are_published() -> None:
    backend = pytest.importorskip("metatrain.pet.modules.backend", reason="needs the extra `engine`")
    import torch
    from metatrain.utils.architectures import get_default_hypers

    from aiida_pet.models.registry import list_models

    published = {"xs": 4.5e6, "s": 25.9e6, "m": 109e6, "l": 255e6, "xl": 730e6}
    assert {round(entry.n_parameters) for entry in list_models()} >= {round(published["xs"])}
    for name, expected in published.items():
        with torch.device("meta"):
            model = backend.PETBackend(
                get_default_hypers("pet")["model"] | dict(PRESETS[name]), list(range(1, 103))
            )
        assert sum(p.numel() for p in model.parameters()) == pytest.approx(expected, rel=0.04)


def test_cost_grows_with_atoms_epochs_and_weights_and_names_each_stage() -> None:
    stages = [Stage.DIRECT, Stage.CONSERVATIVE]
    atoms = {"training": 84_135, "validation": 0}
    measured = parse_training({"architecture": "xxs", "epochs_direct": 1, "epochs": 1})
    one = cost_of(measured, stages, atoms)
    assert one.core_s["direct"] == pytest.approx(100, rel=0.05)  # as it was measured
    assert set(one.core_s) == {"direct", "conservative"}
    more = cost_of(measured, stages, {"training": 2 * 84_135, "validation": 0})
    assert more.core_s["direct"] == pytest.approx(2 * one.core_s["direct"], rel=0.01)
    wide = cost_of(parse_training({"architecture": "xxs", "hypers": {"d_pet": 128}}), stages, atoms)
    assert wide.weights == pytest.approx(4 * one.weights)
    assert cost_of(measured, stages, atoms, n_parameters=500_000).weights == 500_000

"""Plain checkpoints opened here against the same opened by metatrain: energies, forces, stress to 1e-10 in float64.

Checkpoints are those that the installed metatrain writes, with every kind of layer and cutoff, and the model that
ships. ``AIIDA_PET_CHECKPOINTS`` may name a folder with others, such as those in metatrain's own tests.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
import torch

from aiida_pet.engine.model.pet import BatchedPet, make_model
from aiida_pet.engine.model.plain.pet import PlainPet
from aiida_pet.engine.model.plain.stored import NotPlainError, read_stored
from aiida_pet.job.parameters import Derivation, Output
from aiida_pet.testing.models import FLAVOURS, tiny_llpr, tiny_pet
from support.plain_checkpoints import LLPR, compare, written

D = Derivation.DIRECT
DIRECT = {"forces": D, "stress": D}
OUTPUTS = {"outputs": [Output.ENERGIES, Output.FEATURES]}
OTHERS = os.environ.get("AIIDA_PET_CHECKPOINTS")


@pytest.mark.parametrize("options", [OUTPUTS, DIRECT], ids=["conservative", "direct"])
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_every_kind_of_layer_and_cutoff_equals_metatrain(tmp_path, flavour, options):
    compare(written(tiny_pet(flavour).get_checkpoint()), tmp_path / "model.ckpt", **options)


@pytest.mark.parametrize("changed", [
    {"d_node": 8, "d_pet": 8}, {"transformer_type": "PostLN"}, {"activation": "SiLU"}, {"attention_temperature": 2.0},
    {"num_attention_layers": 2, "num_gnn_layers": 3}, {"featurizer_type": "residual"}, {"normalization": "LayerNorm"},
])  # fmt: skip
def test_hyperparameters_have_their_meaning(tmp_path, changed):
    compare(written(tiny_pet(**changed).get_checkpoint()), tmp_path / "model.ckpt", **DIRECT)


def test_variants_and_their_stress_equal_metatrain(tmp_path):
    content = written(tiny_pet(variants=(None, "pbe")).get_checkpoint())
    compare(content, tmp_path / "model.ckpt", variant="pbe", **DIRECT)


def test_uncertainty_and_ensemble_equal_llpr(tmp_path):
    model = tiny_llpr(tiny_pet(), members=4)
    compare(written(model.get_checkpoint()), tmp_path / "model.ckpt", **LLPR)


def test_model_that_ships_equals_metatrain(tmp_path, model_file):
    for options in ({}, DIRECT):
        compare(model_file[0].read_bytes(), tmp_path / "model.ckpt", **options)


@pytest.mark.parametrize(("changed", "reason"), [
    ({"zbl": True}, "it has zbl"),
    ({"system_conditioning": True}, "it has system_conditioning"),
    ({"length_unit": "nm"}, "its unit of length is nm"),
])  # fmt: skip
def test_what_is_not_plain_is_named(changed, reason):
    with pytest.raises(NotPlainError, match=reason):
        PlainPet(read_stored(written(tiny_pet(**changed).get_checkpoint())))


def test_what_is_not_known_is_named():
    checkpoint = read_stored(written(tiny_pet().get_checkpoint()))
    checkpoint["model_data"]["model_hypers"]["spin"] = True
    with pytest.raises(NotPlainError, match="its hyperparameter spin is not known"):
        PlainPet(checkpoint)
    checkpoint = read_stored(written(tiny_pet().get_checkpoint()))
    checkpoint["model_ckpt_version"] = 17
    with pytest.raises(NotPlainError, match="its version of PET is 17"):
        PlainPet(checkpoint)
    checkpoint = read_stored(written(tiny_pet().get_checkpoint()))
    checkpoint["best_model_state_dict"]["backend.more.weight"] = torch.zeros(3)
    with pytest.raises(NotPlainError, match=r"it has a tensor more\.weight, which is not known"):
        PlainPet(checkpoint).backend(["energy"])
    checkpoint = read_stored(written(tiny_pet().get_checkpoint()))
    del checkpoint["best_model_state_dict"]["backend.edge_embedder.weight"]
    with pytest.raises(NotPlainError, match=r"it has no edge_embedder\.weight"):
        PlainPet(checkpoint).backend(["energy"])
    with pytest.raises(NotPlainError, match="its structure is not known"):
        PlainPet({"architecture_name": "pet", "model_data": {}})


def test_plain_checkpoint_goes_the_plain_road_and_another_through_metatrain(tmp_path, caplog):
    for model, is_plain in ((tiny_pet(), True), (tiny_pet(zbl=True), False)):
        content = written(model.get_checkpoint())
        (tmp_path / "model.ckpt").write_bytes(content)
        caplog.clear()
        caplog.set_level("INFO")
        made = make_model(tmp_path / "model.ckpt", hashlib.sha256(content).hexdigest())
        assert isinstance(made, BatchedPet) is is_plain
        assert ("opened with metatrain: it has zbl" in caplog.text) is not is_plain


@pytest.mark.skipif(not OTHERS, reason="AIIDA_PET_CHECKPOINTS names no folder of checkpoints")
def test_all_checkpoints_of_a_folder_equal_metatrain(tmp_path):
    paths, refused = sorted(Path(str(OTHERS)).glob("*.ckpt")), {}
    assert paths
    for path in paths:
        content = path.read_bytes()
        try:
            source = PlainPet(read_stored(content))
        except NotPlainError as error:
            refused[path.name] = str(error)
            continue
        compare(content, tmp_path / "model.ckpt", **(LLPR if source.kind != "PET" else OUTPUTS))
        if "non_conservative_force" in source.target_names:
            compare(content, tmp_path / "model.ckpt", **DIRECT)
    assert set(refused.values()) <= {"it has system_conditioning", "it has zbl"}

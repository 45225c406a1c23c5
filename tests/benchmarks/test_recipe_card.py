"""The command that makes a trained model the one that ships: its checkpoint, its card and the page of the card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import bulk

pytest.importorskip("torch", reason="needs the extra `engine`")

import torch

from aiida_pet.job.checkpoint import load_checkpoint, sha256_of, trained_pairs, uncertainty_limit
from aiida_pet.job.tasks import Task
from aiida_pet.models.cards import CARD_KEYS
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.testing.models import tiny_llpr, tiny_pet
from benchmarks.model_check.engine import Model, run
from benchmarks.recipe import card as recipe


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model as a calibration leaves it, with an optimiser and the facts that warnings need."""
    from metatomic.torch import ModelMetadata

    checkpoint = tiny_llpr(tiny_pet(), members=4).get_checkpoint()
    checkpoint["optimizer_state_dict"] = {"state": {0: torch.zeros(100_000)}}
    checkpoint["metadata"] = ModelMetadata(
        name="at-work",
        extra={"trained_pairs": "41-41 41-42", "uncertainty_limit": "0.05", "licence": "other"},
    )
    path = tmp_path_factory.mktemp("trained") / "model.ckpt"
    torch.save(checkpoint, path)
    return path


@pytest.fixture
def check(trained: Path) -> dict[str, Any]:
    """What the check of the model found, in few rows."""
    figures = {
        "energy_mae": 0.0123456789, "energy_rmse": 0.02, "forces_mae": 0.04, "forces_rmse": 0.08,
        "stress_mae": 0.001, "stress_rmse": 0.002,
    }  # fmt: skip
    return {
        "sha256": sha256_of(trained),
        "held-out": {
            "errors": [
                {"id": "all steps", "set": "all steps", "part": "all", "n_rows": 9, **figures},
                {"id": "all steps kind alloys", "set": "all steps", "part": "kind alloys", "n_rows": 5, **figures},
                {"id": "all steps Nb", "set": "all steps", "part": "Nb", "n_rows": 3, **figures},
            ],
            "verdicts": [{"asked": "median |z| in 0.7-1.4", "found": "0.81", "reached": True}],
        },
        "references": {
            "references": [
                {
                    "name": "Nb-bcc", "volume": 0.0012, "bulk_modulus": -0.05, "max_frequency": float("nan"),
                    "imaginary": True, "departure": 0.031, "message": "",
                }
            ],
            "orderings": {"B2-MoTa": {"volume": 16.5, "bulk_modulus": 210.0, "departure": 0.02}},
            "verdicts": [{"asked": "volume: within 3%", "found": "median 0.1%", "reached": False}],
        },
        "phases": {"verdicts": []},
        "moduli": {
            "crystals": [{"name": "MoTa-mp-1", "bulk": 0.1, "shear": -0.2}], "without": [],
            "bulk": "median 10%, beyond 30%: 0%", "shear": "median 20%, beyond 30%: 0%",
        },
    }  # fmt: skip


def test_the_model_that_ships_computes_what_the_trained_one_computes(
    trained: Path, check: dict[str, Any], tmp_path: Path
) -> None:
    target = recipe.ship(trained, check, tmp_path)
    assert target.name == "pet-common-xs.ckpt"
    table = StructureTable.from_ase([("a", bulk("Mo", a=3.1, cubic=True)), ("b", bulk("W", "fcc", a=4.0))])
    models = [Model(path, sha256_of(path)) for path in (trained, target)]
    found = [run(model, Task.STATIC, table, symprecs=[], outputs=["uncertainty"]).columns for model in models]
    for name in ("energy", "uncertainty"):
        assert np.isfinite(found[0][name]).all()
        np.testing.assert_array_equal(found[0][name], found[1][name])


def test_the_checkpoint_says_who_it_is_and_keeps_what_warnings_need(
    trained: Path, check: dict[str, Any], tmp_path: Path
) -> None:
    target = recipe.ship(trained, check, tmp_path)
    checkpoint = load_checkpoint(target, sha256_of(target))
    assert "optimizer_state_dict" not in checkpoint
    assert target.stat().st_size < trained.stat().st_size - 400_000
    assert checkpoint["metadata"].name == "pet-common-xs"
    assert checkpoint["metadata"].extra["licence"] == "MIT"
    assert trained_pairs(checkpoint) == {(41, 41), (41, 42)}
    assert uncertainty_limit(checkpoint) == 0.05


def test_the_card_is_complete_and_its_page_has_the_figures(
    trained: Path, check: dict[str, Any], tmp_path: Path
) -> None:
    target = recipe.ship(trained, check, tmp_path)
    text = target.with_suffix(".json").read_text()
    card = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in the card"))
    assert set(CARD_KEYS) <= set(card)
    assert card["sha256"] == sha256_of(target)
    assert card["elements"] == [41, 42, 73, 74]
    assert {"energy", "energy_ensemble", "energy_uncertainty", "non_conservative_force"} <= set(
        card["outputs"]
    )
    assert card["evaluation"]["held-out"]["errors"][0]["energy_mae"] == 0.012346
    assert card["evaluation"]["references"]["references"][0]["max_frequency"] is None
    page = target.with_suffix(".md").read_text()
    assert page == recipe.render(card)
    lines = page.splitlines()
    # 0.001 eV/A^3 are 0.16 GPa
    assert "| all steps kind alloys | 5 | 12.3 / 20.0 | 40 / 80 | - / - | 0.16 / 0.32 | - / - |" in lines
    assert "| Nb | 3 | 12.3 / 20.0 | 40 / 80 | - / - | 0.16 / 0.32 | - / - |" in lines
    assert "| Nb-bcc | +0.1 % | -5 % | - | yes | 3 % |" in lines
    assert "| B2-MoTa |  |  |  |  | 2 % |" in lines
    assert "| volume: within 3% | median 0.1% | **no** |" in lines
    assert r"| median \|z\| in 0.7-1.4 | 0.81 | yes |" in lines
    assert "1 of 2 are reached" in page
    assert "| shear modulus | median 20%, beyond 30%: 0% |" in lines
    assert all(word in page for word in ("metatrain itself", "TrainWorkChain", "CC-BY-4.0", "BSD-3-Clause"))
    assert "$" not in page


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sha256": "0" * 64}, "the check is of the file with sha256 0000"),
        ({"phases": None}, "lacks phases"),
        ({"moduli": None}, "lacks moduli"),
    ],
)
def test_a_check_of_another_file_or_a_part_of_one_is_refused(
    trained: Path, check: dict[str, Any], tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    wrong = {key: value for key, value in (check | change).items() if value is not None}
    with pytest.raises(recipe.CardError, match=message):
        recipe.ship(trained, wrong, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_is_too_large_is_refused(
    trained: Path, check: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe, "MAX_BYTES", 1000)
    with pytest.raises(recipe.CardError, match=r"at most 0 MB ship"):
        recipe.ship(trained, check, tmp_path)
    assert list(tmp_path.iterdir()) == []

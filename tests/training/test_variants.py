"""Fine-tunings to another level of theory with the real metatrain: new outputs begin as copies, others stay or go."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import bulk

from aiida_pet.job.checkpoint import load_checkpoint, sha256_of
from aiida_pet.job.folder import TRAIN_FILE, EngineSettings, ExitStatus, JobFolder
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.table import Table
from aiida_pet.training import folder, variants
from aiida_pet.training.folder import TrainingJob
from aiida_pet.training.parameters import Stage, TrainingError, parse_training
from aiida_pet.training.run import Training
from support.small_model import PATH, small_model

SHIFTS = {42: -2.0, 74: 3.5}  # eV, between the levels of theory
CPU = EngineSettings(device="cpu", threads=1)
DIRECT = "non_conservative_force"


def crystals(n: int = 16) -> StructureTable:
    """Return rattled cells of W and Mo without labels."""
    rng, items = np.random.default_rng(0), []
    for i in range(n):
        cell = bulk("W", "bcc", a=3.17 * (1 + 0.03 * (rng.random() - 0.5)), cubic=True)
        cell.numbers[:] = [(74, 74), (42, 74), (42, 42)][i % 3]
        cell.rattle(0.03, seed=i)
        items.append((f"cell-{i:02d}", cell))
    return StructureTable.from_ase(items)


@pytest.fixture(scope="module")
def by_model(tmp_path_factory: pytest.TempPathFactory) -> StructureTable:
    """Cells with labels of the small model itself, so that a copy of its outputs has no error."""
    for module in ("torch", "metatrain"):
        pytest.importorskip(module, reason="needs the extra `engine`")
    from aiida_pet.training.evaluate import residuals_of
    from aiida_pet.training.labels import read_labels

    table = crystals()
    table.set_column("input_energy", np.zeros(len(table)), "eV")
    table.set_column("input_stress", np.zeros((len(table), 6)), "eV/A^3")
    table.atom_columns["input_forces"] = np.zeros((len(table.numbers), 3))
    labels = read_labels(table, parse_training({}))
    found = residuals_of(small_model(), table, labels, tmp_path_factory.mktemp("labels"), CPU)
    assert found is not None
    table.set_column("input_energy", found.values["energy"] * table.n_atoms, "eV")
    table.set_column("input_stress", found.values["stress"], "eV/A^3")
    table.atom_columns["input_forces"] = found.values["forces"]
    return table


def tune(
    path: Path, table: StructureTable, model: Path = PATH, level: str = "PBE", **options: Any
) -> dict[str, Any]:
    """Fine-tune `model` by next to nothing, and return the first row of its errors, its outputs and its level."""
    path.mkdir()
    (path / "model.ckpt").write_bytes(model.read_bytes())
    asked = {
        "epochs": 1,
        "learning_rate": 1e-9,
        "min_rows": 4,
        "validation_fraction": 0.2,
        "test_fraction": 0.2,
    }
    job = TrainingJob(
        Stage.CONSERVATIVE, asked | options, "tuned", sha256_of(model), known_level=level, settings=CPU
    )
    (path / TRAIN_FILE).write_text(job.to_json())
    table.save(path / folder.set_file("training"))
    assert Training(path).run() is ExitStatus.OK, JobFolder(path).read_progress()
    card = json.loads((path / folder.CARD_FILE).read_text())
    errors = Table.load(path / folder.ERRORS_FILE)
    told = {name: values[0] for name, values in errors.columns.items()}
    return told | {"outputs": card["outputs"], "level": card["level_of_theory"]}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["full", "lora", "heads"])
def test_new_outputs_begin_as_exact_copies(by_model: StructureTable, tmp_path: Path, method: str) -> None:
    told = tune(tmp_path / "a", by_model, method=method, variant="r2", level_of_theory="r2SCAN")
    assert told["energy_mae"] < 1e-5
    assert told["forces_mae"] < 1e-4
    assert told["stress_mae"] < 1e-5
    assert told["direct_forces_mae"] == pytest.approx(told["before_direct_forces_mae"], rel=1e-3)
    new = {"energy/r2", f"{DIRECT}/r2"}
    old = {"energy", DIRECT, "non_conservative_stress"}
    # weights that the old outputs depend on were changed by other methods, so that they are gone
    assert set(told["outputs"]) == (new | old if method == "heads" else new)
    assert told["level"] == ("PBE; r2: r2SCAN" if method == "heads" else "r2: r2SCAN")


@pytest.mark.slow
def test_old_outputs_are_the_same_after_the_new_heads_were_trained(
    by_model: StructureTable, tmp_path: Path
) -> None:
    table = _moved(by_model)
    told = tune(
        tmp_path / "a", table, method="heads", variant="r2", level_of_theory="r2SCAN", learning_rate=1e-3
    )
    # the energies of elements take up nearly all of what is between the levels
    assert told["before_energy_mae"] > 1
    assert told["energy_mae"] < 0.02
    path = tmp_path / "a" / folder.TRAINED_FILE
    ours, theirs = (_state(file) for file in (path, PATH))
    assert all(bool((ours[name] == value).all()) for name, value in theirs.items())
    head = "backend.node_heads.{}.0.0.weight"
    assert not bool((ours[head.format("energy/r2")] == ours[head.format("energy")]).all())
    # the plain outputs answer as before, by the engine
    again = tune(tmp_path / "b", by_model, path, "PBE; r2: r2SCAN", method="heads")
    assert again["before_energy_mae"] < 1e-5
    # and a second stage of the variant tells its level once
    second = tune(tmp_path / "c", table, path, "PBE; r2: r2SCAN", method="heads", variant="r2")
    assert second["before_energy_mae"] == pytest.approx(told["energy_mae"], abs=1e-5)
    assert second["level"] == "PBE; r2: r2SCAN"


def _moved(table: StructureTable) -> StructureTable:
    """Return cells with energies of another level, which differ by an energy for each element."""
    shifts = np.add.reduceat([SHIFTS[z] for z in table.numbers.tolist()], table.offsets[:-1])
    return replace(table, columns={**table.columns, "input_energy": table.columns["input_energy"] + shifts})


def _state(path: Path) -> Any:
    return load_checkpoint(path, sha256_of(path))["best_model_state_dict"]


def test_energies_of_elements_are_found_where_they_explain_the_difference() -> None:
    rng = np.random.default_rng(1)
    counts = rng.integers(1, 5, (40, 2)).astype(float)
    noise = 0.005 * rng.normal(size=40) * counts.sum(axis=1)
    found = variants.shifts_of_elements(counts @ [-2.0, 3.5] + noise, counts)
    np.testing.assert_allclose(found, [-2.0, 3.5], atol=0.02)
    assert variants.shifts_of_elements(noise, counts) is None  # the same level
    assert variants.shifts_of_elements(rng.normal(size=40) * counts.sum(axis=1), counts) is None


def test_copies_are_of_the_plain_outputs_or_of_the_only_variant() -> None:
    plain = ["energy", DIRECT]
    assert variants.sources_of(["energy/r2", f"{DIRECT}/r2"], plain) == {
        "energy/r2": "energy",
        f"{DIRECT}/r2": DIRECT,
    }
    assert variants.sources_of(["energy/r2"], [*plain, "energy/r2"]) == {"energy/r2": "energy/r2"}
    assert variants.sources_of(["energy/b"], ["energy/a"]) == {"energy/b": "energy/a"}
    assert variants.sources_of(["energy", DIRECT], ["energy"]) == {"energy": "energy"}  # a new direct head
    with pytest.raises(TrainingError, match="set variant=a"):
        variants.sources_of(["energy"], ["energy/a"])


@pytest.mark.parametrize(
    ("name", "target", "new"),
    [
        ("backend.node_heads.energy.0.2.bias", "energy", "backend.node_heads.energy/r2.0.2.bias"),
        (
            "backend.edge_last_layers.energy.1.energy___0.weight",
            "energy",
            "backend.edge_last_layers.energy/r2.1.energy/r2___0.weight",
        ),
        ("scaler.energy_per_target_scaler_buffer", "energy", "scaler.energy/r2_per_target_scaler_buffer"),
        (
            "additive_models.0.energy_composition_buffer",
            "energy",
            "additive_models.0.energy/r2_composition_buffer",
        ),
        ("backend.gnn_layers.0.trans.layers.0.attention.input_linear.weight", None, ""),
        ("additive_models.0.model.type_to_index", None, ""),
        ("scaler.dummy_buffer", None, ""),
    ],
)
def test_entries_of_an_output_are_told_by_their_names(name: str, target: str | None, new: str) -> None:
    assert variants.owner_of(name) == target
    if target is not None:
        assert variants.renamed(name, target, f"{target}/r2") == new
        assert variants.owner_of(new) == f"{target}/r2"

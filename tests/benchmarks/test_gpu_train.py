"""The trainer for a GPU, here on a CPU: its model is the engine's, its turns are rotations, its weights come back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

pytest.importorskip("torch", reason="needs the extra `engine`")

import torch

from aiida_pet.engine.batch.batch import Batch
from aiida_pet.engine.batch.neighbors import NeighborList
from aiida_pet.engine.model.pet import make_model
from aiida_pet.job.checkpoint import sha256_of
from aiida_pet.job.parameters import Derivation
from aiida_pet.tables.crystals import StructureTable
from benchmarks import gpu_train
from benchmarks.recipe import with_weights
from benchmarks.recipe.label import batch_of
from benchmarks.recipe.packed import Packed
from benchmarks.recipe.student import Frames, Student, loss_of, random_turns
from tests.support.small_model import small_model

CPU = torch.device("cpu")


def crystals() -> list:
    """Return rattled alloys with labels that are not those of the model."""
    random = np.random.default_rng(3)
    frames = []
    for number in range(6):
        atoms = bulk("Mo", "bcc", a=3.1 + 0.05 * number, cubic=True).repeat((1, 1, 1 + number % 2))
        atoms.symbols[::2] = ("Nb", "Ta", "W")[number % 3]
        atoms.set_cell(atoms.cell @ (np.eye(3) + random.normal(0, 0.02, (3, 3))), scale_atoms=True)
        atoms.positions += random.normal(0, 0.05, (len(atoms), 3))
        forces = random.normal(0, 0.2, (len(atoms), 3))
        atoms.calc = SinglePointCalculator(
            atoms, energy=-11.0 * len(atoms) - 0.1 * number, forces=forces, stress=random.normal(0, 0.02, 6)
        )
        atoms.info |= {"base": f"crystal-{number}", "kind": "alloys", "step": number}
        frames.append(atoms)
    return frames


@pytest.fixture
def packed() -> Packed:
    return Packed.from_ase(crystals())


@pytest.fixture
def student() -> Student:
    return Student(small_model()[0], CPU)


@pytest.fixture
def frames(packed: Packed, student: Student) -> Frames:
    return Frames.of(packed, student.source.composition("energy"), student.source.cutoff, CPU)


def test_frames_come_back_from_a_file_with_their_labels(tmp_path: Path, packed: Packed) -> None:
    packed.save(tmp_path / "frames.npz")
    write(tmp_path / "frames.xyz", Packed.load(tmp_path / "frames.npz").to_ase(), format="extxyz")
    for before, after in zip(crystals(), read(tmp_path / "frames.xyz", ":"), strict=True):
        np.testing.assert_array_equal(after.numbers, before.numbers)
        np.testing.assert_allclose(after.positions, before.positions, atol=1e-6)
        np.testing.assert_allclose(after.cell, before.cell, atol=1e-6)
        assert after.get_potential_energy() == pytest.approx(before.get_potential_energy(), abs=1e-6)
        np.testing.assert_allclose(after.get_forces(), before.get_forces(), atol=1e-6)
        np.testing.assert_allclose(after.get_stress(), before.get_stress(), atol=1e-7)
        assert (after.info["base"], after.info["step"]) == (before.info["base"], before.info["step"])


def test_frames_can_be_chosen_and_joined(packed: Packed) -> None:
    both = Packed.concatenate([packed.take(np.array([1, 4])), packed.take(np.array([0]))])
    assert both.base.tolist() == ["crystal-1", "crystal-4", "crystal-0"]
    assert len(both.numbers) == both.n_atoms.sum() == 4 + 2 + 2
    np.testing.assert_array_equal(both.forces[-2:], packed.forces[:2])


def test_student_says_what_the_engine_says(packed: Packed, student: Student, frames: Frames) -> None:
    found = student(frames, torch.arange(6), None, learns=False)
    table = StructureTable.from_ase([(str(i), atoms) for i, atoms in enumerate(crystals())])
    batch = Batch.from_table(table)
    path, sha256 = small_model()
    engine = make_model(path, sha256, forces=Derivation.CONSERVATIVE, stress=Derivation.CONSERVATIVE)
    expected = engine.evaluate(batch, NeighborList(engine.cutoff).update(batch))
    explained = batch.row_sum(student.source.composition("energy")[batch.numbers])
    np.testing.assert_allclose(found.energy.detach() + explained, expected.energy, atol=2e-4)
    np.testing.assert_allclose(found.forces.detach(), expected.forces, atol=2e-4)
    virial = expected.stress * batch.volumes()[:, None, None]
    symmetric = (found.virial + found.virial.mT) / 2
    np.testing.assert_allclose(symmetric.detach(), virial, atol=2e-3)
    direct = make_model(path, sha256, forces=Derivation.DIRECT, stress=Derivation.DIRECT)
    expected = direct.evaluate(batch, NeighborList(direct.cutoff).update(batch))
    mean = batch.row_sum(found.direct_forces) / batch.n_atoms[:, None]
    centred = found.direct_forces - mean[batch.row_of_atom]
    np.testing.assert_allclose(centred.detach(), expected.forces, atol=2e-4)
    np.testing.assert_allclose(found.direct_stress.detach(), expected.stress, atol=2e-5)


def test_turns_are_rotations_with_and_without_inversion() -> None:
    torch.manual_seed(0)
    turns = random_turns(200, CPU).double()
    np.testing.assert_allclose(turns @ turns.mT, np.broadcast_to(np.eye(3), (200, 3, 3)), atol=1e-6)
    determinants = torch.linalg.det(turns)
    assert 60 < int((determinants < 0).sum()) < 140
    assert abs(float(turns.mean())) < 0.05


def test_loss_of_the_labels_themselves_is_nothing_however_they_are_turned(frames: Frames) -> None:
    rows = torch.arange(6)
    turn = random_turns(6, CPU)
    batch = frames.batch
    forces = torch.einsum("ai,aij->aj", frames.forces, turn[batch.row_of_atom])
    virial = turn.mT @ frames.virial @ turn
    stress = virial / batch.volumes().float()[:, None, None]
    right = type("Answer", (), {})()
    right.energy, right.forces, right.virial = frames.energy, forces, virial
    right.direct_forces, right.direct_stress = forces, stress
    assert float(loss_of(right, frames, rows, turn)) == pytest.approx(0.0, abs=1e-6)
    assert float(loss_of(right, frames, rows, None)) > 0.05


def test_gradient_of_the_loss_is_that_of_differences(student: Student, frames: Frames) -> None:
    rows, place = torch.arange(6), student.names.index("gnn_layers.0.compress.0.weight")
    weight = student.weights[place]
    loss = loss_of(student(frames, rows, None, learns=True), frames, rows, None)
    slope = torch.autograd.grad(loss, weight)[0]
    direction = slope / slope.norm()
    values = []
    for step in (-2e-3, 2e-3):
        with torch.no_grad():
            weight.add_(direction, alpha=step)
        values.append(float(loss_of(student(frames, rows, None, learns=False), frames, rows, None)))
        with torch.no_grad():
            weight.add_(direction, alpha=-step)
    assert (values[1] - values[0]) / 4e-3 == pytest.approx(float(slope.norm()), rel=0.05)


@pytest.fixture
def trained(
    tmp_path: Path, packed: Packed, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[dict[str, float]]]:
    """Return what trains on the frames with the options given to it, and returns the learning curve."""

    def run(*options: str) -> list[dict[str, float]]:
        packed.save(tmp_path / "frames.npz")
        known = str(tmp_path / "frames.npz")
        given = [str(small_model()[0]), "--train", known, "--validation", known, "--out", str(tmp_path)]
        monkeypatch.setattr("sys.argv", ["gpu_train", *given, "--device", "cpu", "--rate", "1e-3", *options])
        assert gpu_train.main() == 0
        return json.loads((tmp_path / "curve.json").read_text())

    return run


@pytest.mark.parametrize("extra", [[], ["--muon", "--tf32"]])
def test_training_lowers_the_errors_and_the_weights_come_back(
    tmp_path: Path,
    packed: Packed,
    monkeypatch: pytest.MonkeyPatch,
    trained: Callable[..., list[dict[str, float]]],
    extra: list[str],
) -> None:
    curve = trained("--steps", "160", *extra)
    assert (curve[0]["step"], curve[-1]["step"]) == (0, 160)
    assert curve[-1]["energy"] < 0.5 * curve[0]["energy"]
    assert curve[-1]["forces"] < 0.6 * curve[0]["forces"]
    made = tmp_path / "new.ckpt"
    command = [str(small_model()[0]), str(tmp_path / gpu_train.WEIGHTS_FILE), "-o", str(made)]
    monkeypatch.setattr("sys.argv", ["with_weights", *command])
    assert with_weights.main() == 0
    student = Student(made, CPU)
    frames = Frames.of(packed, student.source.composition("energy"), student.source.cutoff, CPU)
    found = gpu_train.errors_of(student, frames, 1000)
    assert found["energy"] == pytest.approx(curve[-1]["energy"], rel=1e-3)
    assert found["direct_forces"] == pytest.approx(curve[-1]["direct_forces"], rel=1e-3)
    assert sha256_of(made) != small_model()[1]


def test_training_ends_with_its_seconds(trained: Callable[..., list[dict[str, float]]]) -> None:
    short, long = (trained("--budget", seconds) for seconds in ("0.2", "2"))
    assert short[-1]["seconds"] >= 0.2
    assert long[-1]["seconds"] >= 2
    assert 0 < short[-1]["step"] < long[-1]["step"]


def test_two_processes_average_their_gradients_and_follow_the_clock_of_the_first(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        """
import sys
import torch
from benchmarks.gpu_train import Processes
processes = Processes()
tensors = [torch.full((2, 3), float(processes.rank)), torch.tensor([4.0 * processes.rank])]
processes.average(tensors)
means = [tensor.unique().tolist() for tensor in tensors]
sys.stdout.write(f"{means} {processes.of_the_first(7.0 + processes.rank)}\\n")
processes.end()
"""
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command.append(str(program))
    environment = os.environ | {"PYTHONPATH": ".", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("[[0.5], [2.0]] 7.0") == 2


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    target = tmp_path / "model.ckpt"
    target.write_bytes(small_model()[0].read_bytes())
    with pytest.raises(ValueError, match=r"has no tensor edge_embedder.weight of shape \(2, 3\)"):
        with_weights.replace_weights(target, {"edge_embedder.weight": np.zeros((2, 3))})


def test_an_epoch_holds_each_frame_as_often_as_it_is_to_stand_there() -> None:
    sizes = torch.tensor([4] * 40)
    often = torch.tensor([1] * 20 + [2] * 20)
    batches = gpu_train.Batches(torch.rand(40), sizes, often, 16, seed=1)
    seen = []
    while len(seen) < 60:
        part = batches.next()
        assert len(part) <= 5
        seen += part.tolist()
    assert batches.epochs == 1
    assert sorted(seen) == sorted([*range(40), *range(20, 40)])


def test_batch_is_a_part_of_the_frames(packed: Packed) -> None:
    whole, part = batch_of(packed, CPU), batch_of(packed, CPU, 2, 4)
    np.testing.assert_array_equal(part.positions, whole.take(torch.tensor([2, 3])).positions)
    np.testing.assert_array_equal(part.cells, whole.cells[2:4])

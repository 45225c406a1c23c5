"""The frames that the model that ships learns from: which are left out, and that no crystal is on two sides."""

from __future__ import annotations

import io
import lzma
from collections import Counter
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator

pytest.importorskip("torch", reason="needs the extra `engine`")

from benchmarks.recipe.frames import held_out_frames, of_each_kind, training_frames


def frame(atoms: Atoms, energy: float, **info: object) -> Atoms:
    """Return a frame with labels; forces and stress are made of its energy."""
    forces = np.full((len(atoms), 3), 0.01 * energy)
    atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces, stress=np.arange(6) * energy)
    atoms.info = info
    return atoms


def pack(path: Path, frames: list[Atoms]) -> None:
    text = io.StringIO()
    ase.io.write(text, frames, format="extxyz")
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(lzma.compress(text.getvalue().encode()))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Bcc W and fcc W with labels of the universal model, crystals of Al, and PBE frames of several kinds."""
    common = [
        frame(bulk("W", "bcc", a=3.1), -1.0, base="bcc-w", step=1, kind="alloys"),
        frame(bulk("W", "bcc", a=3.2), -2.0, base="bcc-w", step=13, kind="alloys"),
        frame(bulk("W", "fcc", a=4.0), -3.0, base="fcc-w", step=13, kind="alloys"),
        *(frame(bulk("Al", a=4.0), 4.0 + i, base=f"al-{i % 20}", step=i, kind="crystals") for i in range(60)),
    ]
    dft = [
        frame(bulk("Mo", a=3.15), -10.0, config="Mo Elastic"),
        frame(bulk("Mo", a=3.1), -11.0, config="Mo GB"),
    ]
    dft += [frame(bulk("Mo", a=3.15), -20.0 - i, config="Mo AIMD") for i in range(200)]
    for name in ("train", "validation"):
        pack(tmp_path / "common" / f"{name}.extxyz.xz", common)
        pack(tmp_path / "refractory" / f"{name}.xyz.xz", dft)
    return tmp_path


def test_bcc_crystals_that_pbe_data_have_are_left_out_and_elastic_ones_stand_twice(data: Path) -> None:
    energies = [atoms.info["energy"] for atoms in training_frames(data)]
    assert -1.0 not in energies
    assert -2.0 not in energies
    assert energies.count(-3.0) == 1
    assert energies.count(-10.0) == 2
    assert energies.count(-11.0) == 1
    dynamics = sum(energy <= -20.0 for energy in energies)
    assert 25 < dynamics < 75


def test_training_frames_are_the_same_each_time(data: Path) -> None:
    first, second = ([atoms.info["energy"] for atoms in training_frames(data)] for _ in range(2))
    assert first == second
    assert first != sorted(first)


def test_no_crystal_is_both_in_validation_and_test(data: Path) -> None:
    validation, test = ({atoms.info["base"] for atoms in frames} for frames in held_out_frames(data))
    assert not validation & test
    assert len(validation | test) == 1 + 20 + 3
    assert min(len(validation), len(test)) >= 5
    assert sum(len(frames) for frames in held_out_frames(data)) == 61 + 202


def test_frames_that_set_the_uncertainty_are_as_many_of_each_kind(data: Path) -> None:
    validation = [atoms for frames in held_out_frames(data) for atoms in frames]
    found = of_each_kind(validation)
    kinds = Counter(atoms.info["kind"] for atoms in validation)
    assert len(set(kinds.values())) == 3
    assert Counter(atoms.info["kind"] for atoms in found) == dict.fromkeys(kinds, min(kinds.values()))
    places = [next(i for i, frame in enumerate(validation) if frame is atoms) for atoms in found]
    assert places == sorted(places)
    assert places != list(range(len(found)))

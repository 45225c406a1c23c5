from __future__ import annotations

import io
import lzma
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator

from aiida_pet.models.recipe.convert import DataError, convert, group_of, read_split


def frame(config: str, energy: float, lacking: str = "") -> Atoms:
    atoms = bulk("W", "bcc", a=3.2, cubic=True)
    results = {"energy": energy, "forces": np.full((2, 3), 0.25), "stress": np.arange(6) / 8}
    atoms.calc = SinglePointCalculator(
        atoms, **{key: value for key, value in results.items() if key != lacking}
    )
    atoms.info["config"] = config
    return atoms


def publish(folder: Path, **splits: list[Atoms]) -> Path:
    """Write `splits` into `folder` as the data are published."""
    for split, frames in splits.items():
        text = io.StringIO()
        ase.io.write(text, frames, format="extxyz")
        (folder / f"{split}.xyz.xz").write_bytes(lzma.compress(text.getvalue().encode()))
    return folder


def test_group_of_is_what_follows_the_elements() -> None:
    assert [group_of(config) for config in ("W_Elastic", "MoTa_SS")] == ["Elastic", "SS"]


def test_convert_repeats_strained_cells_and_slabs_in_training_only(tmp_path: Path) -> None:
    frames = [
        frame("W_Elastic", -1.0),
        frame("W_AIMD", -2.0),
        frame("W_Surface", -3.0),
        frame("MoTa_SS", -4.0),
    ]
    counts = convert(publish(tmp_path, train=frames, validation=frames), tmp_path / "out")
    assert counts == {"train": 10, "validation": 4}
    written = ase.io.read(tmp_path / "out" / "train.xyz", ":")
    assert [atoms.get_potential_energy() for atoms in written] == [-1.0] * 4 + [-2.0] + [-3.0] * 4 + [-4.0]


def test_convert_keeps_forces_and_stress(tmp_path: Path) -> None:
    source = frame("W_AIMD", -1.5)
    convert(publish(tmp_path, train=[source], validation=[source]), tmp_path / "out")
    written = ase.io.read(tmp_path / "out" / "validation.xyz")
    np.testing.assert_array_equal(written.get_forces(), source.get_forces())
    np.testing.assert_array_equal(written.get_stress(), source.get_stress())
    np.testing.assert_array_equal(written.cell, source.cell)


def test_convert_of_the_real_data_has_every_frame(refractory_data: Path, tmp_path: Path) -> None:
    counts = convert(refractory_data, tmp_path)
    published = read_split(refractory_data, "train")
    repeated = sum(group_of(atoms.info["config"]) in ("Elastic", "Surface") for atoms in published)
    assert (len(published), repeated) == (5018, 507)
    assert counts == {"train": 5018 + 3 * repeated, "validation": 264}


@pytest.mark.parametrize("lacking", ["energy", "forces", "stress"])
def test_read_split_names_the_frame_that_lacks_a_result(tmp_path: Path, lacking: str) -> None:
    frames = [frame("W_AIMD", -1.0), frame("W_AIMD", -1.0, lacking)]
    with pytest.raises(DataError, match=rf"frame 1 of .*train\.xyz\.xz \(W2\) lacks {lacking}"):
        read_split(publish(tmp_path, train=frames), "train")


def test_read_split_names_the_files_it_expects(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"cannot read .*train\.xyz\.xz.*Expected train\.xyz\.xz and validation"
    ):
        read_split(tmp_path, "train")


def test_read_split_of_a_damaged_file_says_so(tmp_path: Path) -> None:
    path = publish(tmp_path, train=[frame("W_AIMD", -1.0)]) / "train.xyz.xz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="cannot read"):
        read_split(tmp_path, "train")

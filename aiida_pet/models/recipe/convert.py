"""From the published training data to the two extended-XYZ files that the options of the recipe name.

Energies in eV, forces in eV/A, stress in eV/A^3 with ASE's sign, as they come. Frames of groups with few atoms or few
frames are repeated in the training set, since each frame weighs the same in the loss.
"""

from __future__ import annotations

import io
import logging
import lzma
from collections.abc import Mapping
from pathlib import Path

import ase.io
from ase import Atoms

LOGGER = logging.getLogger(__name__)

SPLITS = ("train", "validation")
SOURCE_SUFFIX = ".xyz.xz"

REPEATED: Mapping[str, int] = {"Elastic": 4, "Surface": 4}
"""Group -> how often its frames stand in the training set: 459 strained two-atom cells decide the elastic constants
and 48 slabs the surfaces, beside 3,752 cells of 16 atoms and 759 of 54. A group that is not named stands there once."""


class DataError(ValueError):
    """Raised when a file of the training data is missing or is not what the recipe was written for."""


def group_of(config: str) -> str:
    """Return the group of a frame labelled ``config``: ``MoTa_SS`` -> ``SS``."""
    return config.rpartition("_")[2]


def read_split(data: Path, split: str) -> list[Atoms]:
    """Return the frames of ``split`` (train or validation) in folder ``data``, as published.

    :raises DataError: if the file is missing or damaged, or a frame lacks its label, energy, forces or stress.
    """
    path = data / f"{split}{SOURCE_SUFFIX}"
    try:
        text = lzma.decompress(path.read_bytes()).decode()
    except (OSError, lzma.LZMAError, UnicodeDecodeError) as error:
        raise DataError(
            f"cannot read the training data {path}: {error}. Expected {SPLITS[0]}{SOURCE_SUFFIX} and "
            f"{SPLITS[1]}{SOURCE_SUFFIX} in the folder given as --data"
        ) from error
    read = ase.io.read(io.StringIO(text), ":", format="extxyz")
    frames = [read] if isinstance(read, Atoms) else list(read)
    for i, frame in enumerate(frames):
        results = frame.calc.results if frame.calc is not None else {}
        lacking = [name for name in ("energy", "forces", "stress") if name not in results]
        if "config" not in frame.info or lacking:
            what = ", ".join(lacking) or "its label `config`"
            raise DataError(f"frame {i} of {path} ({frame.get_chemical_formula()}) lacks {what}")
    return frames


def training_frames(frames: list[Atoms], repeated: Mapping[str, int] = REPEATED) -> list[Atoms]:
    """Return ``frames`` in their order, those of the groups in ``repeated`` as often as it says, one after another."""
    return [frame for frame in frames for _ in range(repeated.get(group_of(frame.info["config"]), 1))]


def convert(data: Path, target: Path) -> dict[str, int]:
    """Write ``train.xyz`` and ``validation.xyz`` of the recipe into ``target``; return the number of frames of each.

    :raises DataError: as :func:`read_split`.
    """
    target.mkdir(parents=True, exist_ok=True)
    counts = {}
    for split in SPLITS:
        frames = read_split(data, split)
        if split == "train":
            frames = training_frames(frames)
        ase.io.write(target / f"{split}.xyz", frames, format="extxyz")
        counts[split] = len(frames)
        LOGGER.info("%s: %d frames, %d atoms", split, len(frames), sum(map(len, frames)))
    return counts

"""Fixtures of the tests of models: checkpoints of several kinds, and a stand-in for the hub. No AiiDA."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aiida_pet.models import embedded_path


class _Bomb:
    """Unpickling this creates the file `flag`."""

    def __init__(self, flag: Path) -> None:
        self.flag = flag

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.flag), "w")


@pytest.fixture
def bomb(tmp_path: Path) -> Callable[[Path], Path]:
    """Return a maker of a file that looks like a checkpoint and creates `flag` when it is unpickled."""

    def make(flag: Path) -> Path:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps(_Bomb(flag), protocol=2))
            archive.writestr("archive/version", "3\n")
            archive.writestr("archive/byteorder", "little")
        path = tmp_path / "bomb.ckpt"
        path.write_bytes(buffer.getvalue())
        return path

    return make


@pytest.fixture
def model_copy(tmp_path: Path) -> Path:
    """The embedded checkpoint, in a place where it can be damaged."""
    path = tmp_path / "model.ckpt"
    path.write_bytes(embedded_path().read_bytes())
    return path

"""A checkpoint of metatrain's opened without metatrain, metatensor or metatomic, and without running what it holds.

torch's ``weights_only`` builds nothing but tensors and plain containers, and of other classes only those that it is
told to, as what it is told to: metatrain's descriptions of a data set become :class:`Described`, TorchScript objects
(the metadata, layouts) :class:`Script`, both of which only hold what was stored. Any other class is refused. The hash
of the bytes has been checked before all the same (:mod:`aiida_pet.job.checkpoint`).
"""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from aiida_pet.engine.batch.batch import Tensor


class NotPlainError(ValueError):
    """Raised for a checkpoint that is not read here; the message says what it has that is not known."""


class Described:
    """Attributes of metatrain's ``DatasetInfo`` or ``TargetInfo``."""

    def __init__(self) -> None:
        self.length_unit = self.unit = ""
        self.targets: dict[str, Described] = {}


class Script:
    """A TorchScript object as it was stored.

    :ivar content: JSON of the metadata, bytes of a metatensor object.
    :ivar kind: its class.
    """

    def __setstate__(self, state: tuple[Any, str]) -> None:
        self.content, self.kind = state

    @property
    def extra(self) -> dict[str, str]:
        """What the metadata of a model says beside its name and authors."""
        return dict(json.loads(self.content).get("extra", {}))


_CLASSES: list[Any] = [
    (Script, "torch.ScriptObject"),
    (Described, "metatrain.utils.data.dataset.DatasetInfo"),
    (Described, "metatrain.utils.data.target_info.TargetInfo"),
    (set, "__builtin__.set"),
    # the best score of a training may be one of numpy's numbers
    (np.dtype, "numpy.dtype"),
    (np.dtypes.Float64DType, "numpy.dtypes.Float64DType"),
    (np._core.multiarray.scalar, "numpy._core.multiarray.scalar"),  # type: ignore[attr-defined]
    (np._core.multiarray.scalar, "numpy.core.multiarray.scalar"),  # type: ignore[attr-defined]
]


def read_stored(content: bytes) -> dict[str, Any]:
    """Return the checkpoint whose file has the bytes ``content``, its tensors on the CPU.

    :raises NotPlainError: if it holds objects of other classes, or is no dictionary.
    """
    try:
        with torch.serialization.safe_globals(_CLASSES):
            checkpoint = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise NotPlainError(f"it cannot be opened without metatrain: {error}".splitlines()[0]) from error
    except (RuntimeError, EOFError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise NotPlainError(
            f"it cannot be opened without metatrain: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(checkpoint, dict):
        raise NotPlainError(f"it holds a {type(checkpoint).__name__}")
    return checkpoint


def only_block(buffer: Tensor) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return values and samples of a metatensor map of one block, given its (bytes,) uint8 file.

    The file is an archive of numpy's arrays (docs.metatensor.org, "Serialization format for TensorMap").

    :return: (samples, properties) values, and the (samples,) numbers that say which they are.
    :raises NotPlainError: if there are more blocks, or it is no such file.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(buffer.numpy().tobytes())) as archive:
            if any(name.startswith("blocks/1/") for name in archive.namelist()):
                raise NotPlainError("one of its baselines or scales has several blocks")
            values = _array(archive, "blocks/0/values.npy")
            samples = _array(archive, "blocks/0/samples.npy")
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        if isinstance(error, NotPlainError):
            raise
        raise NotPlainError(f"one of its baselines or scales cannot be read: {error}") from error
    names = samples.dtype.names or ()
    if values.ndim != 2 or len(names) != 1:
        raise NotPlainError("one of its baselines or scales is not a number for each element")
    return values.astype(np.float64), samples[names[0]].astype(np.int64)


def _array(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    array: NDArray[Any] = np.load(io.BytesIO(archive.read(name)), allow_pickle=False)
    return array

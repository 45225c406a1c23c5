"""``python -m benchmarks.recipe.with_weights MODEL.ckpt WEIGHTS.npz -o NEW.ckpt``: a checkpoint with other weights.

WEIGHTS.npz is what :mod:`benchmarks.gpu_train` wrote for MODEL.ckpt. An uncertainty is left out, since it belongs to
the weights before: ``aiida-pet launch calibrate`` makes it anew.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aiida_pet.job.checkpoint import load_checkpoint, sha256_of
from aiida_pet.training.checkpoints import write_start

_PREFIXES = ("", "backend.")


def replace_weights(path: Path, weights: dict[str, Any]) -> None:
    """Write ``weights`` (name in the network -> array) into the PET checkpoint ``path``.

    :raises ValueError: if the checkpoint has no tensor of that name and shape.
    """
    checkpoint = load_checkpoint(path, sha256_of(path))
    for key in ("model_state_dict", "best_model_state_dict"):
        state = checkpoint.get(key)
        if not state:
            continue
        for name, values in weights.items():
            inside = next((prefix + name for prefix in _PREFIXES if prefix + name in state), None)
            if inside is None or tuple(state[inside].shape) != values.shape:
                raise ValueError(f"{path} has no tensor {name} of shape {values.shape}")
            state[inside] = torch.from_numpy(np.array(values)).to(state[inside])
    torch.save(checkpoint, path)


def main() -> int:
    """Write the checkpoint."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recipe.with_weights", description=__doc__)
    parser.add_argument("model", type=Path, help="checkpoint; it is loaded, so it has to be trusted")
    parser.add_argument("weights", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    write_start(arguments.model, sha256_of(arguments.model), arguments.output)
    with np.load(arguments.weights, allow_pickle=False) as archive:
        replace_weights(arguments.output, dict(archive))
    print(f"{arguments.output}: sha256 {sha256_of(arguments.output)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

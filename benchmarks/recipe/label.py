"""``python -m benchmarks.recipe.label WEIGHTS FRAMES.npz -o OUT.npz``: labels of the universal model for many frames.

It needs the torch part of Nequix (its ``torch_impl``), e3nn, and weights for torch; no JAX, so that a machine with a
GPU can do it that has no more than these. Frames come and go as :class:`~benchmarks.recipe.packed.Packed`; those with
a force or a stress beyond the bounds of the training data are left out.
"""

from __future__ import annotations

import argparse
import sys
import time
import types
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aiida_pet.engine.batch.batch import Batch, Tensor, rows_of_atoms
from aiida_pet.engine.batch.pair_search import find_pairs
from benchmarks.recipe.packed import STRONGEST_FORCE, STRONGEST_STRESS, Packed

MOST_PAIRS = {"cpu": 3_000, "cuda": 150_000}  # at a time: 300 kB each


def batch_of(frames: Packed, device: torch.device, first: int = 0, last: int | None = None) -> Batch:
    """Return the frames from ``first`` to before ``last`` as a batch."""
    ends = np.concatenate([[0], np.cumsum(frames.n_atoms.astype(int))])
    last = len(frames) if last is None else last
    atoms, rows = slice(ends[first], ends[last]), slice(first, last)
    n_atoms = torch.from_numpy(frames.n_atoms[rows].astype(np.int64)).to(device)
    return Batch(
        numbers=torch.from_numpy(frames.numbers[atoms].astype(np.int64)).to(device),
        positions=torch.from_numpy(frames.positions[atoms].astype(np.float64)).to(device),
        cells=torch.from_numpy(frames.cells[rows].astype(np.float64)).to(device),
        pbc=torch.ones((last - first, 3), dtype=torch.bool, device=device),
        n_atoms=n_atoms,
        row_of_atom=rows_of_atoms(n_atoms),
    )


class Teacher:
    """The universal model on a device, in float32.

    :param weights: for torch.
    """

    def __init__(self, weights: Path, device: torch.device) -> None:
        load_model = _nequix().load_model
        model, config = load_model(str(weights))
        self._model = model.to(device).eval().requires_grad_(False)
        self._index = torch.full((128,), -1, dtype=torch.int64, device=device)
        for place, number in enumerate(config["atomic_numbers"]):
            self._index[number] = place
        self.cutoff = float(config["cutoff"])
        self.device = device

    def __call__(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Return the (N,) energies, eV, (A, 3) forces, eV/A, and (N, 3, 3) stresses, eV/A^3."""
        pairs = find_pairs(batch, self.cutoff)
        with torch.enable_grad():
            energies, forces, stress = self._model(
                self._index[batch.numbers],
                batch.positions.float(),
                pairs.shifts.float(),
                torch.stack([pairs.neighbors, pairs.centers]),
                batch.cells.float(),
                None,
                None,
                batch.row_of_atom,
            )
        return batch.row_sum(energies.detach().double()), forces.detach(), stress.detach()


def labelled(frames: Packed, teacher: Teacher) -> Packed:
    """Return the frames with labels, without those beyond the bounds."""
    energy = np.full(len(frames), np.nan)
    forces = np.full((int(frames.n_atoms.sum()), 3), np.nan, dtype=np.float32)
    stress = np.full((len(frames), 3, 3), np.nan, dtype=np.float32)
    ends = np.concatenate([[0], np.cumsum(frames.n_atoms.astype(int))])
    volumes = np.abs(np.linalg.det(frames.cells.astype(float)))
    n_atoms = frames.n_atoms.astype(int)
    pairs = np.cumsum(n_atoms**2 / volumes * 4 / 3 * np.pi * teacher.cutoff**3)
    groups = (pairs / MOST_PAIRS[teacher.device.type]).astype(int)
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    for first, last in zip(starts, [*starts[1:], len(frames)], strict=True):
        found = teacher(batch_of(frames, teacher.device, int(first), int(last)))
        energy[first:last] = found[0].cpu().numpy()
        forces[ends[first] : ends[last]] = found[1].cpu().numpy()
        stress[first:last] = found[2].cpu().numpy()
    strongest = np.maximum.reduceat(np.abs(forces).max(axis=1), ends[:-1])
    kept = (strongest < STRONGEST_FORCE) & (np.abs(stress).max(axis=(1, 2)) < STRONGEST_STRESS)
    whole = replace(frames, energy=energy, forces=forces, stress=stress)
    return whole.take(np.flatnonzero(kept & np.isfinite(energy)))


def _nequix() -> Any:
    """Return the torch part of Nequix without what else its package imports."""
    spec = find_spec("nequix") if "nequix" not in sys.modules else None
    if spec is not None and spec.submodule_search_locations:
        package = types.ModuleType("nequix")
        package.__path__ = list(spec.submodule_search_locations)
        sys.modules["nequix"] = package
    from nequix.torch_impl import model

    return model


def main() -> int:
    """Label the frames of a file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recipe.label", description=__doc__)
    parser.add_argument("weights", type=Path, help="weights of Nequix for torch")
    parser.add_argument("frames", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    began = time.monotonic()
    frames = Packed.load(arguments.frames)
    teacher = Teacher(arguments.weights, torch.device(arguments.device))
    found = labelled(frames, teacher)
    found.save(arguments.output)
    print(f"{time.monotonic() - began:.0f} s: {len(found)} of {len(frames)} frames labelled")
    return 0


if __name__ == "__main__":
    sys.exit(main())

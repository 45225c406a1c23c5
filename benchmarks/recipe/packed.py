"""Many frames in one ``.npz`` file: a tenth of the size of extxyz, read at once.

``python -m benchmarks.recipe.packed FRAMES.xyz -o FRAMES.npz`` packs a file of frames.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import numpy as np
from ase import Atoms
from ase.io import read
from ase.stress import voigt_6_to_full_3x3_stress
from numpy.typing import NDArray

Array = NDArray[np.generic]
STRONGEST_FORCE, STRONGEST_STRESS = 8.0, 1.0  # eV/A, eV/A^3: of the frames that are learnt
DISTURBED_STEP, STRAINED_STEP = (
    99,
    98,
)  # ``step`` of frames that are no steps: rattled and strained, strained alone


@dataclass(frozen=True)
class Packed:
    """N frames of A atoms in all, with their labels; labels that are not known are NaN.

    :ivar numbers: (A,) uint8, atomic numbers.
    :ivar positions: (A, 3) float32, A.
    :ivar cells: (N, 3, 3) float32, A, lattice vectors in rows.
    :ivar n_atoms: (N,) int16.
    :ivar energy: (N,) float64, eV.
    :ivar forces: (A, 3) float32, eV/A.
    :ivar stress: (N, 3, 3) float32, eV/A^3, positive under tension.
    :ivar base: (N,) name of the crystal that a frame comes from.
    :ivar kind: (N,) what errors are told by.
    :ivar step: (N,) int16, step of the relaxation.
    """

    numbers: Array
    positions: Array
    cells: Array
    n_atoms: Array
    energy: Array
    forces: Array
    stress: Array
    base: Array
    kind: Array
    step: Array

    def __len__(self) -> int:
        return len(self.n_atoms)

    @classmethod
    def from_ase(cls, frames: Sequence[Atoms]) -> Self:
        """Return frames with their labels, as ASE reads them from extxyz: those of the calculator."""

        def labels(name: str, shape: tuple[int, ...]) -> list[Array]:
            known = [{} if atoms.calc is None else atoms.calc.results for atoms in frames]
            return [np.asarray(results.get(name, np.full(shape, np.nan))) for results in known]

        forces = [
            np.full((len(atoms), 3), np.nan) if given.ndim < 2 else given
            for atoms, given in zip(frames, labels("forces", ()), strict=True)
        ]
        stress = [
            given if given.ndim == 2 else voigt_6_to_full_3x3_stress(given)
            for given in labels("stress", (6,))
        ]
        return cls(
            numbers=np.concatenate([atoms.numbers for atoms in frames]).astype(np.uint8),
            positions=np.concatenate([atoms.positions for atoms in frames]).astype(np.float32),
            cells=np.array([atoms.cell.array for atoms in frames], dtype=np.float32),
            n_atoms=np.array([len(atoms) for atoms in frames], dtype=np.int16),
            energy=np.array(labels("energy", ()), dtype=float),
            forces=np.concatenate(forces).astype(np.float32),
            stress=np.array(stress, dtype=np.float32),
            base=np.array([str(atoms.info["base"]) for atoms in frames]),
            kind=np.array([str(atoms.info.get("kind", "crystals")) for atoms in frames]),
            step=np.array([int(atoms.info.get("step", 0)) for atoms in frames], dtype=np.int16),
        )

    def to_ase(self) -> list[Atoms]:
        """Return the frames with their labels in ``info`` and ``arrays``."""
        ends = np.cumsum(self.n_atoms.astype(int))
        frames = []
        for row, (end, size) in enumerate(zip(ends, self.n_atoms.astype(int), strict=True)):
            part = slice(end - size, end)
            cell = self.cells[row].astype(float)
            frame = Atoms(self.numbers[part], self.positions[part].astype(float), cell=cell, pbc=True)
            frame.info |= {
                "energy": float(self.energy[row]),
                "stress": self.stress[row].astype(float).reshape(-1),
                "base": str(self.base[row]),
                "kind": str(self.kind[row]),
                "step": int(self.step[row]),
            }
            frame.arrays["forces"] = self.forces[part].astype(float)
            frames.append(frame)
        return frames

    def take(self, rows: Array) -> Self:
        """Return the frames at the places ``rows``, rising."""
        chosen = np.zeros(len(self), dtype=bool)
        chosen[rows] = True
        atoms = np.repeat(chosen, self.n_atoms.astype(int))
        of_atoms = ("numbers", "positions", "forces")
        return type(self)(
            **{
                field.name: getattr(self, field.name)[atoms if field.name in of_atoms else chosen]
                for field in fields(self)
            }
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Return the frames of ``parts``, in order."""
        return cls(
            **{
                field.name: np.concatenate([getattr(part, field.name) for part in parts])
                for field in fields(cls)
            }
        )

    def save(self, path: Path) -> None:
        """Write the file ``path``."""
        np.savez_compressed(path, **{field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return what :meth:`save` wrote."""
        with np.load(path, allow_pickle=False) as archive:
            return cls(**{field.name: archive[field.name] for field in fields(cls)})


def main() -> int:
    """Pack a file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recipe.packed", description=__doc__)
    parser.add_argument("frames", type=Path, help="file of frames that ASE reads")
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    frames = Packed.from_ase(read(arguments.frames, ":"))
    frames.save(arguments.output)
    print(f"{len(frames)} frames, {len(frames.numbers)} atoms")
    return 0


if __name__ == "__main__":
    sys.exit(main())

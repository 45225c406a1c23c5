"""Trajectories to files of ASE, frame by frame: extended XYZ and ``.traj``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from ase.io.trajectory import Trajectory

from aiida_pet.io.whole_files import whole_file
from aiida_pet.job.trajectory_files import Frames
from aiida_pet.units import FEMTOSECOND

SUFFIXES = (".extxyz", ".xyz", ".traj")


def atoms_of(frames: Frames) -> Iterator[Atoms]:
    """Yield ASE's atoms of each frame: positions are not wrapped, ``info`` has step, time (fs), temperature, pressure.

    Energy and, where they were kept, velocities are where ASE has them.
    """
    series = frames.series
    for frame in range(len(frames)):
        atoms = Atoms(
            frames.numbers,
            positions=series["positions"][frame].astype(float),
            cell=series["cells"][frame],
            pbc=frames.pbc,
        )
        if "velocities" in series:
            atoms.set_velocities(series["velocities"][frame].astype(float) / FEMTOSECOND)
        atoms.info |= {
            "step": int(series["steps"][frame]),
            "time": float(series["times"][frame]),
            "temperature": float(series["temperatures"][frame]),
            "pressure": float(series["pressures"][frame]),
        }
        atoms.calc = SinglePointCalculator(atoms, energy=float(series["energies"][frame]))
        yield atoms


def write_trajectory(parts: Iterable[Frames], path: Path) -> int:
    """Write the frames of ``parts`` to ``path``, and return how many there are; no more than a part is in memory.

    :param path: whose suffix, one of :data:`SUFFIXES`, says in which format.
    :raises ValueError: if the suffix is another one.
    """
    if path.suffix not in SUFFIXES:
        raise ValueError(
            f"cannot write a trajectory to {path}: expected a name that ends in {', '.join(SUFFIXES)}"
        )
    count = 0
    with whole_file(path) as part:
        if path.suffix == ".traj":
            with Trajectory(str(part), "w") as trajectory:
                for frames in parts:
                    for atoms in atoms_of(frames):
                        trajectory.write(atoms)
                        count += 1
            return count
        with part.open("x") as file:
            for frames in parts:
                for atoms in atoms_of(frames):
                    atoms.arrays |= {"velocities": velocities_per_fs(atoms)} if atoms.has("momenta") else {}
                    atoms.arrays.pop("momenta", None)
                    write(file, atoms, format="extxyz")
                    count += 1
    return count


def velocities_per_fs(atoms: Atoms) -> np.ndarray:
    """Return the (A, 3) velocities, A/fs: the unit of the column that dynamics begin with."""
    return np.asarray(atoms.get_velocities()) * FEMTOSECOND

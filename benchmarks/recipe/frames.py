"""``python -m benchmarks.recipe.frames --data FOLDER -o OUT``: the frames that the model that ships learns from.

Labels of a universal model for crystals of 27 elements (``common/``), and PBE data for Nb, Mo, Ta and W
(``refractory/``). For the bcc crystals of these four metals both have labels that disagree where cells are strained;
there the PBE data stand alone. Of the validation frames, one half of the crystals chooses the epoch, and the other half
is for the errors of the card alone. Frames of the first half set the scale of the uncertainty, as many of each kind:
otherwise the crystals, on which the model errs most, would set it for the alloys, too.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import io
import lzma
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import spglib
from ase import Atoms
from ase.io import iread, write

from benchmarks.recipe.packed import DISTURBED_STEP

SEED = 20261128
REFRACTORY = frozenset(("Nb", "Mo", "Ta", "W"))
BCC = 229
KEPT = {"AIMD": 0.25, "SS": 0.5}
"""Share of the PBE frames that are kept, by the end of their ``config``: dynamics and substitutions are many alike."""


def read(path: Path) -> Iterator[Atoms]:
    """Yield the frames of a packed extxyz file."""
    yield from iread(io.StringIO(lzma.decompress(path.read_bytes()).decode()), format="extxyz", index=":")


def training_frames(data: Path) -> list[Atoms]:
    """Return the frames to train on, in random order: those of elastic strains stand twice."""
    rng = random.Random(SEED)
    frames = _common(data / "common" / "train.extxyz.xz")
    dft = [atoms for atoms in read(data / "refractory" / "train.xyz.xz") if _is_kept(atoms, rng)]
    frames += [copy.deepcopy(atoms) for atoms in dft if atoms.info["config"].endswith("Elastic")]
    frames += dft
    rng.shuffle(frames)
    return [labelled(atoms) for atoms in frames]


def held_out_frames(data: Path) -> tuple[list[Atoms], list[Atoms]]:
    """Return the frames for validation and those for the errors of the card; no crystal is in both."""
    frames = _common(data / "common" / "validation.extxyz.xz")
    frames += list(read(data / "refractory" / "validation.xyz.xz"))
    sides: tuple[list[Atoms], list[Atoms]] = ([], [])
    for atoms in frames:
        sides[hashlib.sha256(crystal_of(atoms).encode()).digest()[0] % 2].append(labelled(atoms))
    return sides


def of_each_kind(frames: list[Atoms]) -> list[Atoms]:
    """Return as many of ``frames`` of each kind, in their order: those whose names have the smallest hashes."""
    places: dict[str, list[tuple[bytes, int]]] = {}
    for place, atoms in enumerate(frames):
        name = f"{atoms.info['base']} {place}"
        places.setdefault(atoms.info["kind"], []).append((hashlib.sha256(name.encode()).digest(), place))
    least = min(map(len, places.values()))
    return [
        frames[place]
        for place in sorted(place for kind in places.values() for _, place in sorted(kind)[:least])
    ]


def crystal_of(atoms: Atoms) -> str:
    """Return the name of the crystal that a frame comes from; of PBE frames, their kind and formula."""
    if "base" in atoms.info:
        return str(atoms.info["base"])
    return f"{atoms.info['config']} {atoms.get_chemical_formula(empirical=True)}"


def labelled(atoms: Atoms) -> Atoms:
    """Return a frame with its labels where metatrain and an import look for them, and what errors are told by."""
    energy, forces, stress = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress(voigt=False)
    info: dict[str, Any] = {
        "base": crystal_of(atoms),
        "kind": str(atoms.info.get("kind", "PBE")),
        "step": int(atoms.info.get("step", 0)),
    }
    atoms.calc = None
    atoms.info = {"energy": energy, "stress": stress.reshape(-1)} | info
    atoms.arrays["forces"] = forces
    return atoms


def _common(path: Path) -> list[Atoms]:
    """Return the frames with labels of the universal model, without the bcc crystals that the PBE data have."""
    frames = list(read(path))
    left_out = _bcc_of_refractory_metals(frames)
    return [atoms for atoms in frames if atoms.info["base"] not in left_out]


def _bcc_of_refractory_metals(frames: list[Atoms]) -> set[str]:
    last: dict[str, Atoms] = {}
    for atoms in frames:
        symbols = set(atoms.symbols)
        if len(symbols) == 1 and symbols <= REFRACTORY and atoms.info["step"] != DISTURBED_STEP:
            base = atoms.info["base"]
            if base not in last or atoms.info["step"] > last[base].info["step"]:
                last[base] = atoms
    return {base for base, atoms in last.items() if _is_bcc(atoms)}


def _is_bcc(atoms: Atoms) -> bool:
    cell = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
    found = spglib.get_symmetry_dataset(cell, symprec=0.1)
    return found is not None and found.number == BCC


def _is_kept(atoms: Atoms, rng: random.Random) -> bool:
    for end, share in KEPT.items():
        if atoms.info["config"].endswith(end):
            return rng.random() < share
    return True


def main() -> int:
    """Write ``train.xyz``, ``validation.xyz``, ``calibration.xyz`` and ``test.xyz``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recipe.frames", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with common/ and refractory/")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder to write to")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    validation, test = held_out_frames(arguments.data)
    for name, frames in (
        ("train", training_frames(arguments.data)),
        ("validation", validation),
        ("calibration", of_each_kind(validation)),
        ("test", test),
    ):
        write(arguments.output / f"{name}.xyz", frames, format="extxyz")
        crystals = len({atoms.info["base"] for atoms in frames})
        print(f"{name}: {len(frames)} frames of {crystals} crystals, {sum(map(len, frames))} atoms")
    return 0


if __name__ == "__main__":
    sys.exit(main())

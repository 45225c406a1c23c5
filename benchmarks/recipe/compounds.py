"""``python -m benchmarks.recipe.compounds WEIGHTS --avoid FILE... -o FILE``: more frames of compounds.

The first training showed where the model errs most: ionic and covalent compounds of few atoms, which the common data
hardly hold. This program puts the 27 elements into prototypes of such compounds, relaxes them for some steps with the
universal model that labelled the common data (``scripts/make-nequix-venv.sh`` makes its environment), rattles and
strains what came out, and writes labelled frames. Formulas of the files after ``--avoid`` are left out, so that no
crystal by which the model is judged is learnt.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.data import covalent_radii
from ase.filters import FrechetCellFilter
from ase.formula import Formula
from ase.io import read, write
from ase.neighborlist import neighbor_list
from ase.optimize import FIRE
from numpy.random import Generator
from pymatgen.core import Lattice, Structure

from benchmarks.recipe.packed import DISTURBED_STEP, STRONGEST_FORCE, STRONGEST_STRESS

METALS = {
    "Li": 1.6, "Na": 1.8, "Mg": 1.4, "Ca": 1.6, "Al": 1.1, "Ga": 1.0, "Ti": 1.0, "V": 0.9, "Cr": 0.7, "Fe": 0.8,
    "Ni": 0.8, "Cu": 0.9, "Zn": 1.3, "Zr": 1.1, "Nb": 0.8, "Mo": 0.7, "Ta": 0.8, "W": 0.7,
}  # fmt: skip
"""Element of the first site -> its weight in the draw: the larger, the more the model erred on it."""
SEMIMETALS = ("B", "Si", "As")
ANIONS = {"C": 1.0, "N": 1.5, "O": 2.0, "F": 2.0, "S": 1.5, "Cl": 1.5, "As": 0.7, "B": 0.8, "Si": 0.7}

# name -> (weight, space group, its lattice: a, c or None, gamma; sites: 0 is the metal, 1 the anion)
_CUBIC, _HEXAGONAL = 90, 120
PROTOTYPES: dict[str, tuple[float, str, tuple[float, float | None, int], list[tuple[int, list[float]]]]] = {
    "rocksalt": (3.0, "Fm-3m", (5, None, _CUBIC), [(0, [0, 0, 0]), (1, [0.5, 0.5, 0.5])]),
    "zincblende": (2.5, "F-43m", (5, None, _CUBIC), [(0, [0, 0, 0]), (1, [0.25, 0.25, 0.25])]),
    "wurtzite": (1.5, "P6_3mc", (3.2, 5.2, _HEXAGONAL), [(0, [1 / 3, 2 / 3, 0]), (1, [1 / 3, 2 / 3, 0.375])]),
    "cscl": (1.5, "Pm-3m", (3, None, _CUBIC), [(0, [0, 0, 0]), (1, [0.5, 0.5, 0.5])]),
    "nias": (1.0, "P6_3/mmc", (3.5, 5.5, _HEXAGONAL), [(0, [0, 0, 0]), (1, [1 / 3, 2 / 3, 0.25])]),
    "wc": (0.8, "P-6m2", (2.9, 2.8, _HEXAGONAL), [(0, [0, 0, 0]), (1, [1 / 3, 2 / 3, 0.5])]),
    "fluorite": (1.5, "Fm-3m", (5.5, None, _CUBIC), [(0, [0, 0, 0]), (1, [0.25, 0.25, 0.25])]),
    "antifluorite": (1.5, "Fm-3m", (5.5, None, _CUBIC), [(1, [0, 0, 0]), (0, [0.25, 0.25, 0.25])]),
    "rutile": (1.2, "P4_2/mnm", (4.6, 3.0, _CUBIC), [(0, [0, 0, 0]), (1, [0.305, 0.305, 0])]),
    "cdi2": (1.0, "P-3m1", (3.6, 5.5, _HEXAGONAL), [(0, [0, 0, 0]), (1, [1 / 3, 2 / 3, 0.25])]),
    "pyrite": (0.5, "Pa-3", (5.5, None, _CUBIC), [(0, [0, 0, 0]), (1, [0.385, 0.385, 0.385])]),
    "alb2": (1.2, "P6/mmm", (3.0, 3.3, _HEXAGONAL), [(0, [0, 0, 0]), (1, [1 / 3, 2 / 3, 0.5])]),
    "cuprite": (0.7, "Pn-3m", (4.3, None, _CUBIC), [(1, [0, 0, 0]), (0, [0.25, 0.25, 0.25])]),
    "mosi2": (0.8, "I4/mmm", (3.2, 7.8, _CUBIC), [(0, [0, 0, 0]), (1, [0, 0, 0.335])]),
    "reo3": (0.5, "Pm-3m", (3.8, None, _CUBIC), [(0, [0, 0, 0]), (1, [0.5, 0, 0])]),
    "d03": (0.5, "Fm-3m", (6.0, None, _CUBIC), [(1, [0, 0, 0]), (0, [0.25] * 3), (0, [0.5] * 3)]),
    "corundum": (0.4, "R-3c", (4.8, 13.0, _HEXAGONAL), [(0, [0, 0, 0.352]), (1, [0.306, 0, 0.25])]),
}
TERNARY_SHARE = 0.15
MOST_ATOMS = 14
STEPS = 28
SAVED_STEPS = frozenset((2, 5, 9, 14, 20, 27))
VOLUMES = (3.0, 120.0)  # A^3 per atom


def prototype(name: str, metal: str, anion: str) -> Structure:
    """Return the primitive cell of a prototype, at the prototype's own lattice constants."""
    _, group, (a, c, gamma), sites = PROTOTYPES[name]
    if gamma == _HEXAGONAL:
        lattice = Lattice.hexagonal(a, c)
    else:
        lattice = Lattice.cubic(a) if c is None else Lattice.tetragonal(a, c)
    species = [(metal, anion)[which] for which, _ in sites]
    return Structure.from_spacegroup(
        group, lattice, species, [at for _, at in sites]
    ).get_primitive_structure()


def ternary(first: str, second: str, anion: str, kind: str) -> Structure:
    """Return a compound of two metals: ``perovskite``, ``antiperovskite``, ``half-heusler`` or ``layered``."""
    if kind in ("perovskite", "antiperovskite"):
        middle = (second, anion) if kind == "perovskite" else (anion, second)
        sites = [[0.5, 0.5, 0.5], [0, 0, 0], [0.5, 0, 0]]
        return Structure.from_spacegroup("Pm-3m", Lattice.cubic(4), [first, *middle], sites)
    if kind == "half-heusler":
        sites, group, lattice = [[0, 0, 0], [0.5] * 3, [0.25] * 3], "F-43m", Lattice.cubic(5.8)
    else:
        sites, group, lattice = [[0, 0, 0], [0, 0, 0.5], [0, 0, 0.24]], "R-3m", Lattice.hexagonal(2.9, 14.0)
    return Structure.from_spacegroup(group, lattice, [first, second, anion], sites).get_primitive_structure()


def draw(random: Generator) -> tuple[str, Structure] | None:
    """Return the name of a prototype and a compound in it, or nothing if both sites got the same element."""
    anion = _weighted(random, ANIONS)
    if random.random() < TERNARY_SHARE:
        first = _weighted(random, METALS)
        second = _weighted(random, {metal: weight for metal, weight in METALS.items() if metal != first})
        kind = str(random.choice(["perovskite", "perovskite", "half-heusler", "antiperovskite", "layered"]))
        return kind, ternary(first, second, anion, kind)
    metal = _weighted(random, METALS) if random.random() < 0.88 else str(random.choice(SEMIMETALS))
    if metal == anion:
        return None
    name = _weighted(random, {name: entry[0] for name, entry in PROTOTYPES.items()})
    return name, prototype(name, metal, anion)


def touching(structure: Structure) -> Atoms:
    """Return the crystal, scaled until the closest pair is 3 % farther apart than the sum of the covalent radii."""
    atoms = Atoms(structure.atomic_numbers, cell=structure.lattice.matrix, pbc=True)
    atoms.set_scaled_positions(structure.frac_coords)
    radii = covalent_radii[atoms.numbers]
    first, second, distances = neighbor_list("ijd", atoms, max(6.0, 1.2 * np.cbrt(atoms.cell.volume) * 2))
    atoms.set_cell(atoms.cell * (1.03 * np.max((radii[first] + radii[second]) / distances)), scale_atoms=True)
    return atoms


def reduced(atoms: Atoms) -> str:
    """Return the reduced formula, in Hill's order."""
    return str(Formula(atoms.get_chemical_formula()).reduce()[0].format("hill"))


def compounds(random: Generator, number: int, avoid: frozenset[str]) -> Iterator[tuple[str, Atoms]]:
    """Yield ``number`` compounds, each with the name of its prototype; none has a formula of ``avoid``."""
    seen: set[tuple[str, str]] = set()
    while len(seen) < number:
        drawn = draw(random)
        if drawn is None:
            continue
        name, atoms = drawn[0], touching(drawn[1])
        key = (name, reduced(atoms))
        if key not in seen and key[1] not in avoid and len(atoms) <= MOST_ATOMS:
            seen.add(key)
            yield name, atoms


def frames(atoms: Atoms, calculator: Calculator, random: Generator) -> Iterator[Atoms]:
    """Yield labelled frames of one compound: some steps of its relaxation, and three that are rattled and strained."""
    moving = atoms.copy()
    moving.calc = calculator
    for step, _ in enumerate(FIRE(FrechetCellFilter(moving), logfile=None).irun(fmax=0.02, steps=STEPS)):
        if not VOLUMES[0] < moving.get_volume() / len(moving) < VOLUMES[1]:
            return
        if step in SAVED_STEPS:
            yield from _labelled(moving, calculator, step)
    for part in range(3):
        yield from _labelled(disturbed(moving, random, volume_alone=part == 2), calculator, DISTURBED_STEP)


def disturbed(atoms: Atoms, random: Generator, *, volume_alone: bool) -> Atoms:
    """Return a strained copy, or a small supercell of it; its atoms are rattled unless only the volume changes."""
    found = atoms.copy()
    if len(found) <= 2 and random.random() < 0.5:
        found = found.repeat((2, int(random.integers(1, 3)), 1))
    elif len(found) <= 4 and random.random() < 0.3:
        found = found.repeat((1, 2, 1))
    if volume_alone:
        strain = np.eye(3) * random.uniform(-0.03, 0.03)
    else:
        strain = random.normal(0, random.choice([0.008, 0.02, 0.035]), (3, 3))
        strain = (strain + strain.T) / 2
    found.set_cell(found.cell @ (np.eye(3) + strain), scale_atoms=True)
    if not volume_alone:
        found.positions += random.normal(0, random.choice([0.02, 0.06, 0.13]), (len(found), 3))
    return found


def _labelled(atoms: Atoms, calculator: Calculator, step: int) -> Iterator[Atoms]:
    frame = Atoms(atoms.numbers, cell=atoms.cell, positions=atoms.positions, pbc=True)
    frame.calc = calculator
    energy, forces, stress = frame.get_potential_energy(), frame.get_forces(), frame.get_stress(voigt=False)
    frame.calc = None
    if np.abs(forces).max() < STRONGEST_FORCE and np.abs(stress).max() < STRONGEST_STRESS:
        frame.info |= {"energy": energy, "stress": stress.reshape(-1), "step": step}
        frame.arrays["forces"] = forces
        yield frame


def _weighted(random: Generator, weights: dict[str, float]) -> str:
    share = np.array(list(weights.values()))
    return str(random.choice(list(weights), p=share / share.sum()))


def formulas(paths: list[Path]) -> frozenset[str]:
    """Return the reduced formulas of files of crystals, and of JSON files with a list of objects with ``formula``."""
    found = set()
    for path in paths:
        if path.suffix == ".json":
            crystals = [Atoms(entry["formula"]) for entry in json.loads(path.read_text())]
        else:
            crystals = read(path, ":")
        found |= {reduced(atoms) for atoms in crystals}
    return frozenset(found)


def main() -> int:
    """Write the frames of ``--number`` compounds."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recipe.compounds", description=__doc__)
    parser.add_argument("weights", help="weights of Nequix for torch")
    parser.add_argument("--avoid", type=Path, nargs="+", required=True, help="files of crystals to judge by")
    parser.add_argument("-o", "--output", type=Path, required=True, help="extxyz file to write")
    parser.add_argument("--number", type=int, default=512, help="compounds")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    from nequix.calculator import NequixCalculator

    calculator = NequixCalculator(model_path=arguments.weights, backend="torch", use_kernel=False)
    random = np.random.default_rng(arguments.seed)
    avoid = formulas(arguments.avoid)
    written = 0
    with arguments.output.open("w") as stream:
        for number, (name, atoms) in enumerate(compounds(random, arguments.number, avoid), start=1):
            for frame in frames(atoms, calculator, random):
                frame.info |= {
                    "base": f"more{arguments.seed}-{number}",
                    "kind": "crystals",
                    "prototype": name,
                }
                write(stream, frame, format="extxyz")
                written += 1
            print(f"{number} of {arguments.number} compounds, {written} frames", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

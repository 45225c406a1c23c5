"""``python -m benchmarks.recipe.on_policy MODEL --avoid FILE... -o FILE``: frames to label, where a model now stands.

A model that is nearly trained errs most where its own relaxations end. So this program relaxes new crystals with that
model, and writes some structures on the way, the end, some that are rattled and strained, and some that are strained
alone, which tell how stiff a crystal is;
:mod:`benchmarks.recipe.label` labels them. That takes one evaluation of the universal model for each frame, where
:mod:`benchmarks.recipe.compounds` also relaxes with it. About half of the crystals are AFLOW prototypes whose elements
were replaced. The others are compounds of ``compounds``, such compounds with a second element on some sites of the
metal or of the anion, elements, and orderings of alloys. ``--systems`` draws prototypes in the chemical systems of the
crystals in files, and ``--crystals`` takes those crystals themselves (:mod:`benchmarks.recipe.real`). Formulas of the
files after ``--avoid`` are left out; of ``--crystals``, only the same crystals.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk, make_supercell
from numpy.random import Generator
from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY
from pymatgen.core import Element, Structure

from aiida_pet.job.tasks import Task
from aiida_pet.tables.crystals import StructureTable
from benchmarks.model_check.engine import Model, run
from benchmarks.recipe.compounds import (
    ANIONS,
    METALS,
    SEMIMETALS,
    VOLUMES,
    disturbed,
    draw,
    formulas,
    reduced,
    touching,
)
from benchmarks.recipe.packed import DISTURBED_STEP, STRAINED_STEP, Packed
from benchmarks.recipe.real import KNOWN, Judges, is_held_back, real_crystals

DOMAINS = {"alloy": "alloys", KNOWN: KNOWN}  # kind of a crystal -> what errors are told by, if not "crystals"
ELEMENTS = tuple(dict.fromkeys((*METALS, *SEMIMETALS, *ANIONS)))
MOST_ATOMS = 16
STEPS = (2, 5, 14)  # of the relaxation with the model, after which a frame is labelled
DISTURBED = 2  # frames that are rattled and strained, for each crystal
STRAINED = 0  # frames that are strained alone
STRAINS = (0.02, 0.06)  # the norm of such a strain: stresses that labels and noise leave apart
BATCH = 128  # crystals
SHARES = {"prototype": 0.45, "compound": 0.21, "mixed": 0.14, "element": 0.06, "alloy": 0.14}
SHARE_OF_PROTOTYPES = {1: 0.04, 2: 0.5, 3: 0.36, 4: 0.1}  # by the number of elements
ALLOYED = ("Al", "Ti", "V", "Cr", "Fe", "Ni", "Cu", "Zr", "Nb", "Mo", "Ta", "W")
LATTICES_OF_ALLOYS = {"bcc": 0.5, "fcc": 0.3, "hcp": 0.15, "sc": 0.05}
ALLOY_ATOMS = 8
STRUCTURES_OF_ELEMENTS = ("fcc", "bcc", "hcp", "diamond", "sc")
ALIKE = (8.0, 22.0)  # in Mendeleev's number: how far an element lies from that which it replaces


class Crystals:
    """Draws crystals.

    :param random: where chance comes from.
    :param avoid: reduced formulas that are left out.
    :param most_atoms: in a crystal.
    :param systems: sets of elements. If there are any, prototypes of these systems alone are drawn, each system as
        often.
    """

    def __init__(
        self,
        random: Generator,
        avoid: frozenset[str],
        most_atoms: int = MOST_ATOMS,
        systems: Sequence[frozenset[str]] = (),
    ) -> None:
        self._random, self._avoid, self._most_atoms, self._systems = random, avoid, most_atoms, systems
        self._prototypes = [
            entry
            for entry in map(_small, (entry["snl"].structure for entry in AFLOW_PROTOTYPE_LIBRARY))
            if entry is not None
        ]
        sizes = np.array([len(entry) for entry in self._prototypes])
        counts = np.array([len(entry.composition) for entry in self._prototypes])
        weights = (np.maximum(sizes, 5) / 5) ** -0.8
        for count in set(counts):
            here = counts == count
            weights[here] *= SHARE_OF_PROTOTYPES.get(int(count), 0.0) / weights[here].sum()
        self._weights = weights / weights.sum()
        self._counts = counts
        self._mendeleev = np.array([Element(symbol).mendeleev_no for symbol in ELEMENTS], dtype=float)

    def draw(self) -> tuple[str, Atoms]:
        """Return one crystal and the name of its kind."""
        while True:
            kind = (
                "system" if self._systems else str(self._random.choice(list(SHARES), p=list(SHARES.values())))
            )
            atoms = getattr(self, f"_{kind}")()
            if atoms is None or len(atoms) > self._most_atoms:
                continue
            formula = reduced(atoms)
            if formula not in self._avoid and not (self._systems and is_held_back(formula)):
                return kind, atoms

    def _prototype(self) -> Atoms | None:
        found = self._prototypes[int(self._random.choice(len(self._prototypes), p=self._weights))]
        old = sorted({site.specie.symbol for site in found})
        new = {symbol: self._instead_of(symbol) for symbol in old}
        return None if len(set(new.values())) < len(old) else _replaced(found, new)

    def _system(self) -> Atoms | None:
        system = sorted(self._systems[int(self._random.integers(len(self._systems)))])
        weights = np.where(self._counts == len(system), self._weights, 0.0)
        found = self._prototypes[int(self._random.choice(len(self._prototypes), p=weights / weights.sum()))]
        old = sorted({site.specie.symbol for site in found})
        return _replaced(found, dict(zip(old, map(str, self._random.permutation(system)), strict=True)))

    def _instead_of(self, symbol: str) -> str:
        if self._random.random() < 0.25:
            return str(self._random.choice(ELEMENTS))
        width = self._random.uniform(*ALIKE)
        near = np.exp(-0.5 * ((self._mendeleev - Element(symbol).mendeleev_no) / width) ** 2)
        return str(self._random.choice(ELEMENTS, p=near / near.sum()))

    def _compound(self) -> Atoms | None:
        drawn = draw(self._random)
        return None if drawn is None else _scaled(drawn[1])

    def _mixed(self) -> Atoms | None:
        drawn = draw(self._random)
        if drawn is None or len(drawn[1].composition) != 2 or len(drawn[1]) > MOST_ATOMS // 2:
            return None
        repeats = self._random.permutation([2, 1, 1] if len(drawn[1]) > 2 else [2, 2, 1])
        atoms = drawn[1].make_supercell(np.diag(repeats), in_place=False)
        symbols = [site.specie.symbol for site in atoms]
        replaced = str(self._random.choice(sorted(set(symbols))))
        places = [place for place, symbol in enumerate(symbols) if symbol == replaced]
        alike = METALS if replaced in METALS else ANIONS
        other = str(self._random.choice([symbol for symbol in alike if symbol not in symbols]))
        share = int(self._random.integers(1, len(places)))
        for place in self._random.permutation(places)[:share]:
            atoms[int(place)] = other
        return _scaled(atoms)

    def _alloy(self) -> Atoms | None:
        lattice = str(self._random.choice(list(LATTICES_OF_ALLOYS), p=list(LATTICES_OF_ALLOYS.values())))
        cell = np.tril(self._random.integers(0, 3, (3, 3)), -1) + np.diag(self._random.integers(1, 5, 3))
        atoms = _lattice(lattice)
        if int(np.diag(cell).prod()) * len(atoms) > ALLOY_ATOMS:
            return None
        atoms = make_supercell(atoms, cell)
        symbols = self._random.choice(ALLOYED, int(self._random.integers(2, 5)), replace=False)
        atoms.symbols[:] = self._random.choice(symbols, len(atoms))
        if len(set(atoms.symbols)) == 1:
            return None
        return _scaled(Structure(atoms.cell.array, atoms.symbols, atoms.get_scaled_positions()))

    def _element(self) -> Atoms | None:
        atoms = _lattice(str(self._random.choice(STRUCTURES_OF_ELEMENTS)))
        atoms.symbols[:] = str(self._random.choice(ELEMENTS))
        lattice = atoms.cell.array * (1 + self._random.normal(0, 0.03, 3))[:, None]
        return _scaled(Structure(lattice, atoms.symbols, atoms.get_scaled_positions()))


def _replaced(structure: Structure, new: Mapping[str, str]) -> Atoms | None:
    """Return a prototype with the elements ``new`` in place of its own."""
    atoms = [new[site.specie.symbol] for site in structure]
    return _scaled(Structure(structure.lattice, atoms, structure.frac_coords))


def _lattice(name: str) -> Atoms:
    return bulk("Ti", name, a=4.0, c=6.5 if name == "hcp" else None)


def _small(structure: Structure) -> Structure | None:
    """Return the primitive cell of a prototype, nothing if it is too large or disordered."""
    if not structure.is_ordered or not all(isinstance(site.specie, Element) for site in structure):
        structure = structure.copy()
        structure.remove_oxidation_states()
    if not structure.is_ordered:
        return None
    primitive = structure.get_primitive_structure()
    return primitive if len(primitive) <= MOST_ATOMS else None


def _scaled(structure: Structure) -> Atoms | None:
    try:
        return touching(structure)
    except ValueError:  # no pair of atoms within the reach of the search
        return None


def relaxed(model: Model, crystals: list[Atoms], steps: int) -> list[Atoms | None]:
    """Return the crystals after some steps with the model; nothing for those that went wrong."""
    table = StructureTable.from_ase([(str(number), atoms) for number, atoms in enumerate(crystals)])
    results = run(
        model,
        Task.RELAX,
        table,
        max_steps=steps,
        fmax=0.02,
        stress_max=0.05,
        symmetry="none",
        dtype="float32",
    )
    found: list[Atoms | None] = []
    for number, before in enumerate(crystals):
        after = results.get_ase(str(number))
        volume = after.get_volume() / len(after)
        fine = results.columns["status"][number] in ("converged", "max_steps") and np.isfinite(volume)
        if not fine or len(after) != len(before) or not VOLUMES[0] < volume < VOLUMES[1]:
            found.append(None)
        else:
            found.append(Atoms(after.numbers, cell=after.cell, positions=after.positions, pbc=True))
    return found


def frames_of(
    model: Model,
    crystals: list[tuple[str, Atoms]],
    random: Generator,
    *,
    steps: Sequence[int] = STEPS,
    disturbed_frames: int = DISTURBED,
    strained_frames: int = STRAINED,
) -> list[Atoms]:
    """Return frames to label, with the number of their crystal as ``base``.

    :param steps: of the relaxation, after which a frame is labelled.
    :param disturbed_frames: that are rattled and strained, for each crystal.
    :param strained_frames: that are strained alone.
    """
    frames: list[Atoms] = []
    now: list[tuple[int, str, Atoms]] = [(number, *crystal) for number, crystal in enumerate(crystals)]
    done = 0

    def add(number: int, kind: str, atoms: Atoms, step: int) -> None:
        frame = Atoms(atoms.numbers, cell=atoms.cell, positions=atoms.positions, pbc=True)
        domain = DOMAINS.get(kind, "crystals")
        frame.info |= {"base": number, "kind": domain, "prototype": kind, "step": step}
        frames.append(frame)

    for step in steps:
        after = relaxed(model, [atoms for _, _, atoms in now], step - done)
        now = [
            (number, kind, new) for (number, kind, _), new in zip(now, after, strict=True) if new is not None
        ]
        done = step
        for number, kind, atoms in now:
            add(number, kind, atoms, step)
    for number, kind, atoms in now:
        for part in range(disturbed_frames):
            add(
                number,
                kind,
                disturbed(atoms, random, volume_alone=part == 1 and len(atoms) <= 4),
                DISTURBED_STEP,
            )
        for _ in range(strained_frames):
            add(number, kind, strained(atoms, random), STRAINED_STEP)
    return frames


def strained(atoms: Atoms, random: Generator) -> Atoms:
    """Return a copy under a random strain, most of it shear; its atoms only follow."""
    strain = random.normal(size=(3, 3))
    strain = strain + strain.T
    strain -= 0.8 * np.trace(strain) / 3 * np.eye(3)
    strain *= random.uniform(*STRAINS) / np.linalg.norm(strain)
    found = atoms.copy()
    found.set_cell(found.cell @ (np.eye(3) + strain), scale_atoms=True)
    return found


def _endless(crystals: Crystals) -> Iterator[tuple[str, Atoms]]:
    while True:
        yield crystals.draw()


def main() -> int:
    """Write the frames of as many crystals as ``--seconds`` hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recipe.on_policy", description=__doc__)
    parser.add_argument(
        "model", type=Path, help="checkpoint to relax with; it is loaded, so it has to be trusted"
    )
    parser.add_argument("--avoid", type=Path, nargs="+", required=True, help="files of crystals to judge by")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="frames without labels to write, as .npz"
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--systems", type=Path, nargs="+", help="files of crystals whose systems are drawn")
    source.add_argument(
        "--crystals", type=Path, nargs="+", help="files of crystals that are taken themselves"
    )
    parser.add_argument("--seconds", type=float, default=1200.0, help="after which no new crystal is drawn")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--most-atoms", type=int, default=MOST_ATOMS, help="in a crystal")
    parser.add_argument(
        "--steps", type=int, nargs="+", default=STEPS, help="of a relaxation, after which a frame is written"
    )
    parser.add_argument("--disturbed", type=int, default=DISTURBED, help="rattled frames for each crystal")
    parser.add_argument("--strained", type=int, default=STRAINED, help="strained frames for each crystal")
    arguments = parser.parse_args()
    began = time.monotonic()
    model = Model(arguments.model, hashlib.sha256(arguments.model.read_bytes()).hexdigest())
    random = np.random.default_rng(arguments.seed)
    if arguments.crystals:
        judges = Judges(arguments.avoid)
        drawn = iter(real_crystals(arguments.crystals, ELEMENTS, judges, arguments.most_atoms))
    else:
        known = real_crystals(arguments.systems or [], ELEMENTS, (), MOST_ATOMS)
        systems = sorted({frozenset(atoms.symbols) for _, atoms in known}, key=sorted)
        if arguments.systems and not systems:
            parser.error(f"no crystal of --systems consists of {' '.join(ELEMENTS)} alone")
        avoid = formulas(arguments.avoid)
        drawn = _endless(Crystals(random, avoid, arguments.most_atoms, systems))
    made, frames = 0, []
    while time.monotonic() - began < arguments.seconds and (batch := list(islice(drawn, BATCH))):
        for frame in frames_of(
            model,
            batch,
            random,
            steps=arguments.steps,
            disturbed_frames=arguments.disturbed,
            strained_frames=arguments.strained,
        ):
            frame.info["base"] = f"policy{arguments.seed}-{made + frame.info['base']}"
            frames.append(frame)
        made += len(batch)
        Packed.from_ase(frames).save(arguments.output)
        print(f"{time.monotonic() - began:.0f} s: {made} crystals, {len(frames)} frames", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

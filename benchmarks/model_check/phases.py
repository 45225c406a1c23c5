"""Known phases: which are on the model's hull, and the order of polymorphs beside that of the labels."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.spacegroup import crystal

from benchmarks.model_check.engine import Model
from benchmarks.model_check.polymorphs import labelled_energies, polymorphs
from benchmarks.model_check.references import relaxed

ON_HULL = 0.010  # eV/atom
JUDGED_GAP = 0.010  # eV/atom; polymorphs that the labels have closer are not judged

BELOW = (
    ("MgO-rocksalt", "MgO-zincblende"),
    ("NaCl-rocksalt", "NaCl-zincblende"),
    ("TiN-rocksalt", "TiN-zincblende"),
)


def candidates() -> dict[str, Atoms]:
    """Return the crystals of the binary systems Al-Ni, Al-Ti and Mo-Ta, and of three compounds in two structures."""
    found = {
        "Al-fcc": bulk("Al", "fcc", a=4.05),
        "Ni-fcc": bulk("Ni", "fcc", a=3.52),
        "Ti-hcp": bulk("Ti", "hcp", a=2.94, c=4.65),
        "Mo-bcc": bulk("Mo", "bcc", a=3.16),
        "Ta-bcc": bulk("Ta", "bcc", a=3.31),
        "B2-NiAl": bulk("NiAl", "cesiumchloride", a=2.88),
        "L1_2-Ni3Al": _l12("Ni", "Al", 3.57),
        "L1_2-Al3Ni": _l12("Al", "Ni", 3.80),
        "L1_0-TiAl": crystal(
            ["Ti", "Al"], [(0, 0, 0), (0.5, 0.5, 0.5)], spacegroup=123, cellpar=_tetragonal(2.82, 4.07)
        ),
        "B2-TiAl": bulk("TiAl", "cesiumchloride", a=3.19),
        "D0_19-Ti3Al": crystal(
            ["Ti", "Al"],
            [(5 / 6, 2 / 3, 0.25), (1 / 3, 2 / 3, 0.25)],
            spacegroup=194,
            cellpar=_hexagonal(5.74, 4.65),
        ),
        "L1_2-Ti3Al": _l12("Ti", "Al", 4.05),
        "L1_2-Al3Ti": _l12("Al", "Ti", 3.98),
        "D0_22-Al3Ti": crystal(
            ["Ti", "Al", "Al"],
            [(0, 0, 0), (0, 0, 0.5), (0, 0.5, 0.25)],
            spacegroup=139,
            cellpar=_tetragonal(3.85, 8.61),
            primitive_cell=True,
        ),
        "B2-MoTa": bulk("MoTa", "cesiumchloride", a=3.23),
    }
    for formula, rocksalt, zincblende in (("MgO", 4.21, 4.6), ("NaCl", 5.64, 6.1), ("TiN", 4.24, 4.6)):
        found[f"{formula}-rocksalt"] = bulk(formula, "rocksalt", a=rocksalt)
        found[f"{formula}-zincblende"] = bulk(formula, "zincblende", a=zincblende)
    return found


def _l12(many: str, one: str, a: float) -> Atoms:
    sites = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
    return Atoms([one, many, many, many], cell=[a] * 3, scaled_positions=sites, pbc=True)


def _tetragonal(a: float, c: float) -> list[float]:
    return [a, a, c, 90, 90, 90]


def _hexagonal(a: float, c: float) -> list[float]:
    return [a, a, c, 90, 90, 120]


def energies_of(model: Model, crystals: dict[str, Atoms]) -> dict[str, float]:
    """Return energies of relaxed crystals, eV/atom; those that did not converge are left out."""
    ready, results = relaxed(model, crystals)
    per_atom = results.columns["energy"] / np.diff(results.offsets)
    return {
        name: float(energy)
        for name, energy in zip(results.ids.tolist(), per_atom, strict=True)
        if name in ready
    }


def distances(crystals: dict[str, Atoms], energies: dict[str, float], names: list[str]) -> dict[str, float]:
    """Return how far the crystals ``names`` lie above the hull of all others of their system, eV/atom.

    A crystal that is below that hull, so that it is part of the hull itself, has a negative distance.
    """
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
    from pymatgen.core import Composition

    found = {}
    entries = {
        name: PDEntry(Composition(atoms.get_chemical_formula()), energies[name] * len(atoms), name=name)
        for name, atoms in crystals.items()
        if name in energies
    }
    for name in names:
        if name not in entries:
            found[name] = float("nan")
            continue
        system = set(crystals[name].symbols)
        others = [
            entry
            for other, entry in entries.items()
            if other != name and set(crystals[other].symbols) <= system
        ]
        hull = PhaseDiagram(others).get_hull_energy_per_atom(entries[name].composition)
        found[name] = energies[name] - hull
    return found


def verdicts(model: Model) -> Iterator[tuple[str, str, bool]]:
    """Yield what was asked, what was found, and whether that is good enough."""
    elements = model_elements(model)
    crystals = {
        name: atoms for name, atoms in candidates().items() if set(atoms.numbers.tolist()) <= elements
    }
    energies = energies_of(model, crystals)
    known = [
        name for name in ("B2-NiAl", "L1_2-Ni3Al", "L1_0-TiAl", "D0_19-Ti3Al", "B2-MoTa") if name in crystals
    ]
    for name, distance in distances(crystals, energies, known).items():
        yield (
            f"{name} on the hull or within 10 meV/atom",
            f"{1e3 * distance:+.1f} meV/atom",
            distance <= ON_HULL,
        )
    for low, high in BELOW:
        if low in energies and high in energies:
            gap = energies[high] - energies[low]
            yield (f"{low} below {high}", f"{1e3 * gap:+.0f} meV/atom", gap > 0)
    yield from _polymorphs(model)


def _polymorphs(model: Model) -> Iterator[tuple[str, str, bool]]:
    """Yield for each composition whether its polymorphs have the order that they have by the labels."""
    labels = labelled_energies()
    known = model_elements(model)
    crystals = {name: atoms for name, atoms in polymorphs().items() if set(atoms.numbers.tolist()) <= known}
    energies = energies_of(model, crystals)
    for formula in dict.fromkeys(name.split("-", 1)[0] for name in crystals):
        names = sorted(
            (name for name in crystals if name.split("-", 1)[0] == formula), key=labels.__getitem__
        )
        wrong, gaps = [], []
        for low, high in combinations(names, 2):
            label = labels[high] - labels[low]
            gap = energies.get(high, float("nan")) - energies.get(low, float("nan"))
            if label >= JUDGED_GAP and not gap > 0:
                wrong.append(f"{low} above {high}")
            if low == names[0]:
                gaps.append(f"{high.split('-', 1)[1]} {1e3 * gap:+.0f} ({1e3 * label:+.0f})")
        order = " < ".join(name.split("-", 1)[1] for name in names)
        yield (
            f"{formula}: {order}",
            ", ".join(gaps) + " meV/atom (labels)" + "".join(f"; {pair}" for pair in wrong),
            not wrong,
        )


def model_elements(model: Model) -> set[int]:
    """Return the atomic numbers that the model knows."""
    from aiida_pet.job.checkpoint import describe_checkpoint, load_checkpoint

    return set(describe_checkpoint(load_checkpoint(model.path, model.sha256))["elements"])

"""Crystals that exist or that were computed by others, from files of them; a share is kept back to judge by."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Collection, Container, Iterable, Iterator
from pathlib import Path
from typing import Any

import ase.io
from ase import Atoms
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure
from pymatgen.io.ase import AseAtomsAdaptor

from benchmarks.recipe.compounds import reduced

KNOWN = "known"  # the kind of such crystals
HELD_BACK = 0.2  # of the formulas


def is_held_back(formula: str) -> bool:
    """Say whether crystals of a reduced formula are never learnt: a fifth, by the hash of the formula."""
    return int(hashlib.sha256(formula.encode()).hexdigest()[:8], 16) / 16**8 < HELD_BACK


class Judges:
    """Crystals by which a model is judged: none of them is learnt.

    :param paths: files of frames that ASE reads.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._matcher = StructureMatcher()
        self._by_formula: dict[str, list[Structure]] = {}
        for atoms in (atoms for path in paths for atoms in ase.io.read(path, ":")):
            structure = AseAtomsAdaptor.get_structure(atoms)
            alike = self._by_formula.setdefault(reduced(atoms), [])
            if not any(self._matcher.fit(structure, other) for other in alike):
                alike.append(structure)

    def __contains__(self, atoms: Atoms) -> bool:
        """Say whether one of them is the same crystal, up to its volume and small distortions."""
        structure = AseAtomsAdaptor.get_structure(atoms)
        return any(self._matcher.fit(structure, one) for one in self._by_formula.get(reduced(atoms), ()))


def real_crystals(
    paths: Iterable[Path], elements: Collection[str], avoid: Container[Atoms], most_atoms: int
) -> list[tuple[str, Atoms]]:
    """Return the crystals of files that may be learnt, each with the kind :data:`KNOWN`.

    :param paths: JSON files with a list of objects, each with pymatgen's ``structure``, of which a fifth is kept back;
        or few crystals that everyone knows, of which none is kept back: JSON as the references of the common data
        (``cell`` in A, ``numbers``, ``scaled``), or a file that ASE reads.
    :param elements: that a crystal may hold.
    :param avoid: crystals that are left out.
    """
    allowed = set(elements)
    return [
        (KNOWN, atoms)
        for path in paths
        for atoms in _crystals(path)
        if set(atoms.symbols) <= allowed and len(atoms) <= most_atoms and atoms not in avoid
    ]


def _crystals(path: Path) -> Iterator[Atoms]:
    if ".json" not in path.suffixes:
        yield from ase.io.read(path, ":")
        return
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    for entry in json.loads(text):
        if "structure" not in entry:
            yield Atoms(entry["numbers"], cell=entry["cell"], scaled_positions=entry["scaled"], pbc=True)
        elif not is_held_back(reduced(atoms := atoms_of_pymatgen(entry["structure"]))):
            yield atoms


def atoms_of_pymatgen(raw: dict[str, Any]) -> Atoms:
    """Return the crystal of pymatgen's dictionary, read as numbers and names alone."""
    return Atoms(
        [site["species"][0]["element"] for site in raw["sites"]],
        cell=raw["lattice"]["matrix"],
        scaled_positions=[site["abc"] for site in raw["sites"]],
        pbc=True,
    )

"""Ordered alloys of Nb, Mo, Ta and W: every derivative structure of bcc up to a number of atoms, each once.

Enumerated with icet (Hart and Forcade, Phys. Rev. B 77, 224115 (2008), doi:10.1103/PhysRevB.77.224115). The
lattice constant follows Vegard's law between the elements' experimental values, as ASE lists them. Run as a
script, it writes an extxyz file: ``python examples/alloys.py alloys.xyz --atoms 4``.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.data import atomic_numbers, reference_states
from ase.io import write
from icet.tools import enumerate_structures

ELEMENTS = ("Nb", "Mo", "Ta", "W")
MAX_ATOMS = 4


def lattice_constant(symbols: Sequence[str]) -> float:
    """Return the bcc lattice constant (A) of an alloy of atoms ``symbols``: the mean over its atoms (Vegard).

    :raises ValueError: if ASE does not list one of the elements as bcc.
    """
    constants = []
    for symbol in symbols:
        reference = reference_states[atomic_numbers[symbol]]
        if reference is None or reference["symmetry"] != "bcc":
            raise ValueError(f"{symbol} is not bcc at room temperature: no lattice constant to start from")
        constants.append(float(reference["a"]))
    return float(np.mean(constants))


def ordered_alloys(
    max_atoms: int = MAX_ATOMS, elements: Sequence[str] = ELEMENTS, limit: int | None = None
) -> Iterator[tuple[str, Atoms]]:
    """Yield (id, crystal) of the distinct orderings of ``elements`` on bcc, smallest cells first.

    :param max_atoms: per cell; of four elements, 4 gives 353 orderings and 6 gives 4,993.
    :param elements: chemical symbols; the elements themselves come first.
    :param limit: stop after this many.
    :return: ids such as ``Mo2NbTa-0012``: the formula of the cell and the place in the enumeration.
    """
    parent = bulk("X", "bcc", a=1.0)
    found = enumerate_structures(parent, list(range(1, max_atoms + 1)), list(elements))
    for place, atoms in enumerate(itertools.islice(found, limit)):
        atoms.set_cell(atoms.cell * lattice_constant(atoms.get_chemical_symbols()), scale_atoms=True)
        yield f"{atoms.get_chemical_formula('hill')}-{place:04d}", atoms


def write_alloys(path: Path, max_atoms: int = MAX_ATOMS, limit: int | None = None) -> int:
    """Write the alloys to ``path`` as extxyz, with ids in the comment lines, and return how many."""
    crystals = []
    for name, atoms in ordered_alloys(max_atoms, limit=limit):
        atoms.info = {"id": name}
        crystals.append(atoms)
    write(path, crystals, format="extxyz", columns=["symbols", "positions"])
    return len(crystals)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("path", type=Path, help="extxyz file to write")
    parser.add_argument("--atoms", type=int, default=MAX_ATOMS, help="largest cell")
    parser.add_argument("--limit", type=int, help="stop after this many crystals")
    arguments = parser.parse_args()
    count = write_alloys(arguments.path, arguments.atoms, arguments.limit)
    print(
        f"{count} ordered alloys of {', '.join(ELEMENTS)} up to {arguments.atoms} atoms in {arguments.path}"
    )


if __name__ == "__main__":
    main()

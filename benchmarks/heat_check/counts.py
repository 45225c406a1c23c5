"""Displaced supercells of the 103 crystals: what a launch counts before it starts, against phono3py by hand."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

from ase import Atoms

from aiida_pet.campaigns.displacements import count_displacements
from benchmarks.heat_check.crystals import with_cells
from benchmarks.heat_check.verdict import Verdict

DISTANCE = 0.03  # A
OPPOSITES = {"always": True, "auto": "auto"}


def by_hand(atoms: Atoms) -> dict[str, tuple[int, int]]:
    """Return the numbers of supercells of second and third order for each of ``OPPOSITES``.

    The calls are those of matbench-discovery's script.
    """
    from phono3py import Phono3py
    from phonopy.structure.atoms import PhonopyAtoms

    cell = PhonopyAtoms(
        symbols=atoms.get_chemical_symbols(),
        cell=atoms.cell[:],
        scaled_positions=atoms.get_scaled_positions(),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        phono3py = Phono3py(
            cell,
            supercell_matrix=atoms.info["fc3_supercell"],
            phonon_supercell_matrix=atoms.info["fc2_supercell"],
            primitive_matrix="auto",
            symprec=1e-5,
        )
    found = {}
    for name, plus_minus in OPPOSITES.items():
        phono3py.generate_displacements(distance=DISTANCE, is_plusminus=plus_minus)
        # the first call makes those of second order as well, a later one keeps them as they are
        phono3py.generate_fc2_displacements(distance=DISTANCE, is_plusminus=plus_minus)
        found[name] = (
            len(phono3py.phonon_supercells_with_displacements),
            len(phono3py.supercells_with_displacements),
        )
    return found


def by_the_plan(name: str, atoms: Atoms) -> dict[str, int]:
    """Return the numbers of supercells of both orders that a launch counts, for each of ``OPPOSITES``."""
    table = with_cells({name: atoms})
    given: dict[str, Any] = {"displacement": DISTANCE, "symprecs": ()}
    return {
        opposites: count_displacements(table, given | {"opposites": opposites}).displacements
        for opposites in OPPOSITES
    }


def verdicts(crystals: dict[str, Atoms]) -> Iterator[Verdict]:
    """Yield what was counted for each crystal, and then for all of them."""
    totals = dict.fromkeys(OPPOSITES, 0)
    equal = 0
    for name, atoms in crystals.items():
        hand, plan = by_hand(atoms), by_the_plan(name, atoms)
        good = all(sum(hand[one]) == plan[one] for one in OPPOSITES)
        told = ", ".join(
            f"{one}: phono3py {hand[one][0]} + {hand[one][1]}, plan {plan[one]}" for one in OPPOSITES
        )
        yield Verdict(name, told, good)
        equal += good
        for one in OPPOSITES:
            totals[one] += sum(hand[one])
    told = ", ".join(f"{one} {count:,}" for one, count in totals.items())
    yield Verdict(
        "all", f"{equal} of {len(crystals)} equal; supercells in all: {told}", equal == len(crystals)
    )

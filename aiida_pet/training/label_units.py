"""Which units and signs explain that energies change otherwise than stresses and forces predict."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from ase.units import Bohr, GPa, Hartree, Rydberg, kcal, kJ, mol

ALIKE = 1.15
"""Factor by which a ratio may differ from that of known units."""
_ROUGHLY = 1.4
"""This factor where no unit is that close: far frames give ratios that are somewhat off."""

_ENERGY = {"Hartree": Hartree, "Rydberg": Rydberg, "kcal/mol": kcal / mol, "kJ/mol": kJ / mol, "meV": 1e-3}
_FORCES = {
    "Hartree/Bohr": Hartree / Bohr,
    "Rydberg/Bohr": Rydberg / Bohr,
    "eV/Bohr": 1 / Bohr,
    "kcal/mol/A": kcal / mol,
    "kJ/mol/nm": kJ / mol / 10,
    "meV/A": 1e-3,
}
_STRESS = {
    "GPa": GPa,
    "kbar": 0.1 * GPa,
    "bar": 1e-4 * GPa,
    "Hartree/Bohr^3": Hartree / Bohr**3,
    "Rydberg/Bohr^3": Rydberg / Bohr**3,
}
"""Units of each label, in eV, eV/A and eV/A^3."""
_IMPORTED = ("GPa", "kbar")  # stresses that an import turns into eV/A^3


@dataclass(frozen=True)
class Cause:
    """What may be wrong with labels.

    :ivar name: such as "energies in Hartree".
    :ivar remedy: what puts it right.
    """

    name: str
    remedy: str


PER_ATOM = Cause("energies per atom in place of energies of the cell", "multiply them by the number of atoms")
VIRIALS = Cause(
    "virials in place of stresses", "divide them by the volume; a stress is minus the virial / volume"
)


def causes_of(stress: tuple[float, float] | None, forces: tuple[float, float] | None) -> list[Cause]:
    """Return the fewest wrong units and signs that explain both ratios, the closest first; empty if none do.

    :param stress: ratio of changes of the energy to what the stresses predict, and the factor by which chance may
        change it; None if not known.
    :param forces: the same for forces.
    """
    return _explaining(stress, forces, ALIKE) or _explaining(stress, forces, _ROUGHLY)


def _explaining(
    stress: tuple[float, float] | None, forces: tuple[float, float] | None, alike: float
) -> list[Cause]:
    stresses = _signed(_STRESS) if stress is not None else [("", 1, 1.0)]
    of_forces = _signed(_FORCES) if forces is not None else [("", 1, 1.0)]
    found: list[tuple[int, float, Cause]] = []
    for (energy, e), (s_name, s_sign, s), (f_name, f_sign, f) in product(
        ({"": 1.0} | _ENERGY).items(), stresses, of_forces
    ):
        relative = [
            (known[0] * e / unit, max(alike, known[1]))
            for known, unit in ((stress, s), (forces, f))
            if known is not None
        ]
        if any(one <= 0 for one, _ in relative):
            continue
        # 1 where a ratio is as far off as may be
        off = max((abs(float(np.log(one) / np.log(most))) for one, most in relative), default=np.inf)
        causes = [
            *([Cause(f"energies in {energy}", f"multiply them by {e:.6g}")] if energy else []),
            *_of_stress(s_name, s_sign),
            *_of_forces(f_name, f_sign),
        ]
        # with one ratio, two faults at once would explain nearly everything
        if causes and off < 1 and len(causes) <= len(relative):
            joined = Cause(" and ".join(one.name for one in causes), "; ".join(_remedies(causes)))
            found.append((len(causes), off, joined))
    fewest = min((n for n, _, _ in found), default=0)
    return [cause for n, _, cause in sorted(found, key=lambda one: one[1]) if n == fewest]


def _remedies(causes: list[Cause]) -> list[str]:
    """Return the remedies, each with what it is for if there are several."""
    if len(causes) == 1:
        return [causes[0].remedy]
    return [one.remedy.replace("them", f"the {one.name.split()[0]}", 1) for one in causes]


def _signed(units: dict[str, float]) -> list[tuple[str, int, float]]:
    """Return (unit, sign, value) of eV-based units and of ``units``, with both signs."""
    return [(name, sign, sign * value) for name, value in ({"": 1.0} | units).items() for sign in (1, -1)]


def _of_stress(unit: str, sign: int) -> list[Cause]:
    """Return at most one cause."""
    if not unit and sign > 0:
        return []
    imported = ["stress_sign='minus'"] if sign < 0 else []
    if unit in _IMPORTED:
        imported.append(f"stress_unit={unit!r}")
    remedies = [f"import the set with {' and '.join(imported)}"] if imported else []
    if unit and unit not in _IMPORTED:
        remedies.append(f"multiply them by {_STRESS[unit]:.6g}")
    return [Cause(_named("stresses", unit, sign), " and ".join(remedies))]


def _of_forces(unit: str, sign: int) -> list[Cause]:
    """Return at most one cause."""
    if not unit and sign > 0:
        return []
    return [Cause(_named("forces", unit, sign), f"multiply them by {sign * _FORCES.get(unit, 1.0):.6g}")]


def _named(what: str, unit: str, sign: int) -> str:
    return what + (" of the wrong sign" if sign < 0 else "") + (f" in {unit}" if unit else "")

"""Crystals whose ground states everyone knows, each beside its competitors: what the demo screens and judges.

Metals and alloys of Al-Ni-Ti, the bcc orderings of Nb-Mo-Ta-W, carbides, nitrides, oxides and halides. Each stands in
its usual prototype with an experimental or nearby cell. Run as a script, it writes an extxyz file:
``python examples/known_phases.py phases.xyz``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from pathlib import Path

from alloys import lattice_constant
from ase import Atoms
from ase.build import bulk
from ase.io import write
from ase.spacegroup import crystal


@dataclass(frozen=True)
class Moduli:
    """Elastic constants of the Materials Project, by PBE (CC-BY-4.0; de Jong et al., Sci. Data 2, 150009 (2015)).

    :ivar source: the material's number there.
    :ivar bulk: GPa, Voigt-Reuss-Hill.
    :ivar shear: GPa, Voigt-Reuss-Hill.
    """

    source: str
    bulk: float
    shear: float


@dataclass(frozen=True)
class Phase:
    """A crystal of a known kind.

    :ivar id: formula and prototype, such as ``NiAl-B2``.
    :ivar prototype: Strukturbericht or mineral name.
    :ivar atoms: the cell that a relaxation starts from.
    :ivar is_known: whether it is the phase that is found at low temperature at this composition.
    :ivar moduli: published ones, None where none are quoted.
    """

    id: str
    prototype: str
    atoms: Atoms
    is_known: bool
    moduli: Moduli | None = None

    @property
    def formula(self) -> str:
        """Reduced formula, elements in alphabetical order."""
        return self.atoms.symbols.formula.reduce()[0].format("hill")

    @property
    def elements(self) -> frozenset[str]:
        """The elements in it."""
        return frozenset(self.atoms.get_chemical_symbols())


def _one(*symbols: str, group: int, basis: Sequence[Sequence[float]], cell: Sequence[float]) -> Atoms:
    """Return the primitive cell of a crystal given by its space group."""
    found: Atoms = crystal(
        list(symbols), basis=list(basis), spacegroup=group, cellpar=list(cell), primitive_cell=True
    )
    return Atoms(found.numbers, cell=found.cell, scaled_positions=found.get_scaled_positions(), pbc=True)


def _cubic(a: float) -> tuple[float, ...]:
    return a, a, a, 90, 90, 90


def _hexagonal(a: float, c: float) -> tuple[float, ...]:
    return a, a, c, 90, 90, 120


def _tetragonal(a: float, c: float) -> tuple[float, ...]:
    return a, a, c, 90, 90, 90


def _binary(name: str) -> Callable[[str, str, float], Atoms]:
    return lambda first, second, a: bulk(f"{first}{second}", name, a=a)


ROCKSALT, ZINCBLENDE, CESIUMCHLORIDE = (
    _binary(name) for name in ("rocksalt", "zincblende", "cesiumchloride")
)


def _wurtzite(first: str, second: str, a: float, c: float) -> Atoms:
    return bulk(f"{first}{second}", "wurtzite", a=a, c=c)


def _fluorite(metal: str, other: str, a: float) -> Atoms:
    return _one(metal, other, group=225, basis=[(0, 0, 0), (0.25, 0.25, 0.25)], cell=_cubic(a))


def _l1_2(minor: str, major: str, a: float) -> Atoms:
    return _one(minor, major, group=221, basis=[(0, 0, 0), (0, 0.5, 0.5)], cell=_cubic(a))


def _d0_22(minor: str, major: str, a: float, c: float) -> Atoms:
    basis = [(0, 0, 0), (0, 0, 0.5), (0, 0.5, 0.25)]
    return _one(minor, major, major, group=139, basis=basis, cell=_tetragonal(a, c))


def _d0_19(minor: str, major: str, a: float, c: float) -> Atoms:
    basis = [(1 / 3, 2 / 3, 0.25), (0.8333, 0.6667, 0.25)]
    return _one(minor, major, group=194, basis=basis, cell=_hexagonal(a, c))


def _d0_24(minor: str, major: str, a: float, c: float) -> Atoms:
    basis = [(0, 0, 0), (1 / 3, 2 / 3, 0.25), (0.5, 0, 0), (0.8333, 0.6667, 0.25)]
    return _one(minor, minor, major, major, group=194, basis=basis, cell=_hexagonal(a, c))


def _d0_3(minor: str, major: str, a: float) -> Atoms:
    basis = [(0, 0, 0), (0.25, 0.25, 0.25), (0.5, 0.5, 0.5)]
    return _one(minor, major, major, group=225, basis=basis, cell=_cubic(a))


def _c11_b(minor: str, major: str, a: float, c: float) -> Atoms:
    return _one(minor, major, group=139, basis=[(0, 0, 0), (0, 0, 1 / 3)], cell=_tetragonal(a, c))


def _b32(first: str, second: str, a: float) -> Atoms:
    return _one(first, second, group=227, basis=[(0, 0, 0), (0.5, 0.5, 0.5)], cell=_cubic(a))


def _metals() -> Iterator[Phase]:
    known = {
        "Al": ("fcc", 4.05, None),
        "Ni": ("fcc", 3.52, None),
        "Cu": ("fcc", 3.61, None),
        "Ti": ("hcp", 2.95, 4.68),
        "Zr": ("hcp", 3.23, 5.15),
        "Mg": ("hcp", 3.21, 5.21),
        "V": ("bcc", 3.03, None),
        "Cr": ("bcc", 2.88, None),
        "Fe": ("bcc", 2.87, None),
        "Nb": ("bcc", 3.30, None),
        "Mo": ("bcc", 3.15, None),
        "Ta": ("bcc", 3.30, None),
        "W": ("bcc", 3.16, None),
    }
    for symbol, (name, a, c) in known.items():
        given = bulk(symbol, name, a=a, c=c) if c else bulk(symbol, name, a=a)
        yield Phase(f"{symbol}-{name}", name, given, is_known=True)
        edge = float(given.get_volume() / len(given)) ** (1 / 3)
        others = {
            "fcc": bulk(symbol, "fcc", a=edge * 4 ** (1 / 3)),
            "bcc": bulk(symbol, "bcc", a=edge * 2 ** (1 / 3)),
            "hcp": bulk(symbol, "hcp", a=edge * 2 ** (1 / 6), c=edge * 2 ** (1 / 6) * (8 / 3) ** 0.5),
        }
        for other, atoms in others.items():
            if other != name:
                yield Phase(f"{symbol}-{other}", other, atoms, is_known=False)


def _references() -> Iterator[Phase]:
    """Yield the other elements in simple crystals, to which energies of formation refer; none of them is judged."""
    yield Phase("Li-bcc", "bcc", bulk("Li", "bcc", a=3.51), is_known=False)
    yield Phase("Na-bcc", "bcc", bulk("Na", "bcc", a=4.29), is_known=False)
    yield Phase("Ca-fcc", "fcc", bulk("Ca", "fcc", a=5.58), is_known=False)
    yield Phase("Zn-hcp", "hcp", bulk("Zn", "hcp", a=2.66, c=4.95), is_known=False)
    gallium = _one("Ga", group=64, basis=[(0, 0.1539, 0.0810)], cell=(4.519, 7.659, 4.526, 90, 90, 90))
    yield Phase("Ga-A11", "A11", gallium, is_known=False)
    arsenic = _one("As", group=166, basis=[(0, 0, 0.227)], cell=_hexagonal(3.76, 10.55))
    yield Phase("As-A7", "A7", arsenic, is_known=False)
    sulphur = _one("S", group=152, basis=[(0.208, 0, 1 / 3)], cell=_hexagonal(4.1, 4.31))
    yield Phase("S-A8", "A8", sulphur, is_known=False)
    # molecules of two atoms in the crystal of nitrogen, where they stand along the diagonals of the cube
    for symbol, a, bond in (("N", 5.66, 1.10), ("O", 5.2, 1.22), ("F", 5.3, 1.41), ("Cl", 6.2, 2.00)):
        x = bond / 2 / 3**0.5 / a
        molecules = _one(symbol, group=205, basis=[(x, x, x)], cell=_cubic(a))
        yield Phase(f"{symbol}-alpha-N2", "alpha-N2", molecules, is_known=False)


def _aluminides() -> Iterator[Phase]:
    yield Phase("NiAl-B2", "B2", CESIUMCHLORIDE("Ni", "Al", 2.89), is_known=True)
    yield Phase("NiAl-L1_0", "L1_0", _l1_0("Al", "Ni", 2.72, 3.27), is_known=False)
    yield Phase("NiAl-B32", "B32", _b32("Ni", "Al", 5.78), is_known=False)
    yield Phase("Ni3Al-L1_2", "L1_2", _l1_2("Al", "Ni", 3.57), is_known=True)
    yield Phase("Ni3Al-D0_22", "D0_22", _d0_22("Al", "Ni", 3.55, 7.2), is_known=False)
    yield Phase("TiAl-L1_0", "L1_0", _l1_0("Ti", "Al", 2.83, 4.07), is_known=True)
    yield Phase("TiAl-B2", "B2", CESIUMCHLORIDE("Ti", "Al", 3.19), is_known=False)
    yield Phase("Ti3Al-D0_19", "D0_19", _d0_19("Al", "Ti", 5.77, 4.62), is_known=True)
    yield Phase("Ti3Al-L1_2", "L1_2", _l1_2("Al", "Ti", 4.04), is_known=False)
    yield Phase("TiAl3-D0_22", "D0_22", _d0_22("Ti", "Al", 3.85, 8.61), is_known=True)
    yield Phase("TiAl3-L1_2", "L1_2", _l1_2("Ti", "Al", 3.98), is_known=False)
    published = Moduli("mp-1409", 189.9, 96.3)
    yield Phase("TiNi3-D0_24", "D0_24", _d0_24("Ti", "Ni", 5.10, 8.31), is_known=True, moduli=published)
    yield Phase("TiNi3-L1_2", "L1_2", _l1_2("Ti", "Ni", 3.61), is_known=False)
    published = Moduli("mp-305", 198.7, 95.0)
    yield Phase("TiFe-B2", "B2", CESIUMCHLORIDE("Ti", "Fe", 2.95), is_known=True, moduli=published)


def _l1_0(first: str, second: str, a: float, c: float) -> Atoms:
    """Return the two atoms of the tetragonal cell, whose edge ``a`` is that between like atoms."""
    return _one(first, second, group=123, basis=[(0, 0, 0), (0.5, 0.5, 0.5)], cell=_tetragonal(a, c))


def _refractory() -> Iterator[Phase]:
    elements = ("Nb", "Mo", "Ta", "W")
    for pair in combinations(elements, 2):
        a = lattice_constant(pair)
        for prototype, atoms in (("B2", CESIUMCHLORIDE(*pair, a)), ("B32", _b32(*pair, 2 * a))):
            is_known = prototype == "B2" and set(pair) == {"Mo", "Ta"}
            yield Phase(f"{''.join(pair)}-{prototype}", prototype, atoms, is_known=is_known)
    for minor, major in permutations(elements, 2):
        a = lattice_constant((minor, major, major))
        is_known = (minor, major) == ("Ta", "Mo")
        yield Phase(f"{major}2{minor}-C11_b", "C11_b", _c11_b(minor, major, a, 3 * a), is_known=is_known)
        a = lattice_constant((minor, major, major, major))
        yield Phase(f"{major}3{minor}-D0_3", "D0_3", _d0_3(minor, major, 2 * a), is_known=False)


def _compounds() -> Iterator[Phase]:
    """Yield carbides, nitrides, oxides and halides: rocksalt against zincblende, and what is neither."""
    rocksalts = {
        ("Mg", "O"): (4.21, Moduli("mp-1265", 151.5, 118.8)),
        ("Ca", "O"): (4.81, Moduli("mp-2605", 105.8, 74.2)),
        ("Li", "F"): (4.03, Moduli("mp-1138", 69.6, 50.0)),
        ("Na", "Cl"): (5.64, Moduli("mp-22862", 23.8, 14.3)),
        ("Ti", "N"): (4.24, Moduli("mp-492", 278.5, 191.6)),
        ("Zr", "N"): (4.57, Moduli("mp-1352", 247.5, 147.6)),
        ("Ti", "C"): (4.33, Moduli("mp-631", 251.5, 172.4)),
        ("Nb", "C"): (4.47, Moduli("mp-910", 296.2, 181.0)),
        ("Ta", "C"): (4.46, Moduli("mp-1086", 323.9, 176.2)),
    }
    for pair, (a, moduli) in rocksalts.items():
        name = "".join(pair)
        yield Phase(f"{name}-rocksalt", "rocksalt", ROCKSALT(*pair, a), is_known=True, moduli=moduli)
        # the distance of neighbours is shorter where there are four of them instead of six
        yield Phase(f"{name}-zincblende", "zincblende", ZINCBLENDE(*pair, 1.09 * a), is_known=False)
    yield Phase("NaCl-B2", "B2", CESIUMCHLORIDE("Na", "Cl", 3.4), is_known=False)
    tetrahedral = {
        ("Ga", "As"): (5.65, True, Moduli("mp-2534", 60.7, 40.7)),
        ("Zn", "S"): (5.41, True, Moduli("mp-10695", 69.1, 33.6)),
        ("Al", "N"): (4.38, False, None),
        ("Si", "C"): (4.36, True, None),
    }
    for pair, (a, is_known, moduli) in tetrahedral.items():
        name = "".join(pair)
        found = ZINCBLENDE(*pair, a)
        yield Phase(f"{name}-zincblende", "zincblende", found, is_known=is_known, moduli=moduli)
        yield Phase(f"{name}-rocksalt", "rocksalt", ROCKSALT(*pair, 0.92 * a), is_known=False)
    published = Moduli("mp-661", 194.6, 122.3)
    yield Phase("AlN-wurtzite", "wurtzite", _wurtzite("Al", "N", 3.11, 4.98), is_known=True, moduli=published)
    published = Moduli("mp-1367", 54.2, 46.1)
    yield Phase("Mg2Si-fluorite", "fluorite", _fluorite("Si", "Mg", 6.35), is_known=True, moduli=published)
    published = Moduli("mp-2741", 80.2, 37.9)
    yield Phase("CaF2-fluorite", "fluorite", _fluorite("Ca", "F", 5.46), is_known=True, moduli=published)
    rutile = _one("Ti", "O", group=136, basis=[(0, 0, 0), (0.305, 0.305, 0)], cell=_tetragonal(4.59, 2.96))
    yield Phase("TiO2-rutile", "rutile", rutile, is_known=True, moduli=Moduli("mp-2657", 208.5, 107.4))
    yield Phase("TiO2-fluorite", "fluorite", _fluorite("Ti", "O", 4.84), is_known=False)
    tungsten = _one("W", "C", group=187, basis=[(0, 0, 0), (1 / 3, 2 / 3, 0.5)], cell=_hexagonal(2.91, 2.84))
    yield Phase("WC-B_h", "B_h", tungsten, is_known=True)
    yield Phase("WC-rocksalt", "rocksalt", ROCKSALT("W", "C", 4.38), is_known=False)
    silicide = _one("Mo", "Si", group=139, basis=[(0, 0, 0), (0, 0, 1 / 3)], cell=_tetragonal(3.2, 7.85))
    yield Phase("MoSi2-C11_b", "C11_b", silicide, is_known=True)


def _semiconductors() -> Iterator[Phase]:
    yield Phase("Si-diamond", "diamond", bulk("Si", "diamond", a=5.43), is_known=True)
    tin = _one("Si", group=141, basis=[(0, 0, 0)], cell=_tetragonal(4.69, 2.58))
    yield Phase("Si-beta-tin", "beta-tin", tin, is_known=False)
    yield Phase("C-diamond", "diamond", bulk("C", "diamond", a=3.57), is_known=False)
    graphite = _one(
        "C", "C", group=194, basis=[(0, 0, 0.25), (1 / 3, 2 / 3, 0.25)], cell=_hexagonal(2.46, 6.71)
    )
    yield Phase("C-graphite", "graphite", graphite, is_known=True)


def known_phases(elements: Collection[str] | None = None) -> list[Phase]:
    """Return the phases, the metals first.

    :param elements: that a model knows; phases with others are left out. None leaves out none.
    """
    makers = (_metals, _references, _semiconductors, _aluminides, _refractory, _compounds)
    found = [phase for maker in makers for phase in maker()]
    return [phase for phase in found if elements is None or phase.elements <= frozenset(elements)]


def write_phases(path: Path, phases: Sequence[Phase]) -> None:
    """Write ``phases`` to ``path`` as extxyz, with ids in the comment lines."""
    crystals = []
    for phase in phases:
        atoms = phase.atoms.copy()
        atoms.info = {"id": phase.id}
        crystals.append(atoms)
    write(path, crystals, format="extxyz", columns=["symbols", "positions"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("path", type=Path, help="extxyz file to write")
    parser.add_argument("--elements", nargs="+", metavar="SYMBOL", help="only phases of these")
    arguments = parser.parse_args()
    phases = known_phases(arguments.elements)
    write_phases(arguments.path, phases)
    print(f"{len(phases)} crystals in {arguments.path}")


if __name__ == "__main__":
    main()

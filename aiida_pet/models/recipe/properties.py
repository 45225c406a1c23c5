"""Properties of a model beside the properties of the DFT on which it was trained: cells, elastic constants, orderings
of bcc.

The DFT values are read off frames of the training data: the strained cells of the elements, and the ordered ones
among the solid solutions. Both sides go through the same fits. Lengths in A, energies in eV/atom, moduli in GPa.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import spglib
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator
from ase.units import GPa
from scipy.optimize import brentq  # type: ignore[import-untyped]

from aiida_pet.tables.arrays import Floats

ELEMENTS = ("Nb", "Mo", "Ta", "W")
STRAINS = (-0.04, -0.03, -0.02, -0.01, 0.01, 0.02, 0.03, 0.04)
"""Of the data's strains (to 0.1) those where a cubic polynomial fits the stress."""
_STRAIN_TOLERANCE = 1e-3
_GUESS = {"bcc": 3.25, "fcc": 4.2}  # A, within 8 % of all four elements
_SYMPREC = 0.05  # A; the ordered frames are relaxed only in volume

# Space group and atoms of the primitive cell of the orderings of bcc with at most four atoms that are cubic.
ORDERINGS = {(221, 2): "B2", (227, 4): "B32", (225, 4): "D0_3"}


@dataclass(frozen=True)
class Cubic:
    """A cubic element: energy eV/atom, lattice constant of the conventional cell A, elastic constants GPa."""

    energy: float
    a: float
    c11: float
    c12: float
    c44: float

    @property
    def bulk_modulus(self) -> float:
        """(C11 + 2 C12) / 3, GPa."""
        return (self.c11 + 2 * self.c12) / 3


@dataclass(frozen=True)
class Ordering:
    """A cubic ordering of bcc: B2, B32 or D0_3, formula and atoms of its primitive cell, DFT energy in eV/atom."""

    name: str
    formula: str
    atoms: Atoms
    energy: float

    @property
    def elements(self) -> tuple[str, ...]:
        """Symbols, sorted."""
        return tuple(sorted(set(self.atoms.get_chemical_symbols())))


# -- elastic constants ---------------------------------------------------------------------------------------------


def fit_elastic(uniaxial: Floats, shear: Floats) -> tuple[float, float, float]:
    """Return (C11, C12, C44) in GPa of a cubic crystal from stresses of strained cells.

    :param uniaxial: (n, 3): strain, stress along it, mean stress across it (eV/A^3). The slopes at zero strain of
        cubic polynomials are C11 and C12.
    :param shear: (m, 2): engineering shear strain, shear stress. The linear term of an odd cubic polynomial is C44.
    """
    along, across = (float(np.polyfit(uniaxial[:, 0], uniaxial[:, k], 3)[2]) for k in (1, 2))
    strain = shear[:, 0]
    terms = np.stack([strain, strain**3], axis=1)
    sheared = float(np.linalg.lstsq(terms, shear[:, 1], rcond=None)[0][0])
    return along / GPa, across / GPa, sheared / GPa


def dft_element(frames: Sequence[Atoms], symbol: str) -> Cubic:
    """Return what the strained cells of ``symbol`` among ``frames`` say.

    The cell of lowest energy is the reference of the strains; its small residual stress is taken off its lattice
    constant to first order.

    :raises ValueError: if there are too few strained cells.
    """
    ground, uniaxial, shear = _strained(frames, symbol)
    uniaxial, shear = (table[[_is_used(strain) for strain in table[:, 0]]] for table in (uniaxial, shear))
    if len(uniaxial) < 4 or len(shear) < 4:
        raise ValueError(
            f"{symbol}: {len(uniaxial)} uniaxial and {len(shear)} sheared cells, expected at least 4 of each"
        )
    c11, c12, c44 = fit_elastic(uniaxial, shear)
    residual = float(np.trace(ground.get_stress(voigt=False))) / 3 / GPa
    a = float(np.cbrt(2 * ground.get_volume() / len(ground))) * (1 - residual / (c11 + 2 * c12))
    return Cubic(float(ground.get_potential_energy()) / len(ground), a, c11, c12, c44)


def shear_secants(frames: Sequence[Atoms], symbol: str, below: float = 0.05) -> tuple[float, float]:
    """Return the least and the largest ratio of shear stress to shear strain in the data, GPa, strains < ``below``."""
    _ground, _uniaxial, shear = _strained(frames, symbol)
    small = shear[np.abs(shear[:, 0]) < below]
    ratios = small[:, 1] / small[:, 0] / GPa
    return float(ratios.min()), float(ratios.max())


def _strained(frames: Sequence[Atoms], symbol: str) -> tuple[Atoms, Floats, Floats]:
    """Return the unstrained cell, and the tables of :func:`fit_elastic` at all strains there are."""
    cells = [frame for frame in frames if frame.info["config"] == f"{symbol}_Elastic"]
    if not cells:
        raise ValueError(f"no strained cells of {symbol} among {len(frames)} frames")
    ground = min(cells, key=lambda frame: float(frame.get_potential_energy()) / len(frame))
    uniaxial, shear = [], []
    for cell in cells:
        deformation = np.linalg.solve(ground.cell.array, cell.cell.array)
        strain = 0.5 * (deformation.T @ deformation - np.eye(3))  # Green's, free of rotation
        stress = cell.get_stress(voigt=False)
        pair = max(((1, 2), (0, 2), (0, 1)), key=lambda pair: abs(strain[pair]))
        if abs(strain[pair]) > _STRAIN_TOLERANCE:
            shear.append([2 * strain[pair], stress[pair]])
            continue
        axis = int(np.abs(np.diag(strain)).argmax())
        across = np.mean([stress[k, k] for k in range(3) if k != axis])
        uniaxial.append([np.sqrt(1 + 2 * strain[axis, axis]) - 1, stress[axis, axis], across])
    return ground, np.array(uniaxial).reshape(-1, 3), np.array(shear).reshape(-1, 2)


def _is_used(strain: float) -> bool:
    return min(abs(strain - used) for used in STRAINS) < _STRAIN_TOLERANCE


def model_element(calculator: Calculator, symbol: str) -> Cubic:
    """Return what ``calculator`` says of bcc ``symbol``, strained along and about all three axes.

    Averaged over the axes: PET knows no symmetry exactly.
    """
    energy, cell = equilibrium(calculator, bulk(symbol, "bcc", a=_GUESS["bcc"], cubic=True))
    uniaxial, shear = [], []
    for axis in range(3):
        others = [k for k in range(3) if k != axis]
        for strain in STRAINS:
            deformation = np.eye(3)
            deformation[axis, axis] += strain
            stress = _stress(calculator, cell, deformation)
            uniaxial.append([strain, stress[axis, axis], np.mean([stress[k, k] for k in others])])
            deformation = np.eye(3)
            deformation[others[0], others[1]] = strain
            shear.append([strain, _stress(calculator, cell, deformation)[others[0], others[1]]])
    c11, c12, c44 = fit_elastic(np.array(uniaxial), np.array(shear))
    return Cubic(energy, float(cell.cell.cellpar()[0]), c11, c12, c44)


def fcc_energy(calculator: Calculator, symbol: str) -> float:
    """Return the energy of fcc ``symbol`` at zero pressure, eV/atom: far from anything in the training data."""
    return equilibrium(calculator, bulk(symbol, "fcc", a=_GUESS["fcc"], cubic=True))[0]


def _stress(calculator: Calculator, atoms: Atoms, deformation: Floats) -> Floats:
    strained = atoms.copy()
    strained.set_cell(atoms.cell.array @ deformation.T, scale_atoms=True)
    strained.calc = calculator
    return np.asarray(strained.get_stress(voigt=False))


def equilibrium(calculator: Calculator, atoms: Atoms) -> tuple[float, Atoms]:
    """Return (energy eV/atom, cell) of ``atoms`` scaled to zero pressure within 8 % in length of where it stands.

    :raises ValueError: if the pressure does not change its sign there.
    """

    def scaled(factor: float) -> Atoms:
        copy = atoms.copy()
        copy.set_cell(atoms.cell.array * factor, scale_atoms=True)
        copy.calc = calculator
        return copy

    def tension(factor: float) -> float:
        return float(np.trace(scaled(factor).get_stress(voigt=False)))

    factor = float(brentq(tension, 0.92, 1.08, xtol=1e-7))
    relaxed = scaled(factor)
    energy = relaxed.get_potential_energy() / len(relaxed)
    relaxed.calc = None
    return float(energy), relaxed


# -- orderings -----------------------------------------------------------------------------------------------------


def dft_orderings(frames: Sequence[Atoms]) -> list[Ordering]:
    """Return the cubic orderings of bcc among ``frames``, each at the volume of lowest energy that the data have.

    Sorted by elements, then by name and formula.
    """
    best: dict[tuple[str, str], Ordering] = {}
    for frame in frames:
        if len(set(frame.numbers)) != 2:
            continue
        cell = (frame.cell.array, frame.get_scaled_positions(), frame.numbers)
        primitive = spglib.find_primitive(cell, symprec=_SYMPREC)
        dataset = spglib.get_symmetry_dataset(cell, symprec=_SYMPREC)
        if primitive is None or dataset is None:
            continue
        name = ORDERINGS.get((dataset.number, len(primitive[2])))
        if name is None:
            continue
        atoms = Atoms(numbers=primitive[2], scaled_positions=primitive[1], cell=primitive[0], pbc=True)
        formula = atoms.get_chemical_formula(mode="metal")
        found = Ordering(name, formula, atoms, frame.get_potential_energy() / len(frame))
        if (name, formula) not in best or found.energy < best[name, formula].energy:
            best[name, formula] = found
    return sorted(best.values(), key=lambda item: (item.elements, item.name, item.formula))


def formation_energy(atoms: Atoms, energy: float, elements: dict[str, Cubic]) -> float:
    """Return ``energy`` (eV/atom) of ``atoms`` against the bcc elements, eV/atom."""
    symbols = atoms.get_chemical_symbols()
    return energy - sum(elements[symbol].energy for symbol in symbols) / len(symbols)


def rotation_noise(calculator: Calculator, frames: Sequence[Atoms], rotations: int, seed: int) -> float:
    """Return how far energies scatter when a crystal is turned as a whole: root mean square, meV/atom.

    An exactly equivariant model gives 0; PET learns the symmetry, and this is what is left.
    """
    generator = np.random.default_rng(seed)
    spreads = []
    for frame in frames:
        energies = []
        for _ in range(rotations):
            turned, _upper = np.linalg.qr(generator.normal(size=(3, 3)))
            probe = frame.copy()
            probe.set_cell(frame.cell.array @ turned, scale_atoms=True)
            probe.calc = calculator
            energies.append(1e3 * probe.get_potential_energy() / len(probe))
        spreads.append(np.var(energies))
    return float(np.sqrt(np.mean(spreads)))

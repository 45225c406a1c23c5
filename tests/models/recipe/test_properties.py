from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell
from ase.calculators.calculator import Calculator
from ase.calculators.singlepoint import SinglePointCalculator
from ase.units import GPa

from aiida_pet.engine.model.ase_calculator import pet_calculator
from aiida_pet.models import embedded_card, embedded_path
from aiida_pet.models.recipe import properties
from aiida_pet.models.recipe.properties import Cubic

C11, C12, C44 = 500.0, 200.0, 150.0


@pytest.fixture(scope="module")
def calculator() -> Calculator:
    return pet_calculator(embedded_path(), embedded_card()["sha256"], device="cpu")


def strained(deformation: np.ndarray, energy: float) -> Atoms:
    """A cell of tungsten under `deformation`, its stress that of a linear cubic solid."""
    atoms = bulk("W", "bcc", a=3.2, cubic=True)
    atoms.set_cell(atoms.cell.array @ deformation.T, scale_atoms=True)
    strain = (deformation + deformation.T) / 2 - np.eye(3)
    normal = np.diag(strain)
    diagonal = (C11 - C12) * normal + C12 * normal.sum()
    shear = 2 * C44 * np.array([strain[1, 2], strain[0, 2], strain[0, 1]])
    atoms.calc = SinglePointCalculator(atoms, energy=energy, stress=np.concatenate([diagonal, shear]) * GPa)
    atoms.info["config"] = "W_Elastic"
    return atoms


def strained_cells() -> list[Atoms]:
    cells = [strained(np.eye(3), -26.0)]
    for strain in properties.STRAINS:
        for axis in range(3):
            stretch, shear = np.eye(3), np.eye(3)
            stretch[axis, axis] += strain
            shear[axis, axis - 1] = strain
            cells += [strained(stretch, -25.9), strained(shear, -25.9)]
    return cells


def test_dft_element_recovers_the_constants_of_a_linear_solid() -> None:
    found = properties.dft_element(strained_cells(), "W")
    assert found.energy == -13.0
    assert found.a == pytest.approx(3.2)
    # To rounding: the fits are exact for a linear solid, and simple shear has strains of second order only.
    assert (found.c11, found.c12, found.c44) == pytest.approx((C11, C12, C44), rel=1e-6)
    assert found.bulk_modulus == pytest.approx(300.0)


def test_dft_element_takes_the_residual_stress_off_the_lattice_constant() -> None:
    cells = strained_cells()
    for cell in cells:
        cell.calc.results["stress"] = cell.calc.results["stress"] + np.array([1, 1, 1, 0, 0, 0]) * 3.0 * GPa
    found = properties.dft_element(cells, "W")
    # A tension of 3 GPa: the cell is too large by 3 / (3 K) in length.
    assert found.a == pytest.approx(3.2 * (1 - 3.0 / (3 * 300.0)), rel=1e-6)


def test_dft_element_of_an_absent_element_says_so() -> None:
    with pytest.raises(ValueError, match="no strained cells of Mo among 49 frames"):
        properties.dft_element(strained_cells(), "Mo")


def test_dft_element_of_too_few_cells_says_so() -> None:
    with pytest.raises(ValueError, match="expected at least 4 of each"):
        properties.dft_element(strained_cells()[:3], "W")


def test_shear_secants_are_the_modulus_of_a_linear_solid() -> None:
    assert properties.shear_secants(strained_cells(), "W") == pytest.approx((C44, C44), rel=1e-6)


def test_fit_elastic_takes_the_slope_at_zero_of_a_curved_stress() -> None:
    strain = np.array(properties.STRAINS)
    uniaxial = np.stack([strain, 3 * strain + 7 * strain**2 - 9 * strain**3, 2 * strain + 1e-3], axis=1)
    shear = np.stack([strain, strain - 40 * strain**3], axis=1)
    assert properties.fit_elastic(uniaxial, shear) == pytest.approx((3 / GPa, 2 / GPa, 1 / GPa))


def test_equilibrium_has_no_pressure(calculator: Calculator) -> None:
    energy, cell = properties.equilibrium(calculator, bulk("Ta", "bcc", a=3.2, cubic=True))
    cell.calc = calculator
    assert cell.get_potential_energy() / 2 == pytest.approx(energy, abs=1e-12)
    # 1e-7 in length times 3 K of some 200 GPa is 6e-5 GPa.
    assert abs(np.trace(cell.get_stress(voigt=False)) / 3 / GPa) < 1e-3


def test_model_element_has_the_bulk_modulus_of_its_energies(
    calculator: Calculator, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Strains so small that the shell of neighbours at a sqrt(2) = 4.51 A stays on one side of the cutoff at 4.5 A.
    monkeypatch.setattr(
        properties, "STRAINS", (-0.002, -0.0015, -0.001, -0.0005, 0.0005, 0.001, 0.0015, 0.002)
    )
    found = properties.model_element(calculator, "W")
    lengths = found.a * np.linspace(0.998, 1.002, 9)
    energies, volumes = [], lengths**3 / 2
    for length in lengths:
        atoms = bulk("W", "bcc", a=length)
        atoms.calc = calculator
        energies.append(atoms.get_potential_energy())
    curvature = 2 * np.polyfit(volumes - found.a**3 / 2, energies, 4)[2]
    assert found.bulk_modulus == pytest.approx(curvature * found.a**3 / 2 / GPa, rel=0.01)


def ordered(numbers: Sequence[int], energy: float) -> Atoms:
    """A bcc supercell of 16 atoms with `numbers` on its sites (corners first), as the data have them."""
    cell = make_supercell(bulk("W", "bcc", a=3.2, cubic=True), 2 * np.eye(3))
    atoms = Atoms(cell=cell.cell, positions=cell.positions, numbers=numbers, pbc=True)
    atoms.calc = SinglePointCalculator(atoms, energy=energy)
    return atoms


def sites() -> np.ndarray:
    """Positions of the 16 sites in units of half the cubic cell: (16, 3) integers."""
    cell = make_supercell(bulk("W", "bcc", a=2.0, cubic=True), 2 * np.eye(3))
    return np.round(cell.positions).astype(int)


def b2() -> np.ndarray:
    return np.where(sites()[:, 0] % 2, 42, 73)


def d0_3() -> np.ndarray:
    """One of the four fcc sublattices of bcc is molybdenum."""
    return np.where((sites()[:, 0] % 2 == 0) & (sites().sum(axis=1) % 4 == 0), 42, 73)


def b32() -> np.ndarray:
    """Two of the four fcc sublattices, a diamond lattice: the Zintl phase NaTl."""
    place = sites()
    even = place[:, 0] % 2 == 0
    return np.where((even & (place.sum(axis=1) % 4 == 0)) | (~even & (place.sum(axis=1) % 4 == 3)), 42, 73)


@pytest.mark.parametrize(
    ("numbers", "name", "formula"),
    [(b2(), "B2", "MoTa"), (b32(), "B32", "Mo2Ta2"), (d0_3(), "D0_3", "MoTa3")],
)
def test_dft_orderings_names_an_ordering(numbers: np.ndarray, name: str, formula: str) -> None:
    found = properties.dft_orderings([ordered(numbers, -160.0), ordered(numbers, -176.0)])
    assert [(item.name, item.formula) for item in found] == [(name, formula)]
    assert found[0].energy == -11.0
    assert found[0].elements == ("Mo", "Ta")


def test_dft_orderings_leaves_out_the_disordered_and_the_elements() -> None:
    disordered = b2()
    disordered[:2] = disordered[1::-1]
    assert properties.dft_orderings([ordered(disordered, 0.0), ordered(np.full(16, 42), 0.0)]) == []


def test_formation_energy_is_against_the_elements() -> None:
    elements = {"Mo": Cubic(-10.0, 3.1, 1, 1, 1), "Ta": Cubic(-12.0, 3.3, 1, 1, 1)}
    atoms = ordered(d0_3(), 0.0)
    assert properties.formation_energy(atoms, -11.6, elements) == pytest.approx(-11.6 + (10.0 + 3 * 12.0) / 4)


class _AlongX(Calculator):
    """Energy 2 per cell, plus the square of the cosine between the first lattice vector and x."""

    implemented_properties = ("energy",)

    def calculate(self, atoms=None, properties=("energy",), system_changes=()) -> None:
        super().calculate(atoms, properties, system_changes)
        first = self.atoms.cell[0]
        self.results = {"energy": 2.0 + (first[0] / np.linalg.norm(first)) ** 2}


def test_rotation_noise_is_the_scatter_over_rotations() -> None:
    frames = [bulk("W", "bcc", a=3.2)]
    # cos^2 over the sphere has variance 1/5 - 1/9 = 4/45, in meV per atom; 5 standard errors of 4,000 draws.
    expected = 1e3 * np.sqrt(4 / 45)
    assert properties.rotation_noise(_AlongX(), frames, rotations=4000, seed=1) == pytest.approx(
        expected, rel=0.05
    )


def test_rotation_noise_of_an_invariant_energy_is_zero() -> None:
    class Constant(_AlongX):
        def calculate(self, atoms=None, properties=("energy",), system_changes=()) -> None:
            self.results = {"energy": 1.0}

    assert properties.rotation_noise(Constant(), [bulk("W", "bcc", a=3.2)], rotations=5, seed=1) == 0.0

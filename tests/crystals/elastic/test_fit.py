import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS
from ase.units import GPa
from pymatgen.core.elasticity import Deformation, ElasticTensor, Strain, Stress
from pymatgen.io.ase import AseAtomsAdaptor
from scipy.spatial.transform import Rotation

from aiida_pet.crystals.elastic.fit import (
    fit_elastic_tensor,
    second_piola_kirchhoff,
    stress_strain_coefficients,
    symmetrize_stress,
    symmetrize_tensor,
)
from aiida_pet.crystals.elastic.moduli import elastic_moduli
from aiida_pet.crystals.elastic.strains import PROTOCOLS, StrainAmounts, deformation_gradients, strain_tensors
from aiida_pet.crystals.elastic.voigt import strain_to_voigt, voigt_to_stress
from aiida_pet.crystals.symmetry.spacegroup import find_operations

NONE = np.zeros((3, 3))
TIGHT = strain_tensors(StrainAmounts((-2.5e-4, 2.5e-4), (-2.5e-4, 2.5e-4)))


def random_tensor(seed: int) -> np.ndarray:
    root = np.random.default_rng(seed).normal(size=(6, 6))
    return 10 * root @ root.T + 50 * np.eye(6)


def relaxed(atoms: Atoms) -> Atoms:
    atoms.calc = EMT()
    BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=1e-5, steps=200)
    return atoms


def strained(atoms: Atoms, deformation: np.ndarray) -> Atoms:
    copy = atoms.copy()
    copy.set_cell(atoms.cell[:] @ deformation.T, scale_atoms=True)
    copy.calc = EMT()
    return copy


def cauchy_stresses(atoms: Atoms, deformations: np.ndarray) -> np.ndarray:
    """Return (K, 3, 3), GPa."""
    return np.array([strained(atoms, f).get_stress(voigt=False) / GPa for f in deformations])


def emt_tensor(atoms: Atoms, strains: np.ndarray) -> np.ndarray:
    deformations = deformation_gradients(strains)
    stresses = second_piola_kirchhoff(cauchy_stresses(atoms, deformations), deformations)
    return fit_elastic_tensor(strains, stresses, cauchy_stresses(atoms, np.eye(3)[None])[0]).tensor


def energy_curvature(atoms: Atoms, step: float = 1e-3) -> np.ndarray:
    """Return (6, 6), GPa: second derivative of the energy per volume by Green-Lagrange strain, to fourth order."""

    def energy(voigt: np.ndarray) -> float:
        strain = voigt_to_stress(voigt / np.array([1, 1, 1, 2, 2, 2]))
        return strained(atoms, deformation_gradients(strain)).get_potential_energy()

    def second(step: float) -> np.ndarray:
        curvature = np.zeros((6, 6))
        for i in range(6):
            for j in range(i + 1):
                ei, ej = step * np.eye(6)[i], step * np.eye(6)[j]
                terms = energy(ei + ej) - energy(ei - ej) - energy(ej - ei) + energy(-ei - ej)
                curvature[i, j] = curvature[j, i] = terms / (4 * step**2)
        return curvature / atoms.get_volume() / GPa

    return (4 * second(step) - second(2 * step)) / 3


@pytest.fixture(scope="module")
def cu_au() -> Atoms:
    """L1_0 CuAu, relaxed with EMT, at an angle to the axes."""
    atoms = bulk("Cu", cubic=True)
    atoms.numbers[[1, 2]] = 79
    atoms.set_cell(atoms.cell[:] @ Rotation.from_euler("zyx", [20, 35, 50], degrees=True).as_matrix().T, True)
    return relaxed(atoms)


# -- the fit ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
def test_fit_finds_the_tensor_that_made_the_stresses(protocol):
    tensor = random_tensor(0) + np.random.default_rng(1).normal(
        size=(6, 6)
    )  # of a direct head: not symmetric
    residual = np.array([1.0, -2.0, 0.5, 0.1, 0.2, -0.3])
    strains = strain_tensors(PROTOCOLS[protocol])
    stresses = voigt_to_stress(strain_to_voigt(strains) @ tensor.T + residual)
    fit = fit_elastic_tensor(strains, stresses, voigt_to_stress(residual))
    np.testing.assert_allclose(fit.tensor, tensor, atol=1e-9)
    assert fit.residual < 1e-12
    assert fit.relative_residual < 1e-12


@pytest.mark.filterwarnings("ignore:Pseudo-inverse")
def test_fit_of_noisy_stresses_is_that_of_pymatgen():
    rng = np.random.default_rng(2)
    strains = strain_tensors(PROTOCOLS["materials_project"])
    stresses = voigt_to_stress(
        strain_to_voigt(strains) @ random_tensor(3) + rng.normal(scale=0.5, size=(24, 6))
    )
    ours = fit_elastic_tensor(strains, stresses, NONE).tensor
    arguments = [Strain(e) for e in strains], [Stress(s) for s in stresses]
    independent = ElasticTensor.from_independent_strains(*arguments, eq_stress=Stress(np.zeros((3, 3))))
    # pymatgen stores C transposed, row by strain; strains of one kind at a time, so the same least squares
    np.testing.assert_allclose(ours, independent.voigt.T, atol=1e-8)
    # theirs with an intercept, this without: the same, as plus and minus cancel
    np.testing.assert_allclose(ours, ElasticTensor.from_pseudoinverse(*arguments).voigt, atol=1e-8)


def test_fit_over_strains_of_all_kinds_at_once():
    root = np.random.default_rng(4).normal(scale=0.005, size=(30, 3, 3))
    strains = root + root.transpose(0, 2, 1)
    tensor = random_tensor(5)
    fit = fit_elastic_tensor(strains, voigt_to_stress(strain_to_voigt(strains) @ tensor), NONE)
    np.testing.assert_allclose(fit.tensor, tensor, atol=1e-9)


def test_residual_of_a_fit_is_the_scatter_of_the_stresses():
    rng = np.random.default_rng(6)
    strains = np.repeat(strain_tensors(PROTOCOLS["linear"]), 50, axis=0)
    clean = strain_to_voigt(strains) @ random_tensor(7)
    fit = fit_elastic_tensor(strains, voigt_to_stress(clean + rng.normal(scale=0.02, size=clean.shape)), NONE)
    # half the difference of two stresses scatters by 1/sqrt(2); of 7,200 numbers: 1/sqrt(2 x 7,200) = 0.8 %
    assert fit.residual == pytest.approx(0.02 / np.sqrt(2), rel=0.03)
    assert fit.relative_residual == pytest.approx(fit.residual / np.sqrt(np.mean(clean**2)), rel=0.05)


def test_residual_of_strains_without_their_opposites_is_of_all_that_is_left():
    rng = np.random.default_rng(6)
    strains = np.repeat(strain_tensors(StrainAmounts((0.004, 0.005), (0.005,))), 80, axis=0)
    clean = strain_to_voigt(strains) @ random_tensor(7)
    fit = fit_elastic_tensor(strains, voigt_to_stress(clean + rng.normal(scale=0.02, size=clean.shape)), NONE)
    assert fit.residual == pytest.approx(0.02, rel=0.03)
    assert fit.relative_residual == pytest.approx(0.02 / np.sqrt(np.mean(clean**2)), rel=0.05)


def test_what_is_quadratic_in_the_strain_cancels_between_plus_and_minus():
    rng = np.random.default_rng(15)
    strains = strain_tensors(PROTOCOLS["orb_v3"])
    voigt, tensor, residual = strain_to_voigt(strains), random_tensor(16), rng.normal(size=6)
    quadratic = np.einsum("ijk,nj,nk->ni", 300 * rng.normal(size=(6, 6, 6)), voigt, voigt)
    stresses = voigt_to_stress(voigt @ tensor + residual + quadratic)
    fit = fit_elastic_tensor(strains, stresses, voigt_to_stress(residual))
    np.testing.assert_allclose(fit.tensor, tensor, atol=1e-9)
    assert fit.residual < 1e-9


def test_what_is_cubic_in_the_strain_is_in_the_residual():
    strains = strain_tensors(PROTOCOLS["orb_v3"])
    voigt, tensor = strain_to_voigt(strains), random_tensor(16)
    fit = fit_elastic_tensor(strains, voigt_to_stress(voigt @ tensor + 1e5 * voigt**3), NONE)
    left = 1e5 * voigt**3 - voigt @ (fit.tensor.T - tensor)
    assert fit.residual == pytest.approx(np.sqrt(np.mean(left**2)))
    assert fit.residual > 0.1


def test_one_amount_along_each_direction_suffices():
    strains = strain_tensors(StrainAmounts((0.01,), (0.01,)))
    tensor, residual = random_tensor(8), np.arange(6.0)
    stresses = voigt_to_stress(strain_to_voigt(strains) @ tensor + residual)
    fit = fit_elastic_tensor(strains, stresses, voigt_to_stress(residual))
    np.testing.assert_allclose(fit.tensor, tensor, atol=1e-9)


def test_strains_that_leave_a_direction_out_raise():
    strains = strain_tensors(PROTOCOLS["linear"])[:20]  # without xy
    with pytest.raises(ValueError, match="20 strains determine 5 of the 6 columns"):
        fit_elastic_tensor(strains, np.zeros_like(strains), NONE)


def test_stress_that_is_not_finite_raises():
    strains = strain_tensors(PROTOCOLS["linear"])
    stresses = np.zeros_like(strains)
    stresses[3, 0, 0] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        fit_elastic_tensor(strains, stresses, NONE)
    with pytest.raises(ValueError, match="not finite"):
        fit_elastic_tensor(strains, np.zeros_like(strains), np.full((3, 3), np.nan))


def test_second_piola_kirchhoff_stress_is_that_of_pymatgen():
    rng = np.random.default_rng(9)
    stresses, gradients = rng.normal(size=(2, 4, 3, 3))
    stresses, gradients = stresses + stresses.transpose(0, 2, 1), np.eye(3) + 0.1 * gradients
    ours = second_piola_kirchhoff(stresses, gradients)
    for cauchy, gradient, value in zip(stresses, gradients, ours, strict=True):
        np.testing.assert_allclose(value, Stress(cauchy).piola_kirchoff_2(Deformation(gradient)), atol=1e-13)


# -- symmetry --------------------------------------------------------------------------------------------------


def test_symmetrized_tensor_is_that_of_pymatgen(prototypes):
    rng = np.random.default_rng(10)
    for name in ("b2", "hcp", "quartz", "i-4", "rutile", "marcasite", "c2m", "p-1"):
        atoms = prototypes[name].copy()
        atoms.set_cell(atoms.cell[:] @ Rotation.random(rng=rng).as_matrix().T, scale_atoms=True)
        rotations = find_operations(atoms.cell[:], atoms.positions, atoms.numbers, 1e-3).cartesian
        tensor = random_tensor(11)
        theirs = ElasticTensor.from_voigt(tensor).fit_to_structure(AseAtomsAdaptor.get_structure(atoms), 1e-3)
        np.testing.assert_allclose(
            symmetrize_tensor(tensor, rotations), theirs.voigt, atol=1e-8, err_msg=name
        )
        stress = voigt_to_stress(rng.normal(size=6))
        turned = symmetrize_stress(stress, rotations)
        np.testing.assert_allclose(
            rotations @ turned @ rotations.transpose(0, 2, 1), [turned] * len(rotations), atol=1e-12
        )


def test_symmetrized_tensor_of_a_direct_head_is_symmetric():
    tensor = np.random.default_rng(12).normal(size=(6, 6))
    held = symmetrize_tensor(tensor, np.eye(3)[None])
    np.testing.assert_allclose(held, (tensor + tensor.T) / 2, atol=1e-14)


# -- from end to end, with ASE's EMT ---------------------------------------------------------------------------


def test_tensor_is_the_curvature_of_the_energy(cu_au):
    expected = energy_curvature(cu_au)
    tight = emt_tensor(cu_au, TIGHT)
    np.testing.assert_allclose(tight, expected, atol=5e-3)
    np.testing.assert_allclose(tight, tight.T, atol=5e-3)
    # the default: what is not linear in 0.5 % of strain is 0.1 % of a modulus of 240 GPa
    linear = emt_tensor(cu_au, strain_tensors(PROTOCOLS["linear"]))
    np.testing.assert_allclose(linear, expected, atol=2e-3 * expected.max())


def test_tensor_of_a_tetragonal_crystal_has_its_laue_class(cu_au):
    operations = find_operations(cu_au.cell[:], cu_au.positions, cu_au.numbers, 1e-3)
    assert operations.number == 123
    tensor = emt_tensor(cu_au, TIGHT)
    assert np.abs(tensor - symmetrize_tensor(tensor, operations.cartesian)).max() < 5e-3
    assert np.abs(random_tensor(13) - symmetrize_tensor(random_tensor(13), operations.cartesian)).max() > 5


def test_tensor_of_a_strained_crystal_does_not_depend_on_rotations_of_the_strain():
    """Stress and strain are a consistent pair: a deformation with a rotation in it gives the same."""
    atoms = relaxed(bulk("Cu"))
    strains = strain_tensors(PROTOCOLS["materials_project"])
    turns = Rotation.random(len(strains), rng=1).as_matrix()
    gradients = turns @ deformation_gradients(strains)
    stresses = second_piola_kirchhoff(cauchy_stresses(atoms, gradients), gradients)
    np.testing.assert_allclose(
        fit_elastic_tensor(strains, stresses, NONE).tensor, emt_tensor(atoms, strains), atol=1e-7
    )


def test_bulk_modulus_under_pressure_is_that_of_the_equation_of_state():
    """And C_44 the slope of the Cauchy stress, which C of the energy is not."""
    atoms = relaxed(bulk("Cu"))
    atoms.set_cell(atoms.cell[:] * 0.97, scale_atoms=True)
    pressure = -cauchy_stresses(atoms, np.eye(3)[None])[0]
    assert pressure[0, 0] > 10
    tensor = emt_tensor(atoms, TIGHT)
    held = stress_strain_coefficients(tensor, -pressure)

    step = 1e-4
    plus, minus = cauchy_stresses(atoms, np.array([(1 + step) * np.eye(3), (1 - step) * np.eye(3)]))[:, 0, 0]
    expected = (plus - minus) / (2 * step) / 3  # -V dP/dV
    assert elastic_moduli(held).bulk_modulus == pytest.approx(expected, abs=0.01)
    assert abs(elastic_moduli(tensor).bulk_modulus - expected) > 3

    shear = np.eye(3)
    shear[1, 2] = shear[2, 1] = step
    assert held[3, 3] == pytest.approx(cauchy_stresses(atoms, shear[None])[0, 1, 2] / (2 * step), abs=0.05)


def test_stress_strain_coefficients_of_a_relaxed_crystal_are_the_tensor():
    tensor = random_tensor(14)
    np.testing.assert_array_equal(stress_strain_coefficients(tensor, np.zeros((3, 3))), tensor)


def test_stress_strain_coefficients_of_any_stress_are_the_symmetric_part_of_the_slope(cu_au):
    """The slope of the Cauchy stress by a symmetric strain, of a crystal that is under a stress of six components."""
    atoms = strained(cu_au, np.eye(3) + voigt_to_stress(np.array([0.02, -0.01, 0.015, 0.01, -0.02, 0.005])))
    stress = cauchy_stresses(atoms, np.eye(3)[None])[0]
    assert np.abs(stress).min() > 0.1
    tensor = emt_tensor(atoms, TIGHT)
    step = 1e-4
    slope = np.zeros((6, 6))
    for i in range(6):
        strain = voigt_to_stress(step * np.eye(6)[i] / (1 if i < 3 else 2))
        plus, minus = cauchy_stresses(atoms, np.array([np.eye(3) + strain, np.eye(3) - strain]))
        slope[:, i] = (plus - minus)[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]] / (2 * step)
    assert np.abs(slope - slope.T).max() > 0.3
    np.testing.assert_allclose(stress_strain_coefficients(tensor, stress), (slope + slope.T) / 2, atol=0.01)

import numpy as np
import pytest
from ase.build import bulk
from pymatgen.core.elasticity import ElasticTensor
from pymatgen.io.ase import AseAtomsAdaptor
from scipy.spatial.transform import Rotation

from aiida_pet.crystals.elastic.moduli import debye_temperature, elastic_moduli, sound_velocities
from aiida_pet.crystals.elastic.voigt import rotate_tensor


def cubic(c11: float, c12: float, c44: float) -> np.ndarray:
    tensor = np.diag([c11 - c12] * 3 + [c44] * 3)
    tensor[:3, :3] += c12
    return tensor


def stable_tensors(n: int) -> np.ndarray:
    root = np.random.default_rng(0).normal(size=(n, 6, 6))
    return 10 * root @ root.transpose(0, 2, 1) + 50 * np.eye(6)


def test_moduli_of_many_tensors_are_those_of_pymatgen():
    tensors = stable_tensors(12).reshape(3, 4, 6, 6)
    ours = elastic_moduli(tensors)
    names = {
        "k_voigt": ours.bulk_modulus_voigt,
        "k_reuss": ours.bulk_modulus_reuss,
        "k_vrh": ours.bulk_modulus,
        "g_voigt": ours.shear_modulus_voigt,
        "g_reuss": ours.shear_modulus_reuss,
        "g_vrh": ours.shear_modulus,
        "y_mod": ours.youngs_modulus * 1e9,
        "homogeneous_poisson": ours.poisson_ratio,
        "universal_anisotropy": ours.universal_anisotropy,
    }
    for name, values in names.items():
        theirs = [[getattr(ElasticTensor.from_voigt(c), name) for c in row] for row in tensors]
        np.testing.assert_allclose(values, theirs, rtol=1e-10, err_msg=name)
    assert ours.is_mechanically_stable.all()
    np.testing.assert_allclose(ours.pugh_ratio, ours.bulk_modulus / ours.shear_modulus)


def test_moduli_of_copper_are_those_of_textbooks():
    """C_ij of Simmons and Wang at room temperature, 168.4, 121.4, 75.4 GPa; closed forms of cubic crystals."""
    ours = elastic_moduli(cubic(168.4, 121.4, 75.4))
    assert ours.bulk_modulus == pytest.approx((168.4 + 2 * 121.4) / 3)
    assert ours.shear_modulus_voigt == pytest.approx((168.4 - 121.4 + 3 * 75.4) / 5)
    assert ours.shear_modulus_reuss == pytest.approx(5 * 47 * 75.4 / (4 * 75.4 + 3 * 47))
    zener = 2 * 75.4 / 47
    assert ours.universal_anisotropy == pytest.approx(6 / 5 * (np.sqrt(zener) - 1 / np.sqrt(zener)) ** 2)
    assert ours.min_eigenvalue == pytest.approx(47)  # C11 - C12


def test_debye_temperature_is_that_of_pymatgen():
    atoms = bulk("MoTa", "cesiumchloride", a=3.2)
    tensors = stable_tensors(5)
    moduli = elastic_moduli(tensors)
    mass, volume = atoms.get_masses().sum(), atoms.get_volume()
    velocities = sound_velocities(moduli.bulk_modulus, moduli.shear_modulus, mass, volume)
    structure = AseAtomsAdaptor.get_structure(atoms)
    theirs = [ElasticTensor.from_voigt(c) for c in tensors]
    # the masses of ASE and pymatgen differ in the fifth digit
    np.testing.assert_allclose(velocities.longitudinal, [c.long_v(structure) for c in theirs], rtol=1e-4)
    np.testing.assert_allclose(velocities.transverse, [c.trans_v(structure) for c in theirs], rtol=1e-4)
    ours = debye_temperature(velocities.mean, len(atoms), volume)
    np.testing.assert_allclose(ours, [c.debye_temperature(structure) for c in theirs], rtol=1e-4)


def test_debye_temperature_does_not_depend_on_the_size_of_the_cell():
    velocity = sound_velocities(100.0, 50.0, 60.0, 12.0).mean
    assert sound_velocities(100.0, 50.0, 480.0, 96.0).mean == pytest.approx(velocity)
    assert debye_temperature(velocity, 8, 96.0) == pytest.approx(debye_temperature(velocity, 1, 12.0))


def test_debye_temperature_of_copper_is_near_that_of_experiment():
    """C_ij at 4 K (Overton and Gaffney 1955: 176.2, 124.9, 81.8 GPa) and a heat capacity of 344.5 K."""
    moduli = elastic_moduli(cubic(176.2, 124.9, 81.8))
    volume = 3.603**3 / 4
    velocity = sound_velocities(moduli.bulk_modulus, moduli.shear_modulus, 63.546, volume).mean
    assert debye_temperature(velocity, 1, volume) == pytest.approx(
        344.5, rel=0.03
    )  # Hill's average is a guess


@pytest.mark.parametrize("tensor", [cubic(100, 150, 80), cubic(200, 100, -5), cubic(100, -60, 80)])
def test_tensor_with_a_negative_eigenvalue_is_not_stable(tensor):
    """The three conditions of Born for cubic crystals, one after the other."""
    ours = elastic_moduli(tensor)
    assert ours.min_eigenvalue < 0
    assert not ours.is_mechanically_stable


def test_smallest_eigenvalue_does_not_depend_on_the_axes():
    tensor = cubic(168.4, 121.4, 75.4)
    turned = rotate_tensor(tensor, Rotation.random(rng=0).as_matrix())
    assert elastic_moduli(turned).min_eigenvalue == pytest.approx(elastic_moduli(tensor).min_eigenvalue)


def test_singular_tensor_has_no_reuss_average():
    tensors = np.stack([cubic(168.4, 121.4, 75.4), cubic(100, 100, 50), np.zeros((6, 6))])
    ours = elastic_moduli(tensors)
    assert np.isfinite(ours.shear_modulus[0])
    for values in (ours.bulk_modulus_reuss, ours.shear_modulus_reuss, ours.shear_modulus, ours.bulk_modulus):
        assert np.isnan(values[1:]).all()
    np.testing.assert_allclose(ours.bulk_modulus_voigt[1:], [100, 0])
    assert not ours.is_mechanically_stable[1:].any()


def test_tensor_that_is_not_finite_spoils_no_other():
    tensors = np.stack([np.full((6, 6), np.nan), cubic(168.4, 121.4, 75.4)])
    ours = elastic_moduli(tensors)
    assert np.isnan(ours.bulk_modulus_voigt[0])
    assert np.isnan(ours.min_eigenvalue[0])
    assert not ours.is_mechanically_stable[0]
    assert ours.bulk_modulus[1] == pytest.approx(elastic_moduli(tensors[1]).bulk_modulus)


@pytest.mark.parametrize(("bulk", "shear"), [(-10.0, 50.0), (100.0, -1.0), (100.0, np.nan)])
def test_unstable_crystal_has_no_sound(bulk, shear):
    velocities = sound_velocities([bulk, 100.0], [shear, 50.0], 60.0, 12.0)
    assert np.isnan(velocities.mean[0])
    assert velocities.mean[1] > 0

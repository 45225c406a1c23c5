"""What force constants say of a crystal, against phonopy driven by hand and against the supercell's own Hessian."""

from __future__ import annotations

import warnings

import numpy as np
import phonopy as phonopy_package
import pytest
from ase.build import bulk
from ase.neighborlist import neighbor_list
from phonopy import Phonopy
from phonopy.harmonic.dynmat_to_fc import get_commensurate_points
from phonopy.harmonic.force_constants import compact_fc_to_full_fc
from phonopy.physical_units import get_physical_units
from phonopy.structure.atoms import PhonopyAtoms

from aiida_pet.crystals.phonons.displacements import SupercellSites, generate_displacements
from aiida_pet.crystals.phonons.force_constants import produce_force_constants
from aiida_pet.crystals.phonons.harmonic import (
    HarmonicProperties,
    harmonic_properties,
    make_phonopy,
    nac_parameters,
    phonopy_yaml,
    restore_phonopy,
    thermal_temperatures,
)
from aiida_pet.crystals.phonons.supercells import choose_supercell
from aiida_pet.tables.columns import COLUMNS, Source
from support.pair_forces import displaced_forces, pair_forces

NAMES = ["bcc", "fcc", "hcp", "b2", "d0_3", "mosi2", "bi2te3", "c2m", "p-1"]
MESH = 25.0
GRID = np.linspace(-10.0, 60.0, 701)
TEMPERATURES = (0.0, 100.0, 300.0, 1200.0)


def ours(atoms, *, min_image=6.0, nearest=2.5) -> Phonopy:
    """Return the object with force constants that the engine makes, by smooth pair forces.

    The crystal is squeezed to this distance of nearest neighbours, A, at which close-packed ones are stable.
    """
    stretch = min(1.0, nearest / neighbor_list("d", atoms, 6.0).min())
    chosen = choose_supercell(
        atoms.cell[:], atoms.positions, atoms.numbers, min_image=min_image, max_atoms=120
    )
    kept = chosen.primitive_atoms
    cell = chosen.primitive_matrix.T @ atoms.cell[:] * stretch
    phonopy = make_phonopy(cell, atoms.positions[kept] * stretch, atoms.numbers[kept], chosen.matrix)
    sites = SupercellSites.of(phonopy)
    displacements = generate_displacements(sites, phonopy.supercell.positions, 0.01)
    forces = displaced_forces(phonopy, displacements.positions)
    phonopy.force_constants = produce_force_constants(phonopy, sites, displacements, forces).values
    return phonopy


def theirs(phonopy: Phonopy) -> Phonopy:
    """Return phonopy driven by hand, from the unit cell on: its displacements, its solver, its symmetrisation."""
    unit = phonopy.unitcell
    hand = Phonopy(
        PhonopyAtoms(numbers=unit.numbers, cell=unit.cell, scaled_positions=unit.scaled_positions),
        phonopy.supercell_matrix,
        primitive_matrix="P",
        symprec=1e-5,
    )
    hand.generate_displacements(distance=0.01, is_plusminus=True)
    positions = np.array([cell.positions for cell in hand.supercells_with_displacements])
    hand.forces = displaced_forces(hand, positions)
    hand.produce_force_constants()
    hand.symmetrize_force_constants()
    return hand


def properties(phonopy: Phonopy, frequencies=GRID, **options) -> HarmonicProperties:
    return harmonic_properties(phonopy, frequencies=frequencies, **options)


@pytest.fixture(scope="module")
def pairs(prototypes) -> dict[str, tuple[Phonopy, Phonopy]]:
    """Each crystal by the engine and by hand."""
    crystals = {name: ours(prototypes[name]) for name in NAMES}
    return {name: (made, theirs(made)) for name, made in crystals.items()}


@pytest.mark.parametrize("name", NAMES)
def test_frequencies_are_those_of_phonopy_by_hand(pairs, name):
    made, hand = pairs[name]
    np.testing.assert_allclose(
        made.force_constants, hand.force_constants[hand.primitive.p2s_map], rtol=0, atol=1e-10
    )
    got = made.run_mesh(MESH).frequencies
    expected = hand.run_mesh(MESH).frequencies
    # acoustic frequencies at Gamma are roots of rounding errors
    np.testing.assert_allclose(got[1:], expected[1:], rtol=0, atol=1e-8)
    np.testing.assert_allclose(got[0], expected[0], rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_properties_are_those_of_phonopy_by_hand(pairs, name):
    made, hand = pairs[name]
    grid = np.linspace(-8.0, 20.0, 141)
    found = properties(
        made, mesh=MESH, temperatures=TEMPERATURES, frequencies=grid, dos_sigma=0.2, imaginary_threshold=0.05
    )
    hand.run_mesh(MESH)
    thermal = hand.run_thermal_properties(temperatures=TEMPERATURES, exclude_gamma_acoustic=True)
    np.testing.assert_allclose(found.free_energy, thermal.free_energy, rtol=1e-7)
    np.testing.assert_allclose(found.entropy, thermal.entropy, rtol=1e-7)
    np.testing.assert_allclose(found.heat_capacity, thermal.heat_capacity, rtol=1e-7)
    assert found.zero_point_energy == pytest.approx(thermal.zero_point_energy, rel=1e-7)
    assert found.free_energy_300 == found.free_energy[2]
    assert found.entropy_300 == found.entropy[2]
    assert found.heat_capacity_300 == found.heat_capacity[2]
    dos = hand.run_total_dos(sigma=0.2, freq_min=-8.0, freq_max=20.0, freq_pitch=0.2)
    np.testing.assert_allclose(dos.frequency_points, grid, atol=1e-12)
    np.testing.assert_allclose(found.phonon_dos, dos.dos, atol=1e-6)
    assert found.n_atoms_primitive == len(hand.primitive)
    assert found.max_frequency == pytest.approx(hand.mesh.frequencies.max(), abs=0.5)
    assert found.max_frequency >= hand.mesh.frequencies.max() - 1e-8
    assert found.acoustic_gamma < 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_imaginary_modes_are_those_of_the_hessian_of_the_supercell(pairs, name):
    """The 3 S eigenvalues of the mass-weighted Hessian, by numpy; three of them are translations."""
    made, _ = pairs[name]
    masses = made.supercell.masses
    full = compact_fc_to_full_fc(made.primitive, made.force_constants)
    hessian = (full / np.sqrt(np.outer(masses, masses))[:, :, None, None]).transpose(0, 2, 1, 3)
    values = np.linalg.eigvalsh(hessian.reshape(3 * len(masses), -1))
    frequencies = np.sign(values) * np.sqrt(np.abs(values)) * get_physical_units().DefaultToTHz
    frequencies = np.delete(frequencies, np.argsort(np.abs(frequencies))[:3])
    threshold = 0.5
    found = properties(made, mesh=MESH, imaginary_threshold=threshold)
    assert found.max_frequency_commensurate == pytest.approx(frequencies.max(), abs=1e-6)
    assert found.n_imaginary == (frequencies < -threshold).sum()
    assert found.min_frequency <= frequencies.min() + 1e-6
    assert found.is_dynamically_stable == (found.min_frequency >= -threshold)
    if not found.is_dynamically_stable:
        at_q = made.run_qpoints([found.imaginary_q]).frequencies.min()
        assert at_q == pytest.approx(found.min_frequency, abs=1e-6)


def test_some_of_the_crystals_are_stable_and_some_are_not(pairs):
    """The test above looks at both kinds."""
    stable = {name: properties(made, mesh=MESH).is_dynamically_stable for name, (made, _) in pairs.items()}
    assert set(stable.values()) == {True, False}


def test_stable_crystal_has_no_place_of_an_imaginary_mode(pairs):
    name = next(n for n, (made, _) in pairs.items() if properties(made, mesh=MESH).is_dynamically_stable)
    found = properties(pairs[name][0], mesh=MESH)
    assert np.isnan(found.imaginary_q).all()
    assert (found.n_imaginary, found.imaginary_fraction) == (0, 0.0)
    assert not found.imaginary_at_gamma_only


def test_threshold_decides_what_is_imaginary(pairs):
    name = next(n for n, (made, _) in pairs.items() if not properties(made, mesh=MESH).is_dynamically_stable)
    made = pairs[name][0]
    loose = properties(made, mesh=MESH, imaginary_threshold=1e3)
    tight = properties(made, mesh=MESH, imaginary_threshold=0.01)
    assert loose.is_dynamically_stable
    assert loose.n_imaginary == 0
    assert tight.n_imaginary > 0
    assert loose.min_frequency == tight.min_frequency
    weights, frequencies = made.run_mesh(MESH).weights, made.mesh.frequencies
    share = ((frequencies < -0.01).sum(axis=1) * weights).sum() / (weights.sum() * frequencies.shape[1])
    assert tight.imaginary_fraction == pytest.approx(share, abs=1e-12)


def optical_only(sign_at_gamma: float) -> Phonopy:
    """Two atoms on springs between sublattices of each cell, so that the optical mode is flat in q, of either sign."""
    atoms = bulk("NbTa", "cesiumchloride", a=3.3)
    phonopy = make_phonopy(atoms.cell[:], atoms.positions, atoms.numbers, np.diag([2, 2, 2]))
    sites = SupercellSites.of(phonopy)
    constants = np.zeros((2, 16, 3, 3))
    stiff, soft = 5.0, 1.0 - sign_at_gamma
    for site in range(2):
        # within a sublattice: springs to the six neighbours, which cost nothing at Gamma
        for axis in range(3):
            for step in (-1, 1):
                shift = np.zeros((1, 3), dtype=int)
                shift[0, axis] = step
                neighbour = sites.find(np.array([site]), sites.vectors[sites.first[site]] + shift)[0]
                constants[site, neighbour] -= stiff / 2 * np.eye(3)
                constants[site, sites.first[site]] += stiff / 2 * np.eye(3)
        # between sublattices: the same spring to all eight, negative if soft
        other = np.flatnonzero(sites.sites == 1 - site)
        constants[site, other] += soft / 8 * np.eye(3)
        constants[site, sites.first[site]] -= soft * np.eye(3)
    phonopy.force_constants = constants
    return phonopy


def test_instability_at_gamma_only_is_told_from_one_elsewhere():
    """A soft spring between sublattices bends the optical mode at Gamma alone; stiff springs hold all other points."""
    soft = properties(optical_only(-1.0), mesh=15.0)
    assert soft.n_imaginary == 3
    assert soft.imaginary_at_gamma_only
    np.testing.assert_allclose(soft.imaginary_q, 0, atol=1e-12)
    stiff = properties(optical_only(3.0), mesh=15.0)
    assert stiff.is_dynamically_stable
    assert not stiff.imaginary_at_gamma_only


def test_instability_at_the_zone_boundary_is_not_at_gamma(prototypes):
    """A crystal of one atom has no modes at Gamma but the acoustic ones."""
    made = ours(prototypes["bcc"])
    made.force_constants = -made.force_constants
    found = properties(made, mesh=MESH)
    assert found.n_imaginary > 0
    assert not found.imaginary_at_gamma_only
    assert np.abs(found.imaginary_q).max() > 0.1


def test_mesh_by_length_converges_and_counts(pairs):
    made = pairs["b2"][0]
    coarse, fine, finer = (properties(made, mesh=length) for length in (10.0, 40.0, 60.0))
    assert coarse.free_energy_300 != fine.free_energy_300
    assert abs(fine.free_energy_300 - finer.free_energy_300) < abs(
        coarse.free_energy_300 - finer.free_energy_300
    )


def test_density_of_states_integrates_to_three_per_atom(pairs):
    for made, _ in pairs.values():
        grid = np.linspace(-15.0, 30.0, 451)
        found = properties(made, mesh=MESH, frequencies=grid)
        assert np.trapezoid(found.phonon_dos, grid) == pytest.approx(3 * found.n_atoms_primitive, rel=1e-6)


@pytest.mark.parametrize(("name", "n_points"), [(name, 701) for name in NAMES] + [("bi2te3", 101)])
def test_density_of_states_holds_all_modes_whatever_their_frequency(pairs, name, n_points):
    """Force constants 10,000 times as stiff make modes of 100 THz and more, as O-H stretches are."""
    made = pairs[name][0]
    stiff = restore_phonopy(
        made.unitcell.cell,
        made.unitcell.positions,
        made.unitcell.numbers,
        made.supercell_matrix,
        made.force_constants * 1e4,
    )
    for phonopy in (made, stiff):
        found = properties(phonopy, mesh=MESH, frequencies=n_points)
        grid = found.dos_frequencies
        assert grid.shape == found.phonon_dos.shape == (n_points,)
        assert grid[0] < found.min_frequency
        assert grid[-1] > found.max_frequency
        integral = np.trapezoid(found.phonon_dos, grid)
        assert integral == pytest.approx(3 * found.n_atoms_primitive, rel=1e-3)
    assert found.max_frequency > 90


@pytest.mark.parametrize("name", NAMES)
def test_largest_commensurate_frequency_is_that_of_phonopy_at_the_points_of_the_supercell(pairs, name):
    made, hand = pairs[name]
    found = properties(made, mesh=MESH)
    points = get_commensurate_points(hand.supercell_matrix)
    expected = hand.run_qpoints(points).frequencies.max()
    assert found.max_frequency_commensurate == pytest.approx(expected, abs=1e-7)
    assert found.max_frequency_commensurate <= found.max_frequency + 1e-9


def test_300_kelvin_is_always_there(pairs):
    found = properties(pairs["bcc"][0], mesh=MESH)
    assert found.phonon_dos.shape == (701,)
    assert found.free_energy.tolist() == [found.free_energy_300]
    assert thermal_temperatures([500, 0, 500]).tolist() == [0, 300, 500]
    assert thermal_temperatures([]).tolist() == [300]


def test_width_of_the_density_of_states_smooths_it(pairs):
    made = pairs["bcc"][0]
    sharp, wide = (properties(made, mesh=MESH, dos_sigma=width).phonon_dos for width in (0.05, 0.5))
    assert sharp.max() > wide.max()


def test_columns_have_names_for_filters_and_units():
    names = set(HarmonicProperties.__dataclass_fields__)
    known = {column.name for column in COLUMNS if Source.PHONONS in column.sources}
    assert names <= known
    assert all(name.isidentifier() for name in names)


def test_text_of_phonopy_params_is_read_by_phonopy(pairs, tmp_path):
    for name in ("bi2te3", "hcp"):
        made = pairs[name][0]
        path = tmp_path / f"{name}.yaml"
        path.write_text(phonopy_yaml(made))
        loaded = phonopy_package.load(path, log_level=0)
        np.testing.assert_allclose(
            compact_fc_to_full_fc(loaded.primitive, loaded.force_constants)
            if loaded.force_constants.shape[0] != loaded.force_constants.shape[1]
            else loaded.force_constants,
            compact_fc_to_full_fc(made.primitive, made.force_constants),
            atol=1e-10,
        )
        q = [[0.13, 0.4, 0.27]]
        np.testing.assert_allclose(
            loaded.run_qpoints(q).frequencies, made.run_qpoints(q).frequencies, atol=1e-6
        )


def test_restored_from_what_is_stored_is_the_same(pairs):
    for made, _ in pairs.values():
        unit = made.unitcell
        flat = made.force_constants.reshape(-1, 3, 3)
        again = restore_phonopy(unit.cell, unit.positions, unit.numbers, made.supercell_matrix, flat)
        q = [[0.13, 0.4, 0.27], [0.5, 0, 0]]
        np.testing.assert_allclose(
            again.run_qpoints(q).frequencies, made.run_qpoints(q).frequencies, atol=1e-8
        )


def test_force_constants_of_another_supercell_are_refused(pairs):
    made = pairs["bcc"][0]
    unit = made.unitcell
    with pytest.raises(ValueError, match="force constants must have shape"):
        restore_phonopy(
            unit.cell, unit.positions, unit.numbers, np.eye(3, dtype=int) * 5, made.force_constants
        )


@pytest.fixture(scope="module")
def salt() -> tuple[Phonopy, np.ndarray, np.ndarray]:
    """NaCl with charges and a dielectric tensor of about the measured size, not exactly symmetric."""
    made = ours(bulk("NaCl", "rocksalt", a=5.2), min_image=7.0)
    noise = np.random.default_rng(0).normal(scale=1e-3, size=(2, 3, 3))
    borns = np.array([np.eye(3) * 1.1, -np.eye(3) * 1.1]) + noise
    return made, borns, np.eye(3) * 2.4


@pytest.mark.parametrize("method", ["gonze", "wang"])
def test_correction_is_that_of_phonopy_by_hand(salt, method):
    made, borns, dielectric = salt
    unit = made.unitcell
    nac = nac_parameters(borns, dielectric, 2, method=method)
    corrected = restore_phonopy(
        unit.cell, unit.positions, unit.numbers, made.supercell_matrix, made.force_constants, nac=nac
    )
    hand = theirs(made)
    hand.nac_params = {"born": borns, "dielectric": dielectric, "factor": 14.399652, "method": method}
    q = [[0.01, 0, 0], [0.1, 0.2, 0.3], [0.5, 0.5, 0.5]]
    np.testing.assert_allclose(
        corrected.run_qpoints(q).frequencies, hand.run_qpoints(q).frequencies, atol=1e-5
    )
    plain = made.run_qpoints(q).frequencies
    assert np.abs(corrected.qpoints.frequencies[0] - plain[0]).max() > 0.1


def test_splitting_at_gamma_is_that_of_the_closed_form(salt):
    """omega_LO^2 - omega_TO^2 = e^2 Z^2 / (eps_0 eps V mu) in a diatomic cubic crystal; Born and Huang, section 7."""
    made, _, dielectric = salt
    charge = 1.1
    borns = np.array([np.eye(3) * charge, -np.eye(3) * charge])
    unit = made.unitcell
    corrected = restore_phonopy(
        unit.cell,
        unit.positions,
        unit.numbers,
        made.supercell_matrix,
        made.force_constants,
        nac=nac_parameters(borns, dielectric, 2),
    )
    frequencies = corrected.run_qpoints([[0, 0, 0]], nac_q_direction=[1, 0, 0]).frequencies[0]
    to, lo = frequencies[3], frequencies[5]
    units = get_physical_units()
    mass = unit.masses.prod() / unit.masses.sum() * units.AMU
    volume = abs(np.linalg.det(unit.cell)) * 1e-30
    squared = (charge * units.EV) ** 2 / (units.Epsilon0 * dielectric[0, 0] * volume * mass)
    assert lo**2 * np.sign(lo) - to**2 * np.sign(to) == pytest.approx(
        squared / (2 * np.pi * 1e12) ** 2, rel=1e-4
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros((3, 3, 3)), np.eye(3), 2), "born_charges must have shape"),
        ((np.zeros((2, 3, 3)), np.eye(2), 2), "dielectric must have shape"),
    ],
)
def test_wrong_charges_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        nac_parameters(*arguments)


def test_unknown_method_is_refused():
    with pytest.raises(ValueError, match="expected gonze or wang"):
        nac_parameters(np.zeros((2, 3, 3)), np.eye(3), 2, method="other")


def test_no_warning_where_a_lattice_has_no_mesh_in_its_primitive_basis(prototypes):
    """Body-centred crystals of unequal axes; phonopy takes a generalised mesh and says so each time."""
    made = ours(prototypes["mosi2"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        properties(made, mesh=MESH)


def test_pair_forces_add_up_to_zero(prototypes):
    assert np.abs(pair_forces(prototypes["p1"]).sum(axis=0)).max() < 1e-12

"""Conductivities against phono3py driven by hand, laws that hold exactly, and a published run."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pytest
from ase.build import bulk

from aiida_pet.crystals.conductivity.cells import displaced_supercells, make_phono3py
from aiida_pet.crystals.conductivity.transport import Transport, conductivity
from support.third_order import cells_of, cells_of_phonondb, copper, phonondb, published, solve

COARSE = Transport(mesh=(5, 5, 5), temperatures=(100.0, 300.0))


@pytest.fixture(scope="module")
def fcc():
    return solve(copper())


def run(solved, transport=COARSE, **further):
    return conductivity(solved.phono3py, solved.fc2, solved.fc3, transport, **further)


def test_rta_is_that_of_phono3py_by_hand(fcc):
    from phono3py import Phono3py
    from phonopy.structure.atoms import PhonopyAtoms

    cells = copper()
    hand = Phono3py(
        PhonopyAtoms(numbers=cells.numbers, cell=cells.cell, positions=cells.positions),
        supercell_matrix=cells.fc3_matrix,
        phonon_supercell_matrix=cells.fc2_matrix,
        primitive_matrix="P",
    )
    hand.generate_displacements(distance=0.03)
    hand.phonon_forces, hand.forces = fcc.fc2, fcc.fc3
    hand.produce_fc2()
    hand.symmetrize_fc2()
    hand.produce_fc3()
    hand.symmetrize_fc3()
    hand.mesh_numbers = [5, 5, 5]
    hand.init_phph_interaction()
    hand.run_thermal_conductivity(temperatures=[100, 300], is_isotope=True)
    found = run(fcc, dataclasses.replace(COARSE, kind="rta"))
    np.testing.assert_allclose(
        found.kappa[:, [0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]], hand.thermal_conductivity.kappa[0], rtol=1e-9
    )
    assert found.skipped == ""
    assert not found.coherence.any()


def test_modes_add_up_to_the_conductivity(fcc):
    found = run(fcc)
    modes = found.modes
    total = modes.kappa.sum(axis=(1, 2)) / modes.weights.sum()
    np.testing.assert_allclose(total[:, :3], np.einsum("tii->ti", found.kappa), rtol=1e-9)
    assert modes.weights.sum() == 125
    assert found.mean.tolist() == pytest.approx((np.einsum("tii->t", found.kappa) / 3).tolist())
    assert found.temperatures.tolist() == [100.0, 300.0]
    assert np.abs(found.kappa - found.kappa[:, :1, :1] * np.eye(3)).max() < 1e-6 * found.mean.max()  # cubic


def test_coherences_are_a_small_part_of_a_crystal_with_one_atom(fcc):
    found, alone = run(fcc), run(fcc, dataclasses.replace(COARSE, kind="rta"))
    share = np.trace(found.coherence, axis1=1, axis2=2) / 3 / found.mean
    assert (np.abs(share) < 0.2).all()
    assert (found.mean > 0).all()
    np.testing.assert_allclose(found.mean, alone.mean, rtol=0.2)


def test_hot_conductivity_is_inverse_to_temperature(fcc):
    hot = Transport(mesh=(5, 5, 5), temperatures=(2000.0, 4000.0), isotopes=False, kind="rta")
    found = run(fcc, hot)
    assert found.mean[-2] / found.mean[-1] == pytest.approx(2.0, rel=2e-3)


def test_fourfold_masses_halve_it_when_hot(fcc):
    hot = Transport(mesh=(5, 5, 5), temperatures=(5000.0,), isotopes=False, kind="rta")
    mass = fcc.phono3py.masses[0]
    heavy = make_phono3py(copper(), masses={"Cu": 4 * mass})
    displaced_supercells(heavy, distance=0.03)
    found = conductivity(heavy, fcc.fc2, fcc.fc3, hot)
    assert run(fcc, hot).mean[-1] / found.mean[-1] == pytest.approx(2.0, rel=2e-3)


def test_isotopes_lower_it_and_a_pure_one_does_not(fcc):
    natural, off, pure = (
        run(fcc, dataclasses.replace(COARSE, **further)).mean
        for further in ({}, {"isotopes": False}, {"mass_variances": {"Cu": 0.0}})
    )
    assert (natural < off).all()
    np.testing.assert_allclose(pure, off, rtol=1e-9)


def test_boundaries_lower_it_and_bound_the_paths(fcc):
    free, bound = (run(fcc, dataclasses.replace(COARSE, boundary=b)) for b in (None, 0.001))
    assert (bound.mean < free.mean).all()
    paths = bound.modes.mean_free_paths
    assert np.nanmax(paths) <= 10.0 * 1.0001 < np.nanmax(free.modes.mean_free_paths)  # 0.001 um


def test_forces_in_single_precision_are_enough(fcc):
    single = conductivity(fcc.phono3py, fcc.fc2, fcc.fc3.astype(np.float32), COARSE)
    np.testing.assert_allclose(single.mean, run(fcc).mean, rtol=1e-4)


def test_imaginary_modes_close_the_gate_before_forces_of_third_order():
    solved = solve(copper(4.3))

    def never():
        raise AssertionError("forces of third order were asked for")

    found = conductivity(solved.phono3py, solved.fc2, never, COARSE)
    assert found.skipped.startswith("imaginary modes")
    assert found.lowest_frequency < -0.1
    assert np.isnan(found.kappa).all()
    assert found.kappa.shape == (2, 3, 3)
    assert found.modes is None


def test_cell_in_which_nothing_scatters_is_no_conductor_without_end():
    """In 2 x 2 x 2 primitive cells of fcc each atom is its own mirror image: all constants of third order vanish."""
    solved = solve(cells_of(bulk("Cu", "fcc", a=3.55), 2 * np.eye(3, dtype=int), 3 * np.eye(3, dtype=int)))
    found = conductivity(solved.phono3py, solved.fc2, solved.fc3, COARSE)
    assert "do not scatter" in found.skipped
    assert "supercell of third order" in found.skipped
    assert np.isnan(found.kappa).all()
    assert found.modes is None


@pytest.mark.parametrize("order", ["second", "third"])
def test_wrong_forces_are_refused(fcc, order):
    bad = {"second": (fcc.fc2[:, :-1], fcc.fc3), "third": (fcc.fc2, fcc.fc3 * np.nan)}[order]
    with pytest.raises(ValueError, match=f"forces of {order} order"):
        conductivity(fcc.phono3py, *bad, COARSE)


def test_temperatures_must_be_positive(fcc):
    with pytest.raises(ValueError, match="temperatures must be positive"):
        run(fcc, Transport(temperatures=(0.0, 300.0)))


# -- the published run --------------------------------------------------------------------------------------------


def of_phonondb(shared_data, name):
    row = published(shared_data, name)
    atoms = phonondb(shared_data)[row["mp_id"]]
    phono3py = make_phono3py(cells_of_phonondb(atoms))
    displaced_supercells(phono3py, distance=0.03)
    return row, atoms, phono3py


@pytest.mark.parametrize("name", ["MgO-rs", "NaF-rs", "AlAs-zb"])
def test_modes_of_a_published_run(shared_data, name):
    row, atoms, phono3py = of_phonondb(shared_data, name)
    places = np.linspace(1, 219, 6).astype(int)
    transport = Transport(mesh=tuple(atoms.info["q_mesh"]), boundary=1e6)
    fc2, fc3 = np.array(row["fc2_set"]), np.array(row["fc3_set"])
    found = conductivity(phono3py, fc2, fc3, transport, grid_points=lambda points: points[places])
    modes = found.modes
    np.testing.assert_allclose(modes.qpoints, np.array(row["q_points"])[places], atol=1e-8)
    assert modes.weights.tolist() == np.array(row["weights"])[places].tolist()
    frequencies = phono3py.get_phonon_data()[0]
    np.testing.assert_allclose(frequencies, row["frequencies"], atol=2e-6)
    theirs = np.array(row["mode_kappa_TOT"])[0, places]
    ratio = modes.kappa[0, ..., :3].sum() / theirs[..., :3].sum()
    assert ratio == pytest.approx({"NaF-rs": 1.0116}.get(name, 1.0), abs=0.005)  # their cell is larger


def test_lead_telluride_ends_as_imaginary(shared_data):
    row, atoms, phono3py = of_phonondb(shared_data, "PbTe-rs")
    transport = Transport(mesh=tuple(atoms.info["q_mesh"]))
    found = conductivity(phono3py, np.array(row["fc2_set"]), np.array(row["fc3_set"]), transport)
    assert found.skipped.startswith("imaginary modes")
    assert found.lowest_frequency == pytest.approx(-0.5277, abs=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.isnan(found.mean).all()

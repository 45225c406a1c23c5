"""Crystals displaced along their softest modes, and what a relaxation by ASE's EMT makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from aiida import orm
from ase.calculators.emt import EMT
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS
from phonopy import Phonopy
from phonopy.harmonic.dynmat_to_fc import get_commensurate_points

from aiida_pet.crystals.symmetry.spacegroup import spacegroup_numbers
from aiida_pet.job.parameters import ParameterError
from aiida_pet.tables.crystals import StructureTable
from support.phonon_results import crystals, energy_and_forces, phonon_table


@pytest.fixture(scope="module")
def made() -> tuple[StructureTable, dict[str, Phonopy]]:
    found = crystals()
    return phonon_table({name: found[name] for name in ("fcc", "bcc", "alloy")})


@pytest.fixture
def results(made: Any, aiida_profile: Any) -> Any:
    from aiida_pet.data.structures import StructureSetData

    return StructureSetData.from_table(made[0]).store()


@pytest.fixture
def hands(made: Any) -> dict[str, Phonopy]:
    return made[1]


def displaced(results: Any, **parameters: Any) -> Any:
    from aiida_pet.calculations.follow_modes import displace_along_modes

    return displace_along_modes(results, orm.Dict(parameters))


def test_rows_with_imaginary_modes_are_followed(made: Any, results: Any) -> None:
    from aiida_pet.calculations.follow_modes import rows_to_follow
    from aiida_pet.data.structures import StructureSetData

    assert rows_to_follow(results) == ["bcc", "alloy"]
    table = made[0].select(["bcc", "alloy"])
    table.set_column("status", ["max_steps", "converged"])
    assert rows_to_follow(StructureSetData.from_table(table)) == ["alloy"]
    table.columns.pop("n_imaginary")
    assert rows_to_follow(StructureSetData.from_table(table)) == []


def test_crystals_are_displaced_along_the_softest_mode_of_their_supercell(
    results: Any, hands: dict[str, Phonopy]
) -> None:
    node = displaced(results)
    assert node.ids.tolist() == ["bcc", "alloy"]
    for place, name in enumerate(node.ids.tolist()):
        hand = hands[name]
        points = get_commensurate_points(hand.supercell_matrix)
        lowest = hand.run_qpoints(points).frequencies.min()
        assert node.column("mode_frequency")[place] == pytest.approx(lowest, abs=1e-6)
        q = node.column("mode_q")[place]
        assert hand.run_qpoints([q]).frequencies.min() == pytest.approx(lowest, abs=1e-6)
        assert len(node.get_ase(name)) == node.column("n_cells")[place] * len(hand.primitive)


def supercell_of(moved: Any, primitive: Any) -> np.ndarray:
    """Displacement of each atom from its nearest site in the crystal, A."""
    fractional = np.linalg.solve(np.asarray(primitive.cell).T, moved.positions.T).T
    sites = np.asarray(primitive.scaled_positions)
    difference = fractional[:, None] - sites[None]
    difference -= np.round(difference)
    lengths = np.linalg.norm(difference @ np.asarray(primitive.cell), axis=2)
    return lengths.min(axis=1)


@pytest.mark.parametrize("amplitude", [0.05, 0.2])
def test_atom_that_moves_most_moves_by_the_amplitude(
    results: Any, hands: dict[str, Phonopy], amplitude: float
) -> None:
    node = displaced(results, amplitude=amplitude)
    for name in node.ids.tolist():
        moves = supercell_of(node.get_ase(name), hands[name].primitive)
        assert moves.max() == pytest.approx(amplitude, rel=1e-6)
    assert node.column("mode_amplitude").tolist() == [amplitude, amplitude]


def test_energy_falls_along_the_mode(results: Any, hands: dict[str, Phonopy]) -> None:
    """By half of the eigenvalue times the mass-weighted square of the displacements, for a small one."""
    node = displaced(results, amplitude=0.02)
    for place, name in enumerate(node.ids.tolist()):
        primitive = hands[name].primitive
        atoms = node.get_ase(name)
        n_cells = int(node.column("n_cells")[place])
        flat = energy_and_forces(crystals()[name])[0] * n_cells
        moves = supercell_of(atoms, primitive)
        eigenvalue = (node.column("mode_frequency")[place] / hands[name].unit_conversion_factor) ** 2
        expected = -0.5 * eigenvalue * (atoms.get_masses() * moves**2).sum()
        assert energy_and_forces(atoms)[0] - flat == pytest.approx(expected, rel=0.1)


def test_threshold_decides_what_is_followed(results: Any) -> None:
    softest = displaced(results).column("mode_frequency")
    between = float(-softest.mean())
    assert len(displaced(results, imaginary_threshold=between)) == 1
    with pytest.raises(ValueError, match=r"no crystal has a mode below -9 THz at a q-point of its supercell"):
        displaced(results, imaginary_threshold=9)


def test_unknown_parameters_are_named(results: Any) -> None:
    with pytest.raises(ParameterError, match="amplitud: unknown; known are phonon_symprec, amplitude"):
        displaced(results, amplitud=0.2)


@pytest.fixture(scope="module")
def relaxed(made: Any, aiida_profile: Any) -> StructureTable:
    """The displaced crystals relaxed freely, cell and atoms, by ASE."""
    from aiida_pet.data.structures import StructureSetData

    node, found = displaced(StructureSetData.from_table(made[0]).store()), []
    for name in node.ids.tolist():
        atoms = node.get_ase(name)
        atoms.calc = EMT()
        BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=0.02, steps=200)
        found.append((name, atoms))
    table = StructureTable.from_ase(found)
    table.set_column("status", ["converged"] * len(found))
    table.set_column("message", [""] * len(found))
    table.set_column("heads", ["conservative"] * len(found))
    table.set_column("energy", [atoms.get_potential_energy() for _, atoms in found], "eV")
    for label, numbers in spacegroup_numbers(table, (0.001, 0.01, 0.1)).items():
        table.set_column(f"spacegroup_{label}", numbers)
    return table


def test_comparison_tells_what_was_gained_and_both_groups(results: Any, relaxed: StructureTable) -> None:
    """EMT's bcc copper is a saddle: it lands in a close-packed crystal, lower by what ASE's own energies say."""
    from aiida_pet.calculations.follow_modes import compare_followed
    from aiida_pet.data.structures import StructureSetData

    start = displaced(results)
    table = relaxed
    found = compare_followed(results, start, StructureSetData.from_table(table).store())
    assert found.ids.tolist() == ["bcc", "alloy"]
    after = table.columns["energy"] / table.n_atoms
    before = [energy_and_forces(crystals()[name])[0] / len(crystals()[name]) for name in ("bcc", "alloy")]
    np.testing.assert_allclose(found.column("energy_gained"), before - after, rtol=0, atol=1e-12)
    assert (found.column("energy_gained") > 0).all()
    volumes = [crystals()[name].get_volume() / len(crystals()[name]) for name in ("bcc", "alloy")]
    np.testing.assert_allclose(
        found.column("volume_change"), table.volumes() / table.n_atoms - volumes, rtol=0, atol=1e-10
    )
    assert found.column("initial_spacegroup_0_01").tolist() == [229, 221]
    assert found.column("spacegroup_0_01").tolist() == table.columns["spacegroup_0_01"].tolist()
    assert found.column("spacegroup_0_1")[0] != 229
    assert f"229 -> {found.column('spacegroup_0_1')[0]} at 0.1 A" in found.column("symmetry_warning")[0]
    assert found.column("heads").tolist() == ["conservative"] * 2
    assert (found.unit("energy_gained"), found.unit("mode_frequency")) == ("eV/atom", "THz")


def test_row_that_was_left_has_no_numbers(results: Any, relaxed: StructureTable) -> None:
    from aiida_pet.calculations.follow_modes import compare_followed
    from aiida_pet.data.merging import merged
    from aiida_pet.data.structures import StructureSetData

    start = displaced(results)
    table = merged(start.to_table(), {"job": relaxed.select(["bcc"])})
    found = compare_followed(results, start, StructureSetData.from_table(table).store())
    assert found.column("status").tolist() == ["converged", "left"]
    assert found.column("message")[1] == "no job finished this row"
    assert np.isfinite(found.column("energy_gained")[0])
    assert np.isnan(found.column("energy_gained")[1])
    assert np.isnan(found.column("volume_change")[1])
    assert np.isnan(found.column("spacegroup_0_01")[1])
    assert found.column("mode_frequency")[1] < 0


def test_gain_under_pressure_is_one_of_enthalpies(made: Any, results: Any, relaxed: StructureTable) -> None:
    from aiida_pet.calculations.follow_modes import compare_followed
    from aiida_pet.data.structures import StructureSetData

    def pressed(table: StructureTable, gpa: float) -> Any:
        part = table.select(table.ids)
        part.set_column("enthalpy", part.columns["energy"] + gpa / 160.21766 * part.volumes(), "eV")
        return StructureSetData.from_table(part).store()

    start = displaced(results)
    plain = compare_followed(results, start, StructureSetData.from_table(relaxed).store())
    before = pressed(made[0], 20.0)
    found = compare_followed(before, start, pressed(relaxed, 20.0))
    expected = plain.column("energy_gained") - 20.0 / 160.21766 * plain.column("volume_change")
    np.testing.assert_allclose(found.column("energy_gained"), expected, rtol=0, atol=1e-10)
    other = compare_followed(before, start, pressed(relaxed, 10.0))  # the rest of the table stands
    assert np.isnan(other.column("energy_gained")).all()
    assert (
        "enthalpies at 20 GPa, but the crystals relaxed from them have enthalpies at 10 GPa"
        in other.column("message")[0]
    )
    assert np.isfinite(other.column("volume_change")).all()

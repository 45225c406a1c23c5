"""Whether energies, forces and stresses fit each other: units and signs, told from frames of one crystal."""

from __future__ import annotations

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.calculators.emt import EMT

from aiida_pet.tables.crystals import StructureTable
from aiida_pet.training.label_checks import LabelChecks, check_units
from aiida_pet.training.label_pairs import label_pairs
from aiida_pet.training.label_units import causes_of
from aiida_pet.training.labels import read_labels
from aiida_pet.training.parameters import TrainingError, parse_training
from aiida_pet.training.prepare import prepare
from support.labelled_crystals import TINY, labelled

WIDE = parse_training(TINY | {"max_stress": 1e9, "max_energy": 1e9, "max_force": 1e9})


def checks(table: StructureTable, groups: bool = True) -> LabelChecks:
    labels = read_labels(table, WIDE)
    crystals = table.columns["base"] if groups else np.full(len(table), "")
    return check_units(label_pairs(table, labels, crystals, labels.taken))


def scaled(energy: float = 1.0, stress: float = 1.0, forces: float = 1.0) -> StructureTable:
    table = labelled(48)
    table.columns["input_energy"] *= energy
    table.columns["input_stress"] *= stress
    table.atom_columns["input_forces"] *= forces
    return table


@pytest.mark.parametrize("groups", [True, False])
def test_labels_of_a_potential_fit_each_other(groups: bool) -> None:
    found = checks(scaled(), groups)
    assert found.problem == ""
    for check in (found.stress, found.forces):
        assert check.is_clear
        assert check.ratio == pytest.approx(1, abs=0.08)
        assert not check.is_odd


HARTREE, RYDBERG, KCAL, KJ = (
    1 / units.Hartree,
    1 / units.Rydberg,
    units.mol / units.kcal,
    units.mol / units.kJ,
)
PER_BOHR = units.Bohr


@pytest.mark.parametrize(
    ("factors", "told"),
    [
        ({"energy": HARTREE}, "energies in Hartree (multiply them by 27.2114)"),
        ({"energy": RYDBERG}, "energies in Rydberg (multiply them by 13.6057)"),
        ({"energy": KCAL}, "energies in kcal/mol"),
        ({"energy": KJ}, "energies in kJ/mol"),
        ({"energy": 0.25}, "energies per atom"),  # cells of four atoms
        ({"stress": -1.0}, "stresses of the wrong sign (import the set with stress_sign='minus')"),
        ({"stress": 1 / units.GPa}, "stresses in GPa (import the set with stress_unit='GPa')"),
        ({"stress": 10 / units.GPa}, "stresses in kbar"),
        (
            {"stress": -1 / units.GPa},
            "stresses of the wrong sign in GPa (import the set with stress_sign='minus' and stress_unit='GPa')",
        ),
        ({"forces": -1.0}, "forces of the wrong sign (multiply them by -1)"),
        ({"forces": HARTREE * PER_BOHR}, "forces in Hartree/Bohr"),
        ({"forces": RYDBERG * PER_BOHR}, "forces in Rydberg/Bohr (multiply them by 25.711)"),
        (
            {"energy": HARTREE, "forces": HARTREE * PER_BOHR},
            "energies in Hartree and forces in Hartree/Bohr (multiply the energies by 27.2114; multiply the forces",
        ),
        ({"energy": KCAL, "forces": KCAL}, "energies in kcal/mol and forces in kcal/mol/A"),
    ],
)
@pytest.mark.parametrize("groups", [True, False])
def test_units_and_signs_are_named_by_what_forces_and_stresses_say_together(
    factors: dict[str, float], told: str, groups: bool
) -> None:
    problem = checks(scaled(**factors), groups).problem
    assert f"This is what one finds with {told}" in problem
    assert "Either" not in problem  # two ratios tell which labels are wrong


@pytest.mark.parametrize(
    ("factors", "told"),
    [
        ({"energy": HARTREE}, "energies in Hartree"),
        ({"stress": 1 / units.GPa}, "stresses in GPa"),
        ({"energy": 7.0}, "No unit that is known here gives this"),
    ],
)
def test_without_forces_both_causes_are_named(factors: dict[str, float], told: str) -> None:
    table = scaled(**factors)
    del table.atom_columns["input_forces"]
    problem = checks(table).problem
    assert told in problem
    assert "Either the energies or the stresses have another sign or unit" in problem


def test_without_stresses_frames_of_one_cell_tell_of_forces() -> None:
    table = _of_sizes((1, 1), rattled=True)
    del table.columns["input_stress"]
    found = checks(table)
    assert found.forces.ratio == pytest.approx(1, abs=0.05)
    assert not found.stress.pairs
    table.atom_columns["input_forces"] *= -1
    assert "forces of the wrong sign" in checks(table).problem


def _of_sizes(sizes: tuple[int, ...], *, rattled: bool = False) -> StructureTable:
    """Return frames of Cu with as many primitive cells as `sizes` says, strained, or displaced in one cell."""
    rng = np.random.default_rng(3)
    items, energy, forces, stress, base = [], [], [], [], []
    for crystal, size in enumerate(sizes):
        for frame in range(6):
            cell = bulk("Cu", "fcc", a=3.6) * (2 if rattled else size, 1, 1)
            if rattled:
                cell.rattle(0.03, rng=rng)
            else:
                cell.set_cell(cell.cell * (1 + 0.004 * (frame - 2) + 0.001 * crystal), scale_atoms=True)
            cell.calc = EMT()
            energy.append(cell.get_potential_energy())
            forces.append(cell.get_forces())
            stress.append(cell.get_stress())
            cell.calc = None
            items.append((f"{crystal}-{frame}", cell))
            base.append(f"crystal-{crystal}")
    table = StructureTable.from_ase(items)
    table.set_column("input_energy", np.array(energy))
    table.set_column("input_stress", np.array(stress))
    table.set_column("base", np.array(base))
    table.atom_columns["input_forces"] = np.concatenate(forces)
    return table


def test_energies_per_atom_are_told_by_cells_of_several_sizes() -> None:
    table = _of_sizes((1, 1, 1, 2, 3, 4))
    assert checks(table).problem == ""
    table.columns["input_energy"] /= np.diff(table.offsets)
    problem = checks(table).problem
    assert (
        "energies per atom in place of energies of the cell (multiply them by the number of atoms)" in problem
    )


def test_virials_in_place_of_stresses_are_told() -> None:
    table = _of_sizes((1, 2, 3))
    table.columns["input_stress"] *= -np.linalg.det(table.cells)[:, None]
    assert "virials in place of stresses" in checks(table).problem


@pytest.mark.parametrize("factor", [1.0, -1.0])
def test_absurd_rows_that_are_taken_do_not_hide_a_sign(factor: float) -> None:
    table = scaled(stress=factor)
    table.columns["input_energy"][[4, 17, 30]] += [1e6, -300.0, 5e8]
    table.columns["input_stress"][9] = 4.0
    found = checks(table)
    assert found.stress.ratio == pytest.approx(factor, abs=0.1)
    assert bool(found.problem) is (factor < 0)


def test_energies_that_are_noise_are_not_judged() -> None:
    table = scaled()
    table.columns["input_energy"] = np.random.default_rng(0).normal(size=len(table))
    found = checks(table)
    assert found.problem == ""
    assert not found.stress.is_clear
    assert not found.forces.is_clear


def test_set_of_two_units_is_told() -> None:
    table = scaled()
    table.columns["input_energy"][:15] /= units.Hartree
    notes = prepare({"training": table}, WIDE).notes
    assert any("rows may be of several units" in note for note in notes)


def test_ratio_that_is_not_far_from_one_is_told() -> None:
    notes = prepare({"training": scaled(stress=1.5)}, WIDE).notes
    assert any("as much as the stresses predict, expected 1" in note for note in notes)


def test_causes_are_the_fewest_that_explain_both_ratios() -> None:
    sure = 1.0
    assert causes_of((1.0, sure), (1.0, sure)) == []
    names = [cause.name for cause in causes_of((96.5, sure), None)]
    assert names == ["energies in kJ/mol", "stresses in Rydberg/Bohr^3"]
    assert [cause.name for cause in causes_of((96.5, sure), (96.5, sure))] == ["energies in kJ/mol"]
    assert causes_of((5.3, sure), None) == []


@pytest.mark.parametrize("name", ["validation", "test", "old"])
def test_each_set_is_checked(name: str) -> None:
    wrong = labelled(24, seed=100)
    wrong.columns["input_stress"] *= -1
    with pytest.raises(TrainingError, match=f"^{name} set: the energies do not fit.*wrong sign"):
        prepare({"training": labelled(), name: wrong}, WIDE)


def test_energies_that_follow_from_the_motion_of_atoms_do_not_blame_the_stresses() -> None:
    """Two trajectories at two volumes: all pairs of them are one comparison, which the motion decides."""
    rng = np.random.default_rng(0)
    items, energy, forces, stress = [], [], [], []
    for frame in range(40):
        cell = bulk("Cu", "fcc", a=3.6 if frame < 20 else 3.66, cubic=True)
        cell.rattle(0.2 if frame in (18, 19, 20, 21) else 0.02, rng=rng)
        cell.calc = EMT()
        energy.append(cell.get_potential_energy())
        forces.append(cell.get_forces())
        stress.append(cell.get_stress())
        cell.calc = None
        items.append((f"{frame}", cell))
    table = StructureTable.from_ase(items)
    table.set_column("input_energy", np.array(energy))
    table.set_column("input_stress", np.array(stress))
    table.atom_columns["input_forces"] = np.concatenate(forces)
    found = checks(table, groups=False)
    assert found.problem == ""
    assert not found.stress.is_clear
    assert found.stress.independent <= 1


@pytest.mark.parametrize("seed", range(0, 1000, 100))
@pytest.mark.parametrize("n", [9, 12, 24])
def test_good_sets_are_never_refused(n: int, seed: int) -> None:
    found = checks(labelled(n, seed))
    assert found.problem == ""
    for check in (found.stress, found.forces):
        assert not check.is_odd
        assert not check.is_mixed


def _shuffled(what: str) -> StructureTable:
    """Return good labels of 96 rows, of which `what` stands in another order."""
    table, rng = labelled(96), np.random.default_rng(2)
    if what == "energies":
        table.columns["input_energy"] = table.columns["input_energy"][_within_kind(table, rng)]
    elif what == "stresses":
        table.columns["input_stress"] = table.columns["input_stress"][_within_kind(table, rng)]
    return table


def _within_kind(table: StructureTable, rng: np.random.Generator) -> np.ndarray:
    """Return an order of rows in which rows of one composition change their places."""
    order = np.arange(len(table))
    for kind in np.unique(table.columns["kind"]):
        rows = np.flatnonzero(table.columns["kind"] == kind)
        order[rows] = rng.permutation(rows)
    return order


@pytest.mark.parametrize("groups", [True, False])
@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("energies", "the energies and the "),
        ("stresses", "the energies and the stresses do not"),
    ],
)
def test_labels_in_another_order_than_their_rows_are_refused(what: str, told: str, groups: bool) -> None:
    assert checks(_shuffled("nothing"), groups).problem == ""
    problem = checks(_shuffled(what), groups).problem
    assert problem.startswith(told)
    assert "do not belong together" in problem
    assert "Rows or atoms of some labels may be in another order" in problem


def test_forces_in_another_order_than_the_atoms_are_refused() -> None:
    table = _of_sizes((1,) * 12, rattled=True)
    del table.columns["input_stress"]
    assert checks(table).problem == ""
    rng, forces = np.random.default_rng(0), table.atom_columns["input_forces"]
    for first, last in zip(table.offsets[:-1], table.offsets[1:], strict=True):
        forces[first:last] = rng.permutation(forces[first:last])
    assert checks(table).problem.startswith("the energies and the forces do not belong together")


def test_a_few_pairs_that_do_not_fit_refuse_nothing() -> None:
    table = labelled(12)
    table.columns["input_energy"] = table.columns["input_energy"][
        _within_kind(table, np.random.default_rng(0))
    ]
    found = checks(table)
    assert not found.stress.is_foreign
    assert "belong together" not in found.problem


def test_forces_that_are_not_known_do_not_part_energies_and_stresses() -> None:
    """Atoms that move far change the energy; without forces, stresses cannot be blamed for it."""
    rng = np.random.default_rng(1)
    items, energy, stress = [], [], []
    for frame in range(60):
        cell = bulk("Cu", "fcc", a=3.6, cubic=True)
        cell.rattle(0.12, rng=rng)
        cell.set_cell(cell.cell @ (np.eye(3) + rng.normal(0, 0.01, (3, 3))), scale_atoms=True)
        cell.calc = EMT()
        energy.append(cell.get_potential_energy())
        stress.append(cell.get_stress())
        cell.calc = None
        items.append((f"{frame}", cell))
    table = StructureTable.from_ase(items)
    table.set_column("input_energy", np.array(energy))
    table.set_column("input_stress", np.array(stress))
    found = checks(table, groups=False)
    assert found.problem == ""
    assert found.stress.independent > 20

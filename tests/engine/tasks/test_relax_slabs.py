"""Slabs, wires and molecules in relaxations: held to what they have, and relaxed in the plane of a slab."""

from __future__ import annotations

from typing import Any

import ase.build
import numpy as np
import pytest
from ase.filters import FrechetCellFilter
from ase.optimize import FIRE

from aiida_pet.crystals.symmetry.operations import identity_operations
from aiida_pet.crystals.symmetry.spacegroup import find_operations
from aiida_pet.engine.tasks import relax as relax_module
from aiida_pet.engine.tasks.relax import Relax
from aiida_pet.engine.tasks.static import Static
from aiida_pet.job.parameters import ParameterError, Task, parse_parameters
from aiida_pet.job.suitability import foreseen
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.units import GPA
from support.slabs import molecule, permuted, slab, tilted, turned, wire


def relax(table: StructureTable, model: Any, **parameters: Any) -> StructureTable:
    return run(Relax, Task.RELAX, table, model, parameters)


def run(
    driver: Any, task: Task, table: StructureTable, model: Any, parameters: dict[str, Any]
) -> StructureTable:
    finished: list[StructureTable] = []
    assert driver(table, model, parse_parameters(task, parameters), finished=finished.append).run()
    return StructureTable.concatenate(finished).select(table.ids)


LAYERS = {
    "slab": slab(),
    "permuted": permuted(slab(), [2, 0, 1]),
    "turned": turned(slab()),
    "tilted": tilted(slab()),
    "long": slab(size=(2, 1)),
}
ROWS = LAYERS | {"wire": turned(wire()), "molecule": turned(molecule())}


@pytest.fixture(scope="module")
def rattled() -> StructureTable:
    """Rows off their symmetry by less than the tolerance at which they are held."""
    rng = np.random.default_rng(4)
    rows = []
    for name, atoms in ROWS.items():
        moved = atoms.copy()
        moved.positions += rng.normal(scale=0.002, size=moved.positions.shape)
        rows.append((name, moved))
    return StructureTable.from_ase(rows)


@pytest.fixture
def make_solid() -> Any:
    def make(table: StructureTable) -> StructureTable:
        solid = table.take(range(len(table)))
        solid.pbc = np.ones_like(table.pbc)
        return solid

    return make


def orders(table: StructureTable, symprec: float) -> list[int]:
    found = []
    for atoms in table.iter_ase():
        group = find_operations(atoms.cell[:], atoms.positions, atoms.numbers, symprec, pbc=atoms.pbc)
        found.append(len(group) * group.n_sites // len(group.sites) if group.n_sites else 0)
    return found


def test_rows_that_are_not_crystals_are_held_to_their_groups(load_pet, rattled):
    result = relax(
        rattled,
        load_pet(),
        cell="fixed",
        symmetry="constrained",
        symprec=0.05,
        symprecs=[0.0001, 0.05],
        fmax=0.03,
    )
    assert set(result.columns["status"]) == {"converged"}
    exact = StructureTable.from_ase(ROWS.items())
    assert orders(result, 1e-4) == orders(exact, 1e-4)
    assert orders(rattled, 1e-4) != orders(exact, 1e-4)
    is_layer = rattled.pbc.sum(axis=1) == 2
    np.testing.assert_array_equal(result.columns["layergroup_0_0001"], np.where(is_layer, 55, 0))
    assert result.columns["initial_layergroup_0_0001"][0] == 1
    assert (result.columns["spacegroup_0_0001"] == 0).all()
    assert result.columns["symmetry_kept_0_05"].all()
    assert not result.columns["symmetry_kept_0_0001"].any()
    molecule_at = result.index("molecule")
    assert "of order 2 -> of order 4 at 0.0001 A" in result.columns["symmetry_warning"][molecule_at]
    assert "layer group 55" not in result.columns["symmetry_warning"][molecule_at]


def test_free_slab_leaves_its_group_and_says_so(load_pet):
    table = StructureTable.from_ase([("slab", slab(size=(2, 1)))])
    table.positions[0] += [0.02, 0.01, 0.0]
    free = relax(table, load_pet(), cell="fixed", symprecs=[0.1, 0.001], max_steps=3)
    assert (
        not free.columns["symmetry_kept_0_1"][0]
        or not free.columns["symmetry_kept_0_001"][0]
        or (free.columns["layergroup_0_001"][0] != 55)
    )


def test_held_slab_goes_where_the_same_slab_with_vacuum_goes(load_pet, make_solid):
    table = StructureTable.from_ase([("slab", slab())])
    options: dict[str, Any] = {"cell": "fixed", "symmetry": "constrained", "fmax": 1e-3}
    layer, solid = relax(table, load_pet(), **options), relax(make_solid(table), load_pet(), **options)
    np.testing.assert_allclose(layer.positions, solid.positions, atol=1e-8)
    assert layer.columns["energy"][0] == pytest.approx(solid.columns["energy"][0], abs=1e-8)
    assert np.ptp(layer.positions[:, 2] - table.positions[:, 2]) > 0.02  # it did relax


def test_row_in_which_nothing_can_be_held_says_so(load_pet, monkeypatch):
    def nothing(table: StructureTable, row: int, symprec: float, **_: Any) -> Any:
        return identity_operations(table.cells[row], table.positions[table.atoms_of(row)])

    monkeypatch.setattr(relax_module, "operations_of_row", nothing)
    table = StructureTable.from_ase([("slab", slab())])
    result = relax(table, load_pet(), cell="fixed", symmetry="constrained", max_steps=1)
    assert "symmetry_not_held" in result.columns["warnings"][0].split()
    assert "no symmetry could be held" in result.columns["message"][0]


def test_row_that_is_held_to_less_than_there_is_says_so(load_pet, monkeypatch, rattled):
    search = relax_module.operations_of_row

    def tighter(table: StructureTable, row: int, symprec: float, **options: Any) -> Any:
        return search(table, row, 1e-2 * symprec, **options)

    table = rattled.select(["slab"])
    options: dict[str, Any] = {"cell": "fixed", "symmetry": "constrained", "symprec": 0.05, "max_steps": 0}
    assert relax(table, load_pet(), **options).columns["warnings"].tolist() == ["symmetry_changed"]
    monkeypatch.setattr(relax_module, "operations_of_row", tighter)
    (codes,) = relax(table, load_pet(), **options).columns["warnings"].tolist()
    assert "symmetry_held_in_part" in codes.split()


def test_average_over_the_group_takes_slabs_and_molecules(load_pet, rattled):
    table = rattled.select(["turned", "molecule"])
    model = load_pet()
    plain = run(Static, Task.STATIC, table, model, {})
    averaged = run(Static, Task.STATIC, table, model, {"averaging": "spacegroup", "symprec": 0.05})
    assert (averaged.columns["rotational_energy_std"] >= 0).all()  # NaN for a row that is not averaged
    # the mean over the group, by hand
    atoms = table.ase_at(0)
    group = find_operations(atoms.cell[:], atoms.positions, atoms.numbers, 0.05, pbc=atoms.pbc)
    images = []
    for place, rotation in enumerate(group.cartesian):
        image = atoms.copy()
        image.set_cell(atoms.cell[:] @ rotation.T)
        image.positions = atoms.positions @ rotation.T
        images.append((f"image-{place}", image))
    energies = run(Static, Task.STATIC, StructureTable.from_ase(images), model, {}).columns["energy"]
    assert averaged.columns["energy"][0] == pytest.approx(energies.mean(), abs=1e-9)
    assert np.ptp(energies) > 1e-6
    assert np.abs(averaged.columns["energy"] - plain.columns["energy"]).max() > 1e-9


# -- cell = plane ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def strained() -> StructureTable:
    """Slabs whose planes are under stress, sheared in the plane."""
    rows = []
    for name, atoms in {"slab": slab(a=3.3), "permuted": permuted(slab(a=3.3), [1, 2, 0])}.items():
        sheared = atoms.copy()
        sheared.set_cell(
            atoms.cell[:] @ np.array([[1.0, 0.03, 0], [0, 1.02, 0], [0, 0, 1.0]]), scale_atoms=True
        )
        rows.append((name, sheared))
    return StructureTable.from_ase([*rows, ("turned", turned(rows[0][1])), ("tilted", tilted(rows[0][1]))])


def test_plane_of_a_slab_relaxes_as_in_ase_with_vacuum(load_pet, ase_calculator, strained):
    table = strained.select(["slab"])
    ours = relax(table, load_pet(), cell="plane", fmax=5e-3, stress_max=5e-3)
    assert ours.columns["status"].tolist() == ["converged"]
    atoms = table.ase_at(0)
    atoms.pbc = True
    atoms.calc = ase_calculator()
    minimiser = FIRE(FrechetCellFilter(atoms, mask=[1, 1, 0, 0, 0, 1]), logfile=None)
    for _ in minimiser.irun(fmax=1e-9, steps=300):
        stress = np.abs(atoms.get_stress()[[0, 1, 5]]).max() * GPA
        if np.linalg.norm(atoms.get_forces(), axis=1).max() <= 5e-3 and stress <= 5e-3:
            break
    assert ours.columns["energy"][0] == pytest.approx(atoms.get_potential_energy(), abs=1e-4)
    area = np.linalg.norm(np.cross(*ours.cells[0, :2]))
    assert area == pytest.approx(np.linalg.norm(np.cross(*atoms.cell[:2])), rel=5e-4)
    np.testing.assert_allclose(ours.columns["stress"][0], atoms.get_stress(), atol=5e-3 / GPA)
    assert abs(area / np.linalg.norm(np.cross(*table.cells[0, :2])) - 1) > 0.01  # the plane did relax


def test_plane_relaxes_within_itself_whatever_the_axes(load_pet, strained):
    result = relax(strained, load_pet(), cell="plane", fmax=0.01, stress_max=0.01)
    assert set(result.columns["status"]) == {"converged"}
    for row, (before, after) in enumerate(zip(strained.iter_ase(), result.iter_ase(), strict=True)):
        np.testing.assert_array_equal(after.cell[~before.pbc], before.cell[~before.pbc])
        a, b = before.cell[before.pbc]
        normal = np.cross(a, b) / np.linalg.norm(np.cross(a, b))
        np.testing.assert_allclose(after.cell[before.pbc] @ normal, 0.0, atol=1e-9)
        assert np.abs(after.cell[before.pbc] - before.cell[before.pbc]).max() > 0.01
        assert result.columns["stress_max"][row] <= 0.01
    # the model is not invariant: the slab that was turned ends elsewhere
    alike = result.select(["slab", "permuted", "tilted"]).columns["energy"]
    np.testing.assert_allclose(alike, alike[0], atol=1e-6)


def test_in_plane_stress_is_the_slope_of_the_energy(load_pet, strained):
    table = strained.select(["turned"])
    result = relax(table, load_pet(), cell="plane", max_steps=0)
    stress = result.columns["stress"][0][[0, 5, 4, 5, 1, 3, 4, 3, 2]].reshape(3, 3)
    a, _ = table.cells[0, :2]
    along = a / np.linalg.norm(a)
    energies = []
    for amount in (-1e-4, 1e-4):
        deformation = np.eye(3) + amount * np.outer(along, along)
        moved = table.take([0])
        moved.cells, moved.positions = table.cells @ deformation, table.positions @ deformation
        energies.append(run(Static, Task.STATIC, moved, load_pet(), {}).columns["energy"][0])
    slope = (energies[1] - energies[0]) / 2e-4 / table.volumes()[0]
    assert along @ stress @ along == pytest.approx(slope, abs=1e-6)


def test_plane_is_held_to_the_layer_group(load_pet):
    table = StructureTable.from_ase([("slab", turned(slab(a=3.3)))])
    result = relax(
        table, load_pet(), cell="plane", symmetry="constrained", symprecs=[0.0001], fmax=0.01, stress_max=0.01
    )
    assert result.columns["status"].tolist() == ["converged"]
    assert result.columns["layergroup_0_0001"].tolist() == [55]
    assert result.columns["symmetry_kept_0_0001"].all()
    a, b, _ = result.cells[0]
    assert abs(a @ b) < 1e-9
    assert np.linalg.norm(a) == pytest.approx(np.linalg.norm(b), abs=1e-9)


def test_only_slabs_with_a_third_vector_are_relaxed_in_their_plane(load_pet):
    solid, flat = slab(), slab()
    solid.pbc = True
    flat.cell[2] = 0.0
    table = StructureTable.from_ase(
        [("solid", solid), ("flat", flat), ("molecule", molecule()), ("good", slab())]
    )
    result = relax(table, load_pet(), cell="plane", max_steps=1)
    assert result.columns["status"].tolist() == ["failed", "failed", "failed", "max_steps"]
    messages = result.columns["message"]
    assert "but pbc is TTT: use cell=full" in messages[0]
    assert "give it a third lattice vector" in messages[1]
    assert "but pbc is FFF: use cell=fixed" in messages[2]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"pressure": 1.0}, "pressure 1.0 GPa cannot be used with cell=plane"),
        ({"stress": "direct"}, "use stress=conservative"),
    ],
)
def test_what_does_not_go_with_a_plane_is_refused(parameters, message):
    with pytest.raises(ParameterError, match=message):
        parse_parameters(Task.RELAX, {"cell": "plane"} | parameters)


@pytest.mark.parametrize("task", [Task.PHONONS, Task.ELASTIC])
def test_tasks_of_crystals_refuse_planes(task):
    with pytest.raises(ParameterError, match="cell=plane is for slabs"):
        parse_parameters(task, {"cell": "plane"})


def test_what_will_be_refused_is_known_before():
    table = StructureTable.from_ase(
        [("bulk", ase.build.bulk("W")), ("slab", slab()), ("molecule", molecule())]
    )
    table.columns["constraints_not_read"] = np.array(["Hookean", "", ""])

    def told(task: Task, **parameters: Any) -> dict[int, str]:
        return foreseen(task, table, parse_parameters(task, parameters))

    assert told(Task.STATIC) == {}
    assert set(told(Task.RELAX, cell="fixed")) == {0}
    assert set(told(Task.RELAX, cell="plane")) == {0, 2}
    full = told(Task.RELAX)
    assert "Hookean" in full[0]
    assert full[1].endswith("pbc is TTF: use cell=plane or cell=fixed")
    assert full[2].endswith("pbc is FFF: use cell=fixed")
    assert set(told(Task.PHONONS)) == {0, 1, 2}

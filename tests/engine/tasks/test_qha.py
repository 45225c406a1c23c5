"""Quasi-harmonic properties of batches against phonopy driven by hand with the forces of metatomic's ASE calculator."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from phonopy import Phonopy, PhonopyQHA
from phonopy.structure.atoms import PhonopyAtoms

from aiida_pet.engine.tasks.qha import Qha
from aiida_pet.job.parameters import ParameterError, parse_parameters
from aiida_pet.job.tasks import Task
from aiida_pet.tables.crystals import StructureTable

GIVEN: dict[str, Any] = {
    "n_volumes": 5,
    "max_strain": 0.02,
    "supercell": (3, 3, 3),
    "min_image": 5.0,
    "mesh": 20.0,
    "symprecs": (),
    "temperatures": tuple(np.arange(0.0, 640.0, 10.0)),
}


def run(crystals: dict[str, Atoms], model: Any, **parameters: Any) -> StructureTable:
    finished: list[StructureTable] = []
    table = StructureTable.from_ase(crystals.items())
    given = parse_parameters(Task.QHA, GIVEN | parameters)
    assert Qha(table, model, given, finished=finished.append).run()
    return StructureTable.concatenate(finished).select(table.ids)


def by_hand(primitive: Atoms, calculator: Any) -> tuple[PhonopyQHA, list[Phonopy]]:
    """Return what phonopy makes of the crystal at five volumes; nothing is free to relax in it."""
    phonons, energies = [], []
    for scale in np.linspace(0.98, 1.02, 5):
        atoms = primitive.copy()
        atoms.set_cell(primitive.cell * scale, scale_atoms=True)
        atoms.calc = calculator
        energies.append(atoms.get_potential_energy())
        cell = PhonopyAtoms(numbers=atoms.numbers, cell=atoms.cell[:], positions=atoms.positions)
        phonopy = Phonopy(cell, np.diag([3, 3, 3]), primitive_matrix="P")
        phonopy.generate_displacements(distance=0.03, is_plusminus=True)
        forces = []
        for one in phonopy.supercells_with_displacements:
            displaced = Atoms(one.numbers, one.positions, cell=one.cell, pbc=True, calculator=calculator)
            forces.append(displaced.get_forces())
        phonopy.forces = np.array(forces)
        phonopy.produce_force_constants()
        phonopy.symmetrize_force_constants()
        phonopy.run_mesh(20.0)
        phonopy.run_thermal_properties(temperatures=GIVEN["temperatures"], cutoff_frequency=0.05)
        phonons.append(phonopy)
    thermal = [phonopy.get_thermal_properties_dict() for phonopy in phonons]
    qha = PhonopyQHA(
        volumes=[phonopy.primitive.volume for phonopy in phonons],
        electronic_energies=energies,
        temperatures=GIVEN["temperatures"],
        free_energy=np.array([one["free_energy"] for one in thermal]).T,
        cv=np.array([one["heat_capacity"] for one in thermal]).T,
        entropy=np.array([one["entropy"] for one in thermal]).T,
        eos="vinet",
        t_max=600,
    )
    return qha, phonons


@pytest.mark.filterwarnings("ignore")
def test_properties_are_those_by_hand_whatever_cell_the_crystal_is_given_in(load_pet, ase_calculator):
    cubic = bulk("W", a=3.18, cubic=True)
    rows = run({"primitive": bulk("W", a=3.18), "cubic": cubic}, load_pet(), modes=True)
    columns = rows.columns
    assert columns["status"].tolist() == ["converged"] * 2
    assert columns["n_unstable_volumes"].tolist() == [0, 0]
    theirs, phonons = by_hand(rows.ase_at(0), ase_calculator())
    some = np.arange(10, 58, 6)
    np.testing.assert_allclose(columns["temperatures"][0], GIVEN["temperatures"])
    for row, cells in enumerate((1, 2)):
        volumes = columns["qha_volume"][row][some] / cells
        np.testing.assert_allclose(volumes, np.array(theirs.volume_temperature)[some], rtol=1e-5)
        expansion = columns["thermal_expansion"][row][some] * 1e-6
        np.testing.assert_allclose(expansion, np.array(theirs.thermal_expansion)[some], rtol=1e-2)
        modulus = columns["qha_bulk_modulus"][row][some]
        np.testing.assert_allclose(modulus, np.array(theirs.bulk_modulus_temperature)[some], rtol=1e-3)
        heat = columns["qha_heat_capacity"][row][some]
        np.testing.assert_allclose(heat, np.array(theirs.heat_capacity_P_polyfit)[some], rtol=2e-3)
        gibbs = columns["qha_gibbs_energy"][row][some] / cells
        np.testing.assert_allclose(gibbs, np.array(theirs.gibbs_temperature)[some], atol=2e-5)
        gruneisen = columns["gruneisen"][row][some]
        np.testing.assert_allclose(gruneisen, np.array(theirs.gruneisen_temperature)[some], rtol=1e-2)
    at = int(np.flatnonzero(columns["temperatures"][0] == 300)[0])
    for name in ("qha_volume", "thermal_expansion", "gruneisen"):
        assert columns[f"{name}_300"][0] == columns[name][0][at]
    # frequencies, by hand, of the outer two of the three volumes around that of 300 K
    volumes = [phonopy.primitive.volume for phonopy in phonons]
    middle = int(np.abs(np.array(volumes) - columns["qha_volume_300"][0]).argmin())
    points, found = (rows.ragged[f"gruneisen_{name}"][0] for name in ("q_points", "modes"))
    squares = []
    for phonopy in phonons[middle - 1 : middle + 2]:
        phonopy.run_qpoints(points[::3])
        squares.append(phonopy.get_qpoints_dict()["frequencies"] ** 2)
    change = (volumes[middle + 1] - volumes[middle - 1]) / volumes[middle]
    assert np.isnan(found).sum() == 3
    # branches may cross, but the trace of the dynamical matrix does not care
    traces = -(squares[2] - squares[0]).sum(axis=1) / (2 * change)
    weighed = np.nansum(found.reshape(-1, 3) * squares[1], axis=1)
    np.testing.assert_allclose(weighed[1:], traces[1:], rtol=2e-3)
    # two roads to one number, over one volume here and over all of them there
    assert columns["mode_gruneisen_300"][0] == pytest.approx(columns["gruneisen_300"][0], rel=0.1)


def test_unstable_volumes_are_left_out_and_too_few_are_no_answer(load_pet):
    w = {"W": bulk("W", a=3.18)}
    all_of_them = run(w, load_pet(), imaginary_threshold=0.1).columns
    lowest = all_of_them["qha_min_frequencies"][0]
    assert lowest.shape == (5,)
    parameters = parse_parameters(Task.QHA, GIVEN)
    finished: list[StructureTable] = []
    qha = Qha(StructureTable.from_ase(w.items()), load_pet(), parameters, finished=finished.append)
    kept: list[Any] = []

    def soft(crystal: Any, plan: Any, children: StructureTable) -> Any:
        kept.append((crystal, plan, children))
        stable = children.columns["is_dynamically_stable"].copy()
        stable[-1] = False
        return Qha.reduce(
            qha,
            crystal,
            plan,
            replace(children, columns=children.columns | {"is_dynamically_stable": stable}),
        )

    qha.reduce = soft  # type: ignore[method-assign]
    assert qha.run()
    row = finished[0].columns
    assert row["status"].tolist() == ["failed"]
    assert "1 of 5 volumes have imaginary modes" in row["message"][0]
    assert np.isnan(row["thermal_expansion_300"][0])


def test_a_volume_that_leaves_the_volumes_is_told_and_not_read_off(load_pet):
    w = {"W": bulk("W", a=3.18)}
    given = {"temperatures": (0.0, 300.0, 5000.0), "volumes": (0.97, 0.98, 0.99, 1.0, 1.005)}
    row = run(w, load_pet(), **given).columns
    assert row["status"].tolist() == ["converged"]
    assert row["qha_max_temperature"][0] < 5000
    assert "temperature_range" in row["warnings"][0].split()
    assert np.isnan(row["qha_volume"][0][-1])
    beyond = run(w, load_pet(), **given | {"volumes": (0.95, 0.96, 0.97, 0.98, 0.99)}).columns
    assert "volume_at_edge" in beyond["warnings"][0].split()
    assert np.isnan(beyond["thermal_expansion_300"][0])


def test_a_coarse_mesh_of_its_phonons_is_told(load_pet):
    found = [run({"W": bulk("W", a=3.18)}, load_pet(), mesh=mesh).columns for mesh in (20.0, 6.0)]
    assert ["mesh_coarse" in columns["warnings"][0].split() for columns in found] == [False, True]


def test_a_job_that_is_stopped_goes_on_with_crystals_that_are_relaxed(load_pet):
    table = StructureTable.from_ase([("W", bulk("W", a=3.18)), ("Mo", bulk("Mo", a=3.16))])
    parameters, model = parse_parameters(Task.QHA, GIVEN), load_pet()
    steps = 0

    def few() -> bool:
        nonlocal steps
        steps += 1
        return steps < 25

    first: list[StructureTable] = []
    stopped = Qha(table, model, parameters, finished=first.append, proceed=few)
    assert not stopped.run()
    state = stopped.snapshot()
    assert state is not None
    done = StructureTable.concatenate(first).ids.tolist() if first else []
    left = table.select([name for name in table.ids.tolist() if name not in done])
    rest: list[StructureTable] = []
    resumed = Qha(left, model, parameters, finished=rest.append)
    resumed.restore(state)
    assert resumed.run()
    rows = StructureTable.concatenate([*first, *rest]).select(table.ids).columns
    whole = run({"W": bulk("W", a=3.18), "Mo": bulk("Mo", a=3.16)}, model).columns
    np.testing.assert_allclose(rows["qha_volume_300"], whole["qha_volume_300"], rtol=1e-8)
    np.testing.assert_allclose(rows["thermal_expansion_300"], whole["thermal_expansion_300"], rtol=1e-4)


def test_a_second_supercell_and_slabs_are_refused(load_pet):
    with pytest.raises(ParameterError, match="supercell_check = 15 A has no effect at several volumes"):
        parse_parameters(Task.QHA, {"supercell_check": 15.0})
    slab = bulk("W", a=3.18)
    slab.pbc = [True, True, False]
    row = run({"slab": slab}, load_pet(), relax_first=False).columns
    assert row["status"].tolist() == ["failed"]
    assert "quasi-harmonic properties need a crystal periodic" in row["message"][0]

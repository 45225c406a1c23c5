"""Phonons that were stored and are taken up again, without a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from aiida_pet.crystals.phonons.stored import phonopy_of_row
from aiida_pet.engine.tasks.phonons import Phonons
from aiida_pet.job.folder import Task
from aiida_pet.job.parameters import parse_parameters
from aiida_pet.tables.crystals import StructureTable

MESH = 12.0


@pytest.fixture(scope="module")
def computed(model_file: tuple[Path, str]) -> tuple[StructureTable, dict[str, np.ndarray]]:
    """Results of three crystals and a molecule, and the frequencies of each while its phonons were in memory."""
    from aiida_pet.engine.model.pet import BatchedPet, load_model

    frequencies: dict[str, np.ndarray] = {}

    class Watched(Phonons):
        def reduce(self, crystal, plan, children):
            reduced = super().reduce(crystal, plan, children)
            frequencies[str(crystal.ids[0])] = plan.main.phonopy.run_mesh(MESH).frequencies
            return reduced

    table = StructureTable.from_ase(
        {
            "cube": bulk("Mo", a=3.16, cubic=True),
            "charged": bulk("MoTa", "cesiumchloride", a=3.23),
            "molecule": Atoms("MoW", [[0, 0, 0], [2.4, 0, 0]]),
            "plain": bulk("NbW", "cesiumchloride", a=3.23),
        }.items()
    )
    charges = np.full((len(table.numbers), 3, 3), np.nan)
    charges[table.atoms_of(1)] = np.eye(3), -np.eye(3)
    table.atom_columns["born_charges"] = charges
    table.set_column("dielectric_tensor", np.repeat(2 * np.eye(3)[None], 4, axis=0))
    finished: list[StructureTable] = []
    given = {"relax_first": False, "min_image": 6.0, "mesh": MESH, "symprecs": ()}
    parameters = parse_parameters(Task.PHONONS, given)
    assert Watched(table, BatchedPet(load_model(*model_file)), parameters, finished=finished.append).run()
    return StructureTable.concatenate(finished).select(table.ids), frequencies


def test_phonons_are_the_same_after_a_file(computed, tmp_path):
    results, frequencies = computed
    results.save(tmp_path / "results.npz")
    loaded = StructureTable.load(tmp_path / "results.npz")
    assert set(frequencies) == {"cube", "charged", "plain"}
    for name, expected in frequencies.items():
        phonopy = phonopy_of_row(loaded, name)
        found = phonopy.run_mesh(MESH).frequencies
        np.testing.assert_allclose(found[1:], expected[1:], atol=1e-8)
        np.testing.assert_allclose(found[0], expected[0], atol=1e-4)  # roots of rounding errors
        assert (phonopy.nac_params is not None) == (name == "charged")
    assert len(phonopy_of_row(loaded, "cube").primitive) == 1


def test_phonons_are_the_same_in_another_order_and_among_others(computed):
    results, frequencies = computed
    some = results.select(["plain", "molecule", "cube"])
    found = phonopy_of_row(some, "cube").run_mesh(MESH).frequencies
    np.testing.assert_allclose(found[1:], frequencies["cube"][1:], atol=1e-8)


def test_row_that_has_no_phonons_says_how_it_ended(computed):
    results, _ = computed
    with pytest.raises(
        ValueError, match=r"row 'molecule' has no force constants: it ended as failed, phonons need"
    ):
        phonopy_of_row(results, "molecule")


def test_row_that_is_not_there_is_named(computed):
    with pytest.raises(KeyError, match="no row 'iron' among 4 rows"):
        phonopy_of_row(computed[0], "iron")


def test_results_of_another_task_are_refused():
    table = StructureTable.from_ase([("w", bulk("W"))])
    with pytest.raises(
        ValueError, match="these are not results of phonons: they have no column supercell_matrix"
    ):
        phonopy_of_row(table, "w")


def test_tolerance_is_that_of_the_task(model_file):
    from aiida_pet.engine.model.pet import BatchedPet, load_model

    atoms = bulk("MoTa", "cesiumchloride", a=3.23) * (1, 1, 2)
    atoms.positions[0] += (0.002, 0.001, 0.0)
    finished: list[StructureTable] = []
    given = {"relax_first": False, "min_image": 6.0, "mesh": MESH, "symprecs": (), "phonon_symprec": 0.1}
    table = StructureTable.from_ase([("double", atoms)])
    parameters = parse_parameters(Task.PHONONS, given)
    Phonons(table, BatchedPet(load_model(*model_file)), parameters, finished=finished.append).run()
    phonopy = phonopy_of_row(finished[0], "double", symprec=0.1)
    assert len(phonopy.primitive) == 2
    assert phonopy.primitive_symmetry.dataset.number == 221

"""Nodes say what they are, and give crystals with their results."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.emt import EMT

from aiida_pet.data.structures import StructureSetData
from aiida_pet.data.table import TableData
from aiida_pet.tables.crystals import StructureTable


@pytest.fixture
def crystals(aiida_profile: Any) -> StructureSetData:
    """Copper and nickel with energies, forces and stresses of ASE's EMT; a molecule without an answer."""
    found = {"cu": bulk("Cu", cubic=True), "ni": bulk("Ni"), "n2": molecule("N2")}
    found["cu"].rattle(0.1, seed=1)
    table = StructureTable.from_ase(found.items())
    results = {"energy": [np.nan] * 3, "stress": [np.full(6, np.nan)] * 3}
    forces = np.full((table.n_atoms.sum(), 3), np.nan)
    for place, name in enumerate(("cu", "ni")):
        atoms = found[name]
        atoms.calc = EMT()
        results["energy"][place], results["stress"][place] = atoms.get_potential_energy(), atoms.get_stress()
        forces[table.offsets[place] : table.offsets[place + 1]] = atoms.get_forces()
    table.set_column("energy", np.array(results["energy"]), "eV")
    table.set_column("stress", np.array(results["stress"]), "eV/A^3")
    table.set_column("status", np.array(["converged", "converged", "left"]))
    tensor = np.arange(3 * 36, dtype=float).reshape(3, 6, 6)
    table.set_column("elastic_tensor", tensor + tensor.transpose(0, 2, 1), "GPa")
    table.atom_columns["forces"] = forces
    table.units["forces"] = "eV/A"
    return StructureSetData.from_table(table, label="three <b>")


def test_a_set_says_what_it_holds(crystals: StructureSetData) -> None:
    line = repr(crystals)
    assert line.startswith("<StructureSetData not stored 'three <b>': 3 crystals, N Ni Cu")
    assert "converged 2" in line
    pk = crystals.store().pk
    assert f"StructureSetData {pk} " in repr(crystals)
    assert repr(StructureSetData()) == "<StructureSetData not stored: empty>"
    assert repr(TableData.from_ids(np.array(["a"]))) == "<TableData not stored: 1 row, 0 columns>"


def test_a_notebook_shows_rows_with_units_and_nothing_that_is_a_tag(crystals: StructureSetData) -> None:
    page = crystals._repr_html_()
    assert "<b>" not in page
    assert "<th>energy<br>eV</th>" in page
    assert page.count("<tr>") == 1 + 3
    assert "more column" in page
    assert "empty" in StructureSetData()._repr_html_()


def test_rows_are_taken_by_id_by_place_and_in_order(crystals: StructureSetData) -> None:
    assert len(crystals) == 3
    assert crystals["ni"] == crystals[1] == crystals[-2]
    assert [atoms.info["id"] for atoms in crystals] == ["cu", "ni", "n2"]
    assert "cu" in crystals
    assert "fe" not in crystals
    with pytest.raises(IndexError, match="has 3 rows"):
        crystals[3]
    with pytest.raises(KeyError):
        crystals["fe"]
    table = TableData.from_ids(np.array(["a", "b"]))
    assert [row["id"] for row in table] == ["a", "b"]


def test_crystals_come_with_their_results(crystals: StructureSetData) -> None:
    for name, reference in (("cu", bulk("Cu", cubic=True)), ("ni", bulk("Ni"))):
        atoms = crystals.get_ase(name)
        stored = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
        atoms.calc = EMT()
        assert atoms.get_chemical_formula() == reference.get_chemical_formula()
        assert stored[0] == pytest.approx(atoms.get_potential_energy())
        np.testing.assert_allclose(stored[1], atoms.get_forces(), atol=1e-12)
        np.testing.assert_allclose(stored[2], atoms.get_stress(), atol=1e-12)
    assert crystals.get_ase("n2").calc is None


def test_crystals_as_pymatgen_and_aiida_have_them(crystals: StructureSetData) -> None:
    atoms = crystals.get_ase("cu")
    structure = crystals.get_pymatgen("cu")
    np.testing.assert_allclose(structure.cart_coords, atoms.positions, atol=1e-10)
    assert structure.composition.reduced_formula == "Cu"
    assert type(crystals.get_pymatgen("n2")).__name__ == "Molecule"
    node = crystals.get_structure("ni")
    assert (node.label, node.get_formula()) == ("ni", "Ni")
    np.testing.assert_allclose(node.cell, crystals.get_ase("ni").cell, atol=1e-12)


def test_data_frames_have_units_and_named_constants(crystals: StructureSetData) -> None:
    frame = crystals.to_dataframe()
    units = frame.attrs["units"]
    assert (units["energy"], units["stress_xx"], units["C44"]) == ("eV", "eV/A^3", "GPa")
    tensor = crystals.column("elastic_tensor")
    for i in range(6):
        for j in range(6):
            np.testing.assert_array_equal(frame[f"C{i + 1}{j + 1}"], tensor[:, i, j])


def test_models_say_what_they_are(pet_model: Any) -> None:
    line = repr(pet_model)
    assert line.startswith(f"<PetModelData {pet_model.pk} {pet_model.name}")
    assert pet_model.sha256[:12] in line

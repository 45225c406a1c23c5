"""Sets made of what a Python program has at hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from aiida import orm
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms, FixBondLength, FixCartesian, FixScaled
from pymatgen.core import Lattice, Structure
from pymatgen.entries.computed_entries import ComputedStructureEntry

from aiida_pet.tables.table import DuplicateIdError


@pytest.fixture
def make(aiida_profile: Any) -> Any:
    from aiida_pet.data.structures import StructureSetData

    return StructureSetData


def structure() -> Structure:
    return Structure(Lattice.cubic(3.15), ["Mo", "W"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def test_lists_of_anything_make_a_set(make: Any) -> None:
    atoms = bulk("W", cubic=True)
    named = bulk("Ta")
    named.info["material_id"] = "mp-50"
    entry = ComputedStructureEntry(structure(), -20.0, entry_id="mp-1")
    given = [
        atoms,
        structure(),
        orm.StructureData(ase=atoms),
        named,
        entry,
        ("mine", atoms),
        structure().as_dict(),
    ]
    node = make(given, label="anything").store()
    expected = ["structure-0", "structure-1", "structure-2", "mp-50", "mp-1", "mine", "structure-6"]
    assert node.ids.tolist() == expected
    assert node.label == "anything"
    assert orm.load_node(node.pk).ids.tolist() == expected
    for row_id in ("structure-0", "structure-2", "mine"):
        np.testing.assert_array_equal(node.get_ase(row_id).positions, atoms.positions)
    np.testing.assert_allclose(node.get_ase("mp-1").positions[1], [1.575] * 3)
    assert node.column("energy")[4] == -20
    assert make.from_iterator(iter(given)).ids.tolist() == expected


def test_mappings_give_the_ids(make: Any) -> None:
    node = make({"0031": bulk("W"), "1e3": structure(), 7: orm.StructureData(ase=bulk("Ta"))})
    assert node.ids.tolist() == ["0031", "1e3", "7"]
    assert make.from_iterator([("a", structure())]).ids.tolist() == ["a"]


def test_held_atoms_and_results_travel(make: Any) -> None:
    atoms = bulk("W", cubic=True)
    forces, stress = np.arange(6.0).reshape(2, 3), np.arange(6.0)
    atoms.calc = SinglePointCalculator(atoms, energy=-1.0, forces=forces, stress=stress)
    atoms.set_constraint([FixAtoms([0]), FixCartesian(1, mask=[False, False, True])])
    scaled = bulk("Mo", cubic=True)
    scaled.set_constraint([FixScaled(0, mask=[True, False, False]), FixBondLength(0, 1)])
    flags = structure().copy(site_properties={"selective_dynamics": [[True] * 3, [True, True, False]]})
    node = make([atoms, scaled, flags])
    np.testing.assert_array_equal(node.column("input_energy"), [-1, np.nan, np.nan])
    np.testing.assert_array_equal(node.column("input_stress")[0], stress)
    np.testing.assert_array_equal(node.atom_column("input_forces")[:2], forces)
    assert node.unit("input_energy") == "eV"
    assert node.atom_column("fixed_cartesian")[:2].tolist() == [[True] * 3, [False, False, True]]
    assert node.atom_column("fixed_scaled")[2:].tolist() == [
        [True, False, False], [False] * 3, [False] * 3, [False, False, True]
    ]  # fmt: skip
    assert node.column("constraints_not_read").tolist() == ["", "FixBondLengths", ""]


def test_results_of_another_geometry_are_left(make: Any) -> None:
    atoms = bulk("W", cubic=True)
    atoms.calc = SinglePointCalculator(atoms, energy=-1.0)
    atoms.positions[0] += 0.1
    assert "input_energy" not in make([atoms]).column_names


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ([bulk("W"), 3.5], r"crystal 1 is a builtins\.float: expected ASE Atoms"),
        ([("a", "POSCAR")], r"crystal 0, 'a', is a builtins\.str: expected"),
        ({"x": None}, "crystal 0, 'x', is a builtins.NoneType"),
        (bulk("W"), "a Atoms is not a list of crystals.*Put a single crystal into a list"),
        (structure(), "a Structure is not a list of crystals"),
        ("set.xyz", "a str is not a list of crystals"),
        (5, "a int is not a list of crystals"),
    ],
)
def test_a_wrong_thing_is_named_with_its_place(make: Any, wrong: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        make(wrong)


def test_disorder_is_refused_by_place(make: Any) -> None:
    alloy = Structure(Lattice.cubic(3.2), [{"Nb": 0.5, "Ta": 0.5}], [[0, 0, 0]])
    with pytest.raises(ValueError, match=r"crystal 1, 'b', cannot be taken: site 0 is disordered"):
        make([("a", bulk("W")), ("b", alloy)])
    data = orm.StructureData(cell=np.eye(3) * 3)
    data.append_atom(position=(0, 0, 0), symbols=("Nb", "Ta"), weights=(0.5, 0.5))
    with pytest.raises(ValueError, match="crystal 0 cannot be taken: a site is disordered"):
        make([data])


def test_equal_ids_and_empty_lists_are_refused(make: Any) -> None:
    with pytest.raises(DuplicateIdError, match="'a'"):
        make([("a", bulk("W")), ("a", bulk("Mo"))])
    with pytest.raises(ValueError, match="at least one row"):
        make([])
    with pytest.raises(ValueError, match="atomic number 0"):
        make([Atoms("X", cell=np.eye(3))])

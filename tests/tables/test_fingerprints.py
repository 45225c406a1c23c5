"""What a row was given in 16 bytes: the same for the same row wherever it stands, another for whatever a task reads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase.build import bulk

from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.fingerprints import InputColumns, compare, fingerprints_of, named
from aiida_pet.tables.ragged import Ragged

READS = InputColumns(
    rows=("dielectric_tensor", "constraints_not_read"),
    atoms=("born_charges", "fixed_scaled"),
    ragged=("displacements",),
)


def crystals() -> StructureTable:
    """Three crystals of different sizes."""
    sizes = {"a": 1, "b": 3, "c": 2}
    return StructureTable.from_ase((name, bulk("W", cubic=True) * (n, 1, 1)) for name, n in sizes.items())


def changed(name: str) -> StructureTable:
    """The crystals, of which the second differs in one respect."""
    table = crystals()
    atom = int(table.offsets[1])
    if name == "numbers":
        table.numbers[atom] = 42
    elif name == "positions":
        table.positions[atom, 2] = np.nextafter(table.positions[atom, 2], 1.0)
    elif name == "cells":
        table.cells[1, 0, 1] += 1e-12
    elif name == "pbc":
        table.pbc[1, 2] = False
    elif name == "dielectric_tensor":
        values = np.full((3, 3, 3), np.nan)
        values[1] = np.eye(3)
        table.set_column(name, values)
    elif name == "constraints_not_read":
        table.set_column(name, ["", "FixBondLength", ""])
    elif name == "born_charges":
        table.atom_columns[name] = np.full((len(table.numbers), 3, 3), np.nan)
        table.atom_columns[name][table.atoms_of(1)] = np.eye(3)
    elif name == "fixed_scaled":
        table.atom_columns[name] = np.zeros((len(table.numbers), 3), bool)
        table.atom_columns[name][atom, 0] = True
    elif name == "displacements":
        table.ragged[name] = Ragged.of([None, np.array([[0.0, 0.0, 0.03, 0.0, 0.0]]), None])
    elif name == "series":  # which no task reads
        table.set_column(name, [1, 2, 3])
    return table


@pytest.mark.parametrize(
    "name",
    ["numbers", "positions", "cells", "pbc", *READS.rows, *READS.atoms, *READS.ragged],
)
def test_one_row_that_differs_is_another_and_the_rest_are_the_same(name: str) -> None:
    before, after = (fingerprints_of(table, READS) for table in (crystals(), changed(name)))
    assert before.shape == (3, 16)
    assert (before == after).all(axis=1).tolist() == [True, False, True]


@pytest.mark.parametrize("name", [*READS.rows, *READS.atoms, "series"])
def test_what_the_task_does_not_read_does_not_count(name: str) -> None:
    assert np.array_equal(fingerprints_of(changed(name), InputColumns()), fingerprints_of(crystals(), READS))


def test_it_is_the_same_in_every_order_byte_order_and_zero() -> None:
    table = changed("born_charges")
    found = fingerprints_of(table, READS)
    order = [2, 0, 1]
    assert np.array_equal(fingerprints_of(table.take(order), READS), found[order])
    table.positions[table.positions == 0] = -0.0
    table.atom_columns["born_charges"] = table.atom_columns["born_charges"].astype(">f8")
    assert np.array_equal(fingerprints_of(table, READS), found)


def test_texts_do_not_depend_on_the_width_of_their_column() -> None:
    table = changed("constraints_not_read")
    found = fingerprints_of(table, READS)
    table.columns["constraints_not_read"] = table.columns["constraints_not_read"].astype("U90")
    assert np.array_equal(fingerprints_of(table, READS), found)


def test_no_two_of_many_rows_are_mixed_up() -> None:
    """Atoms and columns that move from one place to the next give another digest."""
    table = StructureTable.from_ase((str(n), bulk("W", a=3 + n / 1000)) for n in range(500))
    found = fingerprints_of(table, READS)
    assert len(np.unique(found, axis=0)) == 500


def test_rows_are_compared_by_id_and_fingerprint() -> None:
    table = crystals()
    wanted = fingerprints_of(table, READS)
    given: Any = fingerprints_of(changed("cells").take([1, 2]), READS)
    taken = compare(table.ids, wanted, np.array(["b", "c"]), given)
    assert (taken.same.tolist(), taken.other) == ([1], ["b"])
    taken = compare(table.ids, wanted, np.array(["x", "c"]), given)
    assert (taken.same.tolist(), taken.other) == ([1], [])
    assert named("abcdefg") == "'a', 'b', 'c', 'd', 'e' and 2 more"

"""On which path a crystal is put that kept its space group, lost it, or has one that depends on the tolerance."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import seekpath
from ase import Atoms
from ase.build import bulk, make_supercell
from phonopy import Phonopy

from aiida_pet.calculations.band_paths import ChosenPath, OtherPathError, choose_path, symmetry_remarks
from aiida_pet.calculations.harmonic_parameters import BandsParameters
from aiida_pet.tables.crystals import StructureTable
from support.phonon_results import crystals, phonon_table


@cache
def relaxed() -> tuple[StructureTable, dict[str, Phonopy]]:
    """The alloy as it was, and the alloy that lost its symmetry."""
    found = crystals()
    return phonon_table(
        {name: found[name] for name in ("alloy", "broken", "fcc")}, starts={"broken": found["alloy"]}
    )


def choose(
    name: str, *, parent: Atoms | None = None, start: Atoms | None = None, **given: object
) -> ChosenPath:
    table, phonopys = relaxed()
    parameters = BandsParameters(**given)
    return choose_path(table.select([name]), phonopys[name], parameters, parent=parent, start=start)


def seekpath_of(atoms: Atoms, symprec: float = 0.01) -> dict:
    cell = (atoms.cell[:], atoms.get_scaled_positions(), atoms.numbers)
    return seekpath.get_path_orig_cell(cell, symprec=symprec)


def test_crystal_that_kept_its_group_is_on_its_own_path() -> None:
    chosen = choose("alloy", start=crystals()["alloy"])
    expected = seekpath_of(crystals()["alloy"])
    assert (chosen.of, chosen.spacegroup, chosen.path.spacegroup) == ("crystal", 221, 221)
    assert list(chosen.path.segments) == expected["path"]
    assert chosen.warnings == ()


def test_crystal_that_lost_its_group_is_on_the_path_of_its_start() -> None:
    chosen = choose("broken", start=crystals()["alloy"])
    expected = seekpath_of(crystals()["alloy"])
    assert (chosen.of, chosen.spacegroup, chosen.path.spacegroup) == ("start", 99, 221)
    assert list(chosen.path.segments) == expected["path"]
    for label, point in expected["point_coords"].items():
        np.testing.assert_allclose(chosen.path.points[label], point, atol=1e-9)
    assert any(
        "space group at path_symprec = 0.01 A is 99, at the start it was 221: bands are along the path of "
        "the unrelaxed crystal" in text
        for text in chosen.warnings
    )
    assert any("99 at 0.001 A, 99 at 0.01 A, 221 at 0.1 A" in text for text in chosen.warnings)


def test_without_its_start_it_is_on_no_path() -> None:
    message = (
        r"space group at path_symprec = 0\.01 A is 99, at the start it was 221, and the path of the "
        r"unrelaxed crystal is not known: give a structure with the right path as `parent`, or set allow_other_path"
    )
    with pytest.raises(OtherPathError, match=message):
        choose("broken")


def test_start_in_a_larger_cell_has_no_path_for_it() -> None:
    """A start whose own primitive cell is larger than that of the crystal."""
    double = make_supercell(crystals()["alloy"], np.diag([1, 1, 2]))
    double.positions[0] += [0.1, 0.0, 0.0]
    table, phonopys = relaxed()
    row = table.select(["broken"])
    with pytest.raises(
        OtherPathError,
        match=r"the path of the unrelaxed crystal does not fit \(the parent structure has another lattice",
    ):
        choose_path(row, phonopys["broken"], BandsParameters(), start=double)


def test_other_path_is_taken_where_it_is_allowed_and_said() -> None:
    chosen = choose("broken", start=crystals()["alloy"], allow_other_path=True)
    assert (chosen.of, chosen.path.spacegroup) == ("crystal", 99)
    assert list(chosen.path.segments) == seekpath_of(crystals()["broken"])["path"]
    assert any(
        "along the path of space group 99, since allow_other_path is set" in text for text in chosen.warnings
    )


def test_tolerance_decides_whether_the_group_was_lost() -> None:
    """At 0.1 A it has its group: its own path, but what it is at other tolerances is said."""
    chosen = choose("broken", path_symprec=0.1)
    assert (chosen.of, chosen.spacegroup, chosen.path.spacegroup) == ("crystal", 221, 221)
    assert any("99 at 0.01 A, 221 at 0.1 A" in text for text in chosen.warnings)


def test_tolerance_that_is_no_column_is_looked_up_in_the_start() -> None:
    assert choose("broken", start=crystals()["alloy"], path_symprec=0.02).of == "start"
    assert choose("broken", start=crystals()["alloy"], path_symprec=0.08).of == "crystal"


def test_tolerance_that_is_no_column_of_a_row_without_start_is_compared_with_the_nearest() -> None:
    assert choose("broken", path_symprec=0.08).of == "crystal"
    with pytest.raises(OtherPathError, match="is 99, at the start it was 221"):
        choose("broken", path_symprec=0.02)


def test_path_of_a_given_parent_is_taken_and_said() -> None:
    chosen = choose("broken", parent=crystals()["alloy"])
    assert (chosen.of, chosen.spacegroup, chosen.path.spacegroup) == ("parent", 99, 221)
    assert any(
        "along the path of the parent structure, space group 221; the crystal has 99" in text
        for text in chosen.warnings
    )
    same = choose("alloy", parent=crystals()["alloy"])
    assert (same.of, same.warnings) == ("parent", ())


def test_parent_of_another_lattice_is_refused() -> None:
    with pytest.raises(ValueError, match="the parent structure has another lattice"):
        choose("broken", parent=bulk("Cu", "fcc", a=3.6))


def test_warning_of_the_table_comes_first() -> None:
    table, phonopys = relaxed()
    row = table.select(["broken"])
    row.set_column("symmetry_warning", ["relaxation changed it: 221 -> 99 at 0.01 A"])
    remarks = symmetry_remarks(row, phonopys["broken"], BandsParameters())
    assert remarks[0] == "relaxation changed it: 221 -> 99 at 0.01 A"
    assert len(remarks) == 2


def test_columns_that_disagree_with_the_geometry_are_said() -> None:
    table, phonopys = relaxed()
    row = table.select(["alloy"])
    row.set_column("spacegroup_0_01", [99])
    assert symmetry_remarks(row, phonopys["alloy"], BandsParameters()) == [
        "the primitive cell has space group 221 at 0.001 A, 221 at 0.01 A, 221 at 0.1 A"
    ]


def test_row_without_columns_of_space_groups_is_on_its_own_path() -> None:
    table, phonopys = relaxed()
    row = table.select(["broken"])
    row.columns = {name: values for name, values in row.columns.items() if "spacegroup" not in name}
    chosen = choose_path(row, phonopys["broken"], BandsParameters())
    assert (chosen.of, chosen.path.spacegroup, chosen.warnings) == ("crystal", 99, ())
    # unless its start says that it lost one
    chosen = choose_path(row, phonopys["broken"], BandsParameters(), start=crystals()["alloy"])
    assert (chosen.of, chosen.path.spacegroup) == ("start", 221)


def test_cell_that_is_a_supercell_at_the_tolerance_says_so() -> None:
    atoms = bulk("Cu", "bcc", a=2.86, cubic=True)
    atoms.positions[1] += 0.01
    table, phonopys = phonon_table({"nearly": atoms})
    row = table.select(["nearly"])
    chosen = choose_path(row, phonopys["nearly"], BandsParameters(path_symprec=0.1))
    assert any(
        "at path_symprec = 0.1 A the crystal has a smaller primitive cell" in text for text in chosen.warnings
    )

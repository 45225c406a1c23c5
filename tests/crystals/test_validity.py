"""Checks of the input, each kind of bad row, and close pairs against ASE's neighbour list."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.neighborlist import primitive_neighbor_list

from aiida_pet.crystals import validity
from aiida_pet.crystals.lattice_reduction import LatticeReductionError
from aiida_pet.crystals.validity import check_geometry
from aiida_pet.job.folder import RowStatus
from aiida_pet.tables.crystals import StructureTable

ALL = range(1, 119)
REFRACTORY = (41, 42, 73, 74)
INVALID, UNSUPPORTED = RowStatus.INVALID_GEOMETRY, RowStatus.UNSUPPORTED_ELEMENT


def table_of(*structures: Atoms) -> StructureTable:
    return StructureTable.from_ase((str(i), atoms) for i, atoms in enumerate(structures))


def problem_of(atoms: Atoms, supported: Any = ALL, **options: Any) -> tuple[RowStatus | None, str]:
    """What is wrong with ``atoms``; its good neighbours in the table must stay good."""
    good = bulk("W")
    before, found, after = check_geometry(table_of(good, atoms, good), supported, 0.5, **options)
    assert before == after == (None, "")
    return found


def test_good_rows_have_no_problem(prototypes: dict[str, Atoms]) -> None:
    assert check_geometry(table_of(*prototypes.values()), ALL, 0.5) == [(None, "")] * len(prototypes)


def test_an_empty_table_has_no_problems() -> None:
    assert check_geometry(StructureTable.from_ase([]), ALL, 0.5) == []


def test_no_atoms_are_invalid() -> None:
    assert problem_of(Atoms(cell=np.eye(3), pbc=True)) == (INVALID, "no atoms")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_position_that_is_not_finite_is_invalid_and_names_the_atom(value: float) -> None:
    atoms = bulk("W", cubic=True)
    atoms.positions[1, 2] = value
    message = f"position of atom 1 is not finite: 1.58, 1.58, {value:g}"
    assert problem_of(atoms) == (INVALID, message)


def test_a_cell_that_is_not_finite_is_invalid() -> None:
    atoms = bulk("W")
    atoms.cell[0, 0] = np.nan
    status, message = problem_of(atoms)
    assert status is INVALID
    assert message.startswith("cell is not finite: [[nan,")


@pytest.mark.parametrize(
    ("cell", "pbc", "what"),
    [
        (np.zeros((3, 3)), True, "volume"),
        (np.diag([3.0, 3.0, 0.0]), True, "volume"),
        (np.diag([3.0, 3.0, 1e-9]), True, "volume"),
        ([[3, 0, 0], [0, 3, 0], [3, 3, 0]], True, "volume"),
        ([[3, 0, 0], [6, 0, 0], [0, 0, 9]], [True, True, False], "area"),
        (np.diag([0.0, 3.0, 3.0]), [True, False, False], "length"),
    ],
)
def test_lattice_vectors_without_volume_are_invalid(cell: Any, pbc: Any, what: str) -> None:
    status, message = problem_of(Atoms("W", cell=cell, pbc=pbc))
    assert status is INVALID
    assert message.startswith(f"the periodic lattice vectors span no {what}: cell [[")


def test_unknown_elements_are_named_once_each_with_how_many_are_known() -> None:
    atoms = Atoms("FeWFeTi", positions=np.arange(12).reshape(4, 3), cell=20 * np.eye(3), pbc=True)
    expected = "the model does not know Ti, Fe: it knows 4 elements"
    assert problem_of(atoms, REFRACTORY) == (UNSUPPORTED, expected)


def test_a_number_that_is_no_element_is_unsupported() -> None:
    for number in (0, 300):
        found = problem_of(Atoms([number], cell=np.eye(3), pbc=True), REFRACTORY)
        assert found == (UNSUPPORTED, f"the model does not know Z={number}: it knows 4 elements")


@pytest.mark.parametrize(
    "numbers", [list(range(1, 119)), [-(2**31) + i for i in range(30)]], ids=["symbols", "numbers"]
)
def test_message_of_unknown_elements_is_short_however_many_there_are(numbers: list[int]) -> None:
    positions = 3.0 * np.arange(3 * len(numbers)).reshape(-1, 3)
    status, message = problem_of(Atoms(numbers, positions, cell=999 * np.eye(3), pbc=True), [74])
    named, _, more = message.removeprefix("the model does not know ").partition(" and ")
    unknown = len(set(numbers) - {74})
    assert status is UNSUPPORTED
    assert more == f"{unknown - len(named.split(', '))} more: it knows 1 element"
    assert len(message) < 120


def test_close_atoms_are_invalid_and_named_with_their_distance() -> None:
    atoms = Atoms("WMoTa", positions=[(0, 0, 0), (0, 0, 3), (0.3, 0, 3)], cell=8 * np.eye(3), pbc=True)
    expected = "atoms 1 (Mo) and 2 (Ta) are 0.3 A apart, closer than min_distance = 0.5 A"
    assert problem_of(atoms) == (INVALID, expected)


def test_the_closest_of_several_pairs_is_named() -> None:
    positions = [(0, 0, 0), (0.4, 0, 0), (4, 0, 0), (4, 0.1, 0)]
    _, message = problem_of(Atoms("W4", positions=positions, cell=8 * np.eye(3), pbc=True))
    assert message.startswith("atoms 2 (W) and 3 (W) are 0.1 A apart")


@pytest.mark.parametrize("cell", [4 * np.eye(3), 0.9 * np.eye(3)], ids=["quick", "thin"])
def test_two_atoms_on_one_spot_are_invalid(cell: Any) -> None:
    status, message = problem_of(Atoms("WMo", positions=np.zeros((2, 3)), cell=cell, pbc=True))
    assert status is INVALID
    assert message.startswith("atoms 0 (W) and 1 (Mo) are 0 A apart")


def test_close_periodic_images_are_invalid_only_along_periodic_directions() -> None:
    positions = [(0.1, 2, 2), (3.8, 2, 2)]
    atoms = Atoms("W2", positions=positions, cell=4 * np.eye(3), pbc=True)
    assert problem_of(atoms)[1].startswith("atoms 0 (W) and 1 (W) are 0.3 A apart")
    atoms.pbc = [False, True, True]
    assert problem_of(atoms) == (None, "")


def test_an_atom_close_to_its_own_image_is_invalid_in_the_most_skewed_cell() -> None:
    # a lattice of spacing 0.4 A along x, hidden in a cell whose vectors are all longer than 5 A
    cell = np.array([[1, 0, 0], [17, 1, 0], [-31, 5, 1]]) @ np.diag([0.4, 5.0, 6.0])
    cell[0] += cell[1]
    assert (np.linalg.norm(cell, axis=1) > 5).all()
    status, message = problem_of(Atoms("W", cell=cell, pbc=True))
    assert status is INVALID
    assert message.startswith("each atom is 0.4 A from its own image")


def test_many_atoms_on_one_spot_need_no_memory_for_their_pairs() -> None:
    atoms = Atoms("W5000", positions=np.ones((5000, 3)), cell=9 * np.eye(3), pbc=True)
    status, message = problem_of(atoms)
    assert status is INVALID
    assert "are 0 A apart" in message


def test_problems_are_looked_for_in_order() -> None:
    def crystal(**changes: Any) -> Atoms:
        return Atoms(
            "FeFe", **({"positions": np.zeros((2, 3)), "cell": 4 * np.eye(3), "pbc": True} | changes)
        )

    nan = crystal(positions=np.full((2, 3), np.nan), cell=np.zeros((3, 3)))
    flat = crystal(cell=np.zeros((3, 3)))
    found = check_geometry(table_of(nan, flat, crystal()), REFRACTORY, 0.5)
    assert [status for status, _ in found] == [INVALID, INVALID, UNSUPPORTED]
    assert "not finite" in found[0][1]
    assert "volume" in found[1][1]


@pytest.mark.parametrize(
    "atoms",
    [
        molecule("H2O"),
        fcc111("Al", (1, 1, 3), vacuum=8.0),
        fcc111("Al", (1, 1, 3)),
        Atoms("C", cell=[0, 0, 1.5], pbc=[False, False, True]),
        Atoms("W", cell=-3 * np.eye(3), pbc=True),
        Atoms("W", cell=1e6 * np.eye(3), pbc=True),
        bulk("W", cubic=True) * (6, 6, 6),
    ],
    ids=["molecule", "slab", "slab without a third vector", "chain", "left-handed", "huge", "large"],
)
def test_unusual_but_sound_geometries_pass(atoms: Atoms) -> None:
    assert problem_of(atoms) == (None, "")


@pytest.mark.parametrize(("pbc", "shown"), [(False, "FFF"), ([True, True, False], "TTF")])
def test_a_relaxing_cell_must_be_periodic_in_all_directions(pbc: Any, shown: str) -> None:
    atoms = Atoms("W", cell=4 * np.eye(3), pbc=pbc)
    status, message = problem_of(atoms, relaxes_cell=True)
    assert status is INVALID
    remedy = "cell=plane or cell=fixed" if shown == "TTF" else "cell=fixed"
    assert message.endswith(f"but pbc is {shown}: use {remedy}")
    assert problem_of(atoms) == (None, "")
    assert problem_of(Atoms("W", cell=4 * np.eye(3), pbc=True), relaxes_cell=True) == (None, "")


def test_no_minimum_distance_means_no_check() -> None:
    table = table_of(Atoms("W2", positions=np.zeros((2, 3)), cell=np.eye(3), pbc=True))
    assert check_geometry(table, ALL, 0.0) == [(None, "")]


def test_a_lattice_that_cannot_be_reduced_is_invalid(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise LatticeReductionError("Gaussian basis not found")

    monkeypatch.setattr(validity, "reduced_basis", fail)
    status, message = problem_of(Atoms("W", cell=np.diag([0.6, 5.0, 5.0]), pbc=True))
    assert status is INVALID
    assert "the search for close atoms failed: Gaussian basis" in message


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("length", [2e9, 1e300])
def test_lattice_vectors_beyond_the_precision_of_numbers_are_invalid(length: float) -> None:
    cell = np.diag([3.0, 3.0, 3.0])
    cell[2, 0] = length
    status, message = problem_of(Atoms("W", cell=cell, pbc=True))
    assert status is INVALID
    assert f"component of {length:.3g} A: expected less than 1e+09 A" in message


@pytest.mark.parametrize("times", [0, 3000, -3000, 1_000_000, -100_000_000])
def test_the_basis_of_a_lattice_does_not_matter(times: int) -> None:
    good = Atoms("W2", scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]], cell=3.1 * np.eye(3), pbc=True)
    close = good.copy()
    close.positions[1] = close.cell[0] + [0.3, 0, 0]
    for atoms in (good, close):
        atoms.cell[2] += times * atoms.cell[0]
    assert problem_of(good) == (None, "")
    status, message = problem_of(close)
    assert status is INVALID
    assert "are 0.3 A apart" in message


def random_crystals() -> list[tuple[Atoms, Atoms]]:
    """Pairs of the same crystal in a compact cell and in a skewed one, of all periodicities, some of them dense."""
    rng = np.random.default_rng(0)
    pairs = []
    for index in range(200):
        cell = np.eye(3) * rng.uniform(1.5, 6, 3) + rng.uniform(-0.4, 0.4, (3, 3))
        fractional = rng.uniform(-1, 2, (int(rng.integers(1, 9)), 3))
        pbc = [True, True, True] if index % 2 else rng.integers(0, 2, 3).astype(bool)
        atoms = Atoms(f"W{len(fractional)}", scaled_positions=fractional, cell=cell, pbc=pbc)
        skewed = atoms.copy()
        if all(pbc):
            a, b, c = rng.integers(-9, 10, 3)
            skewed.set_cell(np.array([[1, a, b], [0, 1, c], [0, 0, 1]]) @ cell)
        pairs.append((atoms, skewed))
    return pairs


@pytest.mark.parametrize("min_distance", [0.5, 1.2])
@pytest.mark.parametrize("large", [0, 300], ids=["tree", "pairs"])
def test_close_pairs_equal_those_of_ase(
    monkeypatch: pytest.MonkeyPatch, min_distance: float, large: int
) -> None:
    # 0: every row by the tree that otherwise serves the large ones
    monkeypatch.setattr(validity, "_LARGE", large)
    monkeypatch.setattr(validity, "_PAIRS", 500)  # several chunks
    pairs = random_crystals()
    found = check_geometry(table_of(*(skewed for _, skewed in pairs)), ALL, min_distance)
    close = 0
    for (atoms, _), (status, message) in zip(pairs, found, strict=True):
        i, j, distance = primitive_neighbor_list(
            "ijd", atoms.pbc, np.array(atoms.cell), atoms.positions, min_distance
        )
        assert (status is INVALID) == (len(distance) > 0)
        if len(distance):
            close += 1
            first, second = sorted((int(i[distance.argmin()]), int(j[distance.argmin()])))
            assert message.startswith(f"atoms {first} (W) and {second} (W) are {distance.min():.3g} A apart")
    assert 10 < close < 190


def test_wbm_rows_are_unsupported_unless_made_of_what_the_model_knows(wbm: StructureTable) -> None:
    found = check_geometry(wbm, REFRACTORY, 0.5)
    for atoms, (status, message) in zip(wbm.iter_ase(), found, strict=True):
        foreign = sorted(set(atoms.numbers.tolist()) - set(REFRACTORY))
        assert status is (UNSUPPORTED if foreign else None), atoms.info["id"]
        for number in foreign:
            assert Atoms([number]).get_chemical_symbols()[0] in message


def test_wbm_rows_are_sound_for_a_model_that_knows_everything(wbm: StructureTable) -> None:
    assert check_geometry(wbm, ALL, 0.5, relaxes_cell=True) == [(None, "")] * len(wbm)

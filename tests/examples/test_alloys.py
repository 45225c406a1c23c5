"""The enumeration of the demo: complete, distinct, on bcc sites, with ids that stay."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from ase import Atoms
from ase.io import read
from ase.neighborlist import neighbor_list


@pytest.fixture(scope="module")
def crystals(alloys: ModuleType) -> dict[str, Atoms]:
    return dict(alloys.ordered_alloys())


def test_number_of_binaries_is_hart_and_forcades(alloys: ModuleType, crystals: dict[str, Atoms]) -> None:
    # Hart and Forcade, Phys. Rev. B 77, 224115 (2008), Table IV: 2, 6 and 19 binaries of 2, 3 and 4 sites
    binaries = [atoms for atoms in crystals.values() if len(set(atoms.numbers)) == 2]
    found = Counter((frozenset(atoms.get_chemical_symbols()), len(atoms)) for atoms in binaries)
    for pair in combinations(alloys.ELEMENTS, 2):
        assert [found[frozenset(pair), size] for size in (2, 3, 4)] == [2, 6, 19]


def test_elements_come_first_with_their_lattice_constants(crystals: dict[str, Atoms]) -> None:
    first = dict(list(crystals.items())[:4])
    assert list(first) == ["Nb-0000", "Mo-0001", "Ta-0002", "W-0003"]
    assert first["Mo-0001"].get_volume() == pytest.approx(3.15**3 / 2)


def test_sites_are_bcc(alloys: ModuleType, crystals: dict[str, Atoms]) -> None:
    for name, atoms in crystals.items():
        a = alloys.lattice_constant(atoms.get_chemical_symbols())
        assert atoms.get_volume() / len(atoms) == pytest.approx(a**3 / 2), name
        distances = neighbor_list("d", atoms, 1.05 * a)
        assert np.isclose(distances, np.sqrt(0.75) * a).sum() == 8 * len(atoms), name
        assert np.isclose(distances, a).sum() == 6 * len(atoms), name


def test_orderings_differ_from_each_other(crystals: dict[str, Atoms]) -> None:
    from pymatgen.analysis.structure_matcher import StructureMatcher
    from pymatgen.io.ase import AseAtomsAdaptor

    alike = [atoms for name, atoms in crystals.items() if name.startswith("Mo2NbTa-")]
    assert len(alike) > 3
    structures = [AseAtomsAdaptor.get_structure(Atoms(atoms)) for atoms in alike]
    matcher = StructureMatcher(primitive_cell=False, scale=False)
    assert not any(matcher.fit(one, other) for one, other in combinations(structures, 2))


def test_limit_gives_the_first_of_the_same_ids(alloys: ModuleType, crystals: dict[str, Atoms]) -> None:
    assert [name for name, _ in alloys.ordered_alloys(limit=10)] == list(crystals)[:10]


def test_element_that_is_not_bcc_is_refused(alloys: ModuleType) -> None:
    with pytest.raises(ValueError, match="Al is not bcc"):
        list(alloys.ordered_alloys(1, elements=("Al",)))


def test_file_has_the_ids_and_the_geometry(alloys: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "alloys.xyz"
    assert alloys.write_alloys(path, limit=30) == 30
    for atoms, (name, expected) in zip(read(path, ":"), alloys.ordered_alloys(limit=30), strict=True):
        assert atoms.info["id"] == name
        assert atoms.get_chemical_symbols() == expected.get_chemical_symbols()
        np.testing.assert_allclose(atoms.positions, expected.positions, atol=1e-8)  # digits of extxyz
        np.testing.assert_allclose(atoms.cell, expected.cell, rtol=1e-12)

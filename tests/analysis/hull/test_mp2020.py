"""The corrections of 2020, against pymatgen's own scheme and the published energies of WBM."""

from __future__ import annotations

import gzip
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.data import chemical_symbols
from ase.spacegroup import crystal
from pymatgen.entries.compatibility import MaterialsProject2020Compatibility
from pymatgen.entries.computed_entries import ComputedStructureEntry
from pymatgen.io.ase import AseAtomsAdaptor

from aiida_pet.analysis.hull.above_hull import energies_above_hull
from aiida_pet.analysis.hull.levels_of_theory import MixedTheoryError, Theory
from aiida_pet.analysis.hull.mp2020 import CORRECTED_ELEMENTS, mp2020_corrections, run_type_of
from aiida_pet.analysis.hull.reference_files import read_references
from aiida_pet.analysis.hull.references import References
from aiida_pet.tables.crystals import StructureTable

MP = "PBE (Materials Project)"
# U in eV by hand, as MPRelaxSet has them
HUBBARDS = {"Co": 3.32, "Cr": 3.7, "Fe": 5.3, "Mn": 3.9, "Mo": 4.38, "Ni": 6.2, "V": 3.25, "W": 6.2}


def cubic(symbols: str, positions: Any) -> Atoms:
    return Atoms(symbols, scaled_positions=positions, cell=[6, 6, 6], pbc=True)


def crystals() -> dict[str, Atoms]:
    """Alloys, oxides of all kinds, sulfide, sulfate, halides, a metal whose Si is most electronegative."""
    peroxide = molecule("H2O2")
    peroxide.numbers[peroxide.numbers == 1] = 3  # Li2O2, O at 1.45 A
    peroxide.set_cell([8, 8, 8])
    peroxide.pbc = True
    rutile = crystal(
        ["Ti", "O"], [(0, 0, 0), (0.305, 0.305, 0)], spacegroup=136, cellpar=[4.6, 4.6, 2.95, 90, 90, 90]
    )
    vanadium = rutile.copy()
    vanadium.numbers[vanadium.numbers == 22] = 23
    sulfate = cubic("LiSO4", [[0, 0, 0], [0.5, 0.5, 0.5]] + [[0.5 + x, 0.5 + y, 0.5 + z] for x, y, z in (
        (0.14, 0.14, 0.14), (-0.14, -0.14, 0.14), (-0.14, 0.14, -0.14), (0.14, -0.14, -0.14)
    )])  # fmt: skip
    return {
        "Mo": bulk("Mo"),
        "MoTa": Atoms("MoTa", positions=[[0, 0, 0], [1.6, 1.6, 1.6]], cell=[3.2] * 3, pbc=True),
        "TiO2": rutile,
        "VO2": vanadium,
        "Li2O2": peroxide,
        "FeF3": cubic("FeF3", [[0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]]),
        "NaCl": bulk("NaCl", "rocksalt", a=5.6),
        "ZnS": bulk("ZnS", "zincblende", a=5.4),
        "LiSO4": sulfate,
        "FeSi": bulk("FeSi", "cesiumchloride", a=2.8),
        "MgH2": cubic("MgH2", [[0, 0, 0], [0.3, 0, 0], [0.7, 0, 0]]),
        "O2": Atoms("O2", positions=[[0, 0, 0], [0, 0, 1.2]], cell=[5] * 3, pbc=True),
    }  # fmt: skip


def by_pymatgen(atoms: Atoms) -> float:
    """What the scheme itself says of an entry with structure, run type and U as the rule has them."""
    symbols = set(atoms.get_chemical_symbols())
    with_u = symbols & set(HUBBARDS) if symbols & {"O", "F"} and len(symbols) > 1 else set()
    entry = ComputedStructureEntry(
        AseAtomsAdaptor.get_structure(atoms),
        -1.0,
        parameters={
            "run_type": "GGA+U" if with_u else "GGA",
            "hubbards": {symbol: HUBBARDS[symbol] for symbol in with_u},
        },
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = MaterialsProject2020Compatibility(check_potcar=False).process_entries([entry], clean=True)
    return float(found[0].correction)


def test_corrections_are_pymatgens_and_scale_with_the_cell() -> None:
    given = crystals()
    table = StructureTable.from_ase(given.items())
    found = mp2020_corrections(table)
    expected = [by_pymatgen(atoms) for atoms in given.values()]
    np.testing.assert_allclose(found.values, expected, rtol=0, atol=1e-10)
    assert found.values[0] == found.values[1] == found.values[-1] == 0  # metals and elements
    assert (np.array(expected) < 0).sum() >= 7
    assert found.terms[list(given).index("VO2")] == "oxide -0.687, V +U -1.700"
    assert found.terms[list(given).index("Li2O2")] == "peroxide -0.465"
    doubled = StructureTable.from_ase((name, atoms.repeat((2, 1, 1))) for name, atoms in given.items())
    np.testing.assert_allclose(mp2020_corrections(doubled).values, 2 * found.values, rtol=0, atol=1e-10)


def test_elements_that_are_corrected_are_pymatgens() -> None:
    scheme = MaterialsProject2020Compatibility(check_potcar=False)
    named = {name for name in scheme.comp_correction if name in chemical_symbols}
    assert set(CORRECTED_ELEMENTS) == named | set(scheme.u_corrections)


def test_elements_and_alloys_stand_beside_corrected_and_uncorrected_energies() -> None:
    """Elements of a file without corrections, which have none, with corrected crystals; alloys of another model."""
    elements = corrected_elements()
    elements = References(
        elements.ids, elements.compositions, elements.energy_per_atom, elements.source, {"mp": Theory("PBE")}
    )
    result = energies_above_hull(oxide(), elements, theory=Theory(MP), corrections="mp2020")
    expected = energies_above_hull(oxide(), corrected_elements(), theory=Theory(MP))
    assert result.table.columns["formation_energy"] == expected.table.columns["formation_energy"]
    alloy = StructureTable.from_ase([("V", bulk("V", a=3.1))])
    alloy.set_column("energy", [-8.9], "eV")
    found = energies_above_hull(alloy, corrected_elements(), theory=Theory("PBE"))
    assert found.table.columns["e_above_hull"].tolist() == pytest.approx([0.1])
    with pytest.raises(MixedTheoryError):
        energies_above_hull(alloy, corrected_elements(), theory=Theory("r2SCAN"))


@pytest.mark.parametrize("symbol", sorted(HUBBARDS))
def test_u_stands_beside_oxygen_and_fluorine_alone(symbol: str) -> None:
    for anion in ("O", "F"):
        assert run_type_of({symbol, anion}) == ("GGA+U", {symbol: HUBBARDS[symbol]})
        assert run_type_of({symbol, anion, "Li", "S"})[0] == "GGA+U"
    assert run_type_of({symbol, "S", "Cl"}) == ("GGA", {})
    assert run_type_of({"Ti", "Cu", "O"}) == ("GGA", {})


def corrected_elements() -> References:
    table = StructureTable.from_ase([("V", bulk("V")), ("O2", crystals()["O2"])])
    table.set_column("energy", [-9.0, -10.0], "eV")
    return References.of_structures(table, "mp", Theory(f"{MP}, corrected"))


def oxide() -> StructureTable:
    table = StructureTable.from_ase([("VO2", crystals()["VO2"])])
    table.set_column("energy", [-50.0], "eV")
    return table


def test_candidates_get_the_corrections_that_the_references_have() -> None:
    result = energies_above_hull(oxide(), corrected_elements(), theory=Theory(MP, ("a" * 64,)))
    correction = by_pymatgen(crystals()["VO2"])
    expected = (-50.0 + correction - 2 * -9.0 - 2 * -10.0) / 6
    columns = result.table.columns
    assert columns["formation_energy"].tolist() == pytest.approx([expected], abs=1e-10)
    assert columns["correction"].tolist() == pytest.approx([correction], abs=1e-10)
    assert (result.table.units["correction"], columns["hull_of"][0]) == ("eV", "energy + correction")
    assert columns["correction_terms"][0] == "oxide -0.687, V +U -1.700"
    assert result.summary["levels_of_theory"]["structures"] == f"{MP}, corrected"


@pytest.mark.parametrize("level", ["r2SCAN", "PBEsol", "PBE (OMat24)", "PBE"])
def test_other_levels_are_refused_with_the_reason(level: str) -> None:
    told = "fitted to the Materials Project's PBE and PBE.U, with its pseudopotentials and values of U"
    with pytest.raises(MixedTheoryError, match=told):
        energies_above_hull(oxide(), corrected_elements(), theory=Theory(level))
    forced = energies_above_hull(oxide(), corrected_elements(), theory=Theory(level), force_mixture=True)
    assert forced.table.columns["correction"].tolist() == [0.0]
    with pytest.raises(MixedTheoryError, match=told):
        energies_above_hull(oxide(), theory=Theory(level), corrections="mp2020")


def test_a_set_with_corrections_of_its_own_competes_with_them() -> None:
    """As pymatgen's entries are imported: `energy` as calculated, and `correction`."""
    table = oxide()
    table.set_column("correction", [-3.0], "eV")
    result = energies_above_hull(table, corrected_elements(), theory=Theory(MP))
    assert result.table.columns["formation_energy"][0] == pytest.approx((-53.0 + 18.0 + 20.0) / 6, abs=1e-10)
    assert result.table.columns["correction"].tolist() == [-3.0]


# Of WBM (Wang, Botti, Marques, npj Comput. Mater. 7, 12 (2021), CC-BY): atoms, energy and corrected energy (eV),
# corrected formation energy (eV/atom); and the lowest crystals of the elements (Materials Project, CC-BY), eV/atom
WBM = {
    "wbm-5-19374": ({"I": 2, "Sc": 2, "Te": 2}, -29.45579593, -31.05779593, -1.509703451),
    "wbm-1-38707": ({"Fe": 1, "O": 3}, -20.67250077, -24.98950077, -0.418899136),
    "wbm-5-7105": ({"Sr": 1, "W": 1, "F": 6}, -45.81912969, -53.02912969, -3.364079025),
    "wbm-1-32020": ({"Lu": 2, "N": 2}, -32.80957292, -33.53157292, -1.954170508),
    "wbm-1-50492": ({"S": 2, "Rh": 2, "Cl": 2}, -29.9935069, -32.2275069, -0.921486351),
    "wbm-1-12782": ({"Cr": 1, "Rh": 1}, -16.86525659, -16.86525659, 0.076049375),
    "wbm-1-55798": ({"Si": 1, "Fe": 1, "Ti": 1}, -22.76518965, -22.69418965, -0.301119464),
}
ELEMENTS = {
    "Cl": -1.84853666, "Cr": -9.65304747, "F": -1.9114789675, "Fe": -8.47002121, "I": -1.524012615,
    "Lu": -4.52095052, "N": -8.336494925, "O": -4.947961005, "Rh": -7.36430787, "S": -4.136449866875,
    "Sc": -6.332469105, "Si": -5.42531803, "Sr": -1.6894934533, "Te": -3.1433058933, "Ti": -7.8954920167,
    "W": -12.95813023,
}  # fmt: skip


def test_some_crystals_of_wbm_are_corrected_as_published(tmp_path: Path) -> None:
    """The atoms stand apart: O is not bonded to O and S has metals beside it, which is all that the scheme looks at."""
    cells = []
    for name, (formula, *_) in WBM.items():
        symbols = [symbol for symbol, count in formula.items() for _ in range(count)]
        if "S" in formula:
            symbols = ["S", "Rh", "Cl", "Cl", "Rh", "S"]
        places = [[2.5 * i, 2.5 * (i % 2), 0] for i in range(len(symbols))]
        cells.append((name, Atoms(symbols, positions=places, cell=[2.5 * len(symbols), 5, 4], pbc=True)))
    table = StructureTable.from_ase(cells)
    table.set_column("energy", [energy for _, energy, *_ in WBM.values()], "eV")
    path = tmp_path / "elements.json"
    path.write_text(
        json.dumps(
            [
                {"composition": {name: 1}, "energy": value, "entry_id": name}
                for name, value in ELEMENTS.items()
            ]
        )
    )
    references = read_references(path, level_of_theory=MP)
    columns = energies_above_hull(
        table, references, hull="references", theory=Theory(MP), corrections="mp2020"
    ).table.columns
    corrected = table.columns["energy"] + columns["correction"]
    np.testing.assert_allclose(corrected, [one[2] for one in WBM.values()], rtol=0, atol=1e-6)
    np.testing.assert_allclose(
        columns["formation_energy"], [one[3] for one in WBM.values()], rtol=0, atol=1e-6
    )


def test_wbm_is_corrected_as_published(shared_data: Path) -> None:
    with gzip.open(shared_data / "wbm-sample.json.gz", "rt") as text:
        raw: list[dict[str, Any]] = json.load(text)
    from pymatgen.core import Structure

    table = StructureTable.from_ase(
        (one["material_id"], Structure.from_dict(one["structure"]).to_ase_atoms()) for one in raw
    )
    table.set_column("energy", [one["energy"] for one in raw], "eV")
    found = mp2020_corrections(table)
    published = np.array([one["corrected_energy"] for one in raw])
    near = np.abs(table.columns["energy"] + found.values - published) / table.n_atoms < 1e-3
    # pymatgen of today finds no anion in two silicides that it corrected when WBM was published
    assert sorted(raw[row]["formula"] for row in np.flatnonzero(~near)) == ["ErCuSi2", "Eu3(Cu2Si)2"]

    references = read_references(
        shared_data / "mp-element-references.json.gz", level_of_theory=f"{MP}, corrected"
    )
    columns = energies_above_hull(table, references, hull="references", theory=Theory(MP)).table.columns
    formation = np.array([one["corrected_formation_energy_per_atom"] for one in raw])
    near = np.abs(columns["formation_energy"] - formation) < 1e-3
    assert sorted(raw[row]["formula"] for row in np.flatnonzero(~near)) == ["ErCuSi2", "Eu3(Cu2Si)2"]

    # the entries that submissions use are higher polymorphs of four elements
    others = read_references(shared_data / "benchmarks" / "mp-elemental-reference-entries.json.gz")
    per_element = dict(
        zip(others.compositions.numbers[:, 0].tolist(), others.energy_per_atom.tolist(), strict=True)
    )
    lowest: dict[int, float] = {}
    for number, energy in zip(
        references.compositions.numbers[:, 0].tolist(), references.energy_per_atom.tolist(), strict=True
    ):
        lowest[number] = min(energy, lowest.get(number, np.inf))
    apart = {number: per_element[number] - energy for number, energy in lowest.items()}
    assert {number: round(gap, 4) for number, gap in apart.items() if abs(gap) > 1e-4} == {
        8: 0.0013,
        35: 0.0839,
        53: 0.0506,
        83: 0.0495,
    }

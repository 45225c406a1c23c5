"""Hulls against pymatgen's PhaseDiagram, which finds them in one piece over all elements."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ase.data import atomic_numbers, chemical_symbols
from numpy.testing import assert_array_equal
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition, Structure

from aiida_pet.analysis.hull import lower_hull
from aiida_pet.analysis.hull.above_hull import HullResult, energies_above_hull
from aiida_pet.analysis.hull.compositions import Compositions
from aiida_pet.analysis.hull.levels_of_theory import MixedTheoryError, Theory
from aiida_pet.analysis.hull.phases import PhaseSet
from aiida_pet.analysis.hull.reference_files import read_references
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.filter import filter_frame
from aiida_pet.tables.frame import frame_of
from support.phases import element_rows, entries_of, phase_table, random_rows, references_of

TIGHT = {"rtol": 0, "atol": 1e-9}  # eV/atom


def products_of(result: HullResult, row: int) -> dict[str, float]:
    """Ids and amounts of what a row decomposes into: the text's ids, the column's amounts."""
    ids = re.findall(r"\(([^)]*)\)", str(result.table.columns["decomposition"][row]))
    amounts = result.table.columns["decomposition_amounts"][row]
    return dict(zip(ids, amounts[: len(ids)].tolist(), strict=True))


def without_composition(entries: list[PDEntry], entry: PDEntry) -> list[PDEntry]:
    """Entries of other compositions."""
    formula = entry.composition.reduced_formula
    return [e for e in entries if e.composition.reduced_formula != formula]


@pytest.mark.parametrize(
    ("elements", "count", "seed"),
    [("Mo Ta", 40, 0), ("Li Fe O", 60, 1), ("Li Fe P O", 120, 2), ("Na Mg Al Si P", 150, 3)],
    ids=["binary", "ternary", "quaternary", "quinary"],
)
def test_hull_of_everything_equals_pymatgen(elements: str, count: int, seed: int) -> None:
    rows = random_rows(np.random.default_rng(seed), elements, count)
    references = element_rows(elements)
    table = phase_table(rows)
    result = energies_above_hull(table, references_of(references))
    columns = result.table.columns
    entries = entries_of(table)
    diagram = PhaseDiagram([*entries_of(phase_table(references)), *entries])
    expected = [diagram.get_form_energy_per_atom(e) for e in entries]
    np.testing.assert_allclose(columns["formation_energy"], expected, **TIGHT)
    np.testing.assert_allclose(
        columns["e_above_hull"], [diagram.get_e_above_hull(e) for e in entries], **TIGHT
    )
    stable = {e.name for e in diagram.stable_entries}
    assert set(table.ids[columns["is_stable"]].tolist()) == stable - {name for name, *_ in references}
    for row, entry in enumerate(entries):
        expected = {e.name: amount for e, amount in diagram.get_decomposition(entry.composition).items()}
        found = products_of(result, row)
        assert found.keys() == expected.keys()
        np.testing.assert_allclose([found[name] for name in expected], list(expected.values()), **TIGHT)


@pytest.mark.parametrize("elements", ["Mo Ta", "Li Fe O", "Li Fe P O"])
def test_phase_separation_energy_equals_a_diagram_without_the_composition(elements: str) -> None:
    table = phase_table(element_rows(elements) + random_rows(np.random.default_rng(5), elements, 60))
    found = energies_above_hull(table).table.columns["phase_separation_energy"]
    entries = entries_of(table)
    diagram = PhaseDiagram(entries)
    stable = {e.composition.reduced_formula for e in diagram.stable_entries}
    assert (found < -1e-3).any()
    for row, entry in enumerate(entries):
        if entry.is_element or entry.composition.reduced_formula not in stable:
            expected = diagram.get_e_above_hull(entry)
        else:
            rest = PhaseDiagram(without_composition(entries, entry))
            expected = rest.get_decomp_and_e_above_hull(entry, allow_negative=True, check_stable=False)[1]
        assert found[row] == pytest.approx(expected, abs=1e-9)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # pymatgen's own is found by SLSQP, to 1e-8 in the amounts
            assert found[row] == pytest.approx(diagram.get_phase_separation_energy(entry), abs=1e-6)


def test_hull_of_references_gives_negative_energies_to_what_lies_below() -> None:
    rng = np.random.default_rng(7)
    references = element_rows("Li Fe P O") + random_rows(rng, "Li Fe P O", 60, "ref")
    table = phase_table(random_rows(rng, "Li Fe P O", 90))
    result = energies_above_hull(table, references_of(references), hull="references")
    diagram = PhaseDiagram(entries_of(phase_table(references)))
    expected = [
        diagram.get_decomp_and_e_above_hull(e, allow_negative=True, check_stable=False)[1]
        for e in entries_of(table)
    ]
    found = result.table.columns["e_above_hull"]
    np.testing.assert_allclose(found, expected, **TIGHT)
    assert (found < -1e-3).any()
    assert (found > 1e-3).any()
    np.testing.assert_array_equal(result.table.columns["is_stable"], found <= 1e-8)
    assert "phase_separation_energy" not in result.table.columns
    assert not any("x-" in text for text in result.table.columns["decomposition"].tolist())


def test_wbm_sample_against_materials_project_elements(shared_data: Path) -> None:
    import gzip
    import json

    references = read_references(shared_data / "mp-element-references.json.gz", level_of_theory="PBE, VASP")
    assert len(references.elements) == 88
    with gzip.open(shared_data / "wbm-sample.json.gz", "rt") as text:
        raw = json.load(text)
    structures = [Structure.from_dict(record["structure"]) for record in raw]
    table = StructureTable.from_ase(
        (record["material_id"], s.to_ase_atoms()) for record, s in zip(raw, structures, strict=True)
    )
    table.set_column("energy", [record["energy"] for record in raw], "eV")
    result = energies_above_hull(table, references, theory=Theory("VASP PBE"))
    published = [record["formation_energy_per_atom"] for record in raw]
    # as published, to the digits they give
    np.testing.assert_allclose(result.table.columns["formation_energy"], published, rtol=0, atol=1e-4)

    entries = [
        PDEntry(s.composition, record["energy"], name=record["material_id"])
        for record, s in zip(raw, structures, strict=True)
    ]
    symbols = [chemical_symbols[number] for number in references.compositions.numbers[:, 0].tolist()]
    pure = [
        PDEntry(Composition({symbol: 1}), energy)
        for symbol, energy in zip(symbols, references.energy_per_atom.tolist(), strict=True)
    ]
    spaces = [{element.symbol for element in entry.elements} for entry in entries]
    everything = [
        *zip([{symbol} for symbol in symbols], pure, strict=True),
        *zip(spaces, entries, strict=True),
    ]
    columns = result.table.columns
    for row, (space, entry) in enumerate(zip(spaces, entries, strict=True)):
        diagram = PhaseDiagram([other for elements, other in everything if elements <= space])
        assert columns["formation_energy"][row] == pytest.approx(
            diagram.get_form_energy_per_atom(entry), abs=1e-9
        )
        expected = diagram.get_e_above_hull(entry, check_stable=False)
        assert columns["e_above_hull"][row] == pytest.approx(expected, abs=1e-9)


def test_decomposition_reads_as_amounts_formulas_and_ids() -> None:
    rows = [("mo", {"Mo": 1}, -1.0), ("ta", {"Ta": 2}, -2.0), ("b2", {"Mo": 1, "Ta": 1}, -1.9)]
    rows += [("above", {"Mo": 3, "Ta": 1}, -1.3)]
    result = energies_above_hull(phase_table(rows))
    assert result.table.columns["decomposition"].tolist() == [
        "1.00 Mo (mo)",
        "1.00 Ta (ta)",
        "1.00 MoTa (b2)",
        "0.50 Mo (mo) + 0.50 MoTa (b2)",
    ]
    # -1.3 against the mean of -1.0 and -1.9
    assert result.table.columns["e_above_hull"][3] == pytest.approx(0.15, abs=1e-12)
    # -1.9 against what would be on the hull without it: two thirds Mo3Ta, one third Ta
    assert result.table.columns["phase_separation_energy"][2] == pytest.approx(
        -1.9 + (2 * 1.3 + 2) / 3, abs=1e-12
    )


def test_polymorphs_share_the_lowest_and_equal_energies_are_both_stable() -> None:
    rows = [("mo", {"Mo": 1}, -1.0), ("mo-fcc", {"Mo": 4}, -0.6), ("ta", {"Ta": 1}, -2.0)]
    rows += [(f"b2-{i}", {"Mo": i, "Ta": i}, -1.9) for i in (1, 2, 3)] + [("b32", {"Mo": 2, "Ta": 2}, -1.8)]
    columns = energies_above_hull(phase_table(rows)).table.columns
    np.testing.assert_allclose(columns["e_above_hull"], [0, 0.4, 0, 0, 0, 0, 0.1], rtol=0, atol=1e-12)
    assert columns["is_stable"].tolist() == [True, False, True, True, True, True, False]
    np.testing.assert_allclose(columns["phase_separation_energy"][3:], [-0.4, -0.4, -0.4, -0.3], atol=1e-12)
    assert columns["decomposition"][6] == "1.00 MoTa (b2-1)"


def test_flat_hulls_and_points_on_tie_lines_are_no_trouble() -> None:
    """Formation energies of zero, of almost zero, and compounds exactly on lines and planes between others."""
    base = element_rows("Li Fe O")
    mixtures = [{"Li": 1, "Fe": 1}, {"Fe": 1, "O": 1}, {"Li": 1, "Fe": 1, "O": 1}, {"Li": 2, "Fe": 1, "O": 1}]
    for depth in (0.0, 1e-12, 1e-6, 0.3):
        rows = [
            (
                f"{depth}-{i}",
                atoms,
                sum(n * -atomic_numbers[s] / 10 for s, n in atoms.items()) / sum(atoms.values()),
            )
            for i, atoms in enumerate(mixtures)
        ]
        binary = rows[0][2] - depth
        # the second stays, the third lies between the first and O, the fourth between the first and LiFeO's line
        rows[0] = (*rows[0][:2], binary)
        rows[2] = (*rows[2][:2], (2 * binary - 0.8) / 3)
        table = phase_table(base + rows)
        found = energies_above_hull(table).table.columns
        diagram = PhaseDiagram(entries_of(table))
        expected = [diagram.get_e_above_hull(e, check_stable=False) for e in entries_of(table)]
        np.testing.assert_allclose(found["e_above_hull"], expected, **TIGHT)


def test_linear_programs_agree_with_simplices(monkeypatch: pytest.MonkeyPatch) -> None:
    """What more than six elements are given, and simplices that fail: the same hull by another road."""
    rng = np.random.default_rng(11)
    table = phase_table(element_rows("Na Mg Al Si") + random_rows(rng, "Na Mg Al Si", 60))
    simplices = energies_above_hull(table).table.columns
    monkeypatch.setattr(lower_hull, "MAX_QHULL_ELEMENTS", 2)
    programs = energies_above_hull(table).table.columns
    for name in ("e_above_hull", "phase_separation_energy", "decomposition_amounts"):
        np.testing.assert_allclose(programs[name], simplices[name], **TIGHT)


def test_eight_elements_equal_pymatgen() -> None:
    elements = "Li Na K Mg Ca Al Si O"
    rng = np.random.default_rng(13)
    rows = [*random_rows(rng, "Li Mg Al O", 24), ("all", dict.fromkeys(elements.split(), 1), -0.9)]
    table = phase_table(element_rows(elements) + rows)
    entries = entries_of(table)
    diagram = PhaseDiagram(entries)
    np.testing.assert_allclose(
        energies_above_hull(table).table.columns["e_above_hull"],
        [diagram.get_e_above_hull(e) for e in entries],
        **TIGHT,
    )


def test_systems_are_worked_out_once_and_simplices_answer() -> None:
    table = phase_table(element_rows("Li Fe P O") + random_rows(np.random.default_rng(3), "Li Fe P O", 200))
    compositions = Compositions.of_table(table)
    phases = PhaseSet(compositions, table.columns["energy"] / table.n_atoms)
    systems, system_of = compositions.systems()
    for number, system in enumerate(systems):
        members = np.flatnonzero(system_of == number)
        phases.decompose(system, compositions.fractions_of(members)[:, : len(system)])
    assert phases.n_programs == 0


def test_rows_without_answer_stay_and_say_why() -> None:
    rows = [
        ("mo", {"Mo": 1}, -1.0),
        ("left", {"Mo": 2}, -9.0),
        ("nan", {"Mo": 3}, np.nan),
        ("cs", {"Mo": 1, "Cs": 1, "Fe": 1}, -1.0),
        ("empty", {}, 0.0),
    ]
    table = phase_table(rows, ["converged", "max_steps", "converged", "converged", "converged"])
    result = energies_above_hull(table)
    columns = result.table.columns
    assert columns["hull_status"].tolist() == [
        "ok",
        "not_converged",
        "no_energy",
        "no_reference",
        "no_energy",
    ]
    assert columns["hull_message"].tolist()[:2] == ["", "status max_steps: expected converged"]
    assert columns["hull_message"][3] == "no reference for Fe, Cs"
    assert np.isnan(columns["e_above_hull"]).tolist() == [False, True, True, True, True]
    assert np.isnan(columns["formation_energy"][1:]).all()
    assert_array_equal(columns["is_stable"], [1, np.nan, np.nan, np.nan, np.nan])
    assert frame_of(result.table)["is_stable"].tolist() == [True, pd.NA, pd.NA, pd.NA, pd.NA]
    assert filter_frame(frame_of(result.table), "not is_stable").empty
    assert result.summary["stable"] == 1
    assert result.table.ids.tolist() == table.ids.tolist()
    assert result.summary["missing_elements"] == ["Fe", "Cs"]
    assert (result.summary["no_reference"], result.summary["not_converged"]) == (1, 1)
    assert "no reference for Fe, Cs" in result.warnings


def test_rows_that_did_not_converge_make_no_hull() -> None:
    rows = [*element_rows("Mo Ta"), ("good", {"Mo": 1, "Ta": 1}, -6.0), ("bad", {"Mo": 1, "Ta": 1}, -60.0)]
    table = phase_table(rows, ["converged", "converged", "converged", "diverged"])
    assert_array_equal(energies_above_hull(table).table.columns["is_stable"], [1, 1, 1, np.nan])


def test_an_id_in_both_set_and_references_is_told_apart() -> None:
    references = references_of([("a", {"Mo": 1}, -1.0), ("b", {"Ta": 1}, -1.0)], label="mp")
    table = phase_table([("a", {"Mo": 1, "Ta": 1}, -0.5)])
    assert energies_above_hull(table, references).table.columns["decomposition"].tolist() == [
        "0.50 Mo (mp:a) + 0.50 Ta (b)"
    ]


@pytest.mark.parametrize(
    ("own", "other", "words"),
    [
        (Theory("r2SCAN"), Theory("PBE"), "structures is r2SCAN, but refs is PBE"),
        (Theory("PBE", ("a" * 64,)), Theory("PBE", ("b" * 64,)), f"model {'a' * 12}.*model {'b' * 12}"),
        (Theory("PBE", ("a" * 64, "b" * 64)), Theory("PBE"), "structures holds energies of 2 models"),
    ],
    ids=["levels", "models", "within"],
)
def test_mixed_levels_are_refused_unless_forced(own: Theory, other: Theory, words: str) -> None:
    references = references_of(element_rows("Mo Ta"))
    references.theories = {"refs": other}
    table = phase_table([("x", {"Mo": 1, "Ta": 1}, -6.0)])
    with pytest.raises(MixedTheoryError, match=words):
        energies_above_hull(table, references, theory=own)
    result = energies_above_hull(table, references, theory=own, force_mixture=True)
    assert result.warnings[0].startswith("different levels of theory are mixed, since force_mixture is set")
    assert np.isfinite(result.table.columns["e_above_hull"]).all()


def test_unknown_level_is_a_warning_and_a_column_is_read() -> None:
    references = references_of(element_rows("Mo Ta"), level="PBE, VASP")
    table = phase_table([("x", {"Mo": 1, "Ta": 1}, -6.0)])
    assert energies_above_hull(table, references).warnings == [
        "levels of theory were not compared, since they are not known for structures"
    ]
    table.set_column("level_of_theory", ["VASP (pbe)"])
    assert energies_above_hull(table, references).warnings == []
    table.set_column("level_of_theory", ["PBEsol, VASP"])
    with pytest.raises(MixedTheoryError, match="PBEsol"):
        energies_above_hull(table, references)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hull": "references"}, "hull = 'references' needs references"),
        ({"column": "energies"}, r"structures have no column 'energies' \(eV per cell\), only: energy"),
        ({"hull": "some"}, "'some' is not a valid HullKind"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        energies_above_hull(phase_table(element_rows("Mo")), **arguments)

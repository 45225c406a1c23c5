"""Hulls of what was relaxed under pressure: enthalpies, against pymatgen's PhaseDiagram of enthalpies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram

from aiida_pet.analysis.hull.above_hull import energies_above_hull
from aiida_pet.analysis.hull.competing import PressureError, competing_energies
from aiida_pet.analysis.hull.reference_files import read_references
from aiida_pet.analysis.hull.references import References
from aiida_pet.analysis.symmetry_breaking import combine
from aiida_pet.tables.crystals import StructureTable
from support.phases import entries_of, phase_table

# 1 eV/A^3 in GPa: CODATA's e / 1e-30 m^3
EV_PER_A3 = 160.2176634
ROWS = [
    ("Mo", {"Mo": 1}, -10.0),
    ("W", {"W": 1}, -12.0),
    ("MoW", {"Mo": 1, "W": 1}, -11.3),
    ("Mo3W", {"Mo": 3, "W": 1}, -10.6),
    ("MoW2", {"Mo": 1, "W": 2}, -11.5),
    ("dense", {"Mo": 1, "W": 1}, -11.1),
]
# A^3 per atom: the phase that is stable at 0 GPa takes more space than `dense`
VOLUMES = [15.8, 15.9, 17.0, 15.6, 15.7, 13.0]


def pressed(pressure: float, rows: slice = slice(None)) -> StructureTable:
    """The phases, with enthalpies at `pressure` GPa unless that is 0."""
    table = phase_table(ROWS[rows])
    volumes = np.array(VOLUMES[rows]) * table.n_atoms
    table.cells = np.eye(3) * np.cbrt(volumes)[:, None, None]
    if pressure:
        table.set_column("enthalpy", table.columns["energy"] + pressure / EV_PER_A3 * volumes, "eV")
    return table


@pytest.mark.parametrize("pressure", [0.0, 5.0, 60.0, -3.0])
def test_hull_is_that_of_enthalpies(pressure: float) -> None:
    table = pressed(pressure)
    result = energies_above_hull(table)
    competing = table.columns["enthalpy" if pressure else "energy"]
    entries = [
        PDEntry(entry.composition, energy)
        for entry, energy in zip(entries_of(table), competing.tolist(), strict=True)
    ]
    diagram = PhaseDiagram(entries)
    for row, entry in enumerate(entries):
        assert result.table.columns["e_above_hull"][row] == pytest.approx(
            diagram.get_e_above_hull(entry), abs=1e-9
        )
        assert result.table.columns["formation_energy"][row] == pytest.approx(
            diagram.get_form_energy_per_atom(entry), abs=1e-9
        )
    words = f"enthalpy at {pressure:g} GPa" if pressure else "energy"
    assert set(result.table.columns["hull_of"].tolist()) == {words}
    assert (result.summary["compared"], result.summary["pressure"]) == (
        words,
        pytest.approx(pressure, abs=1e-6),
    )
    stable = dict(zip(table.ids.tolist(), result.table.columns["is_stable"].tolist(), strict=True))
    assert (stable["MoW"], stable["dense"]) == ((False, True) if pressure >= 60 else (True, False))


def test_relaxed_references_compete_at_the_same_pressure_alone() -> None:
    table, elements = pressed(60.0, slice(2, None)), pressed(60.0, slice(0, 2))
    together = energies_above_hull(pressed(60.0)).table.columns["e_above_hull"][2:]
    found = energies_above_hull(table, References.of_structures(elements, "elements"))
    np.testing.assert_allclose(found.table.columns["e_above_hull"], together, atol=1e-12)
    for other, told in ((0.0, "energies at 0 GPa"), (30.0, "enthalpies at 30 GPa")):
        references = References.of_structures(pressed(other, slice(0, 2)), "elements")
        with pytest.raises(
            PressureError, match=f"have enthalpies at 60 GPa, but 2 of 2 references have {told}"
        ):
            energies_above_hull(table, references)
    with pytest.raises(PressureError, match=r"have energies at 0 GPa, but 2 of 2 .* enthalpies at 60 GPa"):
        energies_above_hull(pressed(0.0), References.of_structures(elements, "elements"))


def test_a_set_without_its_enthalpies_is_refused() -> None:
    with pytest.raises(PressureError, match="relaxed under 60 GPa and have no column 'enthalpy'"):
        energies_above_hull(pressed(0.0), pressure=60.0)


def test_enthalpies_of_two_pressures_are_refused() -> None:
    table = pressed(60.0)
    table.columns["enthalpy"][3] = pressed(30.0).columns["enthalpy"][3]
    with pytest.raises(PressureError, match="30 GPa for Mo3W and 60 GPa for most"):
        competing_energies(table, "structures")


def test_rows_without_an_enthalpy_are_not_judged_by_their_energy() -> None:
    table = pressed(60.0)
    table.columns["enthalpy"][3] = np.nan
    columns = energies_above_hull(table).table.columns
    assert columns["hull_status"].tolist() == ["ok", "ok", "ok", "no_energy", "ok", "ok"]
    assert columns["hull_message"][3].startswith("enthalpy nan eV of 4 atoms")


def test_phases_of_files_compete_if_each_states_its_enthalpy(tmp_path: Path) -> None:
    elements = pressed(60.0, slice(0, 2))
    entries: list[dict[str, Any]] = [
        {
            "entry_id": name,
            "composition": {name: 1},
            "energy": float(elements.columns["energy"][row]),
            "enthalpy": float(elements.columns["enthalpy"][row]),
            "pressure": 60.0,
        }
        for row, name in enumerate(("Mo", "W"))
    ]
    path = tmp_path / "pressed.json"
    path.write_text(json.dumps(entries))
    references = References.of_table(read_references(path).to_table())  # as it is stored
    found = energies_above_hull(pressed(60.0, slice(2, None)), references)
    expected = energies_above_hull(pressed(60.0)).table.columns["e_above_hull"][2:]
    np.testing.assert_allclose(found.table.columns["e_above_hull"], expected, atol=1e-12)
    del entries[1]["enthalpy"]
    path.write_text(json.dumps(entries))
    with pytest.raises(
        PressureError, match=r"1 of 2 references .* W of 'pressed'.*must state its `enthalpy`"
    ):
        energies_above_hull(pressed(60.0, slice(2, None)), read_references(path))


@pytest.mark.parametrize(("pressure", "stands"), [(0.0, "constrained"), (60.0, "free")])
def test_the_free_relaxation_stands_if_its_enthalpy_is_lower(pressure: float, stands: str) -> None:
    """Under pressure a denser crystal of higher energy is the better one."""
    tables = []
    for row in (2, 5):
        table = pressed(pressure, slice(row, row + 1))
        table.ids = np.array(["x"])
        table.set_column("status", ["converged"])
        tables.append(table)
    combined = combine(*tables, min_gain=0.001)
    assert combined.columns["relaxation"].tolist() == [stands]
    gain = -11.3 + 11.1 + pressure / EV_PER_A3 * (17.0 - 13.0)
    assert combined.columns["energy_gained"].tolist() == pytest.approx([gain], abs=1e-9)
    if pressure:
        del tables[1].columns["enthalpy"]
        with pytest.raises(PressureError, match="constrained relaxations have enthalpies at 60 GPa, but"):
            combine(*tables, min_gain=0.001)


def test_a_reference_in_fractions_does_not_compete_with_its_own_composition(tmp_path: Path) -> None:
    """Formula or fractions: what MoW is separated from is everything of another composition."""
    table = phase_table([("x", {"Mo": 1, "W": 1}, -11.8)])
    found = []
    for composition, size in (({"Mo": 0.5, "W": 0.5}, 1), ({"Mo": 1, "W": 1}, 2)):
        entries = [
            {"composition": {"Mo": 1}, "energy": -10.0, "entry_id": "Mo"},
            {"composition": {"W": 1}, "energy": -12.0, "entry_id": "W"},
            {"composition": composition, "energy": -11.7 * size, "entry_id": "known"},
        ]
        path = tmp_path / "refs.json"
        path.write_text(json.dumps(entries))
        columns = energies_above_hull(table, read_references(path)).table.columns
        found.append(float(columns["phase_separation_energy"][0]))
    assert found == pytest.approx([-0.8, -0.8], abs=1e-9)

"""The spread of a distance to the hull over members of an ensemble, against a hull of each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from aiida_pet.analysis.hull.above_hull import energies_above_hull
from aiida_pet.analysis.hull.references import References
from aiida_pet.tables.crystals import StructureTable
from support.phases import element_rows, phase_table, random_rows

MEMBERS = 7


def with_members(table: StructureTable, seed: int, shift_per_atom: float = 0.0) -> StructureTable:
    """Return `table` with an ensemble of energies: noise of 20 meV/atom, and a shift that all atoms share."""
    rng = np.random.default_rng(seed)
    energy, sizes = table.columns["energy"], table.n_atoms
    noise = 0.02 * rng.normal(size=(len(table), MEMBERS)) * sizes[:, None]
    shared = shift_per_atom * np.arange(MEMBERS) * sizes[:, None]
    columns = table.columns | {"ensemble": energy[:, None] + noise + shared}
    return replace(table, columns=columns)


def member(table: StructureTable, number: int) -> StructureTable:
    columns = {name: values for name, values in table.columns.items() if name != "ensemble"}
    return replace(table, columns=columns | {"energy": table.columns["ensemble"][:, number]})


@pytest.mark.parametrize("hull", ["all", "references"])
def test_spread_is_that_of_a_hull_per_member(hull: str) -> None:
    elements = "Li Fe O"
    rows = with_members(phase_table(random_rows(np.random.default_rng(4), elements, 40)), 1)
    others = with_members(phase_table(element_rows(elements)), 2)
    found = energies_above_hull(
        rows, References.of_structures(others, "elements"), hull=hull, stability_threshold=0.05
    ).table
    alone = np.stack(
        [
            energies_above_hull(
                member(rows, k), References.of_structures(member(others, k), "elements"), hull=hull
            ).table.columns["e_above_hull"]
            for k in range(MEMBERS)
        ]
    )
    np.testing.assert_allclose(found.columns["e_above_hull_std"], alone.std(axis=0, ddof=1), atol=1e-9)
    np.testing.assert_allclose(found.columns["p_stable"], (alone <= 0.05).mean(axis=0), atol=1e-9)
    assert found.units["e_above_hull_std"] == "eV/atom"
    assert 0 < found.columns["p_stable"].mean() < 1


def test_what_all_crystals_share_cancels() -> None:
    elements = "Mo Ta"
    plain = phase_table(random_rows(np.random.default_rng(0), elements, 20))
    pure = phase_table(element_rows(elements))
    same = [with_members(table, seed, shift_per_atom=0.5) for seed, table in ((1, plain), (2, pure))]
    spread = energies_above_hull(same[0], References.of_structures(same[1], "elements")).table
    assert spread.columns["e_above_hull_std"].max() < 0.1  # the members differ by up to 3 eV/atom
    sure = energies_above_hull(same[0], References.of_structures(pure, "elements"), hull="references").table
    assert sure.columns["e_above_hull_std"].min() > 0.5


def test_rows_without_an_answer_have_none_and_tables_without_members_no_columns() -> None:
    rows = with_members(phase_table(random_rows(np.random.default_rng(0), "Mo Ta", 5)), 1)
    rows.set_column("status", np.array(["converged"] * 4 + ["diverged"]))
    pure = References.of_structures(phase_table(element_rows("Mo Ta")), "elements")
    found = energies_above_hull(rows, pure).table.columns
    assert np.isnan(found["e_above_hull_std"][4])
    assert np.isfinite(found["p_stable"][:4]).all()
    assert "p_stable" not in energies_above_hull(member(rows, 0), pure).table.columns

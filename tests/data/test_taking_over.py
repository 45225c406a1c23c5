"""Random campaigns of random interruptions, without AiiDA: no row stands for a crystal that it was not computed of."""

from __future__ import annotations

import os

import numpy as np
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_pet.data.merging import DONE, merged
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.fingerprints import InputColumns, compare, fingerprints_of

READS = InputColumns(rows=("charge",), atoms=("fixed_scaled",))
LEFT = "left"


def crystals(ids: list[str], versions: list[int]) -> StructureTable:
    """Return crystals; each version of a row is another in one respect: an atom, the cell, a column."""
    table = StructureTable.from_ase(
        (name, Atoms("W2", [[0, 0, 0], [1.5, 1.5, 1.5 + 0.01 * (version % 5)]], cell=3 * np.eye(3), pbc=True))
        for name, version in zip(ids, versions, strict=True)
    )
    table.set_column("charge", [float(version // 5 % 2) for version in versions])
    held = np.zeros((2 * len(ids), 3), bool)
    held[::2, 0] = [version // 10 % 2 == 1 for version in versions]
    table.atom_columns["fixed_scaled"] = held
    return table


def computed(rows: StructureTable) -> StructureTable:
    """Return the rows as an engine leaves them: the answer depends on all that it reads."""
    held = rows.atom_columns["fixed_scaled"].reshape(len(rows), -1).any(axis=1)
    answer = rows.positions[1::2, 2] + 10 * rows.columns["charge"] + 100 * held
    result = StructureTable(
        ids=rows.ids,
        numbers=rows.numbers,
        positions=rows.positions,
        cells=rows.cells,
        pbc=rows.pbc,
        offsets=rows.offsets,
    )
    result.set_column("status", np.full(len(rows), "converged"))
    result.set_column("answer", answer)
    return result


@settings(
    max_examples=int(os.environ.get("AIIDA_PET_EXAMPLES", "60")),
    deadline=None,
    derandomize="AIIDA_PET_EXAMPLES" not in os.environ,
)
@given(data=st.data(), ids=st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=8, unique=True))
def test_rows_that_are_taken_over_are_those_of_an_undisturbed_run(
    data: st.DataObject, ids: list[str]
) -> None:
    # an id that numpy cuts is another id
    ids = [name for name in ids if np.array([name])[0] == name] or ["a"]
    tables: dict[str, tuple[StructureTable, np.ndarray]] = {}
    for launch in range(data.draw(st.integers(1, 4), label="launches")):
        versions = data.draw(
            st.lists(st.integers(0, 19), min_size=len(ids), max_size=len(ids)), label="versions"
        )
        chosen = data.draw(st.lists(st.booleans(), min_size=len(ids), max_size=len(ids)), label="asked for")
        wanted = [place for place, one in enumerate(chosen) if one] or [0]
        structures = crystals(ids, versions).take(wanted)
        fingerprints = fingerprints_of(structures, READS)
        parts, left = {}, np.ones(len(structures), bool)
        for name, (table, known) in tables.items():
            taken = compare(structures.ids, fingerprints, table.ids, known)
            if len(taken.same):
                parts[f"{DONE}{name}"] = table.take(taken.same)
                left &= ~np.isin(structures.ids, table.ids[taken.same])
        finished = [
            row for row in np.flatnonzero(left).tolist() if data.draw(st.booleans(), label="finished")
        ]
        if finished:
            done = structures.take(finished)
            parts["job"] = computed(done)
            tables[f"job_{launch}"] = (parts["job"], fingerprints_of(done, READS))
        if not parts:
            continue
        result = merged(structures, parts)
        truth = computed(structures)
        assert result.ids.tolist() == structures.ids.tolist()
        answered = result.columns["status"] == "converged"
        assert answered.tolist() == (~left | np.isin(np.arange(len(left)), finished)).tolist()
        assert np.array_equal(result.columns["answer"][answered], truth.columns["answer"][answered])
        assert set(result.columns["status"][~answered].tolist()) <= {LEFT}

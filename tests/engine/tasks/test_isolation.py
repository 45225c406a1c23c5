"""Bad rows of every kind in one batch: each ends with its own status, and the others do not notice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import ase.build
import numpy as np
import pytest
import torch
from ase import Atoms

from aiida_pet.engine.tasks.relax import Relax
from aiida_pet.job.parameters import Task, parse_parameters
from aiida_pet.tables.crystals import StructureTable

PARAMETERS = {"max_steps": 8, "symprecs": [], "volume_ratio_max": 1.5, "force_cap": 100.0}
N_GOOD = 190

# rows of 5 to 8 atoms are those that the model is made to lead astray; all others have fewer
NOT_FINITE, SWELLS, TORN, COLLIDES = 5, 6, 7, 8

# kind -> status, what the message says
ENDS = {
    "unknown element": ("unsupported_element", "the model does not know Cu: it knows 4 elements"),
    "overlap": (
        "invalid_geometry",
        "atoms 0 (Mo) and 1 (Mo) are 0.3 A apart, closer than min_distance = 0.5 A",
    ),
    "no volume": ("invalid_geometry", "the periodic lattice vectors span no volume"),
    "nan position": ("invalid_geometry", "position of atom 1 is not finite: nan"),
    "infinite cell": ("invalid_geometry", "cell is not finite"),
    "no atoms": ("invalid_geometry", "no atoms"),
    "not periodic": ("invalid_geometry", "periodic in all directions, but pbc is TTF"),
    "nan from the model": (
        "diverged",
        "the model gives no finite number at step 2: energy nan eV, force nan eV/A",
    ),
    "swells": ("diverged", "the volume would change by a factor of 1."),
    "torn": ("diverged", "at step 0 force 1e+03 eV/A exceeds force_cap = 100 eV/A"),
    "collides": ("diverged", "two atoms would come within 0."),
}


def bad_rows() -> StructureTable:
    good = ase.build.bulk("Mo", cubic=True)
    rows = {name: good.copy() for name in ENDS}
    rows["unknown element"].numbers[1] = 29
    rows["overlap"].positions[1] = [0, 0, 0.3]
    rows["no volume"].set_cell([[3, 0, 0], [0, 3, 0], [3, 3, 0]])
    rows["nan position"].positions[1] = np.nan
    rows["infinite cell"].cell[0, 0] = np.inf
    rows["no atoms"] = Atoms(cell=3 * np.eye(3), pbc=True)
    rows["not periodic"].pbc = (True, True, False)
    for name, n_atoms in (
        ("nan from the model", NOT_FINITE), ("swells", SWELLS), ("torn", TORN), ("collides", COLLIDES)
    ):  # fmt: skip
        rows[name] = ase.build.bulk("Mo", a=3.15) * (n_atoms, 1, 1)
    rows["collides"].positions[1] = rows["collides"].positions[0] + [0.9, 0, 0]
    return StructureTable.from_ase(rows.items())


def good_rows() -> StructureTable:
    rng = np.random.default_rng(11)

    def crystals() -> Iterator[tuple[str, Atoms]]:
        for i in range(N_GOOD):
            atoms = ase.build.bulk("Mo", a=rng.uniform(3.0, 3.4)) * (1 + i % 4, 1, 1)
            atoms.numbers = rng.choice([41, 42, 73, 74], len(atoms))
            atoms.rattle(0.05, rng=rng)
            yield f"good-{i}", atoms

    return StructureTable.from_ase(crystals())


def astray(pet: Any) -> Any:
    """Let ``pet`` lead rows of 5 to 8 atoms astray, each in its own way."""
    evaluate: Callable[..., Any] = pet.evaluate
    steps = 0

    def with_faults(batch: Any, *rest: Any) -> Any:
        nonlocal steps
        answer = evaluate(batch, *rest)
        energy, forces, stress = answer.energy.clone(), answer.forces.clone(), answer.stress.clone()
        for place, n_atoms in enumerate(batch.n_atoms.tolist()):
            atoms = batch.atoms_of(torch.tensor([place]))
            if n_atoms == NOT_FINITE and steps == 2:
                energy[place], forces[atoms], stress[place] = torch.nan, torch.nan, torch.nan
            elif n_atoms == SWELLS:
                forces[atoms], stress[place] = 0.0, -torch.eye(3, dtype=torch.float64)
            elif n_atoms == TORN:
                forces[atoms[0], 0] = 1000.0
            elif n_atoms == COLLIDES:
                forces[atoms], stress[place] = 0.0, 0.0
                forces[atoms[:2], 0] = torch.tensor([20.0, -20.0], dtype=torch.float64)
        steps += 1
        return replace(answer, energy=energy, forces=forces, stress=stress)

    pet.evaluate = with_faults
    return pet


def relax(table: StructureTable, model: Any) -> StructureTable:
    finished: list[StructureTable] = []
    driver = Relax(table, model, parse_parameters(Task.RELAX, PARAMETERS), finished=finished.append)
    assert driver.run()
    assert driver.counters.steps == PARAMETERS["max_steps"] + 1, "not all rows were in one batch"
    return StructureTable.concatenate(finished).select(table.ids)


@pytest.fixture(scope="module")
def ended(request: pytest.FixtureRequest, model_file: Any) -> tuple[StructureTable, StructureTable]:
    """The good rows by themselves, and all rows together, as they ended."""
    from aiida_pet.engine.model.pet import BatchedPet, load_model

    def pet() -> Any:
        # one batch: all rows are in flight at once
        return astray(BatchedPet(load_model(*model_file), max_tokens=20_000.0))

    good, bad = good_rows(), bad_rows()
    rng = np.random.default_rng(0)
    mixed = StructureTable.concatenate([good, bad])
    return relax(good, pet()), relax(mixed.take(rng.permutation(len(mixed))), pet())


@pytest.mark.parametrize("kind", ENDS)
def test_bad_row_ends_with_its_own_status_and_reason(ended, kind):
    _, together = ended
    row = together.index(kind)
    status, reason = ENDS[kind]
    assert together.columns["status"][row] == status
    assert reason in together.columns["message"][row]


def test_rows_that_diverge_keep_their_last_good_geometry(ended):
    _, together = ended
    given = bad_rows()
    for kind in ("nan from the model", "swells", "torn", "collides"):
        row = together.index(kind)
        positions = together.positions[together.atoms_of(row)]
        assert np.isfinite(positions).all()
        ratio = together.columns["volume"][row] / given.volumes()[given.index(kind)]
        assert 1 / 1.5 < ratio < 1.5
        atoms = together.get_ase(kind)
        distances = atoms.get_all_distances(mic=True) + 9 * np.eye(len(atoms))
        assert distances.min() > 0.5
    # and it did move before
    collides = together.get_ase("collides")
    assert collides.get_distance(0, 1, mic=True) < 0.8


def test_other_rows_match_a_run_without_the_bad_ones(ended):
    alone, together = ended
    among_bad = together.select(alone.ids)
    assert len(alone) == N_GOOD
    assert (alone.columns["n_steps"] > 0).all()
    for name in ("status", "message", "n_steps"):
        assert (among_bad.columns[name] == alone.columns[name]).all()
    for name in ("energy", "stress", "fmax", "volume"):
        np.testing.assert_allclose(
            among_bad.columns[name], alone.columns[name], atol=1e-10, rtol=0, err_msg=name
        )
    np.testing.assert_allclose(among_bad.positions, alone.positions, atol=1e-10, rtol=0)
    np.testing.assert_allclose(among_bad.cells, alone.cells, atol=1e-10, rtol=0)
    np.testing.assert_allclose(
        among_bad.atom_columns["forces"], alone.atom_columns["forces"], atol=1e-10, rtol=0
    )

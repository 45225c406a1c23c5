"""LAMBench's protocol for drifts: crystals, velocities, score, and its systems that the model does not know."""

from __future__ import annotations

from typing import Any

import ase
import numpy as np
import pytest
from ase.data import chemical_symbols
from ase.units import kB

from aiida_pet.engine.model.pet import make_model
from aiida_pet.engine.tasks.md import Dynamics
from aiida_pet.job.parameters import parse_parameters
from aiida_pet.job.tasks import Task
from aiida_pet.models import embedded_card, embedded_path
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.units import FEMTOSECOND
from benchmarks.nve import EVERY, known_crystals, parameters_for, score_of, with_velocities

LAMBENCH = (
    "Gd2Ni2Si4",
    "BaNiO5Tm2",
    "NdPd3",
    "BaNi2O8V2",
    "CH3N5S",
    "C3H5N2",
    "C4H7NO",
    "Cs8N2",
    "H2Al32Cr48Mn16N2O",
)
"""Formulas of the nine systems of LAMBench."""


def test_ten_crystals_are_of_the_elements_of_a_model() -> None:
    for elements in (list(embedded_card()["elements"]), [41, 42, 73, 74], list(range(1, 90))):
        table = known_crystals(elements)
        assert len(set(table.ids.tolist())) == 10
        assert set(table.numbers.tolist()) <= set(elements)


def test_velocities_have_no_momentum_and_about_the_temperature() -> None:
    table = with_velocities(known_crystals([41, 42, 73, 74]))
    masses = ase.data.atomic_masses[table.numbers][:, None]
    velocities = table.atom_columns["velocities"] / FEMTOSECOND
    kinetic = 0.0
    for row in range(len(table)):
        mine = table.atoms_of(row)
        momentum = (masses[mine] * velocities[mine]).sum(axis=0)
        assert np.abs(momentum).max() < 1e-10 * np.abs(masses[mine] * velocities[mine]).max()
        kinetic += 0.5 * float((masses[mine] * velocities[mine] ** 2).sum())
    # of two atoms three degrees of freedom are left, less rotations: a draw of some twenty in all
    assert 50.0 < 2.0 * kinetic / (3.0 * len(table) * kB) < 700.0


def test_first_fifth_is_left_out() -> None:
    parameters: Any = parse_parameters(Task.MD, parameters_for(10_000))
    assert (parameters.steps_before, parameters.steps, parameters.sample_every) == (2000, 8000, EVERY)


def test_score_is_that_of_lambench() -> None:
    assert score_of([5e-4, 1e-9]) == 0.0
    assert score_of([5e-2, None]) == pytest.approx((2.0 + 5.0) / 2)


def test_unknown_drift_has_no_score() -> None:
    """The drift of a run that is too short for a line is NaN, which must not count as none at all."""
    assert np.isnan(score_of([1e-9, float("nan")]))


def test_systems_of_lambench_are_refused_row_by_row() -> None:
    """None is within the elements of the model that ships: each row names those of its own that are not known."""
    crystals = []
    for formula in LAMBENCH:
        atoms = ase.Atoms(formula)
        atoms.positions = np.random.default_rng(0).normal(size=(len(atoms), 3), scale=9.0)
        crystals.append((formula, atoms))
    table = StructureTable.from_ase([*crystals, ("W", known_crystals([74, 73, 42, 41]).ase_at(0))])
    finished: list[StructureTable] = []
    parameters = parse_parameters(Task.MD, parameters_for(10))
    model = make_model(embedded_path(), embedded_card()["sha256"])
    Dynamics(with_velocities(table), model, parameters, finished=finished.append).run()
    found = StructureTable.concatenate(finished).select(table.ids)
    assert found.columns["status"].tolist() == ["unsupported_element"] * 9 + ["converged"]
    known = set(embedded_card()["elements"])
    for row in range(9):
        message = str(found.columns["message"][row])
        named = set(message.partition("does not know ")[2].partition(":")[0].replace(",", " ").split()) - {
            "and"
        }
        unknown = set(table.numbers[table.atoms_of(row)].tolist()) - known
        assert named == {chemical_symbols[number] for number in unknown}, message

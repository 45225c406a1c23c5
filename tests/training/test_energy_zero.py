"""Whether energies have the zero of the model that a training begins with."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_pet.tables.crystals import StructureTable
from aiida_pet.training.energy_zero import check_energies, check_zero
from aiida_pet.training.parameters import TrainingError, parse_training
from aiida_pet.training.prepare import Prepared, prepare
from support.labelled_crystals import TINY, labelled

OF_ELEMENTS = {29: -3.7, 79: -3.2}  # eV


def _with_energies_near(values: dict[int, float], off: float = 0.0) -> Prepared:
    """Return rows whose energies are `off` eV/atom above the sum of `values`, some more and some less."""
    table = labelled()
    sums = [sum(values[z] for z in _numbers(table, row)) for row in range(len(table))]
    noise = np.random.default_rng(0).normal(0, 0.5, len(table))
    table.columns["input_energy"] = np.array(sums) + (off + noise) * np.diff(table.offsets)
    del table.atom_columns["input_forces"]
    del table.columns["input_stress"]
    return prepare({"training": table}, parse_training(TINY))


def _numbers(table: StructureTable, row: int) -> list[int]:
    return table.numbers[table.offsets[row] : table.offsets[row + 1]].tolist()


@pytest.mark.parametrize("off", [0.0, 1.5, -1.5])
def test_energies_near_those_of_the_elements_are_taken(off: float) -> None:
    check_energies(_with_energies_near(OF_ELEMENTS, off), OF_ELEMENTS)


@pytest.mark.parametrize(
    ("zero", "told"),
    [
        ({29: 4.0, 79: 4.0}, "above"),  # cohesive energies of the wrong sign, or free atoms
        ({29: -45_000.0, 79: -520_000.0}, "below"),  # all electrons
    ],
)
def test_energies_of_another_zero_are_refused_with_the_remedy(zero: dict[int, float], told: str) -> None:
    with pytest.raises(TrainingError, match=rf"eV/atom {told} what the model expects.*\(variant=NAME\)"):
        check_energies(_with_energies_near(zero), OF_ELEMENTS)


def test_elements_that_the_model_does_not_say_are_not_judged() -> None:
    check_energies(_with_energies_near({29: 400.0, 79: 400.0}), {})
    check_energies(_with_energies_near({29: -3.7, 79: 400.0}), {29: -3.7})


def test_energies_of_elements_of_the_model_that_ships_are_compared() -> None:
    pytest.importorskip("torch")
    from ase.build import bulk

    from aiida_pet.models import embedded_card, embedded_path

    card = embedded_card()
    items = [(f"{i}", bulk("W", "bcc", a=3.10 + 0.01 * i)) for i in range(24)]
    table = StructureTable.from_ase(items)
    table.set_column("input_energy", np.full(24, -12.9))  # PBE, eV
    options = {name: value for name, value in TINY.items() if name not in ("group", "report_by")}
    model = (embedded_path(), card["sha256"])
    check_zero(prepare({"training": table}, parse_training(options)), parse_training(options), *model)
    table.set_column("input_energy", np.full(24, 0.1))  # a formation energy
    prepared = prepare({"training": table}, parse_training(options))
    with pytest.raises(TrainingError, match="another zero"):
        check_zero(prepared, parse_training(options), *model)
    check_zero(prepared, parse_training(options | {"variant": "formation"}), *model)
    check_zero(prepared, parse_training(options | {"inherit_heads": False}), *model)

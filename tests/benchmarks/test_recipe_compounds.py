"""More frames for the model that ships: the prototypes are what their names say, and labels are those of the frame."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import spglib
from ase import Atoms
from ase.calculators.emt import EMT
from ase.io import write
from ase.neighborlist import neighbor_list

from benchmarks.recipe.compounds import (
    PROTOTYPES,
    STRONGEST_FORCE,
    compounds,
    formulas,
    frames,
    prototype,
    reduced,
    ternary,
    touching,
)

FORMULAS = {
    "rocksalt": "ClNa", "zincblende": "ClNa", "wurtzite": "ClNa", "cscl": "ClNa", "nias": "ClNa", "wc": "ClNa",
    "fluorite": "Cl2Na", "antifluorite": "ClNa2", "rutile": "Cl2Na", "cdi2": "Cl2Na", "pyrite": "Cl2Na",
    "alb2": "Cl2Na", "cuprite": "ClNa2", "mosi2": "Cl2Na", "reo3": "Cl3Na", "d03": "ClNa3", "corundum": "Cl3Na2",
}  # fmt: skip


@pytest.mark.parametrize("name", PROTOTYPES)
def test_prototype_has_its_space_group_and_formula(name):
    atoms = touching(prototype(name, "Na", "Cl"))
    found = spglib.get_symmetry_dataset(
        (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers), symprec=1e-4
    )
    assert found.international.replace("_", "") == PROTOTYPES[name][1].replace("_", "")
    assert reduced(atoms) == FORMULAS[name]


@pytest.mark.parametrize(("kind", "formula"), [("perovskite", "CaO3Ti"), ("antiperovskite", "CaOTi3")])
def test_perovskites_have_three_of_the_last_site(kind, formula):
    assert reduced(touching(ternary("Ca", "Ti", "O", kind))) == formula


def test_closest_atoms_nearly_touch():
    atoms = touching(prototype("rocksalt", "Na", "Cl"))
    assert min(neighbor_list("d", atoms, 5.0)) == pytest.approx(1.03 * (1.66 + 1.02))


def test_formulas_to_judge_by_are_avoided(tmp_path):
    random = np.random.default_rng(7)
    drawn = [reduced(atoms) for _, atoms in compounds(random, 30, frozenset())]
    (tmp_path / "known.json").write_text(json.dumps([{"formula": drawn[0]}]))
    write(tmp_path / "known.xyz", Atoms(drawn[1]).repeat(1))
    avoid = formulas([tmp_path / "known.json", Path(tmp_path / "known.xyz")])
    assert avoid == set(drawn[:2])
    again = [reduced(atoms) for _, atoms in compounds(np.random.default_rng(7), 30, avoid)]
    assert not avoid & set(again)
    assert again[0] == next(formula for formula in drawn if formula not in avoid)


def test_labels_are_those_of_the_frame():
    random = np.random.default_rng(3)
    atoms = touching(prototype("cscl", "Cu", "Al"))
    found = list(frames(atoms, EMT(), random))
    assert [frame.info["step"] for frame in found][-3:] == [99, 99, 99]
    assert {2, 5, 9} <= {frame.info["step"] for frame in found}
    for frame in found:
        alone = frame.copy()
        alone.calc = EMT()
        assert frame.info["energy"] == pytest.approx(alone.get_potential_energy())
        assert frame.arrays["forces"] == pytest.approx(alone.get_forces())
        assert np.abs(frame.arrays["forces"]).max() < STRONGEST_FORCE
    relaxed, only_volume = found[-4], found[-1]
    assert only_volume.get_volume() / len(only_volume) == pytest.approx(relaxed.get_volume() / 2, rel=0.1)
    assert np.abs(only_volume.arrays["forces"]).max() < 1e-3

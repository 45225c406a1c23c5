"""Frames where a model now stands: which crystals are drawn, and what is written of each."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra `engine`")

from ase.build import bulk
from ase.neighborlist import neighbor_list

from benchmarks.model_check.engine import Model
from benchmarks.recipe.compounds import reduced
from benchmarks.recipe.on_policy import ALLOYED, ELEMENTS, MOST_ATOMS, STEPS, STRAINS, Crystals, frames_of
from tests.support.small_model import small_model


@pytest.fixture(scope="module")
def drawn() -> list:
    crystals = Crystals(np.random.default_rng(5), frozenset())
    return [crystals.draw() for _ in range(150)]


def test_crystals_of_all_kinds_are_drawn_with_known_elements(drawn: list) -> None:
    assert len(ELEMENTS) == 27
    kinds = Counter(kind for kind, _ in drawn)
    assert set(kinds) == {"prototype", "compound", "mixed", "element", "alloy"}
    assert kinds["prototype"] > kinds["element"]
    for kind, atoms in drawn:
        assert len(atoms) <= MOST_ATOMS
        assert set(atoms.symbols) <= set(ELEMENTS)
        if kind == "element":
            assert len(set(atoms.symbols)) == 1
        if kind == "mixed":
            assert len(set(atoms.symbols)) == 3
        if kind == "alloy":
            assert 2 <= len(set(atoms.symbols)) <= 4
            assert set(atoms.symbols) <= set(ALLOYED)


def test_closest_atoms_nearly_touch(drawn: list) -> None:
    for _, atoms in drawn[:30]:
        assert 0.9 < min(neighbor_list("d", atoms, 8.0)) < 4.5


def test_formulas_to_judge_by_are_left_out(drawn: list) -> None:
    avoid = frozenset(reduced(atoms) for _, atoms in drawn[:50])
    crystals = Crystals(np.random.default_rng(5), avoid)
    assert not avoid & {reduced(crystals.draw()[1]) for _ in range(50)}


def test_a_crystal_is_written_on_its_way_and_disturbed() -> None:
    path, sha256 = small_model()
    crystals = [("element", bulk("Mo", a=3.0)), ("element", bulk("W", a=3.6))]
    frames = frames_of(Model(path, sha256), crystals, np.random.default_rng(1))
    steps = {number: [f.info["step"] for f in frames if f.info["base"] == number] for number in (0, 1)}
    assert steps == {0: [*STEPS, 99, 99], 1: [*STEPS, 99, 99]}
    volumes = [frame.get_volume() / len(frame) for frame in frames if frame.info["base"] == 0]
    assert volumes[0] > 3.0**3 / 2 + 1.0
    assert volumes[2] == pytest.approx(15.8, abs=0.6)  # the volume of the model
    assert len(set(np.round(volumes[2:], 6))) == 3


def test_strained_frames_are_sheared_and_their_atoms_only_follow() -> None:
    path, sha256 = small_model()
    crystals = [("element", bulk("Mo", a=3.15))]
    random = np.random.default_rng(1)
    frames = frames_of(
        Model(path, sha256), crystals, random, steps=(3,), disturbed_frames=0, strained_frames=2
    )
    assert [frame.info["step"] for frame in frames] == [3, 98, 98]
    for frame in frames[1:]:
        gradient = np.linalg.solve(frames[0].cell.array, frame.cell.array)
        strain = gradient - np.eye(3)
        np.testing.assert_allclose(strain, strain.T, atol=1e-12)
        assert STRAINS[0] <= np.linalg.norm(strain) <= STRAINS[1]
        shear = strain - np.trace(strain) / 3 * np.eye(3)
        assert np.linalg.norm(shear) > 0.9 * np.linalg.norm(strain)
        np.testing.assert_allclose(
            frame.get_scaled_positions(wrap=False), frames[0].get_scaled_positions(wrap=False), atol=1e-9
        )


def test_the_size_of_crystals_can_be_bounded() -> None:
    crystals = Crystals(np.random.default_rng(5), frozenset(), most_atoms=3)
    assert max(len(crystals.draw()[1]) for _ in range(40)) <= 3

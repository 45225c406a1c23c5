"""Models of random weights: the same each time, and with all that a published one may have."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")


def test_tiny_models_are_the_same_each_time_and_small() -> None:
    from aiida_pet.testing.models import ELEMENTS, FLAVOURS, tiny_pet

    first, second = tiny_pet(), tiny_pet()
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert sum(parameter.numel() for parameter in first.parameters()) < 50_000
    assert first.atomic_types == list(ELEMENTS)
    assert {"energy", "non_conservative_force", "non_conservative_stress"} <= set(first.dataset_info.targets)
    assert set(FLAVOURS) == {"fixed", "grid", "solver", "old"}

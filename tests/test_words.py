"""Numbers and names in words."""

from __future__ import annotations

import pytest

from aiida_pet.words import plural


@pytest.mark.parametrize(
    ("noun", "told"),
    [
        ("epoch", "2 epochs"),
        ("first epoch", "2 first epochs"),
        ("batch", "2 batches"),
        ("process", "2 processes"),
        ("entry", "2 entries"),
        ("row", "2 rows"),
    ],
)
def test_plural_ends_as_it_is_spoken(noun: str, told: str) -> None:
    assert plural(2, noun) == told
    assert plural(1, noun) == f"1 {noun}"

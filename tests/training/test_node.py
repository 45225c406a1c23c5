"""How a metatrain that failed is told, and whether the next job would fail the same way."""

from __future__ import annotations

from pathlib import Path

import pytest

from aiida_pet.training import folder
from aiida_pet.training.node import failure_of


@pytest.mark.parametrize(
    ("text", "code", "fruitless", "name"),
    [
        ("ZeroDivisionError: float division by zero", 1, True, "REPEATS"),
        ("ValueError: expected 3, got 4", 1, True, "REPEATS"),
        ("ZeroDivisionError: float division by zero", 1, False, "CRASHED"),  # after an epoch: it may go on
        ("RuntimeError: CUDA error: unspecified launch failure", 1, True, "CRASHED"),
        ("OSError: [Errno 5] Input/output error", 1, True, "CRASHED"),
        ("ZeroDivisionError: float division by zero", -9, True, "CRASHED"),
        ("RuntimeError: CUDA out of memory", 1, True, "OUT_OF_MEMORY"),
    ],
)
def test_errors_of_the_data_repeat_and_those_of_the_computer_may_not(
    tmp_path: Path, text: str, code: int, fruitless: bool, name: str
) -> None:
    (tmp_path / folder.METATRAIN_LOG).write_text(
        f"Starting training\n\n{text}\n\nIf you think this is a bug\n"
    )
    found, reason = failure_of(tmp_path, code, fruitless=fruitless)
    assert found == name
    assert text in reason

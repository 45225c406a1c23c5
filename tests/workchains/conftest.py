"""The real engine, for what the stand-in cannot show."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.small_model import small_model_node


@pytest.fixture(scope="module")
def engine_inputs(module_inputs: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """Code, model and options of the real engine."""
    from aiida import orm

    for module in ("torch", "metatrain", "metatomic.torch"):
        pytest.importorskip(module, reason="needs the extra `engine`")
    inputs = module_inputs(1)
    code = orm.InstalledCode(
        label="pet-engine",
        computer=inputs["code"].computer,
        filepath_executable=str(Path(sys.executable).parent / "pet-engine"),
    ).store()
    return {
        "code": code,
        "model": small_model_node(),
        "options": inputs["options"],
        "settings": {"threads": 1},
    }

"""The real engine, for what the stand-in cannot show."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

EMBEDDED = Path(__file__).parents[2] / "aiida_pet" / "models" / "pet-refractory-xs.ckpt"


@pytest.fixture(scope="module")
def engine_inputs(module_inputs: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """Code, model and options of the real engine."""
    from aiida import orm

    from aiida_pet.data.model import PetModelData

    for module in ("torch", "metatrain", "metatomic.torch"):
        pytest.importorskip(module, reason="needs the extra `engine`")
    if not EMBEDDED.exists():
        pytest.skip(f"the model that ships is not there: {EMBEDDED.name}")
    inputs = module_inputs(1)
    code = orm.InstalledCode(
        label="pet-engine",
        computer=inputs["code"].computer,
        filepath_executable=str(Path(sys.executable).parent / "pet-engine"),
    ).store()
    return {
        "code": code,
        "model": PetModelData.from_file(EMBEDDED),
        "options": inputs["options"],
        "settings": {"threads": 1},
    }

"""Loads the scripts of ``examples/``, which are no package, as modules."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).parents[2]
EXAMPLES = REPOSITORY / "examples"


def _load_script(name: str) -> ModuleType:
    """Return ``examples/NAME.py`` as a module; it finds its neighbours as it does when run as a script."""
    if str(EXAMPLES) not in sys.path:
        sys.path.append(str(EXAMPLES))
    module_name = f"aiida_pet_examples_{name}"
    if module_name in sys.modules:
        return sys.modules[module_name]
    spec = importlib.util.spec_from_file_location(module_name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def load_script() -> Callable[[str], ModuleType]:
    """Return a function: name of a script without ``.py`` -> its module."""
    return _load_script


@pytest.fixture(scope="session")
def alloys() -> ModuleType:
    """Return ``examples/alloys.py``."""
    return _load_script("alloys")

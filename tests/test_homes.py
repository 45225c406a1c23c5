"""Names of packages are found in the modules that define them, and others are refused as those of a module are."""

from __future__ import annotations

from importlib import import_module

import pytest

from aiida_pet.homes import from_homes


@pytest.mark.parametrize("package", ["campaigns", "data", "figures", "plotting", "report"])
def test_every_name_of_a_package_is_there(package: str) -> None:
    module = import_module(f"aiida_pet.{package}")
    assert module.__all__
    assert all(getattr(module, name) is not None for name in module.__all__)
    with pytest.raises(AttributeError, match=f"module 'aiida_pet.{package}' has no attribute 'nothing'"):
        module.nothing  # noqa: B018


def test_a_name_is_that_of_its_module() -> None:
    from aiida_pet.words import plural

    assert from_homes("aiida_pet", {"plural": "words"})("plural") is plural

from __future__ import annotations

import re

import pytest

from aiida_pet.models import get_entry, list_models
from aiida_pet.models.registry import UnknownModelError, split_file_name


def test_registry_has_every_model_that_upet_offers() -> None:
    from upet._version import UPET_AVAILABLE_MODELS

    assert {entry.name for entry in list_models()} == set(UPET_AVAILABLE_MODELS)


@pytest.mark.parametrize("entry", list_models(), ids=lambda entry: entry.name)
def test_registry_entry_is_complete(entry) -> None:
    assert entry.versions
    assert entry.level_of_theory
    assert entry.licence == "BSD-3-Clause"
    assert entry.references
    assert entry.n_parameters > 1e6
    assert 4 < entry.cutoff < 12
    for version in entry.versions:
        assert re.fullmatch(r"\d+\.\d+\.\d+", version)
        assert "conservative" in entry.heads[version]
        assert set(entry.heads[version]) <= {"conservative", "direct", "uncertainty"}
    assert all(re.fullmatch(r"[0-9a-f]{64}", value) for value in entry.sha256.values())
    assert set(entry.sha256) <= set(entry.versions)


def test_registry_file_name_is_one_that_upet_understands() -> None:
    from upet._models import parse_checkpoint_filename

    for entry in list_models():
        for version in entry.versions:
            family, size, found = parse_checkpoint_filename(entry.file_name(version))
            assert (family, size, str(found)) == (entry.family, entry.size, version)
            assert split_file_name(entry.file_name(version)) == (entry.name, version)


def test_registry_tells_versions_of_different_theory_apart() -> None:
    entry = get_entry("pet-mad-s")
    assert entry.theory_of("1.0.2") == "PBEsol"
    assert entry.theory_of(entry.version) == "r2SCAN"


def test_split_file_name_of_another_file_is_none() -> None:
    assert split_file_name("model.ckpt") == (None, None)


def test_get_entry_names_the_nearest_of_an_unknown_name() -> None:
    with pytest.raises(UnknownModelError, match=r"'pet-oam-xxl'.*pet-oam-xl"):
        get_entry("pet-oam-xxl")

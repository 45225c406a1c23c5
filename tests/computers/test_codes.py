"""Codes by label or pk; those whose jobs cannot be sent; the share of this machine's cores."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from aiida import orm

from aiida_pet.computers.codes import CodeError, check_configured, find_code, share_of_cores


@pytest.fixture
def code(aiida_profile: Any, pet_computer: orm.Computer, tmp_path: Path) -> orm.InstalledCode:
    path = tmp_path / "pet-engine"
    return orm.InstalledCode(
        label=f"engine-{tmp_path.name}", computer=pet_computer, filepath_executable=str(path)
    ).store()


def test_code_is_found_by_pk_and_by_label(code: orm.InstalledCode) -> None:
    assert find_code(str(code.pk)).pk == code.pk
    assert find_code(code.full_label).pk == code.pk


def test_code_that_is_not_there_is_told_with_what_makes_or_shows_it(code: orm.InstalledCode) -> None:
    with pytest.raises(CodeError, match="there is no code 'nothing@nowhere': `verdi code list` shows"):
        find_code("nothing@nowhere")


def test_label_of_several_codes_is_told(code: orm.InstalledCode) -> None:
    label = code.label
    other = orm.Computer(
        "other-machine", "localhost", transport_type="core.local", scheduler_type="core.direct"
    )
    other.store()
    orm.InstalledCode(label=label, computer=other, filepath_executable="/opt/pet-engine").store()
    with pytest.raises(CodeError, match=f"several codes are called '{label}': name one by its pk"):
        find_code(label)
    assert find_code(f"{label}@other-machine").computer.label == "other-machine"


def test_code_of_a_computer_that_is_not_set_up_is_refused_with_the_remedy(
    code: orm.InstalledCode, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_configured(code)
    monkeypatch.setattr(orm.Computer, "is_configured", property(lambda _: False))
    with pytest.raises(CodeError) as caught:
        check_configured(code)
    told = str(caught.value)
    assert f"<{code.computer.pk}> of code <{code.pk}> is not set up in this profile" in told
    assert f"`verdi computer configure core.local {code.computer.pk}`" in told
    assert "--code" not in told  # options are the command line's


def test_lanes_share_the_cores_unless_jobs_ask_for_some(code: orm.InstalledCode) -> None:
    cores = len(os.sched_getaffinity(0))
    assert share_of_cores(code, 1, {}) == {"threads": cores}
    assert share_of_cores(code, cores + 1, {}) == {"threads": 1}
    assert share_of_cores(code, 1, {"resources": {"num_cores_per_mpiproc": 2}}) == {}

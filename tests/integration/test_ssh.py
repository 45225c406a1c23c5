"""A computer behind SSH: another user, whose folders do not exist for the machine that runs AiiDA."""

from __future__ import annotations

from pathlib import Path

import pytest
from services.comparison import assert_same_rows
from services.profile import Row, isolated_profile
from services.ssh import HOST, OtherMachine

from aiida_pet.models import embedded_path, sha256_of

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(900)]


def test_batch_over_ssh_gives_what_the_embedded_profile_gives(
    machine: OtherMachine, crystals: Path, embedded_rows: dict[str, Row]
) -> None:
    with isolated_profile(machine.environment) as profile:
        profile.set_up()
        code = profile.make_computer(
            "other",
            transport="core.ssh_async",
            work_dir=machine.work_dir,
            authentication={"host": HOST},
        )
        _, rows = profile.relax(crystals, code)
        there = machine.run(f"cd {machine.work_dir} && find . -name model.ckpt -printf '%y %u\\n'")
        digest = machine.run(
            f"cd {machine.work_dir} && find . -type f -name model.ckpt -exec sha256sum {{}} +"
        )

    assert_same_rows(rows, embedded_rows)
    assert not machine.work_dir.exists()  # for us: it is only there for who comes by SSH
    # uploaded once, linked by the jobs of both lanes
    assert sorted(there.splitlines()) == [f"f {machine.user}", *[f"l {machine.user}"] * 2]
    assert digest.split()[0] == sha256_of(embedded_path())

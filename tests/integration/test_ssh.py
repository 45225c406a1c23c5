"""A computer behind SSH: another user, whose folders do not exist for the machine that runs AiiDA."""

from __future__ import annotations

from pathlib import Path

import pytest

from aiida_pet.models import embedded_path, sha256_of
from support.services.comparison import assert_same_rows
from support.services.profile import Row, isolated_profile
from support.services.ssh import HOST, OtherMachine

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
        model = f"{machine.work_dir}/aiida-pet-models/{sha256_of(embedded_path())}/model.ckpt"
        there = machine.run(f"cd {machine.work_dir} && find . -name model.ckpt -printf '%y %u\\n'")
        digest = machine.run(f"sha256sum {model}")
        # damaged where it lies, with its size unchanged: the next campaign mends it by itself, and cleans up
        machine.run(f"printf damaged | dd of={model} conv=notrunc status=none")
        pk, again = profile.relax(crystals, code, "--clean-workdir")
        ended = profile.verdi("process", "status", str(pk))
        mended = machine.run(f"sha256sum {model}")
        folders = machine.run(f"cd {machine.work_dir} && find . -name job.json | wc -l")

    assert_same_rows(rows, embedded_rows)
    assert not machine.work_dir.exists()  # for us: it is only there for who comes by SSH
    # uploaded once, linked by the jobs of both lanes
    assert sorted(there.splitlines()) == [f"f {machine.user}", *[f"l {machine.user}"] * 2]
    assert digest.split()[0] == mended.split()[0] == sha256_of(embedded_path())
    assert_same_rows(again, embedded_rows)
    stagings = ended.count("StagingWorkChain")  # of each lane whose first job was refused
    assert stagings in (1, 2)
    assert int(folders) == 2 + stagings  # of the first campaign, and of the jobs that were refused

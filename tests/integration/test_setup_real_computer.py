"""`aiida-pet setup computer` and `doctor --job` against a real queue and a real SSH server."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from support.services.profile import BIN, Profile, isolated_profile
from support.services.slurm import Slurm
from support.services.ssh import HOST, OtherMachine

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(600)]

ENGINE = str(BIN / "pet-engine")


def set_up(profile: Profile, **content: Any) -> dict[str, Any]:
    """Write the file of a computer and return what the set-up says of it."""
    path = profile.folder / "computer.yaml"
    path.write_text(
        yaml.safe_dump(content | {"engine": ENGINE, "poll_interval": 1, "connection_interval": 0})
    )
    document: dict[str, Any] = json.loads(profile.pet("setup", "computer", str(path), "--json"))
    return document


def examine(profile: Profile, code: str) -> dict[str, dict[str, Any]]:
    """Return what `aiida-pet doctor --job` says, by what it looked at."""
    document = json.loads(profile.pet("doctor", f"--code={code}", "--job", "--json", check=False))
    return {check["what"]: check for check in document["checks"]}


def test_queue_is_asked_as_the_file_says_and_the_doctor_reports_from_the_node(slurm: Slurm) -> None:
    with isolated_profile(slurm.environment) as profile:
        profile.set_up()
        made = set_up(
            profile,
            label="cluster",
            scheduler="slurm",
            work_dir=str(profile.folder / "work"),
            gpu_syntax="gpus-per-node",
            resources={"gpus": 1, "cpus_per_gpu": 1, "walltime": "5m"},
        )
        assert made["problems"] == []
        found = examine(profile, "pet-engine@cluster")
        states = [job.state for job in slurm.finished()]
        work_dir = str(profile.folder / "work")
        set_up(profile, label="greedy", scheduler="slurm", work_dir=work_dir, resources={"gpus": 64})
        refused = examine(profile, "pet-engine@greedy")["job"]

    assert states == ["COMPLETED"]
    gpu = found.pop("node's GPU")
    # SLURM gave the job a GPU, which is a file here and none for torch
    assert "CUDA_VISIBLE_DEVICES=0" in gpu["detail"]
    assert "asked for 1 GPU" in gpu["detail"]
    assert gpu["remedy"]
    assert [check for check in found.values() if not check["ok"]] == []
    assert not refused["ok"]
    assert "sbatch: error: " in refused["detail"]


def test_computer_behind_ssh_is_made_tested_and_examined(machine: OtherMachine) -> None:
    with isolated_profile(machine.environment) as profile:
        profile.set_up()
        made = set_up(
            profile,
            label="other",
            hostname=HOST,
            transport="ssh_async",
            scheduler="direct",
            work_dir=str(machine.work_dir.parent / "{username}"),
        )
        assert made["problems"] == []
        found = examine(profile, "pet-engine@other")
        left = machine.run(f"ls -A {machine.work_dir.parent / machine.user}")
        mode = machine.run(f"stat -c %a {machine.work_dir.parent / machine.user}")

    assert [check for check in found.values() if not check["ok"]] == []
    assert f"core.ssh_async to {HOST} as {machine.user}" in found["connection"]["detail"]
    assert ".aiida-pet-" not in left
    assert mode.strip() == "700"

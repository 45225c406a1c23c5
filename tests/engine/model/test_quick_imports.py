"""What an engine imports at its start."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from aiida_pet.job.folder import JobFolder, JobSpec
from aiida_pet.job.tasks import Task

UNNEEDED = (
    "metatrain",
    "metatomic",
    "metatensor",
    "sympy",
    "scipy",
    "phonopy",
    "seekpath",
    "pandas",
    "matplotlib",
)
ENGINE = f"""
import sys
from pathlib import Path
from aiida_pet.engine.run import run_folder
status = run_folder(Path(sys.argv[1]))
print(int(status), *(name for name in {UNNEEDED} if name in sys.modules))
"""
METATOMIC = """
from aiida_pet.engine.model.quick_imports import import_metatomic
import_metatomic()
import torch
import metatensor.torch
print(torch.jit._state._enabled.enabled, type(metatensor.torch.add).__name__)
"""


def said_by(code: str, *arguments: str) -> str:
    command = [sys.executable, "-W", "ignore", "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize("task", [Task.STATIC, Task.RELAX])
def test_job_runs_without_what_it_does_not_need(tmp_path, model_file, alloys, task):
    path, sha256 = model_file
    JobFolder(tmp_path).write_inputs(JobSpec(task, {}, sha256, model_path=str(path)), alloys(2))
    assert said_by(ENGINE, str(tmp_path)) == "0"


def test_metatomic_is_imported_without_compiling_what_is_not_used():
    assert (
        said_by(METATOMIC) == "True function"
    )  # what was imported is not compiled, what is scripted later is


def test_operations_that_were_not_compiled_can_be_scripted():
    import metatensor.torch as mts

    @torch.jit.script
    def doubled(block: mts.TensorMap) -> mts.TensorMap:
        return mts.multiply(block, 2.0)

    labels = mts.Labels(["system"], torch.arange(2).reshape(-1, 1))
    values = torch.tensor([[1.0], [2.0]])
    block = mts.TensorBlock(
        values, labels, [], mts.Labels(["energy"], torch.zeros((1, 1), dtype=torch.int32))
    )
    one = mts.TensorMap(mts.Labels(["_"], torch.zeros((1, 1), dtype=torch.int32)), [block])
    assert torch.equal(doubled(one).block().values, 2.0 * values)
    assert torch.equal(mts.multiply(one, 2.0).block().values, 2.0 * values)

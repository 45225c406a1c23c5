"""What an engine imports at its start."""

from __future__ import annotations

import subprocess
import sys

import torch

IMPORTS = """
import sys
import aiida_pet.engine.run, aiida_pet.engine.tasks.relax, aiida_pet.engine.model.pet, aiida_pet.engine.model.memory
import torch
from metatensor.torch import TensorMap
import metatensor.torch
print(torch.jit._state._enabled.enabled, type(metatensor.torch.add).__name__)
print(*(name for name in ("scipy.integrate", "phonopy", "seekpath", "pandas", "matplotlib") if name in sys.modules))
"""


def test_relaxation_starts_without_what_it_does_not_need():
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", IMPORTS], capture_output=True, text=True, check=True
    )
    switch, imported = run.stdout.split("\n")[:2]
    assert switch == "True function"  # what was imported is not compiled, what is scripted later is
    assert imported == ""


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

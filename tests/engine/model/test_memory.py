"""The memory model of an evaluation against what the allocator and the operating system see."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from aiida_pet.engine.batch.batch import Batch
from aiida_pet.engine.batch.neighbors import NeighborList
from aiida_pet.engine.model.memory import SHARE, MemoryModel, calibrate, fit_to_memory, peak_bytes
from aiida_pet.job.parameters import Derivation, Dtype


def peak_and_tokens(pet: Any, table: Any) -> tuple[float, float]:
    batch = Batch.from_table(table, pet.device)
    pairs = NeighborList(pet.cutoff).update(batch)
    pet.evaluate(batch, pairs)
    (chunk,) = pet._planned[2]
    return peak_bytes(lambda: pet.evaluate(batch, pairs), pet.device), chunk.tokens


@pytest.mark.parametrize(
    "options",
    [{}, {"dtype": Dtype.FLOAT32}, {"forces": Derivation.DIRECT, "stress": Derivation.DIRECT}],
    ids=["float64", "float32", "direct"],
)
def test_estimate_is_within_ten_percent_of_the_peak(load_pet, alloys, options):
    pet = load_pet(max_tokens=1e9, threads=1, **options)
    memory = calibrate(pet)
    for n_rows in (40, 160):
        peak, tokens = peak_and_tokens(pet, alloys(n_rows))
        assert memory.bytes(tokens) == pytest.approx(peak, rel=0.1)
    assert pet.max_tokens == 1e9


def test_calibration_is_of_one_chunk_however_many_run_at_the_same_time(load_pet):
    alone, several = (calibrate(load_pet(threads=threads)) for threads in (1, 2))
    assert several.per_token == pytest.approx(alone.per_token, rel=0.01)


@pytest.mark.gpu
def test_estimate_is_within_ten_percent_of_the_peak_on_cuda(load_pet, alloys):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    pet = load_pet(max_tokens=1e9, device="cuda")
    memory = calibrate(pet)
    peak, tokens = peak_and_tokens(pet, alloys(400))
    assert memory.bytes(tokens) == pytest.approx(peak, rel=0.1)


RESIDENT = """
import sys, torch
sys.path[:0] = sys.argv[1:2]
torch.set_num_threads(1)
from aiida_pet.testing.crystals import random_alloy
import numpy as np
from aiida_pet.engine.batch.batch import Batch
from aiida_pet.engine.model.memory import calibrate
from aiida_pet.engine.model.pet import BatchedPet, load_model
from aiida_pet.engine.batch.neighbors import NeighborList
from aiida_pet.tables.crystals import StructureTable
from support.small_model import small_model

def resident(key):
    for line in open("/proc/self/status"):
        if line.startswith(key):
            return 1024.0 * float(line.split()[1])

pet = BatchedPet(load_model(*small_model()), threads=1, max_tokens=1e9)
memory = calibrate(pet)
rng = np.random.default_rng(0)
rows = ((str(i), random_alloy(rng, (2, 2, 2), strain=0.02, rattle=0.05)) for i in range(120))
batch = Batch.from_table(StructureTable.from_ase(rows))
pairs = NeighborList(pet.cutoff).update(batch)
before = resident("VmRSS")
open("/proc/self/clear_refs", "w").write("5")
pet.evaluate(batch, pairs)
print(memory.bytes(pet._planned[2][0].tokens), resident("VmHWM") - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak of the process from /proc")
def test_estimate_is_within_ten_percent_of_what_the_process_takes(request):
    command = [sys.executable, "-W", "ignore", "-c", RESIDENT, str(request.config.rootpath / "tests")]
    # glibc keeps freed blocks for later, in holes that fit or not; told so, it gives them back at once and the process
    # is as large as its tensors
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "262144"}
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    estimate, taken = map(float, run.stdout.split()[-2:])
    assert taken > 2e8
    assert estimate == pytest.approx(taken, rel=0.1)


def test_chunks_are_cut_to_the_free_memory(load_pet, monkeypatch):
    pet = load_pet(threads=1)
    usual = pet.max_tokens
    fit_to_memory(pet)
    assert pet.max_tokens == usual  # more than enough memory here: a CPU is fastest with small chunks
    memory = calibrate(pet)

    class Little:
        available = memory.bytes(500.0) / SHARE

    monkeypatch.setattr("aiida_pet.engine.model.memory.psutil.virtual_memory", Little)
    fit_to_memory(pet)
    assert pet.max_tokens == pytest.approx(500.0, rel=0.02)


def test_chunks_fill_what_is_free_on_a_gpu_once_torch_keeps_nothing_for_later(monkeypatch):
    calls = []

    def free(device: Any) -> tuple[float, float]:
        calls.append("free")
        return 1e9, 8e9

    monkeypatch.setattr("aiida_pet.engine.model.memory.calibrate", lambda model: MemoryModel(1e6, 2e3))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: calls.append("empty"))
    monkeypatch.setattr(torch.cuda, "mem_get_info", free)
    model: Any = SimpleNamespace(device=torch.device("cuda"), max_tokens=1.0, n_side_by_side=1)
    fit_to_memory(model)
    assert calls == ["empty", "free"]
    assert model.max_tokens == pytest.approx((SHARE * 1e9 - 1e6) / 2e3)


def test_memory_model_and_its_inverse_agree():
    memory = MemoryModel(fixed=1e6, per_token=2e3)
    assert memory.bytes(1000.0) == 3e6
    assert memory.tokens(3e6) == 1000.0
    assert memory.tokens(0.0) == 1.0

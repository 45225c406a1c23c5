"""The weights of a model trained on, on a GPU that is lent for minutes: ``python -m benchmarks.gpu_train``.

``... MODEL.ckpt --train FRAMES.npz... --validation FRAMES.npz --out OUT --budget 400`` goes on with the weights of a
plain PET checkpoint for as long as the budget allows, and writes them as ``OUT/weights.npz``, with the learning curve;
``python -m benchmarks.recipe.with_weights`` puts them into the checkpoint. ``--unlabelled FRAMES.npz --teacher
WEIGHTS`` labels more frames first, and writes them as ``OUT/labelled.npz``. It needs what ``make gpu-site`` gathers
beside torch. All frames and their neighbours lie in the memory of the GPU, each step takes thousands of atoms, and the
learning rate follows the clock. With ``--device cpu`` the clock is that of the main thread, which waits for the others:
a training that is stopped for a while (``kill -STOP``) goes on as if nothing had happened. Weights are written at each
report. ``torchrun --standalone --nproc-per-node 2 -m benchmarks.gpu_train ... --device cpu`` takes two cores: each has
batches of its own, and gradients are averaged. That is faster than two threads of one process.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed

from aiida_pet.engine.batch.batch import Tensor
from benchmarks.recipe.label import Teacher, labelled
from benchmarks.recipe.packed import STRAINED_STEP, Packed
from benchmarks.recipe.real import KNOWN
from benchmarks.recipe.student import ENERGY, Frames, Student, loss_of, random_turns

KINDS_TWICE = ("alloys", "PBE", KNOWN)
"""Frames of these kinds stand twice in an epoch, since they are few among many crystals. So do frames that are strained
alone, by which a model learns how stiff crystals are."""
WARMUP, CLIP, EMA = 0.02, 1.0, 0.998
BUCKETS = 8
WEIGHTS_FILE = "weights.npz"


def errors_of(student: Student, frames: Frames, batch_atoms: int) -> dict[str, float]:
    """Return mean absolute errors: meV/atom, meV/A, meV/atom, and those of the direct forces, meV/A."""
    ends = torch.cumsum(frames.batch.n_atoms, 0).cpu().numpy()
    cuts = np.flatnonzero(np.diff(ends // batch_atoms, prepend=-1))
    sums: dict[str, list[Tensor]] = {"energy": [], "forces": [], "virial": [], "direct_forces": []}
    for first, last in zip(cuts, [*cuts[1:], len(frames)], strict=True):
        rows = torch.arange(int(first), int(last), device=student.device)
        found = student(frames, rows, None, learns=False)
        sizes = frames.batch.n_atoms[rows].float()
        forces = frames.forces[frames.batch.atoms_of(rows)]
        sums["energy"].append(((found.energy - frames.energy[rows]) / sizes).detach().abs())
        sums["forces"].append((found.forces - forces).detach().abs().reshape(-1))
        off = (found.virial - frames.virial[rows]).detach() / sizes[:, None, None]
        sums["virial"].append(off.abs().reshape(-1))
        sums["direct_forces"].append((found.direct_forces - forces).detach().abs().reshape(-1))
    return {name: 1e3 * float(torch.cat(values).mean()) for name, values in sums.items()}


@dataclass(frozen=True)
class Options:
    """How it is trained.

    :ivar out: folder for the weights and the learning curve.
    :ivar budget: seconds of the steps, and of the errors between them.
    :ivar steps: number of steps, in place of the seconds; the learning rate then follows the steps.
    :ivar rate: largest learning rate.
    :ivar batch_atoms: atoms of a step of each process.
    :ivar muon: whether matrices inside the network are updated by Muon (K. Jordan et al. 2024) in place of Adam.
    :ivar tf32: whether matrix products have 10 bits of mantissa, but for the last tenth of the time.
    :ivar reports: how often errors on the validation frames are computed.
    """

    out: Path
    budget: float
    steps: int | None
    rate: float
    batch_atoms: int
    muon: bool
    tf32: bool
    reports: int = 8


class Batches:
    """Frames of similar numbers of neighbours by and by, in random order, as places of about ``batch_atoms`` atoms.

    :param often: (N,) how often a frame stands in an epoch.
    """

    def __init__(self, widths: Tensor, sizes: Tensor, often: Tensor, batch_atoms: int, seed: int) -> None:
        order = np.argsort(widths.cpu().numpy(), kind="stable")
        self._sizes, self._often = sizes.cpu().numpy(), often.cpu().numpy()
        self._buckets = np.array_split(order, BUCKETS)
        self._batch_atoms, self._random = batch_atoms, np.random.default_rng(seed)
        self._left: list[Any] = []
        self.epochs = 0

    def next(self) -> Any:
        """Return the places of the frames of the next step."""
        if not self._left:
            self.epochs += 1
            for bucket in self._buckets:
                places = self._random.permutation(np.repeat(bucket, self._often[bucket]))
                ends = np.cumsum(self._sizes[places])
                cuts = np.flatnonzero(np.diff(ends // self._batch_atoms)) + 1
                self._left += [part for part in np.split(places, cuts) if len(part)]
            self._left = [self._left[place] for place in self._random.permutation(len(self._left))]
        return self._left.pop()


class Processes:
    """The processes of a training, one by itself or those that ``torchrun`` started."""

    def __init__(self) -> None:
        self.rank, self.size = (
            int(os.environ.get(name, one)) for name, one in (("RANK", 0), ("WORLD_SIZE", 1))
        )
        if self.size > 1:
            torch.distributed.init_process_group("gloo")

    def average(self, tensors: list[Tensor]) -> None:
        """Replace the tensors by their means over all processes."""
        if self.size > 1:
            flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
            torch.distributed.all_reduce(flat)
            parts = torch.split(flat / self.size, [tensor.numel() for tensor in tensors])
            for tensor, part in zip(tensors, parts, strict=True):
                tensor.copy_(part.view_as(tensor))

    def of_the_first(self, value: float) -> float:
        """Return what the first process has as ``value``."""
        if self.size == 1:
            return value
        shared = torch.tensor([value], dtype=torch.float64)
        torch.distributed.broadcast(shared, 0)
        return float(shared)

    def end(self) -> None:
        """Wait for the others and part from them: one that ends while another still hears from it breaks that one."""
        if self.size > 1:
            torch.distributed.barrier()
            torch.distributed.destroy_process_group()


def optimizers_of(student: Student, options: Options) -> list[torch.optim.Optimizer]:
    """Return what updates the weights."""
    inner, others = [], []
    for name, weight in zip(student.names, student.weights, strict=True):
        is_inner = weight.ndim == 2 and not any(part in name for part in ("embedder", "last_layers"))
        (inner if is_inner and options.muon else others).append(weight)
    adam = torch.optim.Adam(others, lr=options.rate, betas=(0.9, 0.99), fused=student.device.type == "cuda")
    if not inner:
        return [adam]
    return [
        adam,
        torch.optim.Muon(inner, lr=options.rate, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"),
    ]


def train(
    student: Student,
    frames: Frames,
    often: Tensor,
    validation: Frames,
    options: Options,
    *,
    processes: Processes,
) -> None:
    """Train for the budget, and write the averaged weights and the learning curve.

    :param often: (N,) how often each of ``frames`` stands in an epoch.
    """
    device = student.device
    torch.set_float32_matmul_precision("high" if options.tf32 else "highest")
    torch.manual_seed(1 + processes.rank)
    batches = Batches(
        student.widths(frames), frames.batch.n_atoms, often, options.batch_atoms, 1 + processes.rank
    )
    optimizers = optimizers_of(student, options)
    weights = student.weights
    averaged = [weight.detach().clone() for weight in weights]
    curve: list[dict[str, float]] = []
    clock = time.thread_time if device.type == "cpu" else time.monotonic
    began, step, running = clock(), 0, torch.zeros((), device=device)
    reported = 0
    is_exact = not options.tf32

    def part_done() -> float:
        seconds = clock() - began
        return step / options.steps if options.steps else processes.of_the_first(seconds / options.budget)

    def told(row: dict[str, float]) -> None:
        if processes.rank:
            return
        row |= {"seconds": clock() - began}
        row |= _with_averages(student, averaged, validation, options.batch_atoms)
        print(" ".join(f"{name} {value:.4g}" for name, value in row.items()), flush=True)
        curve.append(row)
        found = {name: tensor.cpu().numpy() for name, tensor in zip(student.names, averaged, strict=True)}
        np.savez(options.out / WEIGHTS_FILE, **found)
        (options.out / "curve.json").write_text(json.dumps(curve, indent=1))

    told({"epoch": 0, "step": 0})
    while (passed := part_done()) < 1:
        if passed > 0.9 and not is_exact:
            torch.set_float32_matmul_precision("highest")
            is_exact = True
        rate = options.rate * min(1.0, passed / WARMUP + 0.01) * 0.5 * (1 + math.cos(math.pi * passed))
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
        rows = torch.from_numpy(batches.next()).to(device)
        turn = random_turns(len(rows), device)
        loss = loss_of(student(frames, rows, turn, learns=True), frames, rows, turn)
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        processes.average([weight.grad for weight in weights if weight.grad is not None])
        torch.nn.utils.clip_grad_norm_(weights, CLIP)
        for optimizer in optimizers:
            optimizer.step()
        step += 1
        with torch.no_grad():
            keep = min(EMA, step / (step + 10))
            torch._foreach_lerp_(averaged, [weight.detach() for weight in weights], 1 - keep)
            running += (loss.detach() - running) * 0.02
        if passed * options.reports > reported + 1:
            reported = int(passed * options.reports)
            told({"epoch": batches.epochs * processes.size, "step": step, "loss": float(running)})
    told({"epoch": batches.epochs * processes.size, "step": step, "loss": float(running)})


def _with_averages(
    student: Student, averaged: list[Tensor], validation: Frames, batch_atoms: int
) -> dict[str, float]:
    """Return the errors with the averaged weights."""
    weights = [weight.detach() for weight in student.weights]
    now = [weight.clone() for weight in weights]
    torch._foreach_copy_(weights, averaged)
    found = errors_of(student, validation, batch_atoms)
    torch._foreach_copy_(weights, now)
    return found


def main() -> int:
    """Train a model within the budget."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_train", description=__doc__)
    parser.add_argument("model", type=Path, help="plain PET checkpoint, one's own")
    parser.add_argument("--train", type=Path, nargs="+", required=True, help="frames, as .npz")
    parser.add_argument("--validation", type=Path, required=True, help="frames, as .npz")
    parser.add_argument("--unlabelled", type=Path, help="frames to label and to train on, as .npz")
    parser.add_argument("--teacher", type=Path, help="weights of Nequix for torch, which label them")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--budget", type=float, default=400.0, help="seconds of training")
    parser.add_argument("--steps", type=int, help="steps of training, in place of the seconds")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch-atoms", type=int, default=4096, help="atoms of a step of each process")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--muon", action="store_true")
    parser.add_argument("--tf32", action="store_true")
    arguments = parser.parse_args()
    if (arguments.unlabelled is None) != (arguments.teacher is None):
        parser.error("--unlabelled and --teacher belong together")
    arguments.out.mkdir(parents=True, exist_ok=True)
    device = torch.device(arguments.device)
    start = time.monotonic()
    processes = Processes()
    student = Student(arguments.model, device)
    composition = student.source.composition(ENERGY)
    parts = [Packed.load(path) for path in arguments.train]
    if arguments.unlabelled is not None:
        parts.append(labelled(Packed.load(arguments.unlabelled), Teacher(arguments.teacher, device)))
        parts[-1].save(arguments.out / "labelled.npz")
        print(f"{time.monotonic() - start:.1f} s: {len(parts[-1])} frames labelled", flush=True)
    packed = Packed.concatenate(parts)
    frames = Frames.of(packed, composition, student.source.cutoff, device)
    is_twice = np.isin(packed.kind, KINDS_TWICE) | (packed.step == STRAINED_STEP)
    often = torch.from_numpy(1 + is_twice.astype(int))
    validation = Frames.of(Packed.load(arguments.validation), composition, student.source.cutoff, device)
    print(f"{time.monotonic() - start:.1f} s: {len(frames)} frames, {len(packed.numbers)} atoms", flush=True)
    options = Options(
        out=arguments.out,
        budget=arguments.budget,
        steps=arguments.steps,
        rate=arguments.rate,
        batch_atoms=arguments.batch_atoms,
        muon=arguments.muon,
        tf32=arguments.tf32,
    )
    train(student, frames, often, validation, options, processes=processes)
    processes.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())

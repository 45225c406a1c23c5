"""Stored nodes for tests: sets of crystals, a model, a computer, and a code that runs the engine that stands in."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from aiida import orm

from aiida_pet.data.model import PetModelData
from aiida_pet.data.structures import StructureSetData
from aiida_pet.testing.crystals import ordered_alloy


def build_structures(ids: Sequence[str] | int, sizes: Sequence[int] | None = None) -> StructureSetData:
    """Return a stored set of ordered alloys.

    :param ids: ids of the crystals, which tell the engine that stands in what to make of them; or their number.
    :param sizes: how often the cell of two atoms is repeated, for each crystal.
    """
    names = [f"alloy-{i:04d}" for i in range(ids)] if isinstance(ids, int) else list(ids)
    repeats = sizes or [1] * len(names)
    crystals = ((name, ordered_alloy(i, repeats[i])) for i, name in enumerate(names))
    return StructureSetData.from_iterator(crystals).store()


def build_model(folder: Path) -> PetModelData:
    """Return a stored model whose checkpoint is no checkpoint: the engine that stands in only checks its hash.

    :param folder: where the file is written.
    """
    path = folder / "stand-in.ckpt"
    path.write_bytes(b"not a checkpoint, but 40 bytes of content")
    card = {"name": "stand-in", "version": "1", "elements": ["Nb", "Mo", "Ta", "W"], "outputs": ["energy"]}
    return PetModelData.get_or_create(path, card)


def build_computer(folder: Path) -> orm.Computer:
    """Return a configured computer of its own: this machine, without a queue and without waiting.

    :param folder: jobs run in its subfolder ``work``.
    """
    computer = orm.Computer(
        label=f"local-{folder.name}-{os.urandom(3).hex()}",
        hostname="localhost",
        workdir=str(folder / "work"),
        transport_type="core.local",
        scheduler_type="core.direct",
    ).store()
    computer.set_minimum_job_poll_interval(0)
    computer.set_default_mpiprocs_per_machine(1)
    computer.configure(safe_interval=0, use_login_shell=False)
    return computer


def build_code(computer: orm.Computer, folder: Path, command: str = "") -> orm.InstalledCode:
    """Return a stored code that stands in for ``pet-engine``.

    :param folder: where the executable is written.
    :param command: arguments of this Python; :mod:`aiida_pet.testing.stand_in_engine` by default.
    """
    executable = folder / "pet-engine"
    command = command or "-m aiida_pet.testing.stand_in_engine"
    executable.write_text(f'#!/bin/sh\nexec "{sys.executable}" {command} "$@"\n')
    executable.chmod(0o755)
    return orm.InstalledCode(label="stand-in", computer=computer, filepath_executable=str(executable)).store()

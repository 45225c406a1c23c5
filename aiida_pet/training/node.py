"""What a training needs of the node that it runs on: its sets, a device, and metatrain as a process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

from aiida_pet.job.folder import EngineSettings, ExitStatus, JobFolderError
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.training import folder
from aiida_pet.training.options import OPTIONS_FILE
from aiida_pet.training.prepare import SETS

# Errors that data and options cause, not the computer, if they come before the first epoch.
_REPEATING = re.compile(
    r"(ZeroDivision|Value|Key|Type|Index|Attribute|Assertion|Validation|Overflow|NotImplemented)Error\b"
)
_BAD_OPTION = "---- [Error"  # before the name of an option; the next line says what is wrong with it
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
LAST_FILE = "last.ckpt"
"""Checkpoint that metatrain writes when it has ended; of a calibration there is no other."""


class DeviceError(RuntimeError):
    """Raised when the device asked for is not there."""


def read_sets(path: Path) -> dict[str, StructureTable]:
    """Return the sets in a folder by name.

    :raises JobFolderError: if one cannot be read, or there is no training set.
    """
    tables = {}
    for name in SETS:
        file = path / folder.set_file(name)
        if not file.exists():
            continue
        try:
            tables[name] = StructureTable.load(file)
        except (OSError, ValueError, KeyError) as error:
            raise JobFolderError(f"cannot read {file}: {error}") from error
    if "training" not in tables:
        raise JobFolderError(f"{path} holds no {folder.set_file('training')}")
    return tables


def device_of(settings: EngineSettings) -> str:
    """Return what metatrain calls the device.

    :raises DeviceError: if the device that was asked for is not there.
    """
    import torch  # noqa: PLC0415

    there = torch.cuda.is_available()
    if settings.device.startswith("cuda") and not there:
        raise DeviceError(f"device {settings.device!r}: this node has no CUDA device")
    return "cpu" if settings.device == "cpu" or not there else "cuda"


def start_metatrain(path: Path, restart: Path | None, settings: EngineSettings) -> subprocess.Popen[bytes]:
    """Start metatrain in the folder ``path``; what it says goes to a log there.

    :param restart: checkpoint in that folder to go on from.
    """
    command = [sys.executable, "-W", "ignore", "-m", "aiida_pet.training.child", "train", OPTIONS_FILE]
    command += ["-o", Path(LAST_FILE).with_suffix(".pt").name]
    if restart is not None:
        command += ["--restart", str(restart.relative_to(path))]
    environment = dict(os.environ)
    if settings.threads is not None:
        environment |= dict.fromkeys(_THREADS, str(settings.threads))
    if settings.device.startswith("cuda:"):
        environment["CUDA_VISIBLE_DEVICES"] = settings.device.removeprefix("cuda:")
    with (path / folder.METATRAIN_LOG).open("wb") as log:
        return subprocess.Popen(command, cwd=path, env=environment, stdout=log, stderr=subprocess.STDOUT)


def end(process: subprocess.Popen[bytes]) -> None:
    """End metatrain, which has no way to be told to stop; what it wrote is whole or will be told from it."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def log_says(path: Path, text: bytes) -> bool:
    """Return whether metatrain's log in the folder ``path`` has ``text``."""
    try:
        return text in (path / folder.METATRAIN_LOG).read_bytes()
    except OSError:
        return False


def failure_of(path: Path, code: int | None, *, fruitless: bool) -> tuple[str, str]:
    """Return the name of the end of a metatrain that failed in the folder ``path``, and its reason.

    :param code: its exit code, negative for a signal.
    :param fruitless: whether it ended before its first epoch.
    """
    text = log_end(path)
    memory = "out of memory" in text.lower() or "OutOfMemory" in text
    name = ExitStatus.OUT_OF_MEMORY.name if memory else ExitStatus.CRASHED.name
    if code == 1 and fruitless and _REPEATING.match(text):
        name = folder.End.REPEATS
    how = f"signal {-code}" if code is not None and code < 0 else f"status {code}"
    return name, f"metatrain ended with {how}: {text}"


def log_end(path: Path) -> str:
    """Return what metatrain's log says last, errors before anything else."""
    try:
        lines = (path / folder.METATRAIN_LOG).read_text(errors="replace").splitlines()
    except OSError:
        return "it left no log"
    told = [line.strip() for line in lines if line.strip()]
    options = [
        f"{line.partition('] ')[2]}: {after}"
        for line, after in pairwise(told)
        if line.startswith(_BAD_OPTION)
    ]
    if options:
        return f"ValidationError: {'; '.join(options)}"[:400]
    errors = [line for line in told if "Error" in line.split(" ")[0] or "Error:" in line]
    return (errors or told or ["its log is empty"])[-1][-400:]

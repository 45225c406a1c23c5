"""``pet-engine JOBDIR``: read the job, run its task, write shards, exit with a status."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import logging
import os
import sys
import warnings
from pathlib import Path
from typing import NoReturn

import aiida_pet
from aiida_pet.job.folder import JOB_FILE, LOG_FILE, TRAIN_FILE, TRANSPORT_FILE, JobFolder
from aiida_pet.job.other_engines import KOKKOS, description_of

_TRAINING = f"{aiida_pet.__name__}.training.run"
_TRANSPORT = f"{aiida_pet.__name__}.transport.run"


def run() -> NoReturn:
    """Run the command and end the process at once: to take torch apart first would take half a second of each job."""
    status = main()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def main(arguments: list[str] | None = None) -> int:
    """Run the job folder named on the command line; return :class:`~aiida_pet.job.folder.ExitStatus`."""
    parser = argparse.ArgumentParser(
        prog="pet-engine", description="Run PET over the crystals of a job folder."
    )
    parser.add_argument("folder", type=Path, nargs="?", help=f"with {JOB_FILE}, the structures and the model")
    parser.add_argument("--version", action="version", version=f"pet-engine {aiida_pet.__version__}")
    parser.add_argument(
        "--probe",
        action="store_true",
        help="print the versions, cores and GPUs of this machine as JSON, and exit",
    )
    options = parser.parse_args(arguments)
    if options.probe:
        from aiida_pet.engine.probe import probe  # noqa: PLC0415 - a job has no use for it

        sys.stdout.write(json.dumps(probe(), indent=2) + "\n")
        return 0
    if options.folder is None:
        parser.error("a folder is needed")
    if not options.folder.is_dir():
        parser.error(f"{options.folder} is not a folder")
    refused = _keep_private(options.folder)
    _log_to(options.folder / LOG_FILE)
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    if refused:
        logging.getLogger(f"{aiida_pet.__name__}.engine").warning(
            "others can read %s: %s", options.folder, refused
        )
    if (options.folder / TRAIN_FILE).exists():
        # by name: a training uses the engine, which knows of none
        return int(importlib.import_module(_TRAINING).run_training(options.folder))
    if (options.folder / TRANSPORT_FILE).exists():
        # by name: it needs neither torch nor the engine
        return int(importlib.import_module(_TRANSPORT).run_transport(options.folder))
    if _is_for_kokkos(options.folder):
        # OpenMP reads it when torch is loaded. By default threads that wait spin: where others need the cores too, an
        # evaluation on two threads took 20 times as long.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from aiida_pet.engine.run import run_folder  # noqa: PLC0415 - after logging is set up

    return int(run_folder(options.folder))


def _is_for_kokkos(path: Path) -> bool:
    """Say whether pet-kokkos evaluates the model of the job in ``path``."""
    folder = JobFolder(path)
    with contextlib.suppress(Exception):  # the job refuses what cannot be read, and says why
        described = description_of(folder.model_path(folder.read_spec()))
        return described is not None and described.interface == KOKKOS
    return False


def _log_to(path: Path) -> None:
    """Log to ``path``: what this package says, and warnings of others; only errors go to standard error as well.

    What is on standard error AiiDA shows as errors of the scheduler.
    """
    on_stderr = logging.StreamHandler(sys.stderr)
    on_stderr.setLevel(logging.ERROR)
    logging.basicConfig(
        level=logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        handlers=[logging.FileHandler(path), on_stderr],
    )
    logging.getLogger(aiida_pet.__name__).setLevel(logging.INFO)
    logging.captureWarnings(True)


def _keep_private(folder: Path) -> str:
    """Let nobody else into ``folder``, made as the umask of the machine says; return why not, if it cannot be."""
    os.umask(0o077)
    try:
        folder.chmod(folder.stat().st_mode & 0o700)
    except OSError as error:  # of another user, as in some containers
        return str(error)
    return ""


if __name__ == "__main__":
    run()

"""Train the model that ships, from the published data to checkpoint and card.

``python -m aiida_pet.models.recipe --data DIR --out DIR``: hours on one core (in November 2026: 80 s per epoch of the
first stage, about twice that of the second). Started again in the same folder it goes on with the stage that is not
finished. ``--checkpoint FILE`` strips and describes a checkpoint trained before.
"""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from aiida_pet.job.folder import THREAD_VARIABLES
from aiida_pet.models.recipe.about import Stage, about, metadata, options
from aiida_pet.models.recipe.card import write_card
from aiida_pet.models.recipe.convert import convert
from aiida_pet.models.recipe.strip import write_stripped

LOGGER = logging.getLogger(__name__)


class TrainingError(RuntimeError):
    """Raised when a stage of the training failed; the message names its log."""


def train(data: Path, out: Path, threads: int = 1, epochs: Mapping[Stage, int] | None = None) -> Path:
    """Convert the data in folder ``data`` and run both stages in ``out``; return the checkpoint of the last.

    A stage whose checkpoint is in ``out`` already is not run again.

    :param threads: threads of each process.
    :param epochs: stage -> number of epochs, where not the recipe's; for trials.
    :raises DataError: if the data are not there.
    :raises TrainingError: if a stage fails.
    """
    convert(data, out)
    checkpoint = out
    for stage in Stage:
        checkpoint = out / f"{stage.value}.ckpt"
        if checkpoint.exists():
            LOGGER.info("%s is there: stage %s is not run again", checkpoint, stage.value)
            continue
        chosen = options(stage, (epochs or {}).get(stage))
        (out / f"{stage.value}.yaml").write_text(yaml.safe_dump(chosen, sort_keys=False))
        run_stage(out, stage, threads)
    return checkpoint


def run_stage(out: Path, stage: Stage, threads: int) -> None:
    """Run ``mtt train`` on the options of ``stage`` in ``out``; what it says goes to ``<stage>.log`` there.

    :raises TrainingError: if it fails or leaves no checkpoint.
    """
    command = [sys.executable, "-m", "metatrain", "train", f"{stage.value}.yaml", "-o", f"{stage.value}.pt"]
    log = out / f"{stage.value}.log"
    LOGGER.info("stage %s: %s", stage.value, log)
    environment = os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads))
    with log.open("w") as handle:
        done = subprocess.run(
            command, cwd=out, env=environment, stdout=handle, stderr=subprocess.STDOUT, check=False
        )
    if done.returncode or not (out / f"{stage.value}.ckpt").exists():
        end = "\n".join(log.read_text().splitlines()[-5:])
        raise TrainingError(
            f"stage {stage.value} failed with status {done.returncode}; the end of {log}:\n{end}"
        )


def finish(checkpoint: Path, data: Path, out: Path) -> Path:
    """Strip ``checkpoint`` into ``out``, evaluate it and write its card; return the stripped checkpoint."""
    target = out / f"{about()['name']}.ckpt"
    write_stripped(checkpoint, target, metadata())
    write_card(target, data)
    return target


def main(arguments: Sequence[str] | None = None) -> None:
    """Run as a command."""
    parser = argparse.ArgumentParser(
        prog="python -m aiida_pet.models.recipe",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with train.xyz.xz and validation.xyz.xz"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("pet-training"), help="folder to work in (%(default)s)"
    )
    parser.add_argument("--threads", type=int, default=1, help="threads to train with (%(default)s)")
    parser.add_argument("--checkpoint", type=Path, help="do not train: strip and describe this checkpoint")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    given.out.mkdir(parents=True, exist_ok=True)
    checkpoint = given.checkpoint or train(given.data, given.out, given.threads)
    LOGGER.info("the model is %s", finish(checkpoint, given.data, given.out))


if __name__ == "__main__":
    main()

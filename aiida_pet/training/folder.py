"""The folder of a training job: what plugin and compute node exchange beside sets and model. Free of torch and AiiDA.

In: ``train.json``, ``set-training.npz`` and further sets, the model that is begun from (a link or a copy), and
``before``, a link to the folder of the job that this one goes on with. Out: ``trained.ckpt`` with ``card.json``,
``rows.npz`` (what each row was used for), ``errors.npz``, ``curve.json``, ``outcome.json``, ``progress.json`` as a
heartbeat and two logs.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from aiida_pet.job.folder import MODEL_FILE, TRAIN_FILE, EngineSettings, JobFolderError
from aiida_pet.training.parameters import Stage

SCHEMA_VERSION = 1
BEFORE = "before"
TRAINED_FILE = "trained.ckpt"
CARD_FILE = "card.json"
ROWS_FILE = "rows.npz"
ERRORS_FILE = "errors.npz"
OUTCOME_FILE = "outcome.json"
METATRAIN_LOG = "metatrain.log"
LEAST_EPOCHS = 3
"""Epochs that a walltime must hold, unless fewer are left."""


class End:
    """First words of the last heartbeat of a job that did not end well, beside names of the engine's exit status."""

    BAD_DATA = "BAD_DATA"
    SHORT_WALLTIME = "SHORT_WALLTIME"
    REPEATS = "REPEATS"  # an error of metatrain that the next job would meet again


def set_file(name: str) -> str:
    """Return the file of the set ``name``: training, validation, test or old."""
    return f"set-{name}.npz"


@dataclass(frozen=True)
class TrainingJob:
    """The content of ``train.json``.

    :ivar stage: what this job does.
    :ivar parameters: parameters of the training, see :mod:`aiida_pet.training.parameters`.
    :ivar model_sha256: sha256 of the model that is begun from, empty for a new one.
    :ivar known_level: level of theory of that model.
    :ivar licence: licence of that model.
    :ivar name: name of the model that is made.
    :ivar settings: settings of the site.
    """

    stage: Stage
    parameters: dict[str, Any]
    name: str
    model_sha256: str = ""
    known_level: str = ""
    licence: str = ""
    settings: EngineSettings = field(default_factory=EngineSettings)
    model_path: str = MODEL_FILE
    schema_version: int = SCHEMA_VERSION

    def to_json(self) -> str:
        """Return the text of ``train.json``."""
        return json.dumps(asdict(self), indent=2, sort_keys=True)

    @classmethod
    def read(cls, folder: Path) -> TrainingJob:
        """Return the job in ``folder``.

        :raises JobFolderError: if its file is missing, of another version or not understood.
        """
        path = folder / TRAIN_FILE
        try:
            raw = json.loads(path.read_text())
            version = raw.get("schema_version")
            if version != SCHEMA_VERSION:
                raise JobFolderError(
                    f"{TRAIN_FILE} has schema_version {version!r}, this pet-engine reads {SCHEMA_VERSION}: install the "
                    "same version of aiida-pet on the compute node as in the daemon's environment"
                )
            raw["stage"] = Stage(raw["stage"])
            raw["settings"] = EngineSettings(**raw.get("settings", {}))
            return cls(**raw)
        except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, JobFolderError):
                raise
            raise JobFolderError(f"{path} does not describe a training: {error}") from error

"""The YAML file of a protocol that a user wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from aiida_pet.names import PROTOCOL_FILES
from aiida_pet.words import did_you_mean


class ProtocolError(ValueError):
    """Raised for a protocol or an override that does not exist; the message names those that do."""


class ProtocolFile(BaseModel):
    """What the file says.

    :ivar description: what the protocol is for.
    :ivar base: name of the protocol that it starts from; the default one if not given.
    :ivar parameters: parameters of the task that replace the parameters of ``base``.
    :ivar settings: settings of the engine.
    :ivar max_failures: jobs in a row that finish no row, after which a lane stops.
    """

    model_config = ConfigDict(extra="forbid")

    description: str = ""
    base: str | None = None
    parameters: dict[str, Any] = Field(default_factory=dict)
    settings: dict[str, Any] = Field(default_factory=dict)
    max_failures: int | None = Field(None, ge=1)


def is_protocol_file(name: str) -> bool:
    """Return whether ``name`` is the path of a file, not the name of a protocol.

    >>> is_protocol_file("ours.yaml"), is_protocol_file("precise")
    (True, False)
    """
    return name.endswith(PROTOCOL_FILES)


def read_protocol_file(path: Path) -> ProtocolFile:
    """Return what the file of a protocol says.

    :raises ProtocolError: if it cannot be read, or holds what is unknown, naming the file and the key.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ProtocolError(f"protocol {path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ProtocolError(f"{path}: not YAML: {error}") from error
    if not isinstance(document, dict):
        raise ProtocolError(f"{path}: expected keys such as `parameters:`, got {document!r}")
    try:
        return ProtocolFile.model_validate(document)
    except ValidationError as error:
        raise ProtocolError(f"{path}: {_worded(error)}") from error


def _worded(error: ValidationError) -> str:
    """Return the first thing that is wrong, in words."""
    first = error.errors()[0]
    name = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        known = list(ProtocolFile.model_fields)
        return f"{name}: unknown{did_you_mean(name, known)}; known are {', '.join(known)}"
    return f"{name}: {first['msg'][:1].lower()}{first['msg'][1:]}, got {first['input']!r}"

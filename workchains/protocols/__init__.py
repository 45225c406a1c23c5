"""Protocols: the numbers of each task by name (fast, moderate, precise), read from one YAML file per task.

The protocols that ship set parameters only: what a job asks the queue for is the cluster's matter. A launch adds it by
``overrides``, as ``{"parameters": {"fmax": 0.01}, "resources": {"gpus": 1, "memory": "64GB"}}``.

A protocol of your own is a YAML file, given by its path in place of a name::

    description: What our group takes for alloys.
    base: precise          # the protocol that it starts from; the default one if not given
    parameters: {fmax: 0.001, max_steps: 1000}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from aiida_pet import plugins
from aiida_pet.job.parameters import ParameterError, parse_parameters
from aiida_pet.job.tasks import Task, entry_of
from aiida_pet.words import did_you_mean
from aiida_pet.workchains.protocols.file import (
    ProtocolError,
    ProtocolFile,
    is_protocol_file,
    read_protocol_file,
)

__all__ = (
    "ALIASES",
    "Protocol",
    "ProtocolError",
    "available_protocols",
    "default_protocol",
    "name_of",
    "protocol_inputs",
)


@dataclass(frozen=True)
class Protocol:
    """The inputs that a protocol sets.

    :ivar parameters: parameters of the task.
    :ivar settings: settings of the engine.
    :ivar options: options of each job.
    :ivar resources: that each job asks for, see :mod:`aiida_pet.computers.resources`; they are checked against the
        computer where the builder is filled.
    :ivar max_failures: of a lane; None leaves the default.
    """

    parameters: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    resources: dict[str, Any] = field(default_factory=dict)
    max_failures: int | None = None


@plugins.remembered
def _read(task: Task) -> dict[str, Any]:
    package, _, name = entry_of(task).protocols.partition(":")
    text = (files(package) / name).read_text()
    content: dict[str, Any] = yaml.safe_load(text)
    return content


#: Names that others have for the same: those of aiida-quantumespresso.
ALIASES = {"balanced": "moderate", "stringent": "precise"}


def name_of(protocol: str | None, content: dict[str, Any], what: str) -> str:
    """Return the name of a protocol in ``content``, which has protocols and a default.

    :param protocol: a name or an alias; None for the default.
    :param what: it is of, for the error.
    :raises ProtocolError: if there is none of that name.
    """
    name = protocol or content["default_protocol"]
    name = str(ALIASES.get(name, name))
    if name not in content["protocols"]:
        aliases = ", ".join(f"{alias} ({real})" for alias, real in ALIASES.items())
        raise ProtocolError(
            f"no protocol {name!r} {what}{did_you_mean(name, [*content['protocols'], *ALIASES])}: there are "
            f"{', '.join(content['protocols'])}; other names are {aliases}"
        )
    return name


def default_protocol(task: Task) -> str:
    """Return the name of the protocol that is taken if none is named."""
    name: str = _read(task)["default_protocol"]
    return name


def available_protocols(task: Task) -> dict[str, str]:
    """Return name -> description of each protocol of ``task``."""
    return {name: content["description"] for name, content in _read(task)["protocols"].items()}


def protocol_inputs(task: Task, name: str | None = None, overrides: dict[str, Any] | None = None) -> Protocol:
    """Return the inputs of protocol ``name`` (None: the default) with ``overrides`` over them.

    :param name: name of a protocol, or the path of a file of one: see the module.
    :param overrides: fields of :class:`Protocol`, as ``{"parameters": {"fmax": 0.01}, "resources": {"gpus": 1}}``;
        dictionaries are merged key by key.
    :raises ProtocolError: if there is no such protocol, or an override names no input of a protocol.
    :raises ParameterError: if the parameters are unknown or out of bounds.
    """
    content = _read(task)
    of_file = name if name is not None and is_protocol_file(name) else None
    own = ProtocolFile() if of_file is None else read_protocol_file(Path(of_file))
    base = name if of_file is None else own.base
    try:
        base = name_of(base, content, f"for {task.value}")
    except ProtocolError as error:
        raise ProtocolError(f"{of_file}: base: {error}" if of_file else str(error)) from error
    known = [f.name for f in fields(Protocol)]
    unknown = sorted(set(overrides or {}) - set(known))
    if unknown:
        raise ProtocolError(f"unknown overrides {unknown}; known are {', '.join(known)}")
    chosen = {key: value for key, value in content["protocols"][base].items() if key != "description"}
    changed = own.model_dump(exclude={"description", "base"}, exclude_none=True)
    merged: dict[str, Any] = {}
    for layer in (content["default_inputs"], chosen, changed):
        _put_over(merged, layer)
    if of_file is not None:
        try:
            parse_parameters(task, merged.get("parameters", {}))
        except ParameterError as error:
            raise ParameterError(f"{of_file}: {error}") from error
    _put_over(merged, overrides or {})
    inputs = Protocol(**merged)
    parse_parameters(task, inputs.parameters)
    return inputs


def _put_over(merged: dict[str, Any], layer: Mapping[str, Any]) -> None:
    """Put the inputs of ``layer`` over those of ``merged``, dictionaries key by key."""
    for key, value in layer.items():
        merged[key] = merged.get(key, {}) | value if isinstance(value, dict) else value

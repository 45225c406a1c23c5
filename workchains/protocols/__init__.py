"""Protocols: the numbers of each task by name (fast, moderate, precise), read from one YAML file per task.

The protocols that ship set parameters only: what a job asks the queue for is the cluster's matter. A launch adds it by
``overrides``, as ``{"parameters": {"fmax": 0.01}, "resources": {"gpus": 1, "memory": "64GB"}}``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from importlib.resources import files
from typing import Any

import yaml

from aiida_pet import plugins
from aiida_pet.job.parameters import parse_parameters
from aiida_pet.job.tasks import Task, entry_of


class ProtocolError(ValueError):
    """Raised for a protocol or an override that does not exist; the message names those that do."""


@dataclass(frozen=True)
class Protocol:
    """The inputs that a protocol sets.

    :ivar parameters: of the task.
    :ivar settings: of the engine.
    :ivar options: of each job.
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
            f"no protocol {name!r} {what}: there are {', '.join(content['protocols'])}, and as other names {aliases}"
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

    :param overrides: fields of :class:`Protocol`, as ``{"parameters": {"fmax": 0.01}, "resources": {"gpus": 1}}``;
        dictionaries are merged key by key.
    :raises ProtocolError: if there is no such protocol, or an override names no input of a protocol.
    :raises ParameterError: if the parameters are unknown or out of bounds.
    """
    content = _read(task)
    name = name_of(name, content, f"for {task.value}")
    known = [f.name for f in fields(Protocol)]
    unknown = sorted(set(overrides or {}) - set(known))
    if unknown:
        raise ProtocolError(f"unknown overrides {unknown}; known are {', '.join(known)}")
    chosen = {key: value for key, value in content["protocols"][name].items() if key != "description"}
    merged: dict[str, Any] = {}
    for layer in (content["default_inputs"], chosen, overrides or {}):
        for key, value in layer.items():
            merged[key] = merged.get(key, {}) | value if isinstance(value, dict) else value
    inputs = Protocol(**merged)
    parse_parameters(task, inputs.parameters)
    return inputs

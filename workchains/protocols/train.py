"""Protocols of trainings: epochs, size and rates by name (fast, moderate, precise), from ``train.yaml``."""

from __future__ import annotations

from dataclasses import fields
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from aiida_pet.training.parameters import Mode, parse_training
from aiida_pet.workchains.protocols import Protocol, ProtocolError, name_of


@cache
def _read() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((files(__package__) / "train.yaml").read_text())
    return content


def available_training_protocols() -> dict[str, str]:
    """Return name -> description of each protocol."""
    return {name: content["description"] for name, content in _read()["protocols"].items()}


def default_training_protocol() -> str:
    """Return the name of the protocol that is taken if none is named."""
    return str(_read()["default_protocol"])


def training_inputs(mode: Mode, name: str | None = None, overrides: dict[str, Any] | None = None) -> Protocol:
    """Return the inputs of protocol ``name`` (None: the default) for ``mode``, with ``overrides`` over them.

    :param overrides: fields of :class:`~aiida_pet.workchains.protocols.Protocol`: ``{"parameters": {"epochs": 10}}``.
    :raises ProtocolError: if there is no such protocol, or an override names no input of one.
    :raises aiida_pet.training.parameters.TrainingError: if parameters are unknown or out of bounds.
    """
    content = _read()
    name = name_of(name, content, "for a training")
    known = [field.name for field in fields(Protocol)]
    unknown = sorted(set(overrides or {}) - set(known))
    if unknown:
        raise ProtocolError(f"unknown overrides {unknown}; known are {', '.join(known)}")
    chosen = {key: value for key, value in content["protocols"][name].items() if key != "description"}
    by_mode = {"parameters": content["modes"].get(mode.value, {})}
    merged: dict[str, Any] = {}
    for layer in (content["default_inputs"], chosen, by_mode, overrides or {}):
        for key, value in layer.items():
            merged[key] = merged.get(key, {}) | value if isinstance(value, dict) else value
    inputs = Protocol(**merged)
    parse_training(inputs.parameters)
    return inputs

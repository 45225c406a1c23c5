"""Protocols as a WorkChain tells of them: the methods of aiida-quantumespresso's ``ProtocolMixin``, by its names."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, ClassVar

from aiida_pet.job.tasks import Task
from aiida_pet.workchains.protocols import available_protocols, default_protocol, protocol_inputs


class TaskProtocols:
    """Adds the protocols of a task to a WorkChain.

    :cvar PROTOCOL_TASK: task to which the protocols belong; by default the ``TASK`` of the class.
    """

    PROTOCOL_TASK: ClassVar[Task] = Task.STATIC

    @classmethod
    def _protocol_task(cls) -> Task:
        return getattr(cls, "TASK", cls.PROTOCOL_TASK)

    @classmethod
    def get_default_protocol(cls) -> str:
        """Return the name of the protocol that is taken if none is named."""
        return default_protocol(cls._protocol_task())

    @classmethod
    def get_available_protocols(cls) -> dict[str, dict[str, str]]:
        """Return name -> ``{"description": ...}`` of each protocol; ``balanced`` and ``stringent`` are other names."""
        found = available_protocols(cls._protocol_task())
        return {name: {"description": description} for name, description in found.items()}

    @classmethod
    def get_protocol_inputs(
        cls, protocol: str | None = None, overrides: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the inputs that ``protocol`` sets, with ``overrides`` over them: ``{"parameters": {...}}``.

        :param protocol: None for the default.
        :raises ProtocolError: for an unknown protocol or override.
        """
        inputs = asdict(protocol_inputs(cls._protocol_task(), protocol, overrides))
        return {name: value for name, value in inputs.items() if value}

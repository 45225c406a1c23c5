"""What a launch that is taken up does otherwise than before: lanes, resources, options and settings of its jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiida.orm import Int

from aiida_pet.campaigns.errors import SetByHandError
from aiida_pet.computers.codes import share_of_cores
from aiida_pet.computers.resources import (
    OPTION_OF_RESOURCE,
    job_options,
    merge_options,
    over,
    parse_resources,
)
from aiida_pet.workchains.launch import fill_options

_OF_THEIR_OWN = ("walltime", "account", "partition", "qos")
"""Resources that are an option of their own with any scheduler."""


@dataclass(frozen=True)
class Changes:
    """What is other than before; what is None or empty is as it was.

    :ivar lanes: jobs that run at once.
    :ivar job_size: rows of a job at most.
    :ivar resources: fields of :class:`~aiida_pet.computers.resources.Resources` that replace the earlier fields.
    :ivar options: ``metadata.options`` of jobs, over those of before.
    :ivar settings: how the engine works, over how it worked before.
    """

    lanes: int | None = None
    job_size: int | None = None
    resources: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def apply(self, builder: Any, *, at_home: bool) -> None:
        """Change ``builder``, which is as the launch was before.

        :param at_home: whether jobs run on the computer on which they ran before.
        :raises ResourceError: for unknown resources, or for resources that the computer does not have.
        :raises SetByHandError: for resources that stand among others in lines of the scheduler.
        """
        lanes, options = builder.lanes.value, dict(builder.options or {})
        if self.lanes is not None:
            builder.lanes = Int(self.lanes)
        if self.job_size is not None:
            builder.job_size = Int(self.job_size)
        self._change_options(builder, at_home=at_home)
        self._change_settings(builder, share_of_cores(builder.code, lanes, options))

    def _change_options(self, builder: Any, *, at_home: bool) -> None:
        """Set the options of jobs: what was asked for before, and over it what is asked for now."""
        if at_home and not self.resources and not self.options:
            return
        past = dict(builder.options or {})
        asked = dict(builder.asked or {})
        own_resources, own_options = asked.get("resources", {}), asked.get("options", {})
        # options that somebody set by hand, or of a version that did not note what they were made of
        if past and past != job_options(builder.code.computer, own_resources, own_options):
            builder.options = self._over(past)
            return
        now = {OPTION_OF_RESOURCE.get(name) for name in self.resources}
        kept = {name: value for name, value in own_options.items() if name not in now}
        resources = over(own_resources, dict(self.resources))
        fill_options(builder, resources, merge_options(kept, self.options))

    def _over(self, past: dict[str, Any]) -> dict[str, Any]:
        """Return options that were set by hand with what is asked for now in the place of what they had."""
        lost = [name for name in self.resources if name not in _OF_THEIR_OWN]
        if lost:
            raise SetByHandError(lost)
        asked = parse_resources(dict(self.resources))
        changed = {OPTION_OF_RESOURCE[name]: getattr(asked, name) for name in self.resources}
        merged = past | changed | dict(self.options)
        variables = "environment_variables"
        if variables in merged:
            merged[variables] = past.get(variables, {}) | self.options.get(variables, {})
        return merged

    def _change_settings(self, builder: Any, automatic: dict[str, int]) -> None:
        """Set how the engine works; threads are as many as lanes leave.

        :param automatic: the threads that nobody asked for, of as many lanes as there were.
        """
        settings = dict(builder.settings or {})
        if settings.get("threads") == automatic.get("threads"):
            settings.pop("threads", None)
        share = share_of_cores(builder.code, builder.lanes.value, dict(builder.options or {}))
        builder.settings = share | settings | dict(self.settings)

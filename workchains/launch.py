"""How a launch runs: over how many jobs, where, and what each of them asks for. The same for all WorkChains."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import Parameter, signature
from typing import Any, TypedDict

from aiida import orm
from aiida.engine import ProcessBuilder

from aiida_pet.computers.resources import job_options, over
from aiida_pet.schemas import read_as
from aiida_pet.words import did_you_mean
from aiida_pet.workchains.protocols import Protocol


class LaunchError(TypeError):
    """Raised for an argument that a launch does not know, or of the wrong type; names it and what was expected."""


class Launch(TypedDict, total=False):
    """Arguments of every ``get_builder_from_protocol`` that do not concern the science.

    :ivar lanes: how many jobs may run at once; 1 if not given.
    :ivar job_size: rows of a job at most; None for few large jobs.
    :ivar job_duration: seconds that a job should take: the first of a lane is small, the next have as many rows as its
        rate allows, ``job_size`` at most; None if that is of no matter.
    :ivar clean_workdir: remove the folder of a job once its results are stored; None keeps it.
    :ivar options: ``metadata.options`` of each job.
    :ivar settings: fields of :class:`~aiida_pet.job.folder.EngineSettings`.
    :ivar resources: what a job asks the queue for, ``{"gpus": 1, "memory": "64GB", "walltime": "2h"}``; fields of
        :class:`~aiida_pet.computers.resources.Resources`.
    """

    lanes: int
    job_size: int | None
    job_duration: int | None
    clean_workdir: bool | None
    options: dict[str, Any] | None
    settings: dict[str, Any] | None
    resources: dict[str, Any] | None


def read_launch(workchain: type[Any], given: Mapping[str, Any]) -> Launch:
    """Return what a launch is given, each name known and each value of its type.

    :param workchain: that is launched; its method ``get_builder_from_protocol`` has arguments beside these.
    :raises LaunchError: for a name that is unknown, or a value of another type.
    """
    known = [*_own_arguments(workchain), *Launch.__annotations__]
    for name in given:
        if name not in Launch.__annotations__:
            raise LaunchError(
                f"{workchain.__name__}.get_builder_from_protocol has no argument {name!r}{did_you_mean(name, known)}: "
                f"known are {', '.join(known)}"
            )
    return read_as(Launch, given, "arguments of a launch", LaunchError)


def _own_arguments(workchain: type[Any]) -> list[str]:
    """Return the named arguments of ``get_builder_from_protocol`` of a class and those above it."""
    name_of_method = "get_builder_from_protocol"
    methods = [vars(one)[name_of_method] for one in workchain.__mro__ if name_of_method in vars(one)]
    found = [
        name
        for method in methods
        for name, parameter in signature(method.__func__).parameters.items()
        if parameter.kind in (Parameter.KEYWORD_ONLY, Parameter.POSITIONAL_OR_KEYWORD) and name != "cls"
    ]
    return list(dict.fromkeys(found))


def fill_protocol(builder: ProcessBuilder, inputs: Protocol, **values: Any) -> None:
    """Set what does not depend on where and how jobs run; values of None are left out."""
    builder.parameters = orm.Dict(inputs.parameters)
    if inputs.max_failures is not None:
        builder.max_failures = orm.Int(inputs.max_failures)
    for name, value in values.items():
        if value is not None:
            setattr(builder, name, value)


def fill_launch(builder: Any, launch: Launch, inputs: Protocol | None = None) -> None:
    """Set how rows are shared out over jobs, and their options and settings; None leaves what a port has by default.

    :param builder: its code is set.
    :param launch: of :func:`read_launch`; stands over what the protocol says.
    :param inputs: inputs of the protocol.
    :raises ResourceError: for resources that the computer of the code has not.
    """
    builder.lanes = orm.Int(launch.get("lanes", 1))
    for name, value in (("job_size", launch.get("job_size")), ("job_duration", launch.get("job_duration"))):
        if value is not None:
            setattr(builder, name, orm.Int(value))
    clean_workdir = launch.get("clean_workdir")
    if clean_workdir is not None:
        builder.clean_workdir = orm.Bool(clean_workdir)
    resources: Mapping[str, Any] = launch.get("resources") or {}
    options, settings = launch.get("options") or {}, launch.get("settings") or {}
    if inputs is not None:
        resources = over(inputs.resources, resources)
        options, settings = inputs.options | options, inputs.settings | settings
    fill_options(builder, resources, options)
    if settings:
        builder.settings = settings


def fill_options(
    builder: Any, resources: Mapping[str, Any] | None, options: Mapping[str, Any] | None
) -> None:
    """Set the options of jobs on the computer of the builder's code, and what they were made of.

    :param resources: fields of :class:`~aiida_pet.computers.resources.Resources`.
    :param options: ``metadata.options`` that stand over what asks for them.
    :raises ResourceError: for resources that the computer has not.
    """
    asked = {name: dict(value) for name, value in (("resources", resources), ("options", options)) if value}
    rendered = job_options(builder.code.computer, resources, options)
    for name, value in (("options", rendered), ("asked", asked)):
        if value:
            setattr(builder, name, value)

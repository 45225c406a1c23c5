"""The YAML file of ``aiida-pet setup computer``: where a computer is, how jobs run there and how GPUs are asked for."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator

from aiida_pet.computers.kinds import CODE, GpuSyntax, SchedulerName, TransportName
from aiida_pet.computers.resources import (
    DIRECT,
    PBSPRO,
    ResourceError,
    Site,
    Word,
    parse_resources,
    render,
)
from aiida_pet.schemas import read_as, told

SCHEDULERS = {
    SchedulerName.SLURM: "core.slurm",
    SchedulerName.PBSPRO: PBSPRO,
    SchedulerName.LSF: "core.lsf",
    SchedulerName.SGE: "core.sge",
    SchedulerName.DIRECT: DIRECT,
}
"""The plugin of each scheduler."""
TRANSPORTS = {TransportName.LOCAL: "core.local", TransportName.SSH_ASYNC: "core.ssh_async"}
"""The plugin of each transport."""
QUEUE_POLL_S = 30.0
DIRECT_POLL_S = 1.0


def _text(pattern: str, expected: str) -> Any:
    return Field(pattern=pattern, json_schema_extra=told(expected=expected))


Host = Annotated[
    str, _text(r"\A[A-Za-z0-9][A-Za-z0-9_.@:-]{0,199}\z", "a host: letters, digits and . - _ : @")
]
Label = Annotated[
    str,
    _text(
        r"\A[A-Za-z0-9][A-Za-z0-9_.-]{0,99}\z",
        "letters, digits and _ . -, beginning with a letter or digit",
    ),
]
AbsolutePath = Annotated[
    str, _text(r"\A/[A-Za-z0-9_./+@{}=~,-]{0,999}\z", "an absolute path without spaces, quotes and $")
]
Module = Annotated[
    str,
    _text(
        r"\A[A-Za-z0-9][A-Za-z0-9_./+:-]{0,199}\z",
        "the name of a module: letters, digits and _ . / + : -",
    ),
]
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
_LINE_BREAKS = ("\n", "\r", "\x00", "\u2028", "\u2029")


class ComputerFile(BaseModel):
    """The keys of the file.

    :ivar label: label of AiiDA's computer.
    :ivar hostname: as ``ssh HOSTNAME`` knows it.
    :ivar transport: ``local``, or ``ssh_async`` for a login without password.
    :ivar description: description of AiiDA's computer, for people.
    :ivar scheduler: slurm, pbspro, lsf, sge, or direct for none.
    :ivar work_dir: where jobs run; ``{username}`` becomes the user name of the login.
    :ivar engine: path of ``pet-engine`` there.
    :ivar code: label of AiiDA's code.
    :ivar modules: to load before the engine.
    :ivar environment: variables to set before it.
    :ivar prepend_text: further lines of shell before it.
    :ivar gpu_syntax: of SLURM: gres, gpus-per-node or gpus.
    :ivar gpu_resource: by which the cluster counts GPUs, if it is not ``gpu`` (SLURM, SGE) or ``ngpus`` (PBS).
    :ivar gpu_type_resource: of PBS and SGE, that holds the kind of GPU.
    :ivar parallel_env: parallel environment of SGE.
    :ivar gpus: number of GPUs of a workstation without a scheduler; each lane gets one of them unless ``resources`` say
        otherwise.
    :ivar resources: that jobs ask for unless told otherwise, see :class:`~aiida_pet.computers.resources.Resources`.
    :ivar mpiprocs: processes of a machine, by default; the engine is always one.
    :ivar poll_interval: seconds between two looks at the queue.
    :ivar connection_interval: seconds between two connections.
    :ivar login_shell: whether commands run in a login shell.
    :ivar ssh_backend: asyncssh, or openssh for what only the ssh program can do.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    label: Label
    hostname: Host = "localhost"
    description: str = ""
    transport: TransportName = TransportName.LOCAL
    scheduler: SchedulerName
    work_dir: AbsolutePath
    engine: AbsolutePath
    code: Label = CODE
    modules: tuple[Module, ...] = ()
    environment: dict[str, str] = Field(default_factory=dict)
    prepend_text: str = ""
    gpu_syntax: GpuSyntax = GpuSyntax.GRES
    gpu_resource: Word | None = None
    gpu_type_resource: Word = "gpu_type"
    parallel_env: Word = "smp"
    gpus: int = Field(0, ge=0, strict=True)
    resources: dict[str, Any] = Field(default_factory=dict)
    mpiprocs: int = Field(1, ge=1, strict=True)
    poll_interval: float | None = Field(None, ge=0)
    connection_interval: float | None = Field(None, ge=0)
    login_shell: bool = True
    ssh_backend: Literal["asyncssh", "openssh"] = "asyncssh"

    @field_validator("resources")
    @classmethod
    def _resources_are_such(cls, raw: dict[str, Any]) -> dict[str, Any]:
        parse_resources(raw)
        return raw

    @field_validator("environment", mode="before")
    @classmethod
    def _variables_are_such(cls, raw: Any) -> Any:
        if not isinstance(raw, dict):
            return raw
        for name, value in raw.items():
            if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a variable: expected letters, digits and _")
            if isinstance(value, bool) or not isinstance(value, str | int | float):
                raise ValueError(f"{name} = {value!r}: expected a text or a number")
            if any(character in str(value) for character in _LINE_BREAKS):
                raise ValueError(f"{name} = {value!r}: expected one line")
        return {name: str(value) for name, value in raw.items()}

    @field_validator("work_dir")
    @classmethod
    def _only_the_user_is_filled_in(cls, path: str) -> str:
        if set(re.findall(r"\{[^}]*\}", path)) - {"{username}"} or path.count("{") != path.count("}"):
            raise ValueError("expected no braces except in {username}")
        return path

    @property
    def site(self) -> Site:
        """What `aiida_pet` keeps of the computer beside AiiDA."""
        return Site(**{name: getattr(self, name) for name in Site.model_fields})

    @property
    def setup_lines(self) -> str:
        """The shell lines before the engine."""
        lines = [f"module load {name}" for name in self.modules]
        lines += [f"export {name}={shlex.quote(value)}" for name, value in self.environment.items()]
        return "\n".join([*lines, *([self.prepend_text.rstrip()] if self.prepend_text.strip() else [])])

    @property
    def poll_s(self) -> float:
        """Seconds between two looks at the queue."""
        if self.poll_interval is not None:
            return self.poll_interval
        return DIRECT_POLL_S if self.scheduler is SchedulerName.DIRECT else QUEUE_POLL_S

    @property
    def connection(self) -> dict[str, Any]:
        """The arguments of ``Computer.configure``."""
        settings: dict[str, Any] = {"use_login_shell": self.login_shell}
        if self.connection_interval is not None or self.transport is TransportName.LOCAL:
            settings["safe_interval"] = self.connection_interval or 0.0
        if self.transport is TransportName.SSH_ASYNC:
            settings |= {"host": self.hostname, "backend": self.ssh_backend}
        return settings


def parse_computer(raw: Any, source: str) -> ComputerFile:
    """Return the content of a file as a computer.

    :param source: name of the file, for messages.
    :raises ResourceError: naming key, value and what was expected.
    """
    if not isinstance(raw, dict):
        raise ResourceError(f"{source}: expected keys and values such as `label: cluster`, got {raw!r}")
    found = read_as(ComputerFile, raw, source, ResourceError)
    if found.scheduler is not SchedulerName.SLURM and "gpu_syntax" in raw:
        raise ResourceError(
            f"bad {source}:\n  gpu_syntax = {raw['gpu_syntax']!r}: this key is for SLURM only, leave it out"
        )
    if found.scheduler is not SchedulerName.DIRECT and found.gpus:
        raise ResourceError(
            f"bad {source}:\n  gpus = {found.gpus}: this key is for a workstation without a scheduler; for a cluster, "
            "write what a job asks for under `resources`"
        )
    try:
        render(parse_resources(found.resources), SCHEDULERS[found.scheduler], found.site)
    except ResourceError as error:
        raise ResourceError(f"bad {source}:\n  resources: {error}") from error
    return found


def read_computer(path: Path) -> ComputerFile:
    """Return the computer that a YAML file describes.

    :raises ResourceError: if it is no YAML, or has keys or values that :class:`ComputerFile` does not allow.
    :raises OSError: if it cannot be read.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ResourceError(f"{path} is not YAML: {error}") from error
    return parse_computer(raw, str(path))

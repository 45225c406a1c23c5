"""What a job of the engine asks a queue for, in one vocabulary for all schedulers: GPUs, cores, memory, time, account.

:class:`Resources` is what a user writes; :class:`Site` is what a computer needs beside it (how its GPUs are asked for),
kept in a property of AiiDA's computer by `aiida-pet setup computer`. :func:`render` makes ``metadata.options`` of the
two. Every text that reaches a job script is held to a strict set of characters, so that none can end its line.

Syntax of the schedulers: ``--gres``, ``--gpus-per-node`` and ``--gpus`` of SLURM's sbatch(1), ``ngpus`` in a chunk of
PBS Professional (qsub(1B), pbs_resources(7B)), ``-gpu`` of LSF's bsub, a consumable resource for SGE's ``-l``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Self

from aiida.orm import Computer
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from aiida_pet.computers.kinds import GpuSyntax
from aiida_pet.computers.quantities import parse_duration, parse_memory
from aiida_pet.schemas import read_as, told

SITE_PROPERTY = "aiida_pet"
GPU_VARIABLE = "CUDA_VISIBLE_DEVICES"

PBSPRO = "pet.pbspro"
DIRECT = "core.direct"
SCHEDULERS = ("core.slurm", PBSPRO, "core.lsf", "core.sge", DIRECT)

MAX_GPUS = 64
MAX_CPUS = 4096

# Of pydantic's own engine, in which `\z` is the very end: `$` of Python's also matches before a last newline.
Word = Annotated[
    str,
    Field(
        pattern=r"\A[A-Za-z0-9][A-Za-z0-9_.+-]{0,99}\z",
        json_schema_extra=told(expected="letters, digits and _ . + -, beginning with a letter or digit"),
    ),
]
Account = Annotated[
    str,
    Field(
        pattern=r"\A[A-Za-z0-9][A-Za-z0-9_.+:@/-]{0,99}\z",
        json_schema_extra=told(
            expected="letters, digits and _ . + : @ / -, beginning with a letter or digit"
        ),
    ),
]
Queues = Annotated[
    str,
    Field(
        pattern=r"\A[A-Za-z0-9][A-Za-z0-9_.+@,-]{0,99}\z",
        json_schema_extra=told(
            expected="letters, digits and _ . + @ -, several with commas, beginning with a letter or digit"
        ),
    ),
]


OPTION_OF_RESOURCE = {
    "walltime": "max_wallclock_seconds",
    "memory": "max_memory_kb",
    "account": "account",
    "partition": "queue_name",
    "qos": "qos",
    "cpus": "resources",
    "cpus_per_gpu": "resources",
}
"""Resource -> option of a job in AiiDA that says the same."""


class ResourceError(ValueError):
    """Raised for resources that are no such, or that a scheduler has not; names key, value and what was expected."""


class Resources(BaseModel):
    """What one job asks for. The engine is one process and works on one GPU; more speed comes from more lanes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    gpus: int | None = Field(None, ge=0, le=MAX_GPUS, strict=True, description="number of GPUs of a job")
    gpu_type: Word | None = Field(
        None, description="kind of GPU, under the name that the cluster uses, such as a100"
    )
    cpus_per_gpu: int | None = Field(None, ge=1, le=MAX_CPUS, strict=True, description="cores per GPU")
    cpus: int | None = Field(
        None, ge=1, le=MAX_CPUS, strict=True, description="number of cores of a job, in place of cpus_per_gpu"
    )
    memory: Annotated[int, BeforeValidator(parse_memory)] | None = Field(
        None, description="main memory of a job, such as 64GB; stored in KiB"
    )
    walltime: Annotated[int, BeforeValidator(parse_duration)] | None = Field(
        None, description="time limit of a job, such as 2h; stored in seconds"
    )
    account: Account | None = Field(None, description="who pays")
    partition: Queues | None = Field(None, description="partition or queue")
    qos: Word | None = Field(None, description="quality of service")

    @model_validator(mode="before")
    @classmethod
    def _queue_is_partition(cls, raw: Any) -> Any:
        if isinstance(raw, Mapping) and "queue" in raw:
            if "partition" in raw:
                raise ValueError(
                    "partition and queue are two names for the same thing: give only one of them"
                )
            raw = {("partition" if name == "queue" else name): value for name, value in raw.items()}
        return raw

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.cpus is not None and self.cpus_per_gpu is not None:
            raise ValueError("cpus and cpus_per_gpu both set the number of cores: give only one of them")
        for name in ("gpu_type", "cpus_per_gpu"):
            if getattr(self, name) is not None and not self.gpus:
                raise ValueError(f"{name} = {getattr(self, name)!r} needs gpus, which is {self.gpus}")
        return self

    @property
    def n_cpus(self) -> int | None:
        """Cores of a job; None leaves it to the scheduler."""
        if self.cpus_per_gpu is not None:
            return self.cpus_per_gpu * (self.gpus or 0)
        return self.cpus

    def given(self) -> dict[str, Any]:
        """Return what was given, as :func:`parse_resources` takes it."""
        found = self.model_dump(mode="json", exclude_none=True)
        if "memory" in found:
            found["memory"] = f"{found['memory']}K"
        return found


class Site(BaseModel):
    """What a computer needs to be asked for GPUs.

    :ivar gpu_syntax: of SLURM.
    :ivar gpu_resource: name under which the cluster counts its GPUs: ``gpu`` in SLURM's gres and SGE, ``ngpus`` in PBS.
    :ivar gpu_type_resource: name of the resource of PBS or SGE that holds the kind of GPU.
    :ivar parallel_env: parallel environment of SGE, for the cores of one machine.
    :ivar gpus: number of GPUs of a workstation without a scheduler; its lanes take them in turn, unless jobs ask for
        none.
    :ivar resources: defaults of jobs.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    gpu_syntax: GpuSyntax = GpuSyntax.GRES
    gpu_resource: Word | None = None
    gpu_type_resource: Word = "gpu_type"
    parallel_env: Word = "smp"
    gpus: int = Field(0, ge=0, le=MAX_GPUS, strict=True)
    resources: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _resources_are_such(self) -> Self:
        parse_resources(self.resources)
        return self


def parse_resources(raw: Mapping[str, Any]) -> Resources:
    """Return the validated resources.

    :raises ResourceError: naming key, value and what was expected.
    """
    return read_as(Resources, raw, "resources", ResourceError)


def site_of(computer: Computer) -> Site:
    """Return what `aiida-pet setup computer` wrote of ``computer``; the defaults if it is none of its making."""
    kept = computer.get_property(SITE_PROPERTY, {})
    return read_as(Site, kept, f"settings of computer {computer.label!r}", ResourceError)


def resource_options(computer: Computer, resources: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return ``metadata.options`` of jobs on ``computer`` that ask for ``resources`` over the computer's defaults.

    :param resources: as of :func:`asked_resources`.
    :raises ResourceError: for resources that are no such, or that the scheduler of the computer has not.
    """
    return render(asked_resources(computer, resources), computer.scheduler_type, site_of(computer))


def asked_resources(computer: Computer, resources: Mapping[str, Any] | None = None) -> Resources:
    """Return what jobs on ``computer`` ask for: ``resources`` over the computer's defaults.

    A workstation that has GPUs gives each lane one of them, unless ``gpus: 0`` says that jobs want none: without a
    word all lanes would work on the first.

    :param resources: fields of :class:`Resources`, as ``{"gpus": 1, "memory": "64GB", "walltime": "2h"}``.
    :raises ResourceError: for resources that are no such.
    """
    site = site_of(computer)
    defaults = dict(site.resources)
    if computer.scheduler_type == DIRECT and site.gpus and defaults.get("gpus") is None:
        defaults["gpus"] = 1
    return parse_resources(over(defaults, resources or {}))


def over(before: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return resources ``given`` over those of ``before``, without what these ask for beside something else now."""

    def named(raw: Mapping[str, Any]) -> dict[str, Any]:
        found = {name: value for name, value in raw.items() if value is not None}
        if "queue" in found and "partition" not in found:
            found["partition"] = found.pop("queue")
        return found

    kept, new = named(before), named(given)
    for one, other in (("cpus", "cpus_per_gpu"), ("cpus_per_gpu", "cpus")):
        if one in new:
            kept.pop(other, None)
    if new.get("gpus") == 0:
        for name in ("gpu_type", "cpus_per_gpu"):
            kept.pop(name, None)
    return kept | new


def job_options(
    computer: Computer | None, resources: Mapping[str, Any] | None, options: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return ``metadata.options`` of jobs on ``computer``: ``options`` over what asks for ``resources``.

    :param computer: None for that of a code that belongs to none, which has no options but those given.
    :raises ResourceError: as :func:`resource_options`.
    """
    if computer is None:
        return dict(options or {})
    return merge_options(resource_options(computer, resources), options or {})


def merge_options(rendered: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``options`` over ``rendered``; scheduler commands and environment variables of both stay."""
    merged = {**rendered, **options}
    commands = "custom_scheduler_commands"
    given = [found[commands] for found in (rendered, options) if found.get(commands)]
    if given:
        merged[commands] = "\n".join(given)
    variables = "environment_variables"
    if variables in merged:
        merged[variables] = {**rendered.get(variables, {}), **options.get(variables, {})}
    return merged


def least_resources(scheduler: str, site: Site | None = None) -> dict[str, Any]:
    """Return the option ``resources`` of one process on one machine, which schedulers of AiiDA word differently."""
    return _resources(scheduler, None, site or Site())


def render(resources: Resources, scheduler: str, site: Site | None = None) -> dict[str, Any]:
    """Return ``resources`` as ``metadata.options`` of a CalcJob.

    :param scheduler: entry point of the scheduler plugin, one of :data:`SCHEDULERS`.
    :param site: site settings of the computer.
    :raises ResourceError: for what the scheduler has not, with the remedy.
    """
    site = site or Site()
    _check_known(resources, scheduler)
    options: dict[str, Any] = {"resources": _resources(scheduler, resources.n_cpus, site)}
    for name, option in OPTION_OF_RESOURCE.items():
        value = getattr(resources, name)
        if value is not None and option != "resources":
            options[option] = value
    if scheduler in _RENDERERS:
        options |= _RENDERERS[scheduler](resources, site)
    return options


def _check_known(resources: Resources, scheduler: str) -> None:
    """Raise for what the scheduler has no word for: it would be dropped without a sound."""
    if resources.gpus and scheduler == "core.pbspro":
        raise ResourceError(
            f"gpus = {resources.gpus}: core.pbspro writes a `select` of its own, and PBS keeps the first `select` "
            f"that it reads, so no GPU can be asked for. Make the computer with scheduler {PBSPRO} (`aiida-pet setup "
            "computer`)"
        )
    if resources.gpus and scheduler not in SCHEDULERS:
        raise ResourceError(
            f"gpus = {resources.gpus}: aiida-pet cannot ask scheduler {scheduler!r} for GPUs, only "
            f"{', '.join(SCHEDULERS)}: give custom_scheduler_commands as an option instead"
        )
    if resources.qos is not None and scheduler != "core.slurm":
        raise ResourceError(f"qos = {resources.qos!r}: only SLURM knows it, but the scheduler is {scheduler}")
    if scheduler != DIRECT:
        return
    for name in ("account", "partition", "memory", "gpu_type"):
        value = getattr(resources, name)
        if value is not None:
            raise ResourceError(f"{name} = {value!r}: the computer has no queue ({DIRECT}), leave it out")
    if resources.gpus is not None and resources.gpus > 1:
        raise ResourceError(
            f"gpus = {resources.gpus}: without a queue a job has one GPU; more lanes use more GPUs"
        )


def _resources(scheduler: str, cpus: int | None, site: Site) -> dict[str, Any]:
    """Return AiiDA's ``resources`` of one process with so many cores."""
    if scheduler == "core.lsf":
        return {"tot_num_mpiprocs": cpus or 1}
    if scheduler == "core.sge":
        return {"parallel_env": site.parallel_env, "tot_num_mpiprocs": cpus or 1}
    cores = {"num_cores_per_mpiproc": cpus} if cpus else {}
    return {"num_machines": 1, "num_mpiprocs_per_machine": 1, **cores}


def _slurm(resources: Resources, site: Site) -> dict[str, Any]:
    if not resources.gpus:
        return {}
    kind = f"{resources.gpu_type}:" if resources.gpu_type else ""
    if site.gpu_syntax is GpuSyntax.GRES:
        request = f"--gres={site.gpu_resource or 'gpu'}:{kind}{resources.gpus}"
    else:
        request = f"--{site.gpu_syntax.value}={kind}{resources.gpus}"
    return {"custom_scheduler_commands": f"#SBATCH {request}"}


def _pbspro(resources: Resources, site: Site) -> dict[str, Any]:
    """Return the chunk as a whole: PBS takes one ``select``, and :data:`PBSPRO` writes this one alone."""
    if not resources.gpus:
        return {}
    chunk = ["select=1", "mpiprocs=1", f"ncpus={resources.n_cpus or 1}"]
    chunk.append(f"{site.gpu_resource or 'ngpus'}={resources.gpus}")
    if resources.gpu_type:
        chunk.append(f"{site.gpu_type_resource}={resources.gpu_type}")
    if resources.memory:
        chunk.append(f"mem={resources.memory}kb")
    return {"custom_scheduler_commands": f"#PBS -l {':'.join(chunk)}"}


def _lsf(resources: Resources, site: Site) -> dict[str, Any]:
    if not resources.gpus:
        return {}
    kind = f":gmodel={resources.gpu_type}" if resources.gpu_type else ""
    return {"custom_scheduler_commands": f'#BSUB -gpu "num={resources.gpus}{kind}"'}


def _sge(resources: Resources, site: Site) -> dict[str, Any]:
    """Return GPUs and memory: AiiDA's plugin writes no memory. ``h_vmem`` would bound CUDA's address space too."""
    lines = []
    if resources.gpus:
        lines.append(f"#$ -l {site.gpu_resource or 'gpu'}={resources.gpus}")
        if resources.gpu_type:
            lines.append(f"#$ -l {site.gpu_type_resource}={resources.gpu_type}")
    if resources.memory:
        lines.append(f"#$ -l mem_free={resources.memory // 1024}M")
    return {"custom_scheduler_commands": "\n".join(lines)} if lines else {}


def _direct(resources: Resources, site: Site) -> dict[str, Any]:
    """Return all GPUs of the workstation, of which :func:`lane_options` gives each lane one."""
    if resources.gpus is None:
        return {}
    if resources.gpus and not site.gpus:
        raise ResourceError(
            f"gpus = {resources.gpus}: the computer has no queue and its number of GPUs is not known: state it as "
            "`gpus: N` in the file for `aiida-pet setup computer`"
        )
    devices = ",".join(str(device) for device in range(site.gpus)) if resources.gpus else ""
    return {"environment_variables": {GPU_VARIABLE: devices}}


_RENDERERS: dict[str, Callable[[Resources, Site], dict[str, Any]]] = {
    "core.slurm": _slurm,
    PBSPRO: _pbspro,
    "core.lsf": _lsf,
    "core.sge": _sge,
    DIRECT: _direct,
}


def lane_options(options: Mapping[str, Any], scheduler: str, lane: int) -> dict[str, Any]:
    """Return the options of the jobs of one lane: without a queue, lane ``k`` takes GPU ``k`` modulo their number.

    With a queue it is the scheduler that gives each job GPUs of its own.

    :param options: options of all jobs; ``CUDA_VISIBLE_DEVICES`` among the environment variables lists the GPUs.
    :param scheduler: entry point of the scheduler plugin.
    :param lane: counted from 0.
    """
    variables = dict(options.get("environment_variables") or {})
    devices = [device.strip() for device in str(variables.get(GPU_VARIABLE, "")).split(",") if device.strip()]
    if scheduler != DIRECT or len(devices) < 2:
        return dict(options)
    variables[GPU_VARIABLE] = devices[lane % len(devices)]
    return {**options, "environment_variables": variables}


def cores_of(resources: dict[str, Any]) -> int | None:
    """Return the cores that ``resources`` asks for the engine's one process, None if they do not say."""
    for key in ("num_cores_per_mpiproc", "num_cores_per_machine", "num_cpus"):
        if resources.get(key):
            return int(resources[key])
    if "num_machines" not in resources and resources.get("tot_num_mpiprocs"):
        return int(resources["tot_num_mpiprocs"])  # LSF and SGE have no other word for cores
    return None

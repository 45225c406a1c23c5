"""The catalogue of tasks: what the engine can do with a set of crystals, and where each part of a task is written.

Other packages add tasks with an entry point of the group ``aiida_pet.tasks`` that names a :class:`TaskEntry`; see
``docs/dev/add-a-task.md``. Schemas and drivers are named and loaded when they are wanted, so that this module imports
neither pydantic nor torch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from aiida_pet import plugins
from aiida_pet.job.given_columns import DISPLACEMENTS, OF_CONDUCTIVITY, OF_PHONONS
from aiida_pet.tables.column import Column

logger = logging.getLogger(__name__)

BATCH = "pet.batch"
"""Entry point of the WorkChain that runs any task over a set."""


class Task(StrEnum):
    """Name of a task. The members are the tasks of this package; ``Task(name)`` takes those of others too."""

    STATIC = "static"
    RELAX = "relax"
    PHONONS = "phonons"
    ELASTIC = "elastic"
    CONDUCTIVITY = "conductivity"
    EOS = "eos"
    QHA = "qha"
    MD = "md"

    @classmethod
    def _missing_(cls, value: object) -> Self:
        """Return the task ``value`` of another package.

        :raises ValueError: if no installed package has it.
        """
        known = task_names()
        if value not in known:
            raise ValueError(
                f"unknown task {value!r}: expected one of {', '.join(known)}; a task of another package needs that "
                "package installed here"
            )
        return _of_another(cls, str(value))


@plugins.remembered
def _of_another[T: Task](cls: type[T], name: str) -> T:
    """Return the task ``name`` as a member of ``cls``, the same one each time."""
    task = str.__new__(cls, name)
    task._name_, task._value_ = name.upper(), name
    return task


@dataclass(frozen=True)
class Flag:
    """A yes-or-no option of ``aiida-pet launch TASK``.

    :ivar name: name of the argument of ``get_builder_from_protocol`` that it sets to true.
    :ivar help: text of ``--help``.
    """

    name: str
    help: str


@dataclass(frozen=True)
class Setting:
    """An option of ``aiida-pet launch TASK`` that has a value.

    :ivar name: name of the argument of ``get_builder_from_protocol`` that it gives.
    :ivar help: text of ``--help``.
    :ivar metavar: what stands for the value; ``NAME=VALUE`` for one that may be given several times.
    """

    name: str
    help: str
    metavar: str

    @property
    def is_pairs(self) -> bool:
        """Whether it gives a dictionary."""
        return self.metavar == "NAME=VALUE"


@dataclass(frozen=True)
class TaskEntry:
    """A task, whole.

    :ivar name: by which everybody calls it.
    :ivar summary: sentence for ``aiida-pet launch --help``.
    :ivar schema: its parameters, a subclass of :class:`aiida_pet.job.parameters.StaticParameters`, as ``module:name``.
    :ivar driver: class of the engine that runs it, as ``module:name``.
    :ivar seconds_per_atom: computing time (s) per atom of the crystals with the model that ships on one CPU core, for
        the estimate of ``--dry-run`` as long as the profile has no job of it.
    :ivar columns: that it writes beside those of ``like``; those of this package's tasks are in
        :mod:`aiida_pet.tables.catalogue`.
    :ivar like: task of this package whose columns its rows have too.
    :ivar told_by: column that tells a table of this task from others; empty for the first of ``columns``.
    :ivar reads_rows: columns of the input set that its jobs are given, beside those of every task.
    :ivar reads_atoms: the same of columns per atom.
    :ivar reads_ragged: the same of columns whose length differs from row to row.
    :ivar protocols: file of its protocols, as ``package:file``; empty for that of its name in this package.
    :ivar entry_point: entry point of its CalcJob; empty for ``pet.<name>``.
    :ivar workflow: entry point of its WorkChain; empty for that of the CalcJob.
    :ivar flags: further options of its launch.
    :ivar settings: further options that have a value.
    :ivar further_protocols: names of its protocols beside fast, moderate and precise.
    :ivar goes_on: whether its rows may take longer than a job: a job that finished none is not counted as fruitless if
        it took steps, which the next goes on from.
    :ivar relative_work: function of the parameters that returns how many times the usual work they ask for, as
        ``module:name``; empty where it is always the usual.
    :ivar cost: function that counts what a launch would evaluate, as ``module:name``; empty where atoms tell enough.
    :ivar details: further paragraphs of ``aiida-pet launch TASK --help``.
    """

    name: str
    summary: str
    schema: str
    driver: str
    seconds_per_atom: float
    columns: tuple[Column, ...] = ()
    like: str = Task.STATIC.value
    told_by: str = ""
    reads_rows: tuple[str, ...] = ()
    reads_atoms: tuple[str, ...] = ()
    reads_ragged: tuple[str, ...] = ()
    protocols: str = ""
    entry_point: str = ""
    workflow: str = ""
    flags: tuple[Flag, ...] = ()
    settings: tuple[Setting, ...] = ()
    further_protocols: tuple[str, ...] = ()
    goes_on: bool = False
    relative_work: str = ""
    cost: str = ""
    details: str = ""

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ValueError(
                f"task {self.name!r}: the name must be one word of letters, digits and underscores"
            )
        name = str(self.name)
        object.__setattr__(self, "name", name)
        own = self.entry_point or f"pet.{name}"
        defaults = {
            "entry_point": own,
            "workflow": own,
            "protocols": f"aiida_pet.workchains.protocols:{name}.yaml",
            "told_by": self.columns[0].name if self.columns else "",
        }
        for field, value in defaults.items():
            object.__setattr__(self, field, getattr(self, field) or value)

    def work_of(self, parameters: Mapping[str, Any] | None) -> float:
        """Return how many times the usual work a crystal is with ``parameters``; None are the usual ones."""
        function: Callable[[Mapping[str, Any]], float] | None = (
            plugins.load(self.relative_work) if self.relative_work and parameters else None
        )
        return function(parameters or {}) if function else 1.0

    @property
    def task(self) -> Task:
        """The task, as the rest of the package wants it."""
        return Task(self.name)


_DETAILS = """
The command prints the pk of the launch and returns: `aiida-pet status PK` shows its progress, `aiida-pet results PK`
its rows.
"""
_PARAMETERS = "aiida_pet.job.parameters"
_DRIVERS = "aiida_pet.engine.tasks"

# `seconds_per_atom` with the model that ships on one CPU core in float64: 64 ordered alloys of 172 atoms in all took
# 4.4 s to relax (17 steps each, fmax 0.02 eV/A) and 0.54 s to evaluate. Phonons and elastic constants are those of the
# moderate protocols over alloys of up to four atoms.
OWN: tuple[TaskEntry, ...] = (
    TaskEntry(
        Task.STATIC,
        "Compute energy, forces and stress of the crystals of a set or of FILES as they are.",
        schema=f"{_PARAMETERS}:StaticParameters",
        driver=f"{_DRIVERS}.static:Static",
        seconds_per_atom=0.003,
        workflow=BATCH,
        details=_DETAILS,
    ),
    TaskEntry(
        Task.RELAX,
        "Relax the crystals of a set (by pk or label) or of FILES, which are imported first.",
        schema=f"{_PARAMETERS}:RelaxParameters",
        driver=f"{_DRIVERS}.relax:Relax",
        seconds_per_atom=0.025,
        details=f"""{_DETAILS}
\b
aiida-pet launch relax alloys.xyz --set fmax=0.01 --wait
aiida-pet launch relax 12 --protocol precise --lanes 4 --where 'n_atoms <= 20'
""",
    ),
    TaskEntry(
        Task.PHONONS,
        "Relax the crystals of a set or of FILES tightly, then compute their phonons.",
        schema="aiida_pet.job.phonon_parameters:PhononParameters",
        driver=f"{_DRIVERS}.phonons:Phonons",
        seconds_per_atom=0.5,
        relative_work="aiida_pet.job.relative_work:of_supercells",
        like=Task.RELAX.value,
        reads_rows=("dielectric_tensor", *OF_PHONONS),
        reads_atoms=("born_charges",),
        reads_ragged=(DISPLACEMENTS,),
        flags=(
            Flag(
                "follow_modes",
                "If a crystal has imaginary modes, displace it along its softest mode, relax it freely, and report "
                "the new crystal.",
            ),
        ),
        further_protocols=("mdr", "mdr-fixed-cell"),
        details="""
The results are frequencies, dynamical stability, thermal properties and force constants. For a single structure (a
StructureData) there are also bands, a density of states and a phonopy_params.yaml.

\b
aiida-pet launch phonons alloys.xyz --set min_image=10 --wait
""",
    ),
    TaskEntry(
        Task.ELASTIC,
        "Relax the crystals of a set or of FILES tightly, then compute their elastic tensors and moduli.",
        schema="aiida_pet.job.elastic_parameters:ElasticParameters",
        driver=f"{_DRIVERS}.elastic:Elastic",
        seconds_per_atom=0.1,
        relative_work="aiida_pet.job.relative_work:of_strained_crystals",
        like=Task.RELAX.value,
        details="""
\b
aiida-pet launch elastic alloys.xyz --set strains=materials_project --wait
""",
    ),
    TaskEntry(
        Task.CONDUCTIVITY,
        "Relax the crystals of a set or of FILES tightly, then compute the thermal conductivity of the lattice.",
        schema="aiida_pet.job.conductivity_parameters:ConductivityParameters",
        driver=f"{_DRIVERS}.conductivity:ThirdOrderForces",
        seconds_per_atom=15.0,
        like=Task.RELAX.value,
        reads_rows=("dielectric_tensor", *OF_CONDUCTIVITY),
        reads_atoms=("born_charges",),
        settings=(
            Setting(
                "transport_code",
                "Code for the transport, by label or pk: a pet-engine in an environment with phono3py. Default: the "
                "code of --code.",
                "CODE",
            ),
            Setting(
                "transport_resources",
                "Resource of the jobs that compute the transport, such as cpus=16, memory=32GB, walltime=4h or "
                "partition=cpu. May be repeated.",
                "NAME=VALUE",
            ),
            Setting(
                "transport_options",
                "Option of the scheduler for the jobs that compute the transport. May be repeated.",
                "NAME=VALUE",
            ),
            Setting(
                "transport_settings",
                "Setting of the engine for the jobs that compute the transport, such as threads=4 for four processes. "
                "May be repeated.",
                "NAME=VALUE",
            ),
        ),
        further_protocols=("phonondb-v1",),
        cost="aiida_pet.campaigns.displacements:count_displacements",
        details="""
There are two kinds of jobs. First the engine computes the forces on displaced supercells. Then phono3py
(extra `conductivity`) computes the conductivity from the forces, on CPU cores; this is called transport.
--dry-run counts the displaced supercells. A launch with more than 20,000 displaced supercells needs --yes.

\b
aiida-pet launch conductivity alloys.xyz --set fc3_min_image=7 --dry-run
""",
    ),
    TaskEntry(
        Task.EOS,
        "Relax the crystals of a set or of FILES tightly, then compute their equations of state.",
        schema="aiida_pet.job.volume_parameters:EosParameters",
        driver=f"{_DRIVERS}.eos:Eos",
        seconds_per_atom=0.1,
        like=Task.RELAX.value,
        further_protocols=("acwf",),
        details="""
The results are energy, volume, bulk modulus and its pressure derivative, all at the minimum of the energy.
They come from a fit to the energies at several volumes. At each volume the atoms and the shape of the cell
relax.

\b
aiida-pet launch eos alloys.xyz --set equation=vinet --wait
""",
    ),
    TaskEntry(
        Task.QHA,
        "Compute the thermal expansion and other quasi-harmonic properties of the crystals of a set or of "
        "FILES.",
        schema="aiida_pet.job.volume_parameters:QhaParameters",
        driver=f"{_DRIVERS}.qha:Qha",
        seconds_per_atom=5.0,
        relative_work="aiida_pet.job.relative_work:of_supercells",
        like=Task.RELAX.value,
        reads_rows=("dielectric_tensor",),
        reads_atoms=("born_charges",),
        details="""
The task computes phonons at several volumes. The results are volume, thermal expansion, bulk modulus, heat capacity
and Grueneisen parameters at each temperature. --set modes=true adds columns with the values of all modes.

\b
aiida-pet launch qha alloys.xyz --set n_volumes=7 --wait
""",
    ),
    TaskEntry(
        Task.MD,
        "Run molecular dynamics of each crystal of a set or of FILES.",
        schema="aiida_pet.job.dynamics_parameters:DynamicsParameters",
        driver=f"{_DRIVERS}.md:Dynamics",
        seconds_per_atom=30.0,
        relative_work="aiida_pet.job.relative_work:of_steps",
        reads_rows=("md_temperature", "md_pressure", "md_timestep", "md_steps", "md_seed"),
        reads_atoms=("velocities",),
        goes_on=True,
        cost="aiida_pet.campaigns.trajectory_sizes:size_dynamics",
        details="""
The results are trajectories, the drift of the energy, and mean values of energy, temperature, pressure and
volume, with errors. If the set has columns md_temperature, md_pressure, md_timestep, md_steps or md_seed,
their values replace the parameters row by row.

\b
aiida-pet launch md alloys.xyz --set ensemble=nve --set steps=10000 --wait
""",
    ),
)
"""The tasks of this package."""


@plugins.remembered
def tasks() -> dict[str, TaskEntry]:
    """Return name -> entry of each task, with the tasks of this package first."""
    found = {entry.name: entry for entry in OWN}
    for entry in _of_others():
        found[entry.name] = entry
    return found


def _of_others() -> Iterator[TaskEntry]:
    taken = {entry.name for entry in OWN}
    for entry in plugins.installed(plugins.TASKS):
        if not isinstance(entry, TaskEntry):
            logger.warning("group %s: %r is no TaskEntry and is left out", plugins.TASKS, entry)
        elif entry.name in taken:
            logger.warning(
                "group %s: there is a task %r already, so the second is left out", plugins.TASKS, entry.name
            )
        else:
            taken.add(entry.name)
            yield entry


def task_names() -> tuple[str, ...]:
    """Return the names of all tasks, with the tasks of this package first."""
    return tuple(tasks())


def entry_of(task: Task | str) -> TaskEntry:
    """Return the entry of ``task``.

    :raises ValueError: if no installed package has it.
    """
    return tasks()[Task(task).value]


def schema_of(task: Task | str) -> type[Any]:
    """Return the class of the parameters of ``task``.

    :raises ValueError: if no installed package has the task.
    """
    return plugins.load(entry_of(task).schema)

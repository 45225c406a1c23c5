"""The catalogue of stages of a screening: what each does, its options, and where each part of it is written.

Other packages add stages with an entry point of the group ``aiida_pet.stages`` that names a :class:`StageEntry`; see
``docs/dev/add-a-stage.md``. Functions are named and loaded when they are wanted, so that this module imports no AiiDA.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from aiida_pet import plugins
from aiida_pet.job.tasks import Task
from aiida_pet.names import RelaxMode
from aiida_pet.tables.column import Column, Source

logger = logging.getLogger(__name__)

KEEP = "keep"
"""Option of every stage: the condition under which a row goes on."""
PARAMETERS = "parameters"
"""Option of every stage with a task: the parameters of that task."""


class Stage(StrEnum):
    """The stages of a screening that names none, in their order."""

    RELAX = "relax"
    SYMMETRY = "symmetry"
    HULL = "hull"
    PHONONS = "phonons"
    ELASTIC = "elastic"


STAGES: tuple[str, ...] = tuple(stage.value for stage in Stage)


def _nothing(_: Mapping[str, Any]) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True)
class StageEntry:
    """A stage, whole.

    :ivar name: by which everybody calls it.
    :ivar task: whose jobs it runs; empty for a stage without jobs.
    :ivar function: of a stage without jobs, as ``module:name``: called with the crystals (a stored
        ``StructureSetData``) and the options, it returns the table of the stage (a stored ``TableData``), made by a
        calcfunction.
    :ivar options: name -> default of each option beside ``keep`` and ``parameters``.
    :ivar known: mapping whose keys are options that have no default here, as ``module:name``; empty for none.
    :ivar keep: the condition under which a row goes on, unless a launch says otherwise; None for every row with an
        answer.
    :ivar check: function of the options without ``keep`` and ``parameters`` that returns what is wrong with them, None
        if nothing is, as ``module:name``; empty for none.
    :ivar columns: that the table of the stage has, in a package of another; those of this package's stages are in
        :mod:`aiida_pet.tables.catalogue`.
    :ivar may_write: sources of further columns that the table of the stage may have.
    :ivar writes: those of ``may_write`` whose columns it has, given the options.
    :ivar after: the stage behind which it comes; empty for the end of the funnel.
    :ivar moves: whether its crystals take the place of those before it.
    """

    name: str
    task: str = ""
    function: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    known: str = ""
    keep: str | None = None
    check: str = ""
    columns: tuple[Column, ...] = ()
    may_write: tuple[str, ...] = ()
    writes: Callable[[Mapping[str, Any]], tuple[str, ...]] = _nothing
    after: str = ""
    moves: bool = False

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ValueError(
                f"stage {self.name!r}: the name must be one word of letters, digits and underscores"
            )
        object.__setattr__(self, "name", str(self.name))

    @property
    def defaults(self) -> dict[str, Any]:
        """The options that have a default, ``keep`` last."""
        return {**self.options, KEEP: self.keep}

    def option_names(self) -> tuple[str, ...]:
        """Return the names of all options of the stage."""
        further = tuple(plugins.load(self.known)) if self.known else ()
        return tuple(dict.fromkeys([*self.options, *further, *([PARAMETERS] if self.task else []), KEEP]))


def _two_relaxations(options: Mapping[str, Any]) -> tuple[str, ...]:
    return (Source.COMBINED.value,) if options.get("mode") == RelaxMode.CONSTRAINED_THEN_FREE else ()


_CHECKS = "aiida_pet.workchains.stage_checks"
OWN: tuple[StageEntry, ...] = (
    StageEntry(
        Stage.RELAX,
        task=Task.RELAX,
        options={
            "mode": RelaxMode.CONSTRAINED.value,
            "rattle": 0.02,  # A, of the start of the free relaxation; a fifth of the mean amplitude at room temperature
            "seed": 0,
            # eV/atom; a model that is not invariant scatters by less, a broken symmetry gains more
            "min_gain": 0.001,
        },
        check=f"{_CHECKS}:check_relax",
        may_write=(Source.COMBINED.value,),
        writes=_two_relaxations,
        moves=True,
    ),
    StageEntry(
        Stage.SYMMETRY,
        function="aiida_pet.calculations.screening:symmetry_stage",
        options={"symprec": 0.01},  # A
        check=f"{_CHECKS}:check_symmetry",
    ),
    StageEntry(
        Stage.HULL,
        options={"hull": "all"},
        known="aiida_pet.calculations.hull:DEFAULTS",
        check="aiida_pet.calculations.hull:check_hull_parameters",
        # eV/atom; W. Sun et al., Sci. Adv. 2, e1600225 (2016): 90 % of known metastable phases
        keep="e_above_hull <= 0.1",
    ),
    StageEntry(Stage.PHONONS, task=Task.PHONONS, keep="is_dynamically_stable"),
    StageEntry(Stage.ELASTIC, task=Task.ELASTIC),
    # of these a screening has only what it names: each costs more than all stages before it
    StageEntry(Task.EOS, task=Task.EOS),
    StageEntry(Task.QHA, task=Task.QHA),
    StageEntry(Task.CONDUCTIVITY, task=Task.CONDUCTIVITY),
)
"""The stages of this package. That of the hull is the one whose WorkChain is no task."""


@plugins.remembered
def stages() -> dict[str, StageEntry]:
    """Return name -> entry of each stage, in the order of a screening."""
    found = [*OWN]
    for entry in plugins.installed(plugins.STAGES):
        problem = _problem(entry, found)
        if problem:
            logger.warning("group %s: %s, and is left out", plugins.STAGES, problem)
            continue
        places = [place for place, one in enumerate(found) if one.name == entry.after]
        found.insert(places[0] + 1 if places else len(found), entry)
    return {entry.name: entry for entry in found}


def _problem(entry: Any, found: list[StageEntry]) -> str:
    """Return why ``entry`` is no further stage, empty if it is one."""
    if not isinstance(entry, StageEntry):
        return f"{entry!r} is no StageEntry"
    if entry.name in [one.name for one in found]:
        return f"stage {entry.name!r} is there already"
    if bool(entry.task) == bool(entry.function):
        return f"stage {entry.name!r} needs a task or a function, and not both"
    return ""


def stage_names() -> tuple[str, ...]:
    """Return the names of all stages, in the order of a screening."""
    return tuple(stages())


def stage_entry(name: str) -> StageEntry:
    """Return the entry of stage ``name``.

    :raises ValueError: if there is none.
    """
    try:
        return stages()[name]
    except KeyError as error:
        raise ValueError(
            f"unknown stage {name!r}: expected one of {', '.join(stages())}; a task of another package needs that "
            "package installed here"
        ) from error


def in_order(names: Iterable[str]) -> list[str]:
    """Return ``names`` in the order of a screening, those of packages that are not there last."""
    given = list(names)
    return [*(name for name in stages() if name in given), *(name for name in given if name not in stages())]


def task_of(name: str) -> Task | None:
    """Return the task whose jobs stage ``name`` runs, None for a stage without jobs.

    :raises ValueError: if there is no such stage, or no installed package has its task.
    """
    task = stage_entry(name).task
    return Task(task) if task else None

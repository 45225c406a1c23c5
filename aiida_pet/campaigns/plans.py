"""A task that is ready to be launched: everything checked, nothing started; and what can be said of it beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from aiida.engine import ProcessBuilder
from aiida.orm import AbstractCode, Computer, StructureData
from aiida.plugins import WorkflowFactory
from ase.data import chemical_symbols

from aiida_pet.calculations.functions import collect_structures
from aiida_pet.campaigns.errors import NoRowsChosenError
from aiida_pet.campaigns.estimates import Estimate, estimate
from aiida_pet.campaigns.given_cells import notes_on_columns
from aiida_pet.computers.codes import share_of_cores
from aiida_pet.computers.resources import job_options, site_of
from aiida_pet.data.lookup import select_positions
from aiida_pet.data.model import PetModelData
from aiida_pet.data.structures import StructureSetData
from aiida_pet.data.table import TableData
from aiida_pet.job.model_outputs import why_no_answer
from aiida_pet.job.parameters import ParameterError, parse_parameters
from aiida_pet.job.suitability import foreseen
from aiida_pet.job.tasks import BATCH, Task, entry_of
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.words import plural
from aiida_pet.workchains.protocols import protocol_inputs


@dataclass(frozen=True)
class Site:
    """Where and how jobs run.

    :ivar code: the engine.
    :ivar model: the model to use.
    :ivar inputs: further arguments of ``get_builder_from_protocol``: lanes, job_size, options, resources, settings.
    :ivar options: options of each job, as the scheduler will get them.
    """

    code: AbstractCode
    model: PetModelData
    inputs: dict[str, Any]
    options: dict[str, Any]

    @classmethod
    def of(
        cls,
        code: AbstractCode,
        model: PetModelData,
        *,
        lanes: int = 1,
        job_size: int | None = None,
        resources: Mapping[str, Any] | None = None,
        options: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> Site:
        """Return where and how jobs run; threads are as many as lanes leave, where no queue shares cores out.

        :param lanes: jobs that run at the same time.
        :param job_size: rows of a job at most; None leaves it to the launch.
        :param resources: resources of each job; fields of :class:`~aiida_pet.computers.resources.Resources`.
        :param options: ``metadata.options`` of each job, over what asks for resources.
        :param settings: settings of the engine.
        :raises ResourceError: for unknown resources, or for resources that the computer does not have.
        """
        inputs, rendered = inputs_of_jobs(code, lanes, resources or {}, options or {}, settings or {})
        return cls(code, model, inputs | {"job_size": job_size}, rendered)

    def estimate(
        self,
        task: Task | str,
        sizes: Any,
        job_duration: int | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> Estimate:
        """Return what it takes to run crystals of ``sizes`` atoms here, at the rate of past jobs.

        :param sizes: (N,) atoms of each crystal.
        :param job_duration: seconds that a job should take; None if that is not asked for.
        :param parameters: of the task; None takes the usual ones.
        """
        return estimate(
            task,
            sizes,
            self.model,
            lanes=self.inputs["lanes"],
            job_size=self.inputs.get("job_size"),
            job_duration=job_duration,
            walltime=self.options.get("max_wallclock_seconds"),
            device=self.device,
            computer=self.computer.label,
            parameters=parameters,
        )

    @property
    def computer(self) -> Computer:
        """The computer that jobs run on."""
        found: Computer = self.code.computer  # type: ignore[assignment]
        return found

    @property
    def device(self) -> str:
        """The device that jobs will run on, ``cpu`` or ``cuda``; empty if nothing says it beforehand."""
        asked = str(self.inputs.get("settings", {}).get("device", "auto")).partition(":")[0]
        if asked != "auto":
            return asked
        defaults = site_of(self.computer)
        gpus = self.inputs.get("resources", {}).get(
            "gpus", defaults.resources.get("gpus", defaults.gpus or None)
        )
        return "" if gpus is None else "cuda" if gpus else "cpu"


@dataclass(frozen=True)
class Plan:
    """A task that is ready: everything checked, nothing started.

    :ivar task: name of the task.
    :ivar structures: the crystals: a set, not stored if it was read for a dry run, or a single structure.
    :ivar ids: ids of the rows to do, None for all.
    :ivar site: where and how.
    :ivar parameters: parameters of the task, defaults filled in.
    :ivar inputs: further arguments of ``get_builder_from_protocol``, including the arguments of the site.
    """

    task: str
    structures: StructureSetData | StructureData
    ids: list[str] | None
    site: Site
    parameters: dict[str, Any]
    inputs: dict[str, Any]

    @classmethod
    def of(
        cls,
        task: Task | str,
        structures: StructureSetData | StructureData,
        site: Site,
        *,
        protocol: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        where: str | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Plan:
        """Return a task over crystals, checked.

        :param structures: a set, which need not be stored for an estimate, or a single structure.
        :param protocol: set of parameters; None for the default one.
        :param parameters: parameters that replace those of the protocol.
        :param where: a condition; only the crystals of the set that fulfil it are done.
        :param extra: further arguments of ``get_builder_from_protocol`` of the task.
        :raises ParameterError: for parameters that are none, or that need an output that the model lacks.
        :raises NoRowsChosenError: if no crystal fulfils the condition, or a single structure is given with one.
        """
        overrides = {"parameters": dict(parameters or {})}
        chosen = protocol_inputs(Task(task), protocol, overrides)
        lacking = why_no_answer(chosen.parameters, site.model.outputs)
        if lacking:
            raise ParameterError(lacking)
        return cls(
            task=str(task),
            structures=structures,
            ids=None if where is None else _chosen(structures, where),
            site=site,
            parameters=parse_parameters(Task(task), chosen.parameters).model_dump(mode="json"),
            inputs=site.inputs | {"protocol": protocol, "overrides": overrides} | dict(extra or {}),
        )

    def builder(self) -> ProcessBuilder:
        """Return the builder of the launch, to be submitted."""
        rows = TableData.from_ids(self.ids) if self.ids is not None else None
        arguments = self.inputs | {"rows": rows}
        workchain: Any = WorkflowFactory(entry_of(self.task).workflow)
        make, given = workchain.get_builder_from_protocol, (self.site.code, self.site.model)
        if entry_of(self.task).workflow != BATCH:
            return make(*given, self.structures, **arguments)  # type: ignore[no-any-return]
        structures: Any = self.structures
        if isinstance(structures, StructureData):
            structures = collect_structures(structure=structures)
        return make(*given, structures, task=self.task, **arguments)  # type: ignore[no-any-return]

    def table(self) -> StructureTable:
        """Return the crystals to do."""
        if not isinstance(self.structures, StructureSetData):
            return StructureTable.from_ase([("structure", self.structures.get_ase())])
        table = self.structures.to_table()
        return table if self.ids is None else table.select(self.ids)

    def notes(self) -> list[str]:
        """Return sentences on settings that the launch takes from the set, and that crystals lack."""
        chosen = protocol_inputs(Task(self.task), self.inputs.get("protocol"), self.inputs.get("overrides"))
        return notes_on_columns(self.task, chosen.parameters, self.table)


def _chosen(structures: StructureSetData | StructureData, where: str) -> list[str]:
    """Return the ids of the crystals that fulfil ``where``."""
    if not isinstance(structures, StructureSetData):
        raise NoRowsChosenError(f"{where!r} selects from a set, but this is a single structure")
    ids = [str(row_id) for row_id in structures.ids[select_positions(structures, where)]]
    if not ids:
        raise NoRowsChosenError(f"none of the {plural(len(structures), 'crystal')} fulfils {where!r}")
    return ids


def inputs_of_jobs(
    code: AbstractCode,
    lanes: int,
    resources: Mapping[str, Any],
    options: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return arguments of ``get_builder_from_protocol``, and the options that each job gets by them.

    Arguments are those of :meth:`Site.of`.

    :raises ResourceError: for unknown resources, or for resources that the computer does not have.
    """
    rendered = job_options(code.computer, dict(resources), dict(options))
    inputs = {
        "options": dict(options),
        "resources": dict(resources),
        "settings": share_of_cores(code, lanes, rendered) | dict(settings),
        "lanes": lanes,
    }
    return inputs, rendered


def unsupported_elements(table: StructureTable, model: PetModelData) -> list[str]:
    """Return the symbols of elements among the crystals that the model does not know."""
    return [chemical_symbols[number] for number in np.setdiff1d(table.numbers, model.elements)]


def unsupported_rows(table: StructureTable, model: PetModelData) -> int:
    """Return how many crystals hold an element that the model does not know."""
    rows = np.repeat(np.arange(len(table)), table.n_atoms)
    return len(np.unique(rows[~np.isin(table.numbers, model.elements)]))


def refused_rows(task: Task | str, table: StructureTable, parameters: dict[str, Any]) -> dict[str, list[str]]:
    """Return why -> ids of the crystals that the task will not take."""
    refused: dict[str, list[str]] = {}
    for row, why in foreseen(Task(task), table, parse_parameters(Task(task), parameters)).items():
        refused.setdefault(why, []).append(str(table.ids[row]))
    return refused

"""The script that a scheduler gets for a job of a task, before anything is launched or stored."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiida import orm
from aiida.common.folders import SandboxFolder
from aiida.engine.utils import instantiate_process
from aiida.manage import get_manager
from aiida.plugins import CalculationFactory

from aiida_pet.campaigns.plans import Site
from aiida_pet.data.structures import StructureSetData
from aiida_pet.job.tasks import Task, entry_of
from aiida_pet.tables.crystals import StructureTable

NAME = "aiida-PK"
"""Stands for the name of the job, which holds the pk that it will have."""


def job_script(
    task: Task | str, table: StructureTable, site: Site, parameters: Mapping[str, Any] | None = None
) -> str:
    """Return the script of the first job of a launch, as its scheduler gets it.

    :param table: the crystals; the first of them stands for all, which the script does not name.
    :param site: where and how jobs run.
    :param parameters: parameters of the task.
    """
    job: Any = CalculationFactory(entry_of(task).entry_point)
    inputs: dict[str, Any] = {
        "code": site.code,
        "model": site.model,
        "structures": StructureSetData.from_table(table.take([0])),
        "parameters": orm.Dict(dict(parameters or {})),
        "metadata": {"options": dict(site.options), "dry_run": True, "store_provenance": False},
    }
    settings = site.inputs.get("settings")
    if settings:
        inputs["settings"] = dict(settings)
    process: Any = instantiate_process(get_manager().get_runner(), job, **inputs)
    with SandboxFolder() as folder:
        process.presubmit(folder)
        script = Path(folder.abspath) / process.node.get_option("submit_script_filename")
        return script.read_text().replace(f"aiida-{process.node.pk}", NAME)

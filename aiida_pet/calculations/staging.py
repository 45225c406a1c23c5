"""Bring a model to a computer once, so that jobs link to it instead of uploading it each time.

The upload is a CalcJob that submits nothing: it runs over any transport, is retried by AiiDA when the connection
fails, and stands in the provenance between the model and the folder that jobs link to. A later launch finds that
folder by a query and asks the computer whether the file is still there, whole.
"""

from __future__ import annotations

import logging
from typing import Any

from aiida import orm
from aiida.common.datastructures import CalcInfo
from aiida.common.folders import Folder
from aiida.engine import CalcJob, CalcJobProcessSpec, run_get_node

from aiida_pet.calculations.resources import least_resources
from aiida_pet.data.model import PetModelData
from aiida_pet.engine.job import MODEL_FILE

logger = logging.getLogger(__name__)

BAD_COPY_EXTRA = "pet_bad_copy"


class StageModelCalculation(CalcJob):
    """Upload a model into a folder of its own on ``metadata.computer``; ``remote_folder`` is that folder."""

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:  # type: ignore[override]
        """Define the one input; no code runs."""
        super().define(spec)
        spec.input("model", valid_type=PetModelData, help="The model to upload.")
        spec.inputs.pop("code", None)
        spec.inputs["metadata"]["computer"].required = True  # type: ignore[index]
        options = spec.inputs["metadata"]["options"]  # type: ignore[index]
        options["resources"].default = lambda: {"num_machines": 1, "num_mpiprocs_per_machine": 1}

    def prepare_for_submission(self, folder: Folder) -> CalcInfo:
        """Say what to upload."""
        calc_info = CalcInfo()
        calc_info.skip_submit = True
        calc_info.codes_info = []
        calc_info.local_copy_list = [(self.inputs.model.uuid, self.inputs.model.filename, MODEL_FILE)]
        calc_info.retrieve_list = []
        return calc_info

    def parse_scheduler_output(self, retrieved: orm.Node) -> None:
        """Do nothing: no scheduler was asked, and its missing files are no reason for a warning."""


def find_staged_model(model: PetModelData, computer: orm.Computer) -> orm.RemoteData | None:
    """Return the newest folder on ``computer`` that holds a whole copy of ``model``.

    None if there is none, or if the computer cannot be asked now: then stage it, which waits for the connection.
    """
    query = orm.QueryBuilder()
    query.append(PetModelData, filters={"attributes.sha256": model.sha256}, tag="model")
    query.append(
        StageModelCalculation, filters={"attributes.exit_status": 0}, with_incoming="model", tag="upload"
    )
    query.append(
        orm.RemoteData,
        filters={"and": [{"extras": {"!has_key": key}} for key in (BAD_COPY_EXTRA, "cleaned")]},
        with_incoming="upload",
        project="*",
        tag="copy",
    )
    query.append(orm.Computer, filters={"uuid": computer.uuid}, with_node="copy")
    query.order_by({"copy": {"ctime": "desc"}})
    copies: list[orm.RemoteData] = query.all(flat=True)
    return next((copy for copy in copies if _is_whole(copy, model)), None)


def stage_model(model: PetModelData, computer: orm.Computer) -> orm.RemoteData:
    """Return a folder on ``computer`` that holds a copy of ``model``, uploading it if there is none.

    For scripts that run jobs of their own; WorkChains submit :class:`StageModelCalculation` themselves.

    :raises RuntimeError: if the upload failed.
    """
    found = find_staged_model(model, computer)
    if found is not None:
        return found
    # From the cache would come a folder that may be gone: that is what we just looked for in vain.
    options = {"resources": least_resources(computer.scheduler_type)}
    metadata = {"computer": computer, "disable_cache": True, "options": options}
    outputs, node = run_get_node(StageModelCalculation, model=model, metadata=metadata)
    if not node.is_finished_ok:
        raise RuntimeError(
            f"staging {model} on computer {computer.label!r} failed (exit status {node.exit_status}): "
            f"see `verdi process report {node.pk}`"
        )
    staged: orm.RemoteData = outputs["remote_folder"]
    return staged


def mark_bad_copy(copy: orm.RemoteData, reason: str) -> None:
    """Remember that the model in ``copy`` was refused, so that it is never linked again."""
    copy.base.extras.set(BAD_COPY_EXTRA, reason)


def _is_whole(copy: Any, model: PetModelData) -> bool:
    """Return whether ``copy`` holds a model of the right size; its hash is checked by the engine, before loading."""
    size = model.base.repository.get_object_size(model.filename)
    path = f"{copy.get_remote_path()}/{MODEL_FILE}"
    try:
        with copy.get_authinfo().get_transport() as transport:
            return bool(transport.isfile(path) and transport.get_attribute(path).st_size == size)
    except Exception as error:
        logger.warning(
            "cannot ask computer %r whether %s is still there (%s): staging the model anew",
            copy.computer.label,
            path,
            error,
        )
        return False

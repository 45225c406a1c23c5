"""Bring a model to a computer once, so that jobs link to it instead of uploading it each time.

The upload is a CalcJob that submits nothing: it runs over any transport and is retried by AiiDA when the connection
fails. From its folder the model is brought to its address (:mod:`aiida_pet.computers.model_store`), which a function
then names, so that the upload stands in the provenance between the model and the folder that jobs link to. The steps
follow each other in :class:`aiida_pet.workchains.staging.StagingWorkChain`.
"""

from __future__ import annotations

import logging
from typing import Any

from aiida import orm
from aiida.common.datastructures import CalcInfo
from aiida.common.folders import Folder
from aiida.engine import CalcJob, CalcJobProcessSpec, calcfunction

from aiida_pet.computers.model_store import ModelStoreError, find_place
from aiida_pet.data.model import PetModelData
from aiida_pet.job.folder import MODEL_FILE

logger = logging.getLogger(__name__)

_LOCATE = "locate_model"  # the function's label in the database


class StageModelCalculation(CalcJob):
    """Upload a model into a folder of its own on ``metadata.computer``; ``remote_folder`` is that folder."""

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:  # type: ignore[override]
        """Define the input; no code runs."""
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


@calcfunction
def locate_model(
    model: PetModelData, place: orm.Dict, upload: orm.RemoteData | None = None
) -> orm.RemoteData:
    """Return the folder that holds ``model`` on a computer.

    :param place: ``computer`` (uuid) and ``folder`` (absolute path).
    :param upload: the folder that the model was uploaded to, if it was on this occasion.
    """
    computer = orm.Computer.collection.get(uuid=place["computer"])
    return orm.RemoteData(remote_path=place["folder"], computer=computer)


def find_staged_model(
    model: PetModelData, computer: orm.Computer, *, by_hash: bool = False
) -> orm.RemoteData | None:
    """Return the folder on ``computer`` that holds a whole copy of ``model``, whoever brought it there.

    None if there is none, or if the computer cannot be asked now: then stage it, which waits for the connection.

    :param by_hash: take the SHA-256 of the copy; else its size counts, and its hash is taken by the engine.
    """
    try:
        place = find_place(model, computer, by_hash=by_hash)
    except ModelStoreError as error:
        logger.warning("%s: staging the model anew", error)
        return None
    return staged_model(model, computer, place.folder) if place.is_whole else None


def staged_model(
    model: PetModelData, computer: orm.Computer, folder: str, upload: orm.RemoteData | None = None
) -> orm.RemoteData:
    """Return the node of ``folder`` on ``computer``, which holds ``model``: one node for all jobs."""
    query = orm.QueryBuilder()
    query.append(
        orm.RemoteData,
        filters={"attributes.remote_path": folder, "extras": {"!has_key": orm.RemoteData.KEY_EXTRA_CLEANED}},
        project="*",
        tag="copy",
    )
    query.append(orm.Computer, filters={"uuid": computer.uuid}, with_node="copy")
    query.append(orm.CalcFunctionNode, filters={"attributes.process_label": _LOCATE}, with_outgoing="copy")
    query.order_by({"copy": {"ctime": "desc"}})
    known: Any = query.first(flat=True)
    if known is not None:
        return known  # type: ignore[no-any-return]
    given = {} if upload is None else {"upload": upload}
    place = orm.Dict({"computer": computer.uuid, "folder": folder})
    located: orm.RemoteData = locate_model(model, place, **given)
    return located


def was_staged(copy: orm.RemoteData) -> bool:
    """Return whether ``copy`` was put where it is by this module, so that it may be put there again."""
    creator = copy.creator
    return creator is not None and creator.process_label in (_LOCATE, StageModelCalculation.__name__)

"""A model brought to a computer: uploaded, its hash taken there, put at its address.

What is asked of the computer, and what makes two of these at the same time safe, stands in
:mod:`aiida_pet.computers.model_store`.
"""

from __future__ import annotations

import shlex
from typing import Any

from aiida import orm
from aiida.engine import ToContext, WorkChain, run_get_node, while_
from aiida.engine.processes.workchains.workchain import WorkChainSpec

from aiida_pet.calculations.staging import StageModelCalculation, find_staged_model, staged_model
from aiida_pet.computers.model_store import ModelStoreError, Publication, publish
from aiida_pet.computers.resources import least_resources
from aiida_pet.data.model import PetModelData
from aiida_pet.job.folder import MODEL_FILE

MAX_UPLOADS = 2


class StagingWorkChain(WorkChain):
    """Make sure that the model lies at its address on a computer, whole: by its SHA-256, if that can be taken there."""

    @classmethod
    def define(cls, spec: WorkChainSpec) -> None:  # type: ignore[override]
        """Define ports, outline and exit codes."""
        super().define(spec)
        spec.input("model", valid_type=PetModelData, help="The model to bring.")
        spec.input(
            "computer",
            valid_type=orm.Computer,
            non_db=True,
            help="The computer to which the model is brought.",
        )
        spec.outline(cls.look, while_(cls.is_missing)(cls.upload, cls.put_in_place), cls.finish)
        spec.output(
            "remote_model",
            valid_type=orm.RemoteData,
            help=f"The folder with the model as {MODEL_FILE}.",
        )
        spec.exit_code(
            300,
            "ERROR_UPLOAD",
            message="The upload of the model (process <{pk}>) failed: check the computer with `verdi computer test "
            "{computer}`.",
        )
        spec.exit_code(
            301,
            "ERROR_DAMAGED",
            message="{count} uploads to `{computer}` had a wrong SHA-256: the disk there may be full or broken.",
        )

    def look(self) -> None:
        """Look for a complete copy: the caller knows of none, or the copy that is there was refused."""
        self.ctx.uploads = 0
        self.ctx.remote_model = find_staged_model(self.inputs.model, self.inputs.computer, by_hash=True)

    def is_missing(self) -> bool:
        """Return whether the model has yet to be brought to the computer."""
        return self.ctx.remote_model is None

    def upload(self) -> Any:
        """Upload the model into a folder of its own."""
        computer = self.inputs.computer
        # From the cache would come a folder that may be gone: that is what was just looked for in vain.
        metadata = {
            "computer": computer,
            "disable_cache": True,
            "call_link_label": f"upload_{self.ctx.uploads}",
        }
        metadata["options"] = {"resources": least_resources(computer.scheduler_type)}
        self.ctx.uploads += 1
        node = self.submit(StageModelCalculation, model=self.inputs.model, metadata=metadata)
        self.report(f"uploading the model to {computer.label}: <{node.pk}>")
        return ToContext(upload=node)

    def put_in_place(self) -> Any:
        """Put the upload at the address of the model, if it is the model."""
        model, computer, upload = self.inputs.model, self.inputs.computer, self.ctx.upload
        if not upload.is_finished_ok:
            return self.exit_codes.ERROR_UPLOAD.format(pk=upload.pk, computer=shlex.quote(computer.label))
        folder = upload.outputs.remote_folder
        try:
            address, outcome = publish(model, computer, f"{folder.get_remote_path()}/{MODEL_FILE}")
        except ModelStoreError as error:
            # the engine takes the hash of what it opens: a copy in another place is as good, for this once
            self.report(f"the model stays in the folder of its upload: {error}")
            self.ctx.remote_model = folder
            return None
        self.report(f"upload <{upload.pk}>: {outcome} at {address}")
        if outcome is not Publication.DAMAGED:
            self.ctx.remote_model = staged_model(model, computer, address, folder)
        elif self.ctx.uploads >= MAX_UPLOADS:
            return self.exit_codes.ERROR_DAMAGED.format(count=self.ctx.uploads, computer=computer.label)
        return None

    def finish(self) -> None:
        """Name the folder."""
        self.out("remote_model", self.ctx.remote_model)


def stage_model(model: PetModelData, computer: orm.Computer) -> orm.RemoteData:
    """Return the folder on ``computer`` that holds a copy of ``model``, uploading it if there is none.

    For scripts that run jobs of their own; the WorkChains do the same themselves.

    :raises RuntimeError: if the model could not be brought there.
    """
    found = find_staged_model(model, computer)
    if found is not None:
        return found
    outputs, node = run_get_node(StagingWorkChain, model=model, computer=computer)
    if not node.is_finished_ok:
        raise RuntimeError(
            f"staging {model} on computer {computer.label!r} failed (process <{node.pk}>, exit status "
            f"{node.exit_status}): {node.exit_message or node.exception}"
        )
    staged: orm.RemoteData = outputs["remote_model"]
    return staged

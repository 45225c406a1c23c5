"""A screening that was launched, as a campaign file that starts it again."""

from __future__ import annotations

from typing import Any

from aiida.common import LinkType
from aiida.orm import WorkChainNode

from aiida_pet.campaigns.campaign_file import CampaignFile, ModelOfFile, SetOfFile
from aiida_pet.campaigns.errors import CampaignError
from aiida_pet.campaigns.nodes import Named, load
from aiida_pet.data.imports import files_of
from aiida_pet.data.model import PetModelData
from aiida_pet.data.structures import StructureSetData

SCREENING = "aiida.workflows:pet.screen"
_NUMBERS = ("lanes", "job_size", "job_duration", "clean_workdir")


class NotAScreeningError(CampaignError):
    """Raised if what would be written as a campaign file is no screening."""


def campaign_of(named: Named) -> CampaignFile:
    """Return the campaign file of a screening; its stages hold every parameter.

    :param named: the launch, by pk, uuid, label or as a node.
    :raises NotAScreeningError: if it is another launch.
    """
    node: Any = load(named, WorkChainNode)
    if node.process_type != SCREENING:
        raise NotAScreeningError(
            f"<{node.pk}> is a {node.process_label}: only screenings can be written as campaign files"
        )
    inputs, metadata = (
        node.base.links.get_incoming(link_type=LinkType.INPUT_WORK).nested(),
        node.get_metadata_inputs(),
    )
    metadata = metadata or {}
    asked: dict[str, Any] = metadata.get("asked") or {}
    hull: dict[str, Any] = inputs.get("hull", {})
    relaxed = hull.get("reference_structures")
    given = {name: inputs[name].value for name in _NUMBERS if name in inputs}
    return CampaignFile(
        label=node.label,
        set_=set_of(inputs["structures"]),
        model=model_of(inputs["model"]),
        code=inputs["code"].full_label,
        stages=inputs["stages"].get_dict(),
        references=[f"{name}={table.uuid}" for name, table in hull.get("references", {}).items()],
        relax_references=None if relaxed is None else relaxed.uuid,
        reuse=_value(inputs.get("reuse", metadata.get("reuse", True))),
        resources=dict(asked.get("resources") or {}),
        options=dict(asked.get("options") or {}),
        settings=dict(_value(inputs.get("settings", metadata.get("settings") or {}))),
        **given,
    )


def _value(node: Any) -> Any:
    """Return the value of a node of a plain type, and what is no node as it is."""
    return node.get_dict() if hasattr(node, "get_dict") else getattr(node, "value", node)


def set_of(structures: StructureSetData) -> SetOfFile:
    """Return what names a set: its node, and beside it the files that it was imported from."""
    uuid = structures.uuid if structures.is_stored else ""
    files = [file["path"] for file in files_of(structures)]
    return SetOfFile(label=structures.label, uuid=uuid, files=files)


def model_of(model: PetModelData) -> ModelOfFile:
    """Return what names a model: its hash, and beside it the name for people."""
    return ModelOfFile(name=model.name, version=model.version, sha256=model.sha256)

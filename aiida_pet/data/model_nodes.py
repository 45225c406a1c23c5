"""Finds models of the profile by pk, uuid, label, name or sha256."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from uuid import UUID

from aiida import orm
from aiida.common.exceptions import NotExistent
from ase.data import chemical_symbols

from aiida_pet.data.model import PetModelData
from aiida_pet.data.pks import node_with_pk
from aiida_pet.models.cards import EMBEDDED_NAME, embedded_card
from aiida_pet.models.registry import list_models
from aiida_pet.words import did_you_mean, with_article

MODEL = "model"
"""Output of a training."""
_SHA256 = re.compile(r"[0-9a-f]{64}")


class ModelNotFoundError(LookupError):
    """Raised for a model that is not in the profile; names the command that brings it."""


def model_nodes() -> list[PetModelData]:
    """Return the models of the profile, oldest first."""
    query = orm.QueryBuilder().append(PetModelData, project="*", tag="model")
    return query.order_by({"model": {"id": "asc"}}).all(flat=True)


def find_model(which: str) -> PetModelData | None:
    """Return the model of the profile named by pk, uuid, name or sha256; the newest of several of one name.

    :param which: a training stands for the model that it made, by its pk, uuid or label.
    :return: None if no model has this name.
    :raises ModelNotFoundError: if a pk is not there, or is neither a model nor a training that made one.
    """
    if which.isdecimal():
        try:
            node = node_with_pk(which)
        except NotExistent as error:
            raise ModelNotFoundError(
                f"there is no node with pk {which}: see `aiida-pet model list`"
            ) from error
        if isinstance(node, orm.ProcessNode):
            return _made_by(node)
        if not isinstance(node, PetModelData):
            raise ModelNotFoundError(
                f"node {which} is {with_article(type(node).__name__)}, not a model: see `aiida-pet model list`"
            )
        return node
    key = "sha256" if _SHA256.fullmatch(which.lower()) else "name"
    named = [node for node in model_nodes() if node.base.attributes.get(key, None) == which]
    if named:
        return named[-1]
    by_uuid = [node for node in model_nodes() if which in (node.uuid, node.label)]
    if by_uuid:
        return by_uuid[-1]
    return next((_made_by(node) for node in _processes(which) if MODEL in node.outputs), None)


def _processes(which: str) -> list[orm.ProcessNode]:
    """Return the processes with this uuid or label, the newest first."""
    try:
        named = {"uuid": str(UUID(which))}
    except ValueError:  # PostgreSQL compares a uuid with nothing else
        named = {"label": which}
    query = orm.QueryBuilder().append(orm.ProcessNode, filters=named, tag="process")
    return query.order_by({"process": {"id": "desc"}}).all(flat=True)


def _made_by(node: orm.ProcessNode) -> PetModelData:
    """Return the model that a training made.

    :raises ModelNotFoundError: if it made none.
    """
    if MODEL in node.outputs:
        model: PetModelData = node.outputs.model
        return model
    raise ModelNotFoundError(
        f"process {node.pk} is {with_article(str(node.process_label))} that made no model: see `aiida-pet model list`"
    )


def made_by(node: PetModelData) -> dict[str, Any] | None:
    """Return the ``launch`` (pk) and the ``stage`` of a training that made a model, None for one that was imported."""
    job = node.creator
    if job is None:
        return None
    top: orm.ProcessNode = job
    while top.caller is not None:
        top = top.caller
    return {"launch": top.pk, "stage": job.inputs.stage.value if "stage" in job.inputs else job.process_label}


def model_to_use(which: str | None) -> PetModelData:
    """Return the model to use: named by pk, name or sha256, or else the one that ships.

    :raises ModelNotFoundError: if it is not in the profile, with the command that brings it.
    """
    wanted = which or str(embedded_card()["sha256"])
    node = find_model(wanted)
    if node is not None:
        return node
    if which in (None, EMBEDDED_NAME):
        raise ModelNotFoundError(f"{EMBEDDED_NAME} is not in this profile: `aiida-pet setup` makes it")
    if any(entry.name == which for entry in list_models()):
        raise ModelNotFoundError(
            f"{which} is not in this profile: `aiida-pet model import {which}` imports it"
        )
    if Path(str(which)).is_file():
        raise ModelNotFoundError(f"{which} is a file: import it first, `aiida-pet model import {which}`")
    known = [
        *(node.base.attributes.get("name", "") for node in model_nodes()),
        *(one.name for one in list_models()),
    ]
    hint = did_you_mean(str(which), known)
    raise ModelNotFoundError(f"there is no model {which!r}{hint}: see `aiida-pet model list`")


def element_names(numbers: list[int], most: int = 8) -> str:
    """Return symbols, or how many there are if they are more than ``most``."""
    if len(numbers) > most:
        return f"{len(numbers)} elements"
    return " ".join(chemical_symbols[number] for number in numbers)

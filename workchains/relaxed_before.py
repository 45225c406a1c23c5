"""Relaxations that were done before, by whatever campaign: the same crystals with the same model and parameters."""

from __future__ import annotations

from typing import Any

from aiida import orm

from aiida_pet.data.model import PetModelData
from aiida_pet.data.structures import StructureSetData
from aiida_pet.workchains.done import has_current_results
from aiida_pet.workchains.relax import RelaxWorkChain


def find_relaxed(structures: StructureSetData, model: PetModelData, parameters: orm.Dict) -> Any | None:
    """Return the newest finished relaxation of crystals like ``structures``, all of them, with model and parameters."""
    query = orm.QueryBuilder()
    query.append(
        orm.WorkChainNode,
        filters={"process_type": RelaxWorkChain.build_process_type(), "attributes.exit_status": 0},
        tag="relaxation",
        project="*",
    )
    query.append(
        StructureSetData,
        filters={"extras._aiida_hash": structures.base.caching.compute_hash()},
        with_outgoing="relaxation",
        edge_filters={"label": "structures"},
    )
    query.append(
        PetModelData,
        filters={"attributes.sha256": model.sha256},
        with_outgoing="relaxation",
        edge_filters={"label": "model"},
    )
    query.order_by({"relaxation": {"ctime": "desc"}})
    for node in query.all(flat=True):
        same = node.inputs.parameters.get_dict() == parameters.get_dict()
        if same and "rows" not in node.inputs and "results" in node.outputs and has_current_results(node):
            return node
    return None

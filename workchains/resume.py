"""A campaign taken up: the same inputs, and what its jobs have done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida.common.links import LinkType
from aiida.engine import ProcessBuilder
from aiida.orm import WorkChainNode

from aiida_pet.data.structures import StructureSetData
from aiida_pet.workchains.batch import BatchWorkChain
from aiida_pet.workchains.done import results_below
from aiida_pet.workchains.screening import WORKCHAINS, ScreeningWorkChain

# A batch has no steps: its results are under no name.
WHOLE = ""
# What was done is put together anew; the copy of the model is looked for again: another computer has another.
_NOT_TAKEN = ("done", "remote_model", "metadata")


class NotResumableError(ValueError):
    """Raised for a process that is no campaign."""


def what_is_done(node: WorkChainNode) -> dict[str, dict[str, StructureSetData]]:
    """Return the results of the jobs of a campaign: of a batch under ``""``, of a screening by step.

    :raises NotResumableError: if ``node`` is neither a batch nor a screening.
    """
    kind = _kind_of(node)
    if not issubclass(kind, ScreeningWorkChain):
        return {WHOLE: results_below(node)}
    done = (
        {step: dict(tables) for step, tables in dict(node.inputs.get("done", {})).items()}
        if "done" in node.inputs
        else {}
    )
    for link in node.base.links.get_outgoing(link_type=LinkType.CALL_WORK).all():
        called: Any = link.node
        if called.process_class in WORKCHAINS.values():
            done[link.link_label] = done.get(link.link_label, {}) | results_below(called)
    return {step: tables for step, tables in done.items() if tables}


def resume_builder(node: WorkChainNode) -> ProcessBuilder:
    """Return the builder of a campaign that goes on where ``node`` ended.

    :raises NotResumableError: if ``node`` is neither a batch nor a screening.
    """
    done = what_is_done(node)
    kind = _kind_of(node)
    # not AiiDA's get_builder_restart, which cannot set metadata inputs that are dictionaries, such as `options`
    builder = kind.get_builder()
    inputs = node.base.links.get_incoming(link_type=LinkType.INPUT_WORK).nested()
    for name, value in _merged(inputs, node.get_metadata_inputs() or {}).items():
        if name not in _NOT_TAKEN:
            setattr(builder, name, value)
    builder.done = done if issubclass(kind, ScreeningWorkChain) else done[WHOLE]
    return builder


def _merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Return both, namespaces joined."""
    both = dict(first)
    for name, value in second.items():
        joins = isinstance(value, Mapping) and isinstance(both.get(name), Mapping)
        both[name] = _merged(both[name], value) if joins else value
    return both


def _kind_of(node: WorkChainNode) -> type[BatchWorkChain | ScreeningWorkChain]:
    try:
        kind: Any = node.process_class
    except ValueError:
        kind = object
    if not issubclass(kind, BatchWorkChain | ScreeningWorkChain):
        raise NotResumableError(
            f"<{node.pk}> is a {node.process_label}: expected a launch of a task or a screening; launch it again as it "
            "was"
        )
    return kind  # type: ignore[no-any-return]

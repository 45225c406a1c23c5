"""A campaign taken up: the same inputs, and what its jobs have done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiida.common.links import LinkType
from aiida.engine import ProcessBuilder
from aiida.orm import AbstractCode, ProcessNode, WorkChainNode

from aiida_pet.campaigns.changes import Changes
from aiida_pet.campaigns.errors import NotEndedError, NothingLeftError, NotResumableError, TakenUpError
from aiida_pet.campaigns.nodes import Named, load
from aiida_pet.campaigns.progress import state_of
from aiida_pet.data.structures import StructureSetData
from aiida_pet.workchains.batch import BatchWorkChain
from aiida_pet.workchains.done import current, of_jobs, outdated_rows, results_below
from aiida_pet.workchains.screening import ScreeningWorkChain
from aiida_pet.workchains.taking_up import RESUMES, latest_of

# A batch has no steps: its results are under no name.
WHOLE = ""
_NOT_TAKEN = ("done", "metadata", RESUMES)  # what was done is put together anew
# How and where jobs run: on another computer it says nothing.
_OF_COMPUTER = ("options", "asked", "settings", "remote_model")


Done = dict[str, dict[str, StructureSetData]]


@dataclass(frozen=True)
class Resumption:
    """A launch that is ready to go on where another launch ended.

    :ivar builder: to be submitted.
    :ivar pk: pk of the launch that is taken up.
    :ivar label: label of that launch.
    :ivar workflow: name of its WorkChain.
    :ivar rows_done: finished rows that are taken over.
    :ivar computed_again: a sentence for each step of which finished rows are computed again, as their results would
        differ from those of this version.
    """

    builder: ProcessBuilder
    pk: int | None
    label: str
    workflow: str
    rows_done: int
    computed_again: list[str]


def resume(
    named: Named,
    *,
    code: AbstractCode | None = None,
    lanes: int | None = None,
    job_size: int | None = None,
    resources: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    retry_given_up: bool = False,
) -> Resumption:
    """Return a launch that goes on where an earlier launch ended: ``submit(resume(12, lanes=4).builder)`` computes only
    the missing rows.

    The new launch has the lanes, resources, options and settings of the earlier launch, unless you give other values
    here. On another computer the earlier options are dropped, and the defaults of that computer are used.

    :param named: the launch, by pk, uuid, label or as a node.
    :param code: code of the engine; None means the code of the earlier launch.
    :param lanes: number of jobs that run at once.
    :param job_size: largest number of rows in a job.
    :param resources: resources of each job; fields of :class:`~aiida_pet.computers.resources.Resources`.
    :param options: ``metadata.options`` of each job.
    :param settings: settings of the engine.
    :param retry_given_up: also compute rows that were given up because the engine broke down on them twice.
    :raises NotEndedError: if the launch has not ended.
    :raises NothingLeftError: if it ended well.
    :raises TakenUpError: if another launch has already resumed it.
    :raises NotResumableError: if it is neither a launch of a task for a set nor a screening.
    :raises ResourceError: for unknown resources, or for resources that the computer does not have.
    :raises SetByHandError: for resources, if the options of the earlier launch were not made from resources.

    .. code-block:: python

        from aiida.engine import submit

        from aiida_pet.campaigns import resume

        node = submit(resume("alloys", lanes=4).builder)
    """
    node: WorkChainNode = load(named, WorkChainNode)
    check_ended(node)
    check_not_taken_up(node)
    done = what_is_done(node)
    sure = without_given_up(done)
    given_up = count_rows(done) - count_rows(sure)
    if node.is_finished_ok and not (given_up and retry_given_up):
        raise NothingLeftError(node.pk, given_up)
    if retry_given_up:
        done = sure
    builder = resume_builder(node, code, done)
    changes = Changes(lanes, job_size, dict(resources or {}), dict(options or {}), dict(settings or {}))
    changes.apply(builder, at_home=is_at_home(node, code))
    return Resumption(
        builder=builder,
        pk=node.pk,
        label=str(node.label),
        workflow=str(node.process_label),
        rows_done=count_rows(done),
        computed_again=computed_again(node),
    )


def count_rows(done: Done) -> int:
    """Return how many rows are done, over all steps."""
    return sum(len(table) for tables in done.values() for table in tables.values())


def what_is_done(node: WorkChainNode) -> Done:
    """Return the results of the jobs of a campaign: of a batch under ``""``, of a screening by step.

    :raises NotResumableError: if ``node`` is neither a batch nor a screening.
    """
    kind = _kind_of(node)
    if not issubclass(kind, ScreeningWorkChain):
        return {WHOLE: results_below(node)}
    before = dict(node.inputs.done) if "done" in node.inputs else {}
    done = {step: current(dict(tables)) for step, tables in before.items()}
    for link in _steps_of(node):
        done[link.link_label] = done.get(link.link_label, {}) | results_below(link.node)
    return {step: tables for step, tables in done.items() if tables}


def computed_again(node: WorkChainNode) -> list[str]:
    """Return a sentence for each step of which rows are done, but by a version of this package whose results differ.

    :raises NotResumableError: if ``node`` is neither a batch nor a screening.
    """
    batches = {WHOLE: node}
    if issubclass(_kind_of(node), ScreeningWorkChain):
        batches = {link.link_label: link.node for link in _steps_of(node)}
    counts = {step: len(outdated_rows(batch)) for step, batch in batches.items()}
    return [
        f"{count} finished rows{f' of {step}' if step else ''} are computed again, since an earlier version of "
        "aiida-pet made them, whose results have other columns or values (docs/migration.md)"
        for step, count in counts.items()
        if count
    ]


def _steps_of(node: WorkChainNode) -> list[Any]:
    """Return the links to the batches that a screening called, one for each of its steps."""
    links = node.base.links.get_outgoing(link_type=LinkType.CALL_WORK).all()
    return [link for link in links if issubclass(link.node.process_class, BatchWorkChain)]


def without_given_up(done: Done) -> Done:
    """Return ``done`` without the rows that ended their jobs, which are tried again then."""
    return {step: of_jobs(tables) for step, tables in done.items()}


def resume_builder(
    node: WorkChainNode, code: AbstractCode | None = None, done: Done | None = None
) -> ProcessBuilder:
    """Return the builder of a campaign that goes on where ``node`` ended.

    :param code: code of the engine to go on with; None keeps the earlier code. On another computer options and settings
        of jobs, and a copy of the model that the user named, are left out.
    :param done: what is taken over, None for :func:`what_is_done`.
    :raises NotResumableError: if ``node`` is neither a batch nor a screening.
    :raises TakenUpError: if another launch has already resumed it.
    """
    check_not_taken_up(node)
    done = what_is_done(node) if done is None else done
    kind = _kind_of(node)
    # not AiiDA's get_builder_restart, which cannot set metadata inputs that are dictionaries, such as `options`
    builder: Any = kind.get_builder()
    inputs = node.base.links.get_incoming(link_type=LinkType.INPUT_WORK).nested()
    left_out = _NOT_TAKEN if is_at_home(node, code) else (*_NOT_TAKEN, *_OF_COMPUTER)
    for name, value in _merged(inputs, node.get_metadata_inputs() or {}).items():
        if name not in left_out:
            setattr(builder, name, value)
    if code is not None:
        builder.code = code
    builder.done = done if issubclass(kind, ScreeningWorkChain) else done[WHOLE]
    builder.resumes = node.uuid
    return builder  # type: ignore[no-any-return]


def check_ended(node: ProcessNode) -> None:
    """Check that ``node`` has ended, well or not.

    :raises NotEndedError: if it goes on.
    """
    if not node.is_terminated:
        raise NotEndedError(node.pk, state_of(node))


def check_not_taken_up(node: ProcessNode) -> None:
    """Check that no other launch has taken ``node`` up.

    Two launches that ask at the same moment both get through; then the later of them ends as it begins
    (:mod:`aiida_pet.workchains.taking_up`).

    :raises TakenUpError: naming the launch that did.
    """
    by = latest_of(node)
    if by is not None:
        raise TakenUpError(node.pk, by.pk, is_running=not by.is_terminated, is_finished_ok=by.is_finished_ok)


def is_at_home(node: WorkChainNode, code: AbstractCode | None) -> bool:
    """Return whether ``code`` is on the computer on which the jobs of ``node`` ran; None is the code of then."""
    before = node.inputs.code.computer
    return code is None or (
        code.computer is not None and before is not None and bool(code.computer.uuid == before.uuid)
    )


def _merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Return both, namespaces joined."""
    both = dict(first)
    for name, value in second.items():
        joins = isinstance(value, Mapping) and isinstance(both.get(name), Mapping)
        both[name] = _merged(both[name], value) if joins else value
    return both


def is_campaign(node: ProcessNode) -> bool:
    """Return whether ``node`` can be taken up: a batch or a screening."""
    try:
        return issubclass(node.process_class, BatchWorkChain | ScreeningWorkChain)
    except ValueError:
        return False


def _kind_of(node: WorkChainNode) -> type[BatchWorkChain | ScreeningWorkChain]:
    if not is_campaign(node):
        raise NotResumableError(
            f"<{node.pk}> is a {node.process_label}: only launches of tasks and screenings can be resumed; start it "
            "again with the same inputs"
        )
    return node.process_class  # type: ignore[return-value]

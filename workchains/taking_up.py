"""One launch at a time takes up another: each says which it resumes, and looks for an earlier one as it begins.

What a launch resumes is stored with it, before it runs. If two are started at the same moment, the launch with the
higher pk ends in its first step. On PostgreSQL a moment remains: between the writing of a node and the end of that
transaction, some milliseconds, the other does not see it; rows are then computed twice, and none is lost.
"""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import ProcessSpec

RESUMES = "resumes"
ERROR_TAKEN_UP = "ERROR_TAKEN_UP"
_KEY = f"attributes.metadata_inputs.{RESUMES}"


def define_resumes(spec: ProcessSpec) -> None:
    """Add to ``spec`` which launch this one takes up, and that another was faster."""
    spec.input(
        RESUMES,
        valid_type=str,
        required=False,
        is_metadata=True,
        help="UUID of the launch that this launch resumes.",
    )
    spec.exit_code(
        310,
        ERROR_TAKEN_UP,
        message="Launch <{pk}>, which began earlier, already resumes launch <{resumed}>. Nothing was computed here.",
    )


def launches_that_resume(uuid: str) -> list[Any]:
    """Return the processes that took up the launch ``uuid`` and got to work, oldest first."""
    query = orm.QueryBuilder()
    query.append(orm.WorkChainNode, filters={_KEY: uuid}, project="*")
    query.order_by({orm.WorkChainNode: {"ctime": "asc"}})  # pks of an archive are in no order
    found = query.all(flat=True)
    return [node for node in found if node.exit_status != 310 or not node.is_finished]


def latest_of(node: orm.ProcessNode) -> Any | None:
    """Return the last of the launches that took up ``node``, one after the other; None if there is none."""
    latest: Any = None
    found = launches_that_resume(node.uuid)
    while found:
        latest = found[-1]
        found = launches_that_resume(latest.uuid)
    return latest


def earlier_launch(node: orm.ProcessNode, uuid: str | None) -> Any | None:
    """Return a launch that took up ``uuid`` before ``node`` did, and goes on or ended well; None if there is none."""
    if uuid is None:
        return None
    earlier = [one for one in launches_that_resume(uuid) if one.pk < node.pk]
    return next((one for one in earlier if not one.is_terminated or one.is_finished_ok), None)


def taken_up_code(process: Any) -> Any | None:
    """Return the exit code of ``process`` if an earlier launch took up what it resumes, None otherwise."""
    uuid = process.inputs.get(RESUMES)
    earlier = earlier_launch(process.node, uuid)
    if earlier is None:
        return None
    resumed = orm.load_node(uuid)
    return process.exit_codes.ERROR_TAKEN_UP.format(resumed=resumed.pk, pk=earlier.pk)

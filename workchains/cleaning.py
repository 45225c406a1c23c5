"""Job folders removed from a computer when nothing needs them any more.

What a job computed is in its ``results`` by then; what goes is what nobody reads again: shards, the crystals it was
given, states of rows, links, and the log, of which AiiDA has a copy.
"""

from __future__ import annotations

from collections.abc import Iterable

from aiida import orm
from aiida.orm.utils.remote import clean_remote


def is_own_folder(job: orm.CalcJobNode) -> bool:
    """Return whether the folder of ``job`` is its own; a job from the cache has the folder of another campaign."""
    return not job.base.caching.is_created_from_cache and "remote_folder" in job.outputs


def clean_folders(pks: Iterable[int]) -> tuple[list[int], str]:
    """Remove the folders of jobs, all of one computer, through one connection; never raises.

    The folders are marked as cleaned once they are gone, as AiiDA's own commands mark them.

    :param pks: pks of the jobs.
    :return: those whose folder may still be there, and why; empty if all are gone.
    """
    left = list(pks)
    if not left:
        return [], ""
    try:
        folders = {pk: orm.load_node(pk).outputs.remote_folder for pk in left}
        with folders[left[0]].get_authinfo().get_transport() as transport:
            for pk, folder in folders.items():
                path = folder.get_remote_path()
                clean_remote(transport, path)
                if transport.path_exists(path):  # AiiDA passes over what it cannot remove
                    return left, f"{path} cannot be removed"
                folder.base.extras.set(folder.KEY_EXTRA_CLEANED, True)
                left.remove(pk)
    except (
        Exception
    ) as error:  # of a connection, whatever its kind: the campaign matters more than its rubbish
        return left, f"{type(error).__name__}: {error}"
    return left, ""

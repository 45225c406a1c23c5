"""Where models lie on a computer: one file for each content, at an address that its SHA-256 names.

The address is ``<work directory of the computer>/aiida-pet-models/<sha256>/model.ckpt``: outside of all job folders, so
that cleaning these never takes it away, and the same for every profile, so that a model that is there is never uploaded
again. What stands at the address is whole at every moment: a file comes there by a rename, after its hash was taken.

The computer is asked through AiiDA's transport by one command, since the renames of transports refuse a target
that exists. File names come as arguments of a fixed script, so no name can be taken for a command.
"""

from __future__ import annotations

import logging
import shlex
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from aiida.orm import Computer
from aiida.transports import Transport

from aiida_pet.data.model import PetModelData
from aiida_pet.job.folder import MODEL_FILE

logger = logging.getLogger(__name__)

MODELS_FOLDER = "aiida-pet-models"

# Login shells may greet: the line that answers begins with this.
_ANSWER = "aiida-pet-model:"

_SCRIPT = f"""
umask 077
mode=$1 place=$2 sha256=$3 size=$4 new=$5 temporary=$6
answer() {{ printf '\\n%s %s\\n' {_ANSWER} "$1"; exit 0; }}
if command -v sha256sum >/dev/null 2>&1; then hasher="sha256sum"
elif command -v shasum >/dev/null 2>&1; then hasher="shasum -a 256"
else hasher=
fi
# the upload is kept: to another disk mv copies, and leaves a part where it came to an end
fail() {{
    if [ -f "$new" ]; then rm -f "$temporary"; elif [ -f "$temporary" ]; then mv -f "$temporary" "$new"; fi
    exit 1
}}
has_size() {{ [ -f "$1" ] && [ $(wc -c <"$1") -eq "$size" ]; }}
has_hash() {{ [ -n "$hasher" ] && [ "$($hasher <"$1" | cut -c 1-64)" = "$sha256" ]; }}
case $mode in
look) if has_size "$place"; then answer whole; else answer absent; fi ;;
verify) if has_size "$place" && has_hash "$place"; then answer whole; else answer absent; fi ;;
publish)
    if has_size "$place" && has_hash "$place"; then rm -f "$new"; answer kept; fi
    if [ -d "$place" ]; then echo "$place is a folder" >&2; exit 1; fi
    mkdir -p "$(dirname "$place")" || exit 1
    mv -f "$new" "$temporary" || fail
    if ! has_size "$temporary"; then rm -f "$temporary"; answer damaged; fi
    if [ -n "$hasher" ] && ! has_hash "$temporary"; then rm -f "$temporary"; answer damaged; fi
    chmod go= "$temporary" && mv -f "$temporary" "$place" || fail
    if [ -n "$hasher" ]; then answer published; else answer unverified; fi ;;
esac
exit 2
"""


class ModelStoreError(OSError):
    """Raised when the computer does not answer whether it has a model, or cannot put it where it belongs."""


class Publication(StrEnum):
    """What became of an upload."""

    PUBLISHED = "published"
    UNVERIFIED = "unverified"  # published by its size alone: the computer can take no SHA-256
    KEPT = "kept"  # a whole copy was there already, and the upload was removed
    DAMAGED = "damaged"  # not the model: removed


@dataclass(frozen=True)
class Place:
    """The address of a model on a computer.

    :ivar folder: absolute path, to be linked as ``remote_model``.
    :ivar is_whole: the model is there.
    """

    folder: str
    is_whole: bool


def find_place(model: PetModelData, computer: Computer, *, by_hash: bool = False) -> Place:
    """Ask ``computer`` whether ``model`` is there: a file of its size, and if ``by_hash`` of its SHA-256 too.

    A size is told at once; a hash takes a second per gigabyte or so. The engine takes it in any case, before it opens
    the file. A computer that can take no SHA-256 has no copy ``by_hash``.

    :raises ModelStoreError: if the computer cannot be asked.
    """
    with _connected(computer) as transport:
        folder = model_folder(computer, transport, model.sha256)
        answer = _ask(transport, "verify" if by_hash else "look", folder, model)
    return Place(folder, answer == "whole")


def publish(model: PetModelData, computer: Computer, upload: str) -> tuple[str, Publication]:
    """Bring the file ``upload`` on ``computer`` to the address of ``model``, after its hash was taken.

    Whoever comes second finds a whole copy, keeps it and removes his own. A damaged file at the address is replaced,
    in one step.

    :param upload: absolute path, on the file system of the work directory.
    :return: folder of the address, and what became of the upload.
    :raises ModelStoreError: if the computer cannot be asked, or cannot write there.
    """
    with _connected(computer) as transport:
        folder = model_folder(computer, transport, model.sha256)
        outcome = Publication(_ask(transport, "publish", folder, model, upload))
    if outcome is Publication.UNVERIFIED:
        logger.warning(
            "computer %r has neither sha256sum nor shasum: only the size of %s/%s was checked; the engine checks the "
            "hash before it opens the file",
            computer.label,
            folder,
            MODEL_FILE,
        )
    return folder, outcome


def model_folder(computer: Computer, transport: Transport, sha256: str) -> str:
    """Return the folder of the model with ``sha256`` on ``computer``, absolute."""
    work_dir = computer.get_workdir()
    user = transport.whoami() if "{username}" in work_dir else ""
    return f"{work_dir.format(username=user).rstrip('/')}/{MODELS_FOLDER}/{sha256}"


@contextmanager
def _connected(computer: Computer) -> Iterator[Transport]:
    """Open a transport to ``computer``; whatever goes wrong there is a :class:`ModelStoreError`."""
    try:
        with computer.get_transport() as transport:
            yield transport
    except ModelStoreError:
        raise
    except Exception as error:  # of paramiko, asyncssh, the system, or a plugin
        raise ModelStoreError(
            f"computer {computer.label!r} cannot be asked for its models: {type(error).__name__}: {error}"
        ) from error


def _ask(transport: Transport, mode: str, folder: str, model: PetModelData, upload: str = "") -> str:
    """Return the script's answer in one word."""
    size = model.base.repository.get_object_size(model.filename)
    place = f"{folder}/{MODEL_FILE}"
    temporary = f"{place}.{uuid.uuid4().hex}"
    arguments = ["sh", "-c", _SCRIPT, "sh", mode, place, model.sha256, str(size), upload, temporary]
    status, stdout, stderr = transport.exec_command_wait(shlex.join(arguments))
    answers = [line.split()[1] for line in stdout.splitlines() if line.startswith(_ANSWER)]
    if status != 0 or not answers:
        raise ModelStoreError(f"{mode} {place}: exit status {status}: {stderr.strip() or 'no message'}")
    return str(answers[-1])

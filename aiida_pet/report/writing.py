"""Writes a report to a file, whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aiida_pet.campaigns.nodes import Named
from aiida_pet.report.choices import Choices
from aiida_pet.report.document import make_document
from aiida_pet.report.page import page_of


@dataclass(frozen=True)
class Written:
    """A report that was written.

    :ivar path: path of the file.
    :ivar size: in bytes.
    :ivar rows: in its table.
    :ivar total: rows that there are.
    :ivar goes_on: whether one of the launches is still running.
    """

    path: Path
    size: int
    rows: int
    total: int
    goes_on: bool


def write_report(launches: Sequence[Named], path: Path | str, choices: Choices | None = None) -> Written:
    """Write the report of launches as one file that opens offline. An existing file is replaced only when the new file
    is complete.

    :param launches: launches by pk, uuid, label or node; the first is shown, and the others are compared with it.
    :param choices: what the report shows.
    :raises CampaignError: if a launch does not compute crystals.
    :raises OSError: if the file cannot be written.

    .. code-block:: python

        from aiida_pet.report import Choices, write_report

        write_report(["four metals"], "campaign.html", Choices(best=20))
    """
    choices = choices or Choices()
    document = make_document(launches, choices)
    target = Path(path)
    text = page_of(document)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        Path(name).chmod(0o644)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    table = document.table
    return Written(
        path=target,
        size=target.stat().st_size,
        rows=len(table["ids"]) if table else 0,
        total=table["total"] if table else 0,
        goes_on=document.goes_on,
    )

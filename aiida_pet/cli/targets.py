"""What commands write to and act on: nothing is overwritten unasked, and a single row needs no id."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from aiida_pet.campaigns.results import Rows

force_option = click.option("--force", is_flag=True, help="Replace an existing file or folder.")
"""The option of every command that writes a file."""


def check_target(path: Path, force: bool) -> None:
    """Refuse to write to ``path`` before any work is done.

    :raises click.ClickException: if it is there and not to be replaced, or its folder is not there.
    """
    if path.exists() and not force:
        raise click.ClickException(f"{path} exists already: --force replaces it")
    if not path.absolute().parent.is_dir():
        raise click.ClickException(f"there is no folder {path.parent}")


def the_only_row(rows: Rows) -> str:
    """Return the id of the only row.

    :raises click.UsageError: if there are several, so that one must be named.
    """
    if len(rows) != 1:
        ids = ", ".join(rows.ids[:5])
        raise click.UsageError(f"<{rows.pk}> has {len(rows):,} rows: name one by its id ({ids}, ...)")
    return rows.ids[0]

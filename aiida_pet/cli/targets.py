"""Files that commands write: nothing is overwritten unless that is asked for. One rule for all commands."""

from __future__ import annotations

from pathlib import Path

import click

force_option = click.option("--force", is_flag=True, help="Replace what is there.")
"""The option of every command that writes a file."""


def check_target(path: Path, force: bool) -> None:
    """Refuse to write to ``path`` before any work is done.

    :raises click.ClickException: if it is there and not to be replaced, or its folder is not there.
    """
    if path.exists() and not force:
        raise click.ClickException(f"{path} is there already: --force replaces it")
    if not path.absolute().parent.is_dir():
        raise click.ClickException(f"there is no folder {path.parent}")

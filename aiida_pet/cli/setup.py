"""``aiida-pet setup``: what a first calculation needs, made where it is missing and left alone otherwise.

Profile (SQLite and the ZeroMQ broker: no service to install, as ``verdi presto`` makes it), computer, code,
the model that ships, daemon. A second run says what is there and changes nothing.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from aiida_pet.cli.groups import SuggestingGroup
from aiida_pet.cli.output import echo_json, echo_step, json_option, note
from aiida_pet.cli.session import Session, pass_session
from aiida_pet.cli.setup_computer import computer as computer_command


@click.group(cls=SuggestingGroup, invoke_without_command=True)
@click.option(
    "--work-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder in which jobs run. It cannot be changed later. Default: a folder beside the profile.",
)
@click.option("--no-daemon", is_flag=True, help="Do not start the daemon.")
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Number of daemon workers to start.",
)
@json_option
@pass_session
@click.pass_context
def setup(
    context: click.Context,
    session: Session,
    *,
    work_dir: Path | None,
    no_daemon: bool,
    workers: int,
    as_json: bool,
) -> None:
    """Make the profile, computer, code and model that are missing, and start the daemon.

    The command does not change what already exists, so you can run it as often as you like. `aiida-pet setup computer`
    adds another computer.
    """
    if context.invoked_subcommand is not None:
        return
    from aiida_pet.computers.local_setup import set_up

    steps = []
    for step in set_up(session.profile, work_dir, None if no_daemon else workers):
        steps.append(step)
        if not as_json:
            echo_step(step)
    problems = [step.problem for step in steps if step.problem]
    if as_json:
        echo_json({"steps": [asdict(step) for step in steps], "problems": problems})
    for problem in problems:
        note(f"Warning: {problem}")


setup.add_command(computer_command)

"""The command line ``aiida-pet``: one module per command, what is heavy imported inside the commands.

Nothing of AiiDA, torch or pymatgen is imported before a command runs, so that ``--help`` answers at once.
Shared parts: :mod:`~aiida_pet.cli.session` (profile, nodes), :mod:`~aiida_pet.cli.output` (table, csv, json),
:mod:`~aiida_pet.cli.errors` (one clear line instead of a traceback).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import ClassVar

import click

from aiida_pet import __version__
from aiida_pet.cli.campaign_files import export_launch as export_launch_command
from aiida_pet.cli.columns import columns as columns_command
from aiida_pet.cli.compare import compare as compare_command
from aiida_pet.cli.data import data as data_command
from aiida_pet.cli.doctor import doctor as doctor_command
from aiida_pet.cli.errors import ExplainingGroup
from aiida_pet.cli.find import find as find_command
from aiida_pet.cli.launch import launch as launch_command
from aiida_pet.cli.listing import delete as delete_command
from aiida_pet.cli.listing import label as label_command
from aiida_pet.cli.listing import list_ as list_command
from aiida_pet.cli.metrics import metrics as metrics_command
from aiida_pet.cli.model import model as model_command
from aiida_pet.cli.output import note
from aiida_pet.cli.params import params as params_command
from aiida_pet.cli.plot import plot as plot_command
from aiida_pet.cli.repair import repair as repair_command
from aiida_pet.cli.report import report as report_command
from aiida_pet.cli.results import results as results_command
from aiida_pet.cli.resume import resume as resume_command
from aiida_pet.cli.select import select as select_command
from aiida_pet.cli.session import Session
from aiida_pet.cli.setup import setup as setup_command
from aiida_pet.cli.show import show as show_command
from aiida_pet.cli.status import status as status_command
from aiida_pet.cli.stop import stop as stop_command
from aiida_pet.cli.trace import trace as trace_command
from aiida_pet.cli.trajectory import trajectory as trajectory_command
from aiida_pet.computers.interpreter import prepare_environment

__all__ = ("main",)


class _Main(ExplainingGroup):
    headings: ClassVar[Mapping[str, Sequence[str]]] = {
        "First steps": ("setup", "doctor"),
        "Crystals and models": ("data", "model"),
        "Run": ("launch", "status", "stop", "resume", "repair"),
        "Look at results": ("list", "results", "show", "report", "plot", "trajectory", "find"),
        "Keep in order": ("label", "delete", "export-launch"),
        "Compare and choose": ("compare", "metrics", "select", "trace"),
        "Look things up": ("params", "columns"),
    }


@click.group(cls=_Main, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-p",
    "--profile",
    metavar="NAME",
    help="AiiDA profile to use. Without this option the default profile is used.",
)
@click.option(
    "-v",
    "--verbose",
    count=True,
    help="Print more messages. If given twice (-vv), also show where an error came from.",
)
@click.version_option(__version__, package_name="aiida-pet")
@click.pass_context
def main(context: click.Context, profile: str | None, verbose: int) -> None:
    """Screen crystals with the PET interatomic potential through AiiDA.

    A first campaign: `aiida-pet setup`, then `aiida-pet launch relax FILE`. The second command prints a pk. Look at the
    launch with this pk: `aiida-pet status PK`, `aiida-pet results PK` and `aiida-pet trace PK ID`.

    This line lets the Tab key complete commands in bash (in zsh write zsh_source, in fish fish_source):

    \b
    eval "$(_AIIDA_PET_COMPLETE=bash_source aiida-pet)"
    """
    prepare_environment()
    _log_to_stderr({0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG))
    context.obj = Session(profile=profile, verbosity=verbose)


class _EchoHandler(logging.Handler):
    """Prints what is logged on standard error, whatever that is by then."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print ``record``."""
        note(self.format(record))


def _log_to_stderr(level: int) -> None:
    logger = logging.getLogger("aiida_pet")
    logger.setLevel(level)
    if not any(isinstance(handler, _EchoHandler) for handler in logger.handlers):
        logger.addHandler(_EchoHandler())


# Under other names than those of their modules, which stay reachable as `aiida_pet.cli.launch` and so on.
for _command in (
    setup_command,
    doctor_command,
    data_command,
    model_command,
    launch_command,
    status_command,
    list_command,
    label_command,
    delete_command,
    export_launch_command,
    results_command,
    report_command,
    show_command,
    plot_command,
    metrics_command,
    find_command,
    select_command,
    compare_command,
    trace_command,
    trajectory_command,
    stop_command,
    resume_command,
    repair_command,
    params_command,
    columns_command,
):
    main.add_command(_command)

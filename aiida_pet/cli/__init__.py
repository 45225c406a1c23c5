"""The command line ``aiida-pet``: one module per command, what is heavy imported inside the commands.

Nothing of AiiDA, torch or pymatgen is imported before a command runs, so that ``--help`` answers at once.
Shared parts: :mod:`~aiida_pet.cli.session` (profile, nodes), :mod:`~aiida_pet.cli.output` (table, csv, json),
:mod:`~aiida_pet.cli.errors` (one clear line instead of a traceback).
"""

from __future__ import annotations

import logging
import sys

import click

from aiida_pet import __version__
from aiida_pet.cli.data import data
from aiida_pet.cli.errors import ExplainingGroup
from aiida_pet.cli.launch import launch
from aiida_pet.cli.model import model
from aiida_pet.cli.params import params
from aiida_pet.cli.results import results
from aiida_pet.cli.session import Session
from aiida_pet.cli.setup import setup
from aiida_pet.cli.status import status
from aiida_pet.cli.trace import trace

__all__ = ("main",)


@click.group(cls=ExplainingGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-p", "--profile", metavar="NAME", help="AiiDA profile to use; the default one if not given.")
@click.option("-v", "--verbose", count=True, help="Say more; twice also shows where an error came from.")
@click.version_option(__version__, package_name="aiida-pet")
@click.pass_context
def main(context: click.Context, profile: str | None, verbose: int) -> None:
    """Screen crystals with the PET interatomic potential through AiiDA.

    A first campaign: `aiida-pet setup`, then `aiida-pet launch relax FILE`, and with the pk that it prints
    `aiida-pet status PK`, `aiida-pet results PK` and `aiida-pet trace PK ID`.
    """
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG)
    logger = logging.getLogger("aiida_pet")
    logger.setLevel(level)
    if verbose and not logger.handlers:
        logger.addHandler(logging.StreamHandler(sys.stderr))
    context.obj = Session(profile=profile, verbosity=verbose)


for _command in (setup, data, model, launch, status, results, trace, params):
    main.add_command(_command)

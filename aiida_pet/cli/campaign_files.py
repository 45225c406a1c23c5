"""Campaign files on the command line: `launch screen campaign.yaml`, and a launch written as one."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aiida_pet.cli.options import WALLTIME, parse_settings
from aiida_pet.cli.output import note
from aiida_pet.cli.session import Session, pass_session
from aiida_pet.cli.targets import check_target, force_option

if TYPE_CHECKING:
    from aiida_pet.campaigns.campaign_file import CampaignFile
    from aiida_pet.cli.launching import Request
    from aiida_pet.data.structures import StructureSetData

SUFFIXES = (".yaml", ".yml")
_BESIDE = ("targets", "dry_run", "wait", "as_json", "label", "output", "script", "force")
"""Parameters that may stand beside a campaign file."""


def is_campaign_file(targets: tuple[str, ...]) -> bool:
    """Return whether a campaign file is named, and nothing else."""
    return len(targets) == 1 and targets[0].endswith(SUFFIXES)


def check_alone() -> None:
    """Check that no option says again, or otherwise, what the campaign file says.

    :raises click.UsageError: naming the options that do.
    """
    context = click.get_current_context()
    given = [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name not in _BESIDE
        and context.get_parameter_source(str(parameter.name)) is click.core.ParameterSource.COMMANDLINE
    ]
    if given:
        raise click.UsageError(f"{', '.join(given)}: the campaign file sets this; change it in the file")


def request_of(campaign: CampaignFile, request: Request) -> Request:
    """Return what the file says of how it runs, as the options of the command line would."""
    resources: dict[str, Any] = dict(campaign.resources)
    if "walltime" in resources:
        resources["walltime"] = WALLTIME.convert(resources["walltime"], None, None)
    duration = campaign.job_duration
    return replace(
        request,
        model=campaign.model_name(),
        code=campaign.code or request.code,
        lanes=campaign.lanes,
        job_size=campaign.job_size,
        job_duration=None if duration is None else WALLTIME.convert(duration, None, None),
        clean_workdir=campaign.clean_workdir,
        option=tuple(f"{name}={json.dumps(value)}" for name, value in campaign.options.items()),
        setting=tuple(f"{name}={json.dumps(value)}" for name, value in campaign.settings.items()),
        label=request.label or campaign.label,
        **resources,
    )


def targets_of(campaign: CampaignFile, folder: Path) -> tuple[str, ...]:
    """Return what names the crystals: the node if the profile has it, else files or a label."""
    from aiida_pet.campaigns.campaign_file import SetOfFile
    from aiida_pet.campaigns.errors import NoSuchNodeError
    from aiida_pet.campaigns.nodes import load

    if isinstance(campaign.set_, SetOfFile) and campaign.set_.uuid:
        try:
            return (str(load(campaign.set_.uuid).pk),)
        except NoSuchNodeError:
            note(f"set {campaign.set_.uuid} is not in this profile")
    return campaign.targets(folder)


def set_to_write(structures: StructureSetData, targets: tuple[str, ...], output: Path) -> Any:
    """Return what a file says of the crystals: the node, or the files as they are seen from it.

    :param structures: not stored, where they were read from files for a dry run.
    """
    from aiida_pet.campaigns.export import set_of

    if structures.is_stored:
        return set_of(structures)
    return [os.path.relpath(target, output.parent) for target in targets]


def how_it_runs(request: Request) -> dict[str, Any]:
    """Return what the options say of how a launch runs, by the names of the campaign file."""
    from aiida_pet.computers.resources import Resources

    names = Resources.model_fields
    return {
        "lanes": request.lanes,
        "job_size": request.job_size,
        "job_duration": request.job_duration,
        "clean_workdir": request.clean_workdir,
        "resources": {name: getattr(request, name) for name in names if getattr(request, name) is not None},
        "options": parse_settings(request.option, "--option"),
        "settings": parse_settings(request.setting, "--setting"),
    }


def write(campaign: CampaignFile, output: Path | None) -> None:
    """Write a campaign file, or print it if there is no ``output``."""
    from aiida_pet.campaigns.campaign_file import text_of
    from aiida_pet.io.whole_files import open_whole

    if output is None:
        click.echo(text_of(campaign), nl=False)
        return
    with open_whole(output) as handle:
        handle.write(text_of(campaign))
    note(f"wrote {output}: `aiida-pet launch screen {output}` starts it")


@click.command("export-launch")
@click.argument("pk")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file.")
@force_option
@pass_session
def export_launch(session: Session, *, pk: str, output: Path | None, force: bool) -> None:
    """Write a campaign file of the screening PK; `aiida-pet launch screen FILE` starts it again.

    The file holds every parameter. If you launch the file in the same profile, finished jobs come from the cache.
    """
    from aiida_pet.campaigns.export import campaign_of

    if output is not None:
        check_target(output, force)
    session.load()
    write(campaign_of(pk), output)

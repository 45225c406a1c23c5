"""``aiida-pet doctor``: what is wrong between here and the GPU, and how to repair it."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from aiida_pet.cli.output import echo_check, echo_json, json_option
from aiida_pet.cli.session import Session, pass_session
from aiida_pet.computers.kinds import ENGINE_HERE
from aiida_pet.words import plural

if TYPE_CHECKING:
    from aiida_pet.computers.checks import Check


@click.command()
@click.option("--code", default=ENGINE_HERE, show_default=True, help="Code of the engine, by label or pk.")
@click.option(
    "--model",
    metavar="NAME|PK",
    help="Check whether the computer has a copy of this model. Default: the included model.",
)
@click.option(
    "--job",
    is_flag=True,
    help="Send a small job through the queue. The job reports the hardware and software of the compute node.",
)
@click.option(
    "--patience",
    type=click.IntRange(min=1),
    default=600,
    show_default=True,
    help="Seconds to wait for that job.",
)
@json_option
@pass_session
def doctor(
    session: Session, *, code: str, model: str | None, job: bool, patience: int, as_json: bool
) -> None:
    """Check profile, daemon, computer and engine, and say how to repair what is wrong.

    The exit status is 1 if anything is wrong.

    \b
    aiida-pet doctor --code pet-engine@cluster --job
    """
    session.load()
    checks = []
    for check in _checks(code, model, patience if job else None):
        checks.append(check)
        if not as_json:
            echo_check(check)
    ill = [check for check in checks if not check.ok]
    if as_json:
        echo_json({"ok": not ill, "checks": [asdict(check) for check in checks]})
    else:
        click.echo(f"{plural(len(ill), 'problem')} found" if ill else "all is well")
    if ill:
        raise click.exceptions.Exit(1)


def _checks(identifier: str, model: str | None, patience: int | None) -> Iterator[Check]:
    """Look at everything, in the order in which one thing needs the other.

    :param patience: seconds to wait for a probe job, None for no job.
    """
    from aiida_pet.calculations.node_checks import check_job
    from aiida_pet.computers import health
    from aiida_pet.computers.checks import Check, check_computer
    from aiida_pet.computers.codes import CodeError, find_code

    storage = health.check_storage()
    yield storage
    yield from health.check_repository_disk()
    yield health.check_broker()
    yield from health.check_daemon(with_slots=storage.ok)
    yield health.check_open_files("open files here", resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    if not storage.ok:
        yield Check(
            "not looked at",
            False,
            "slots, code, computer, model and job, which need the storage",
            "repair the storage, then run `aiida-pet doctor` again",
        )
        return
    try:
        code: Any = find_code(identifier)
    except CodeError as error:
        yield Check("code", False, str(error), "`aiida-pet setup computer FILE.yaml` makes one")
        return
    if code.computer is None:
        yield Check("code", False, f"{code.label} belongs to no computer", "name an installed code")
        return
    yield Check("code", True, f"{code.full_label} <{code.pk}>")
    found = list(check_computer(code.computer, code))
    yield from found
    if not found[0].ok:
        return
    yield health.check_model(code, model)
    if patience is not None:
        yield from check_job(code, patience)

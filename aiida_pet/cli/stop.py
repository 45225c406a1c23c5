"""``aiida-pet stop``: a campaign is ended before its time."""

from __future__ import annotations

import click

from aiida_pet.cli.output import echo_json, json_option, say
from aiida_pet.cli.session import Session, pass_session
from aiida_pet.words import plural


@click.command()
@click.argument("pk")
@click.option(
    "--after-current-jobs",
    is_flag=True,
    help="Do not cancel running jobs: stop when they have ended.",
)
@json_option
@pass_session
def stop(session: Session, *, pk: str, after_current_jobs: bool, as_json: bool) -> None:
    """Stop the launch PK; `aiida-pet resume PK` goes on with it later.

    Its jobs are cancelled, and AiiDA stores the rows that they finished. Unfinished rows start again from the beginning
    when you resume the launch. With --after-current-jobs the running jobs end first.
    """
    from aiida_pet.campaigns.stopping import stop as stop_launch

    session.load()
    found = stop_launch(pk, after_current_jobs=after_current_jobs)
    jobs = plural(len(found.jobs), "job")
    if as_json:
        echo_json({"pk": found.pk, "state": found.state, "jobs": found.jobs})
    elif found.has_ended:
        goes_on = f": `aiida-pet resume {found.pk}` goes on" if found.can_be_resumed else ""
        say(f"<{found.pk}> {found.state}, with {jobs} cancelled{goes_on}")
    elif after_current_jobs:
        say(
            f"<{found.pk}> stops once its current jobs have ended ({jobs}): `aiida-pet status {found.pk} --watch` "
            "shows when"
        )
    else:
        say(
            f"<{found.pk}> stops when the finished rows of {jobs} are fetched: `aiida-pet status {found.pk} --watch` "
            f"shows when; `verdi process kill {found.pk}` stops it without waiting"
        )

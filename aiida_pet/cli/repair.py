"""``aiida-pet repair``: what a lost worker, broker or database left behind is put right in one step."""

from __future__ import annotations

import click

from aiida_pet.cli.output import echo_json, json_option
from aiida_pet.cli.session import Session, pass_session


@click.command()
@click.option("--dry-run", is_flag=True, help="Print what would be done, and do nothing.")
@json_option
@pass_session
def repair(session: Session, *, dry_run: bool, as_json: bool) -> None:
    """Restore lost processes of the profile after a worker, the broker or the database broke down, and print what was
    done.

    The command stops the daemon, puts processes that the broker lost back into the queue, and starts the daemon with as
    many workers as before. During the repair, jobs on the cluster go on. If nothing was lost, the command only stops
    and starts the daemon.
    """
    from aiida_pet.computers.repair import plan_repair, reachable_daemon
    from aiida_pet.computers.repair import repair as put_right

    session.load()
    client = reachable_daemon()
    told: list[str] = []

    def say(sentence: str) -> None:
        told.append(sentence)
        if not as_json:
            click.echo(f"* {sentence}")

    findings = plan_repair(client, say) if dry_run else put_right(client, say)
    if as_json:
        lost = {} if findings is None else {"lost": findings.lost, "ended": findings.ended}
        echo_json({"dry_run": dry_run, "done": told, **lost})
    elif dry_run:
        click.echo("nothing was done")

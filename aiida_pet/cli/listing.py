"""``aiida-pet list``, ``label`` and ``delete``: what there is, what it is called, and how it goes."""

from __future__ import annotations

from dataclasses import asdict

import click

from aiida_pet.cli.output import columns_option, echo_json, echo_table, json_option, note, wide_option
from aiida_pet.cli.session import Session, pass_session
from aiida_pet.words import duration, plural

FIRST_LINES = 20
"""Lines of a list if no number is asked for."""

limit_option = click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=FIRST_LINES,
    show_default=True,
    help="Number of lines, the newest first; 0 shows all.",
)


@click.command("list")
@click.option("--running", is_flag=True, help="List only launches that have not ended.")
@limit_option
@columns_option
@wide_option
@json_option
@pass_session
def list_(
    session: Session, *, running: bool, limit: int, columns: list[str] | None, wide: bool, as_json: bool
) -> None:
    """List the launches of the profile, the newest first.

    Commands take a launch by its pk or its label. The word `last` names the newest launch: `aiida-pet status
    last`.
    """
    from aiida_pet.campaigns.listing import launches

    session.load()
    found = launches(limit or None, running=running)
    if as_json:
        echo_json([asdict(one) for one in found])
        return
    if not found:
        note("nothing was launched yet: `aiida-pet launch relax FILE` relaxes the crystals of a file")
        return
    headers = ("pk", "label", "what", "rows", "state", "age", "cost", "crystals", "model")
    lines = [
        (
            one.pk,
            one.label or None,
            one.what,
            "-" if one.rows is None else f"{one.rows_done}/{one.rows}",
            f"{one.state}, {one.stage}" if one.stage else one.state,
            duration(one.age_s),
            duration(one.engine_s) if one.engine_s else None,
            one.crystals or None,
            one.model or None,
        )
        for one in found
    ]
    echo_table(lines, headers, columns=columns, wide=wide)
    if limit and len(found) == limit:
        note(f"these are the newest {limit}; --limit 0 shows all")


@click.command()
@click.argument("pk")
@click.argument("label")
@pass_session
def label(session: Session, *, pk: str, label: str) -> None:
    """Give the launch, set or table PK the label LABEL. Other commands accept the label in place of the pk.

    The new label replaces all labels of the node. To add a label instead, import the set again with `aiida-pet data
    import --label`.
    """
    from aiida_pet.campaigns.nodes import LAST, load
    from aiida_pet.data.labels import labelled, set_label

    session.load()
    label = label.strip()
    if not label or label.isdecimal() or label == LAST:
        raise click.BadParameter(
            f"{label!r} cannot be a label, since it names something else: give a word or words",
            param_hint="LABEL",
        )
    node = load(pk)
    others = [other for other in labelled(label) if other != node.pk]
    set_label(node, label)
    click.echo(f"<{node.pk}> is called {label!r}")
    if others:
        told = ", ".join(map(str, others))
        note(
            f"{plural(len(others), 'other node')} ({told}) has this label too: the label names the newest node"
        )


@click.command()
@click.argument("pks", metavar="PK...", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Delete without asking.")
@click.option("--dry-run", is_flag=True, help="Print what would be deleted, and delete nothing.")
@pass_session
def delete(session: Session, *, pks: tuple[str, ...], yes: bool, dry_run: bool) -> None:
    """Delete launches, sets or tables, and everything that was made from them.

    AiiDA never keeps a result without its origin. So deleting a launch also deletes its jobs and results, and deleting
    a set also deletes all launches over the set and their results. Deleting a launch keeps the set over which it ran,
    the model and the code.
    """
    from aiida_pet.campaigns.deletion import delete as delete_nodes
    from aiida_pet.campaigns.deletion import going_with

    session.load()
    found = going_with(pks)
    for kind, count in found.kinds.items():
        click.echo(f"  {count:>6} {kind}")
    if dry_run:
        click.echo(f"{plural(len(found.pks), 'node')} would be deleted; nothing was deleted")
        return
    if not yes:
        click.confirm(f"Delete these {plural(len(found.pks), 'node')} for good?", abort=True)
    delete_nodes(found)
    click.echo(f"deleted {plural(len(found.pks), 'node')}")

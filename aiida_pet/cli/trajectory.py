"""``aiida-pet trajectory``: which frames dynamics left, and a row's as a file."""

from __future__ import annotations

from pathlib import Path

import click

from aiida_pet.cli.output import echo_json, echo_table, json_option
from aiida_pet.cli.session import Session, pass_session
from aiida_pet.cli.targets import check_target, force_option
from aiida_pet.words import plural, shortened


@click.command()
@click.argument("pk")
@click.argument("row_id", metavar="[ID]", required=False)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the frames of row ID to this file: extxyz, xyz or traj.",
)
@force_option
@json_option
@pass_session
def trajectory(
    session: Session, *, pk: str, row_id: str | None, output: Path | None, force: bool, as_json: bool
) -> None:
    """List the trajectories of PK, a launch of molecular dynamics (md). With -o, write the trajectory of row ID to a
    file: extended XYZ, or ASE's .traj.

    \b
    aiida-pet trajectory 12
    aiida-pet trajectory 12 alloy-0001 -o alloy.extxyz

    `aiida-pet plot rdf`, `plot msd` and `plot vacf` analyse trajectories; they draw pictures or write numbers as csv.
    """
    if output is not None:
        check_target(output, force)
    session.load()
    from aiida_pet.campaigns.trajectories import open_trajectories
    from aiida_pet.io.trajectory_writers import SUFFIXES, write_trajectory

    if output is not None and output.suffix not in SUFFIXES:
        raise click.BadParameter(
            f"{output}: expected a name that ends in {', '.join(SUFFIXES)}", param_hint="-o"
        )
    with open_trajectories(pk) as found:
        if output is None:
            counts = {name: found.n_frames(name) for name in ([row_id] if row_id else found.ids)}
            if as_json:
                echo_json({"frames": counts})
                return
            echo_table(list(counts.items()), ["id", "frames"], once=False)
            return
        if row_id is None and len(found.ids) > 1:
            raise click.UsageError(f"name the row to write: there are {shortened(found.ids)}")
        name = row_id or found.ids[0]
        count = write_trajectory(found.parts(name), output)
    if as_json:
        echo_json({"path": str(output), "id": name, "frames": count})
        return
    click.echo(f"wrote {output}: {plural(count, 'frame')} of {name}")

"""``aiida-pet model export``: a model of the profile as a file, for others or for other programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aiida_pet.cli.output import echo_json, json_option
from aiida_pet.cli.session import Session, pass_session
from aiida_pet.cli.targets import check_target, force_option

if TYPE_CHECKING:
    from aiida_pet.data.model import PetModelData

CHECKPOINT, METATOMIC = ".ckpt", ".pt"


@click.command()
@click.argument("which", metavar="NAME|PK")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="FILE.ckpt for metatrain and aiida-pet, FILE.pt for metatomic (LAMMPS, ASE, torch-sim, i-PI).",
)
@force_option
@json_option
@pass_session
def export(session: Session, *, which: str, output: Path, force: bool, as_json: bool) -> None:
    """Write a model of the profile to a file: its checkpoint, or a file for engines that run metatomic models.

    Beside a checkpoint the command writes the card of the model, as FILE.json: name, hash, elements, level of theory,
    licence, and the training that made the model.

    \b
    aiida-pet model export pet-alloys -o pet-alloys.ckpt
    aiida-pet model export 120 -o pet-alloys.pt
    """
    from aiida_pet.data.model_nodes import model_to_use

    session.load()
    if output.suffix not in (CHECKPOINT, METATOMIC):
        raise click.UsageError(f"{output.name}: expected a name that ends in {CHECKPOINT} or {METATOMIC}")
    card = output.with_suffix(".json")
    for path in (output, *([card] if output.suffix == CHECKPOINT else [])):
        check_target(path, force)
    node = model_to_use(which)
    if output.suffix == METATOMIC:
        _write_metatomic(node, output)
    else:
        with node.open(mode="rb") as handle:
            output.write_bytes(handle.read())
        card.write_text(json.dumps(card_of_node(node), indent=2, sort_keys=True) + "\n")
    record = {"pk": node.pk, "name": node.name, "sha256": node.sha256, "file": str(output)}
    if as_json:
        echo_json(record)
        return
    beside = f", its card as {card.name}" if output.suffix == CHECKPOINT else ""
    click.echo(f"{node.name} <{node.pk}> written to {output}{beside}")


def card_of_node(node: PetModelData) -> dict[str, object]:
    """Return the attributes of a model, and uuid and stage of the trainings that made it, the last first."""
    from aiida_pet.campaigns.model_origin import TRAINING, origins_of
    from aiida_pet.models.cards import CARD_KEYS

    card: dict[str, object] = {name: node.base.attributes.get(name, None) for name in CARD_KEYS}
    jobs = [origin.node for origin in origins_of(node) if origin.role == TRAINING]
    card["trained_by"] = [{"uuid": job.uuid, "stage": job.inputs.stage.value} for job in jobs]
    return card


def _write_metatomic(node: PetModelData, output: Path) -> None:
    """:raises click.ClickException: if torch and metatrain are not installed."""
    try:
        from metatrain.utils.io import model_from_checkpoint
    except ImportError as error:
        raise click.ClickException(
            f"{error}: an export to {METATOMIC} needs torch and metatrain, `pip install aiida-pet[engine]`"
        ) from error
    from aiida_pet.job.checkpoint import load_checkpoint

    with node.as_path() as path:
        checkpoint = load_checkpoint(path, node.sha256)
    model_from_checkpoint(checkpoint, context="export").eval().export().save(str(output))

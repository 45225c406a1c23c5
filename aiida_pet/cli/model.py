"""``aiida-pet model``: the models there are, in the profile and published, and how to import one."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aiida_pet.cli.groups import SuggestingGroup
from aiida_pet.cli.model_export import export
from aiida_pet.cli.output import (
    columns_option,
    echo_json,
    echo_pairs,
    echo_table,
    json_option,
    note,
    wide_option,
)
from aiida_pet.cli.session import Session, pass_session
from aiida_pet.words import unknown_name

if TYPE_CHECKING:
    from aiida_pet.data.model import PetModelData
    from aiida_pet.models.registry import RegistryEntry


@click.group(cls=SuggestingGroup)
def model() -> None:
    """List, import, export and show PET models."""


model.add_command(export)


@model.command("list")
@columns_option
@wide_option
@json_option
@pass_session
def list_(session: Session, *, columns: list[str] | None, wide: bool, as_json: bool) -> None:
    """List the models of the profile, and the published models that can be imported."""
    from aiida_pet.data.model_nodes import model_nodes
    from aiida_pet.models.registry import list_models

    session.load()
    nodes = model_nodes()
    entries = list_models()
    if as_json:
        echo_json({"nodes": [node_record(node) for node in nodes], "registry": [asdict(e) for e in entries]})
        return
    for name in columns or ():
        if name not in {*_NODE_HEADERS, *_ENTRY_HEADERS}:
            known = dict.fromkeys((*_NODE_HEADERS, *_ENTRY_HEADERS))
            raise click.BadParameter(unknown_name(name, known), param_hint="--columns")
    click.echo("In this profile:")
    if nodes:
        _echo_models(_NODE_HEADERS, [_node_line(node) for node in nodes], columns, wide)
    else:
        click.echo("  none: `aiida-pet setup` makes the node of the included model")
    click.echo("\nPublished (`aiida-pet model import NAME`):")
    _echo_models(_ENTRY_HEADERS, [_entry_line(entry) for entry in entries], columns, wide)


_NODE_HEADERS = ("name", "pk", "version", "made_by", "theory", "parameters", "sha256", "elements")
_ENTRY_HEADERS = ("name", "version", "theory", "elements", "parameters", "known_hash", "heads")


def _echo_models(
    headers: tuple[str, ...], lines: list[tuple[Any, ...]], columns: list[str] | None, wide: bool
) -> None:
    asked = None if columns is None else [name for name in columns if name in headers]
    units = {"parameters": "million"}
    echo_table(lines, headers, units=units, columns=asked, wide=wide, once=False)


@model.command("import")
@click.argument("source", metavar="NAME|FILE")
@click.option(
    "--version",
    help="Version of a published model. Default: the newest version in the registry.",
)
@click.option(
    "--trust",
    is_flag=True,
    help="Import a checkpoint with an unknown hash. Opening such a file runs code from it.",
)
@json_option
@pass_session
def import_(session: Session, *, source: str, version: str | None, trust: bool, as_json: bool) -> None:
    """Import a published model by NAME (downloaded from the hub) or from a checkpoint FILE.

    FILE may also be the description of a model of another engine, in JSON (docs/engines.md).

    A checkpoint whose hash is not known is refused unless --trust is given. If the same file was imported before, the
    command makes no new node.
    """
    from aiida_pet.data.model import PetModelData
    from aiida_pet.data.model_nodes import model_nodes
    from aiida_pet.models.cards import card_of
    from aiida_pet.models.hub import fetch

    session.load()
    path = Path(source)
    if path.is_file():
        if version is not None:
            raise click.UsageError(f"--version is for published models, but {source} is a file")
    elif path.suffix == ".ckpt" or path.parent != Path():
        raise click.ClickException(f"there is no file {source}")
    else:
        note(f"fetching {source} ...")
        path = fetch(source, version)
    before = {node.pk for node in model_nodes()}
    node = PetModelData.get_or_create(path, card_of(path, trust=trust))
    record = node_record(node) | {"created": node.pk not in before}
    if as_json:
        echo_json(record)
        return
    verb = "imported" if record["created"] else "is there already:"
    click.echo(f"{verb} {record['name']} {record['version']}".rstrip() + f" <{node.pk}>")


@model.command("show")
@click.argument("which", metavar="NAME|PK")
@json_option
@pass_session
def show(session: Session, *, which: str, as_json: bool) -> None:
    """Show a model of the profile (by pk, name or sha256) or a published model (by name)."""
    from aiida_pet.data.model_nodes import element_names, find_model, model_to_use
    from aiida_pet.models.registry import get_entry, list_models

    session.load()
    node = find_model(which)
    if node is None and which not in {entry.name for entry in list_models()}:
        model_to_use(which)  # which says that there is none, and which it may be
    record = node_record(node) if node is not None else asdict(get_entry(which)) | {"pk": None}
    if as_json:
        echo_json(record)
        return
    if node is None:
        note(f"{which} is published, but not in this profile: `aiida-pet model import {which}` imports it")
    told = {key: _short(value) for key, value in record.items() if value not in (None, "", [], {})}
    if isinstance(record.get("elements"), list):
        told["elements"] = element_names(record["elements"], most=len(record["elements"]))
    if record.get("made_by"):
        told["made_by"] = _training(record["made_by"])
    echo_pairs(told)


def node_record(node: PetModelData) -> dict[str, Any]:
    """Return what is known of a model in the profile: pk, uuid, label, the training that made it, its attributes."""
    from aiida_pet.data.model_nodes import made_by

    told = {"pk": node.pk, "uuid": node.uuid, "label": node.label, "made_by": made_by(node)}
    return told | node.base.attributes.all


def _node_line(node: PetModelData) -> tuple[Any, ...]:
    from aiida_pet.data.model_nodes import element_names, made_by

    card, training = node.base.attributes.all, made_by(node)
    return (
        card.get("name"),
        node.pk,
        card.get("version"),
        "import" if training is None else _training(training),
        card.get("level_of_theory"),
        _millions(card.get("n_parameters")),
        str(card.get("sha256", ""))[:12],
        element_names(card.get("elements") or []),
    )


def _entry_line(entry: RegistryEntry) -> tuple[Any, ...]:
    return (
        entry.name,
        entry.version,
        entry.level_of_theory,
        entry.n_elements,
        _millions(entry.n_parameters),
        entry.version in entry.sha256,
        ", ".join(entry.heads[entry.version]) + (" (deprecated)" if entry.deprecated else ""),
    )


def _training(made_by: dict[str, Any]) -> str:
    return f"{made_by['stage']} <{made_by['launch']}>"


def _millions(count: float | None) -> float | None:
    return None if count is None else float(f"{count / 1e6:.3g}")


def _short(value: Any) -> Any:
    if isinstance(value, tuple | list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    return value

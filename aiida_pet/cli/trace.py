"""``aiida-pet trace``: where a row comes from, back to the file it was imported from, and where a model comes from."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import click

from aiida_pet.cli.output import echo_json, json_option, say
from aiida_pet.cli.session import Session, pass_session
from aiida_pet.cli.targets import the_only_row
from aiida_pet.tables.columns import first_look, told_in_words
from aiida_pet.words import cell

if TYPE_CHECKING:
    from aiida_pet.campaigns.provenance import TraceStep
    from aiida_pet.campaigns.results import Rows


@click.command()
@click.argument("pk")
@click.argument("row_id", metavar="[ID]", required=False)
@json_option
@pass_session
def trace(session: Session, *, pk: str, row_id: str | None, as_json: bool) -> None:
    """Show the origin of row ID of the launch (or set) PK, or of the model PK.

    The command follows the row back through merges and jobs to the input structure and its file. It prints the model,
    code and parameters of each job. Of a model it prints the trainings that made the model, and their data.
    """
    from aiida.orm import ProcessNode

    from aiida_pet.campaigns.nodes import load
    from aiida_pet.campaigns.provenance import rows_with_origin, trace_model
    from aiida_pet.campaigns.provenance import trace as walk_back
    from aiida_pet.data.model import PetModelData
    from aiida_pet.data.table import TableData

    session.load()
    node = load(pk, TableData, ProcessNode, PetModelData)
    if isinstance(node, PetModelData) and row_id is None:
        steps = trace_model(node)
    else:
        row_id = row_id or _the_only_row(rows_with_origin(node))
        steps = walk_back(node, row_id)
    if as_json:
        echo_json({"pk": pk, "id": row_id, "steps": [_record(step) for step in steps]})
        return
    for step in steps:
        _echo(step, row_id or "")


def _the_only_row(rows: Rows) -> str:
    """Return the id of the only row.

    :raises click.UsageError: if there are several; for a training it also names the command for its model.
    """
    try:
        return the_only_row(rows)
    except click.UsageError as error:
        outputs: Any = getattr(rows.source, "outputs", ())
        if "model" in outputs:
            error.message += f"; `aiida-pet trace {outputs.model.pk}` shows the origin of its model"
        raise


def _record(step: TraceStep) -> dict[str, Any]:
    created = step.node.ctime.isoformat()
    return step.to_dict() | {"created": created, "note": step.note, "row": step.row}


def _echo(step: TraceStep, row_id: str) -> None:
    from aiida_pet.campaigns.model_origin import ROLES

    of_job = ("model", "code", "parameters", "staged model")
    indent = " " * (4 if step.role in of_job else 8 if step.role in ROLES else 0)
    label = f" {step.node.label!r}" if step.node.label else ""
    say(f"{indent}{step.role:<10} <{step.node.pk}> {type(step.node).__name__}{label}")
    note = _note(step, row_id)
    if note:
        say(f"{indent}           {note}")
    units = step.node.base.attributes.get("columns", {}) if step.row else {}
    known = [*first_look(step.row), *told_in_words(step.row)]
    shown = [name for name in known if step.row[name] not in (None, "")]
    if shown:
        values = (f"{name} {cell(step.row[name])} {units.get(name, '')}".rstrip() for name in shown)
        say(f"{indent}           {', '.join(values)}")


def _note(step: TraceStep, row_id: str) -> str:
    """Return what there is to know of a step beside its row."""
    from aiida.orm import InstalledCode

    if step.imported_from:
        return f"imported from {_file_of(step.imported_from, row_id)}"
    if isinstance(step.node, InstalledCode):
        return f"{step.node.full_label}, {step.node.filepath_executable}"
    return step.note


def _file_of(files: list[dict[str, str]], row_id: str) -> str:
    """Return the file that a row was read from: the only one, the one named like the row, or what is known."""
    from aiida_pet.data.imports import distinct

    files = distinct(files)
    named = [file for file in files if PurePath(file["path"]).name.partition(".")[0] == row_id]
    if len(files) > 1 and not named:
        return f"one of {len(files)} files, from {files[0]['path']} to {files[-1]['path']}"
    file = (named or files)[0]
    return f"{file['path']} (sha256 {file['sha256']})" if "sha256" in file else file["path"]

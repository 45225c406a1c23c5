"""What a launch is called and described as, where nobody says it."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from aiida_pet.data.imports import distinct, files_of
from aiida_pet.words import plural


def label_of(builder: Any, what: str) -> str:
    """Return what a launch is called for which nobody gave a label: ``relax 64 of alloys``.

    :param builder: builder of the launch.
    :param what: what is launched, in a word.
    """
    crystals = builder.get("structures")
    if crystals is None:
        structure = builder.get("structure")
        return what if structure is None else f"{what} {structure.label or structure.get_formula()}"
    count = len(builder["rows"]) if builder.get("rows") is not None else len(crystals)
    name = crystals.label or _file_of(crystals)
    return f"{what} {count} of {name}" if name else f"{what} {plural(count, 'crystal')}"


def _file_of(crystals: Any) -> str:
    """Return the name of the one file that a set was imported from, without suffixes; empty if there is none."""
    files = distinct(files_of(crystals))
    return PurePath(files[0]["path"]).name.partition(".")[0] if len(files) == 1 else ""


def description_of(builder: Any, what: str, resumed: int | None = None) -> str:
    """Return a sentence on what a launch is given, and which launch it takes up.

    :param resumed: pk of the launch that is taken up.
    """
    model = builder.get("model")
    crystals = builder.get("structures") or builder.get("structure")
    given = "" if crystals is None or crystals.pk is None else f" of <{crystals.pk}>"
    with_model = "" if model is None else f" with {model.name}"
    goes_on = "" if resumed is None else f", goes on with <{resumed}>"
    return f"{what}{given}{with_model}{goes_on}"

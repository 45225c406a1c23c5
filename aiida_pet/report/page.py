"""The page: one file of HTML with its style, its script, its libraries and its data inside."""

from __future__ import annotations

import base64
import gzip
import json
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined, select_autoescape
from markupsafe import Markup

from aiida_pet import __version__
from aiida_pet.report.document import Document
from aiida_pet.report.overview import Section

SCRIPTS = ("base", "table", "drawing", "figures", "detail", "start")
"""Parts of the script in ``assets``, in the order in which they run."""


def page_of(document: Document) -> str:
    """Return the page of a report.

    .. code-block:: python

        from pathlib import Path

        from aiida_pet.report import make_document, page_of

        Path("campaign.html").write_text(page_of(make_document(["four metals"])))
    """
    environment = Environment(
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    sections = [Section("asked", "What was asked"), *document.sections]
    if document.table is not None:
        sections += [Section("best", "Crystal by crystal"), Section("rows", "Rows")]
    return environment.from_string(_asset("page.html")).render(
        title=document.title,
        lead=document.lead,
        version=__version__,
        written=document.written,
        refresh_s=document.refresh_s,
        campaigns=document.campaigns,
        sections=sections,
        notes=document.notes,
        has_rows=document.table is not None,
        table_text=document.table_text,
        best_text=document.best_text,
        style=Markup(_asset("style.css")),
        script=Markup("\n".join(_asset(f"{name}.js") for name in SCRIPTS)),
        data=Markup(embedded(document.data())),
        libraries=[{"name": name, "packed": Markup(packed)} for name, packed in _libraries().items()],
    )


def embedded(content: Any) -> str:
    """Return ``content`` as JSON that may stand in a script element, whatever texts are in it.

    ``<`` is written as an escape of JSON, so that no text can end the element or begin a comment; the two separators of
    lines that JavaScript knows and JSON does not, too.
    """
    text = json.dumps(content, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    for letter in ("<", ">", "&", "\u2028", "\u2029"):
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text.encode("utf-8", "replace").decode("utf-8")  # halves of surrogate pairs are no text


def _asset(name: str) -> str:
    return (files("aiida_pet.report") / "assets" / name).read_text(encoding="utf-8")


@cache
def _libraries() -> dict[str, str]:
    """Return the libraries that draw, packed: plotly.js as the package plotly brings it, 3Dmol.js as it lies here."""
    from plotly.offline import get_plotlyjs  # noqa: PLC0415 - a quarter of a second

    sources = {"plotly": get_plotlyjs(), "3dmol": _asset("3Dmol-min.js")}
    return {
        name: base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()
        for name, text in sources.items()
    }

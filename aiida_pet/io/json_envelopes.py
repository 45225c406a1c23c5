"""What stands around a list of crystals in JSON: pages and errors of servers, a schema, other lists. No AiiDA."""

from __future__ import annotations

from typing import Any

from aiida_pet.io.json_records import JsonOptions

# Fields before a list of records or the rows of a data frame, and the lists themselves.
BEFORE = frozenset(
    {"meta", "links", "jsonapi", "schema", "response", "included", "representation", "errors", "resource"}
)
FRAME = frozenset({"columns", "index", "column_names", "index_names"})


def refuse_errors(beside: dict[str, Any]) -> None:
    """:raises ValueError: if a server answered with an error instead of structures."""
    errors = beside.get("errors")
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        text = errors[0].get("detail") or errors[0].get("title") or errors[0]
        raise ValueError(f"it is a server's answer with an error instead of structures: {str(text)[:200]!r}")


def remark_page(beside: dict[str, Any], options: JsonOptions) -> None:
    """Say that the file is one page of an answer, where it says so."""
    meta, links = beside.get("meta"), beside.get("links")
    next_page = links.get("next") if isinstance(links, dict) else None
    more = isinstance(meta, dict) and meta.get("more_data_available") is True
    if more or next_page:
        total = meta.get("data_returned") if isinstance(meta, dict) else None
        of = f" of {total} structures" if isinstance(total, int) else ""
        options.dropped.remark(
            f"a file is one page of a server's answer{of}, and there are more pages: fetch them too (links.next)"
        )


def primary_key(beside: dict[str, Any]) -> str | None:
    """Return the column that only counts the rows of a data frame in orient='table', None if there is none."""
    schema = beside.get("schema")
    if not isinstance(schema, dict):
        return None
    key = schema.get("primaryKey")
    if not isinstance(key, list) or len(key) != 1:
        return None
    types = {one.get("name"): one.get("type") for one in schema.get("fields", []) if isinstance(one, dict)}
    return str(key[0]) if types.get(key[0]) == "integer" and key[0] in ("index", "level_0") else None


def remark_lists(beside: dict[str, Any], n_crystals: int, options: JsonOptions) -> None:
    """Say which lists that came after the one of crystals are left out, since they may belong to them."""
    for name, value in beside.items():
        if n_crystals and isinstance(value, list) and len(value) == n_crystals and name not in BEFORE | FRAME:
            options.dropped.remark(
                f"the list {name!r} comes after the crystals and was left out: write it before the crystals, or write "
                "the values into the crystals"
            )

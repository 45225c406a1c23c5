"""Reads plain data into pydantic's models, and words what does not fit in one way for all of them.

A line names the parameter, its value with its unit, and what was expected: ``fmax = -1 eV/A: expected a number > 0``.
What is expected is read from the model itself; where that does not tell, a field says it in words (:func:`told`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from aiida_pet.words import either, unknown_name

_PYDANTIC = "Input should be "
_BOUNDS = {"exclusiveMinimum": ">", "minimum": ">=", "exclusiveMaximum": "<", "maximum": "<="}
_KINDS = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "string": "a text",
    "object": "names with values",
}
_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")  # of a model, of a dataclass
_OWN_WORDS = ("value_error", "assertion_error")
_Document = dict[str, Any]


def told(*, unit: str = "", expected: str = "") -> dict[str, Any]:
    """Return the ``json_schema_extra`` of a field.

    :param unit: unit of its value.
    :param expected: what its value has to be, in words, where bounds and type do not tell.
    """
    return {name: text for name, text in (("unit", unit), ("expected", expected)) if text}


def read_as[Model](
    schema: type[Model], raw: Mapping[str, Any], what: str, error: type[Exception] = ValueError
) -> Model:
    """Return ``raw`` as ``schema``, defaults filled in.

    :param schema: a model of pydantic, or a dataclass.
    :param what: it is, for the message.
    :param error: to raise.
    :raises ValueError: as ``error``, naming each key that is unknown or has a value that does not fit, and what was
        expected.
    """
    kind: Any = schema  # mypy takes no class to be hashable
    try:
        found: Model = _adapter(kind).validate_python(dict(raw))
    except ValidationError as refused:
        raise error(f"bad {what}:\n  " + "\n  ".join(problems(schema, refused, raw))) from refused
    return found


def check_as(schema: Any, raw: Mapping[str, Any], prefix: str = "") -> str | None:
    """Return what of ``raw`` does not fit ``schema``, in one line; None if all of it does.

    :param prefix: prefix of the keys, for the message.
    """
    try:
        _adapter(schema).validate_python(dict(raw))
    except ValidationError as found:
        return "; ".join(problems(schema, found, raw, prefix))
    return None


def problems(schema: Any, error: ValidationError, raw: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return a line for each thing that pydantic found.

    :param schema: that was read.
    :param raw: what was read.
    :param prefix: prefix of the keys.
    """
    document = _document(schema)
    lines = [_line(document, dict(found), raw, prefix) for found in error.errors()]
    return list(dict.fromkeys(lines))


def unit_of(schema: Any, name: str) -> str:
    """Return the unit of a field of ``schema``, empty if it has none."""
    return str(_document(schema)["properties"].get(name, {}).get("unit", ""))


@cache
def _adapter(schema: Any) -> TypeAdapter[Any]:
    return TypeAdapter(schema)


@cache
def _document(schema: Any) -> _Document:
    """Return the JSON schema."""
    return _adapter(schema).json_schema()


def _line(document: _Document, found: Mapping[str, Any], raw: Mapping[str, Any], prefix: str) -> str:
    """Return one of pydantic's errors in words."""
    path, value = list(found["loc"]), found["input"]
    if found["type"] in _UNKNOWN:
        (*within, name) = path
        known = list(_at(document, document, within).get("properties", {}))
        return unknown_name(str(name), known, f"{prefix}{_key(path)}")
    top = document["properties"].get(path[0], {}) if path else {}
    lacks_a_value = found["type"] == "missing" and isinstance(path[-1], int)
    # else a line for each form that it may have, or for each value that a list lacks
    if len(path) > 1 and (_is_choice(top) or lacks_a_value):
        path, value = path[:1], raw.get(path[0])
    field = _at(document, document, path)
    words = ""
    if found["type"] in _OWN_WORDS:
        message = str(found["ctx"]["error"])
    else:
        words = _words(document, field) or ("" if found["type"] == "missing" else _plain(found["msg"]))
        if found["type"] == "finite_number" and "expected" not in field:
            words = words.replace("number", "finite number")
        message = f"expected {words}"
    if not path:
        return message
    if found["type"] == "missing" and not lacks_a_value:
        return f"{prefix}{_key(path)}: missing{f'; {message}' if words else ''}"
    unit = f" {field['unit']}" if field.get("unit") else ""
    return f"{prefix}{_key(path)} = {value!r}{unit}: {message}"


def _key(path: list[Any]) -> str:
    return ".".join(map(str, path))


def _plain(message: str) -> str:
    return message.removeprefix(_PYDANTIC).replace("a valid ", "a ")


def _at(document: _Document, field: _Document, path: list[Any]) -> _Document:
    """Return the part of the JSON schema that ``path`` leads to, empty where it leads nowhere."""
    field = _resolved(document, field)
    if not path:
        return field
    if isinstance(path[0], int):
        parts = field.get("prefixItems", [])
        inner = parts[path[0]] if path[0] < len(parts) else field.get("items", {})
    else:
        inner = field.get("properties", {}).get(path[0], field.get("additionalProperties"))
    return _at(document, inner, path[1:]) if isinstance(inner, dict) else {}


def _resolved(document: _Document, field: _Document) -> _Document:
    """Return ``field`` with what it refers to, and without the null that it may be."""
    forms = [form for form in field.get("anyOf", []) if form.get("type") != "null"]
    if len(forms) == 1:
        return {**_resolved(document, forms[0]), **{key: field[key] for key in field if key != "anyOf"}}
    if "$ref" in field:
        return {**document["$defs"][field["$ref"].rpartition("/")[2]], **field}
    return field


def _is_choice(field: _Document) -> bool:
    return sum(form.get("type") != "null" for form in field.get("anyOf", [])) > 1


def _words(document: _Document, field: _Document) -> str:
    """Return what a field has to be, empty if its JSON schema does not tell."""
    if "expected" in field:
        return str(field["expected"])
    if "anyOf" in field:
        forms = [form for form in field["anyOf"] if form.get("type") != "null"]
        parts = [_words(document, _resolved(document, form)) for form in forms]
        return " or ".join(parts) if all(parts) else ""
    if "enum" in field:
        return either([str(choice) for choice in field["enum"]])
    kind = field.get("type")
    if kind == "array":
        return _list_words(document, field)
    return _bounded(_KINDS[kind], field) if kind in _KINDS and "pattern" not in field else ""


def _list_words(document: _Document, field: _Document) -> str:
    parts = field.get("prefixItems") or [field.get("items", {})]
    inner = {_words(document, _resolved(document, part)) for part in parts}
    each = f", each of them {inner.pop()}" if len(inner) == 1 and inner != {""} else ""
    if "prefixItems" in field:
        return f"{len(parts)} values{each}"
    return f"a list of values{each}"


def _bounded(what: str, field: _Document) -> str:
    bounds = [f"{sign} {field[name]:g}" for name, sign in _BOUNDS.items() if name in field]
    return " ".join([what, " and ".join(bounds)]).rstrip()

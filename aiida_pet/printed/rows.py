"""Rows of results as a table for people: groups by symbols, warnings as numbers of a footer, numbers rounded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiida_pet.printed import groups
from aiida_pet.printed.cells import shown
from aiida_pet.printed.layout import Laid, Printed, lay_out
from aiida_pet.tables import warnings
from aiida_pet.tables.columns import reasons, told_in_words, unit_of
from aiida_pet.words import plain

_MISSING = "-"


@dataclass(frozen=True)
class RowsForPeople:
    """A table of rows, and what is said below it.

    :ivar laid: the table.
    :ivar notes: code of a warning -> number that stands for it in the table; empty where the codes had room.
    :ivar untold: columns that say why a row lacks a value, and had no room for all of their texts.
    """

    laid: Laid
    notes: dict[str, int]
    untold: tuple[str, ...] = ()


def rows_for_people(
    columns: Mapping[str, Sequence[Any]],
    units: Mapping[str, str] | None = None,
    *,
    width: int | None = None,
    asked: bool = False,
    wide: bool = False,
    reasons_below: bool = False,
) -> RowsForPeople:
    """Return a table of ``columns``.

    :param columns: name -> values; the first one names the rows.
    :param units: units of columns; the catalogue's where they are not given.
    :param width: width of the terminal; None for as wide as it takes.
    :param asked: whether the columns were asked for by name: each is shown then, under its name.
    :param wide: whether everything is shown, however wide.
    :param reasons_below: whether columns that say why a row lacks a value are told below the table where there is no
        room for all of their texts.
    """
    units = units or {}
    whole = {name: plain(list(values)) for name, values in columns.items()}
    printed = [
        _printed(name, values, units.get(name) or unit_of(name), asked)
        for name, values in (whole if asked or wide else _joined(whole)).items()
    ]
    limit = None if wide else width
    once = not (asked or wide)
    laid = lay_out(printed, limit, once=once)
    if not (laid.left_out or laid.shortened):
        return RowsForPeople(laid, {})
    untold = tuple(name for name in reasons(whole) if name not in laid.once) if reasons_below else ()
    notes = _numbers(whole[warnings.COLUMN]) if _has_codes(whole, laid) else {}
    if not (untold or notes):
        return RowsForPeople(laid, {})
    short = [_by_number(one, whole, notes) for one in printed if one.name not in untold]
    return RowsForPeople(lay_out(short, limit, once=once), notes, untold)


def _has_codes(columns: Mapping[str, Sequence[Any]], laid: Laid) -> bool:
    return warnings.COLUMN in columns and warnings.COLUMN not in laid.once


def _by_number(column: Printed, whole: Mapping[str, Sequence[Any]], notes: Mapping[str, int]) -> Printed:
    """Return ``column``, the codes of warnings as numbers."""
    if column.name != warnings.COLUMN or not notes:
        return column
    texts = tuple(
        " ".join(str(notes[code]) for code in warnings.codes_in(str(text or ""))) or _MISSING
        for text in whole[column.name]
    )
    return Printed(column.name, texts, rank=-1)


def _numbers(texts: Sequence[Any]) -> dict[str, int]:
    """Return code -> number, by how many rows carry it."""
    found = warnings.counted(str(text or "") for text in texts)
    return {code: number for number, code in enumerate(found, 1)}


def _joined(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Return the columns with a group before and after the relaxation in one column."""
    found: dict[str, list[Any]] = {}
    for name, values in columns.items():
        is_group = groups.is_group(name)
        if is_group and name.startswith(groups.BEFORE) and name.removeprefix(groups.BEFORE) in columns:
            continue
        before = columns.get(f"{groups.BEFORE}{name}") if is_group else None
        found[name] = values if before is None else list(zip(before, values, strict=True))
    return found


def _printed(name: str, values: list[Any], unit: str, asked: bool) -> Printed:
    if groups.is_group(name):
        texts = [
            groups.change_text(*value) if isinstance(value, tuple) else _group(value, asked)
            for value in values
        ]
        return Printed(name, tuple(texts))
    numeric = any(_is_number(value) for value in values) and all(
        value is None or _is_number(value) for value in values
    )
    texts = [_MISSING if value == "" else shown(value, unit, name) for value in values]
    return Printed(
        name,
        tuple(_one_line(text) for text in texts),
        unit="" if unit and all(text == _MISSING for text in texts) else unit,
        right=numeric,
        rank=1 if name != warnings.COLUMN and told_in_words([name]) else 0,
    )


def _group(value: Any, asked: bool) -> str:
    """Return the symbol of a group, with the number that conditions take where the column was asked for."""
    text = groups.group_text(value)
    return f"{int(value)} {text}" if asked and text != _MISSING else text


def _one_line(text: str) -> str:
    return " ".join(text.split()) if "\n" in text else text


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

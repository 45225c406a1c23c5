"""Writes crystals as extxyz, with every digit, so that they come back as they were. No AiiDA.

Other programs find in a frame: ``Lattice`` and ``pbc``, ``energy`` (eV), ``stress`` (eV/A^3) and ``forces`` (eV/A)
where ASE looks for them, ``move_mask`` for atoms that are held along x, y or z, and each column under its name, unless
the name means something else to them. A flag or count that is missing has no key. The rest stands in the object of
:mod:`~aiida_pet.io.own_record`.
"""

from __future__ import annotations

import json
import re
from typing import Any, TextIO

import numpy as np
from ase.data import chemical_symbols

from aiida_pet.io.crystal import OWN_KEY
from aiida_pet.io.ids import EXPORTED_ID_KEY
from aiida_pet.io.own_record import HELD, held_in, is_free, is_result, own_object, ragged_parts, results_in
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.known_values import known_in

# A text that every reader of extxyz takes for the text that it is.
_PLAIN_TEXT = re.compile(r"[A-Za-z][A-Za-z0-9_.+:/()-]*( [A-Za-z0-9_.+:/()-]+)*")
_WORDS_WITH_A_MEANING = frozenset({"t", "f", "true", "false", "nan", "inf", "infinity", "none", "null"})
_TYPES = {"f": "R", "i": "I", "u": "I", "b": "L"}


def write_extxyz(table: StructureTable, handle: TextIO) -> None:
    """Write all rows of ``table`` as frames."""
    writer = _FrameWriter(table)
    for index in range(len(table)):
        handle.write(writer.frame(index))


def _is_plain(text: str) -> bool:
    """Return whether ``text`` is read as itself by a parser that looks for numbers, flags and lists."""
    return bool(_PLAIN_TEXT.fullmatch(text)) and text.split(" ", 1)[0].lower() not in _WORDS_WITH_A_MEANING


class _FrameWriter:
    """Decides once for a table where each of its columns stands."""

    def __init__(self, table: StructureTable) -> None:
        self._table = table
        self._results = results_in(table)
        self._held = held_in(table)
        self._known = known_in(table)
        self._missing = {name: known.missing_rows() for name, known in self._known.items()}
        numeric = "fiub"
        rest = {
            name: values
            for name, values in table.columns.items()
            if not is_result(name, self._results, False)
        }
        self._scalars = [n for n, v in rest.items() if is_free(n) and v.ndim == 1 and v.dtype.kind in numeric]
        self._texts = [n for n, v in rest.items() if is_free(n) and v.ndim == 1 and v.dtype.kind == "U"]
        # ASE reads an array of one value as that value
        self._arrays = [
            n
            for n, v in rest.items()
            if is_free(n) and v.ndim > 1 and v[0].size > 1 and v.dtype.kind in numeric
        ]
        shown = {*self._scalars, *self._texts, *self._arrays}
        self._hidden = [name for name in rest if name not in shown]
        atoms = {n: v for n, v in table.atom_columns.items() if not is_result(n, self._results, True)}
        if self._held is not None:
            del atoms[HELD]
        self._properties = [
            n
            for n, v in atoms.items()
            if is_free(n) and v.dtype.kind in numeric and (v.ndim == 1 or v[:1].size)
        ]
        self._hidden_atoms = [name for name in atoms if name not in self._properties]

    def frame(self, index: int) -> str:
        table = self._table
        part = table.atoms_of(index)
        row_id = str(table.ids[index])
        own: dict[str, Any] = {
            "id": None if _is_plain(row_id) else row_id,
            "results": self._results,
            "units": table.units,
            "numbers": list(self._known),
            "columns": {name: table.columns[name][index] for name in self._hidden},
            "atom_columns": {name: table.atom_columns[name][part] for name in self._hidden_atoms},
            "shapes": {name: list(table.columns[name].shape[1:]) for name in self._arrays},
            "atom_shapes": {name: list(table.atom_columns[name].shape[1:]) for name in self._properties},
        } | ragged_parts(table, index)
        words = self._head(index, part, row_id)
        for name in (*self._scalars, *self._arrays):
            if name in self._missing and self._missing[name][index]:  # no program is to take it for a number
                own["columns"][name] = table.columns[name][index]
                own["shapes"].pop(name, None)
                continue
            column = self._known[name].values if name in self._known else table.columns[name]
            value = " ".join(map(_number, column[index].ravel()))
            words.append(f"{name}={value}" if name in self._scalars else f'{name}="{value}"')
        for name in self._texts:
            text = str(table.columns[name][index])
            if _is_plain(text):
                words.append(f"{name}={_quoted(text)}")
            else:
                own["columns"][name] = text
        words.append(f"{OWN_KEY}={_quoted(_json(own_object(own)))}")
        lines = [str(part.stop - part.start), " ".join(words), *self._atom_lines(part)]
        return "\n".join(lines) + "\n"

    def _head(self, index: int, part: slice, row_id: str) -> list[str]:
        """Return the words of the comment line that all programs know."""
        table = self._table
        words = []
        if table.cells[index].any() or table.pbc[index].any():
            words.append(f'Lattice="{" ".join(map(_number, table.cells[index].ravel()))}"')
        properties = "species:S:1:pos:R:3" + (":move_mask:L:3" if self._is_held(part) else "")
        if "forces" in self._results:
            properties += ":forces:R:3"
        for name in self._properties:
            values = table.atom_columns[name]
            properties += f":{name}:{_TYPES[values.dtype.kind]}:{values[:1].size if len(values) else 1}"
        words.append(f"Properties={properties}")
        words.append(f"{EXPORTED_ID_KEY}={_quoted(_one_line(row_id))}")
        if "energy" in self._results:
            words.append(f"energy={_number(table.columns['energy'][index])}")
        if "stress" in self._results:
            xx, yy, zz, yz, xz, xy = map(_number, table.columns["stress"][index])
            words.append(f'stress="{xx} {xy} {xz} {xy} {yy} {yz} {xz} {yz} {zz}"')
        return [*words, f'pbc="{" ".join(map(_number, table.pbc[index]))}"']

    def _is_held(self, part: slice) -> bool:
        return self._held is not None and bool(self._held[part].any())

    def _atom_lines(self, part: slice) -> list[str]:
        table = self._table
        blocks = [table.positions[part]]
        if self._held is not None and self._is_held(part):
            blocks.append(~self._held[part])
        if "forces" in self._results:
            blocks.append(table.atom_columns["forces"][part])
        blocks += [table.atom_columns[name][part] for name in self._properties]
        columns = [[chemical_symbols[number] for number in table.numbers[part].tolist()]]
        for block in blocks:
            flat = block.reshape(len(block), -1)
            columns += [[_number(value) for value in flat[:, place]] for place in range(flat.shape[1])]
        return [" ".join(words) for words in zip(*columns, strict=True)]


def _number(value: Any) -> str:
    """Return a number with all its digits, a flag as T or F."""
    if isinstance(value, bool | np.bool_):
        return "T" if value else "F"
    return repr(value.item() if isinstance(value, np.generic) else value)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _json(value: Any) -> str:
    """Return JSON in which no quote is escaped by a backslash.

    For ASE it is a text, without the mark ``_JSON``: what ASE reads as JSON and writes again, it cannot read.
    """
    return re.sub(r'\\(["\\])', lambda found: f"\\u{ord(found[1]):04x}", json.dumps(value))


def _one_line(text: str) -> str:
    """Return ``text`` in one line; what breaks lines or would be read as JSON is written as JSON."""
    plain = text.splitlines() == [text] and text == text.strip() and not text.startswith("_JSON")
    return text if plain else f"_JSON {json.dumps(text)}"

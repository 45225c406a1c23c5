"""Reads the text of a CIF (CIF 1.1, https://www.iucr.org/resources/cif/spec/version1.1) into data blocks. No AiiDA.

Values stay texts. Names of items are in small letters, with a dot as an underscore: ``_cell.length_a`` of mmCIF is
``_cell_length_a``. More is accepted than the standard allows where the meaning is plain: a line behind a loop's head is
one value if the loop has one item, and ``x, y, z`` without quotes is one operation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_WORD = re.compile(r"\S+")
_NEEDED = re.compile(
    r"_(cell_(length|angle)|symmetry|space_group|atom_site_(label|type|fract|cartn|occ|calc)|pet_id)"
)
_OPERATION = re.compile(r"_(symop\w*_operation_xyz|equiv_pos_as_xyz)\Z")


class CifError(ValueError):
    """Raised for what cannot be read of a data block; names item, value and what was expected."""


@dataclass(frozen=True)
class Token:
    """A word of a CIF.

    :ivar text: without quotes.
    :ivar quoted: whether it stood in quotes or between semicolons.
    :ivar line: its number, from 1.
    """

    text: str
    quoted: bool
    line: int

    @property
    def missing(self) -> bool:
        """Whether it stands for no value: a bare ``?`` or ``.``."""
        return not self.quoted and self.text in ("?", ".")


@dataclass
class Block:
    """A data block.

    :ivar name: as it stands behind ``data_``.
    :ivar values: name of an item -> its values, one where it is not in a loop.
    :ivar problem: what could not be read of items that cell, symmetry and sites are in; empty where all could.
    """

    name: str
    values: dict[str, list[Token]] = field(default_factory=dict)
    problem: str = ""

    def first(self, *names: str) -> str | None:
        """Return the first value that is not missing of the first of ``names`` that has one."""
        for name in names:
            for token in self.values.get(name, []):
                if not token.missing and token.text.strip():
                    return token.text
        return None


def blocks_of(text: str) -> list[Block]:
    """Return the data blocks of ``text``, in order; save frames belong to the block that they are in."""
    blocks: list[Block] = []
    tokens = list(_tokens(text))
    place = 0
    while place < len(tokens):
        token = tokens[place]
        word = token.text.lower()
        if not token.quoted and word.startswith("data_"):
            blocks.append(Block(token.text[5:]))
            place += 1
        elif not blocks or (not token.quoted and word.startswith(("save_", "global_", "stop_"))):
            place += 1
        elif not token.quoted and word == "loop_":
            place = _loop(tokens, place + 1, blocks[-1])
        elif not token.quoted and word.startswith("_"):
            place = _item(tokens, place, blocks[-1])
        else:
            last = next(reversed(blocks[-1].values), "_cell_length")
            _complain(
                blocks[-1], f"line {token.line}: expected the name of an item, got {token.text[:40]!r}", last
            )
            place += 1
    return blocks


def _tokens(text: str) -> Iterator[Token]:
    lines = text.split("\n")
    number = 0
    while number < len(lines):
        line = lines[number]
        if line.startswith(";"):
            start, parts = number, [line[1:]]
            number += 1
            while number < len(lines) and not lines[number].startswith(";"):
                parts.append(lines[number])
                number += 1
            yield Token("\n".join(parts), True, start + 1)
            rest = lines[number][1:] if number < len(lines) else ""
        else:
            rest = line
        for word, quoted in _words(rest):
            yield Token(word, quoted, number + 1)
        number += 1


def _words(line: str) -> Iterator[tuple[str, bool]]:
    """Yield the words of a line, and whether each stood in quotes; a quote ends where a blank follows it."""
    place = 0
    open_: set[str] = set()  # quotes that nothing closes any more
    while (word := _WORD.search(line, place)) is not None:
        start, first = word.start(), word[0][0]
        if first == "#":
            return
        end = -1 if first not in "'\"" or first in open_ else _closing(line, start)
        if end >= 0:
            yield line[start + 1 : end], True
            place = end + 1
            continue
        if first in "'\"":
            open_.add(first)
        yield word[0], False
        place = word.end()


def _closing(line: str, start: int) -> int:
    """Return where the quote at ``start`` is closed, -1 if nowhere."""
    end = line.find(line[start], start + 1)
    while end >= 0 and end + 1 < len(line) and not line[end + 1].isspace():
        end = line.find(line[start], end + 1)
    return end


def _is_value(token: Token) -> bool:
    if token.quoted:
        return True
    word = token.text.lower()
    return not (word.startswith(("_", "data_", "save_")) or word in ("loop_", "global_", "stop_"))


def _item(tokens: list[Token], place: int, block: Block) -> int:
    """Take in the item at ``place``; of several values on its line, they are one."""
    name = _name(tokens[place])
    place += 1
    values: list[Token] = []
    while place < len(tokens) and _is_value(tokens[place]):
        if values and (tokens[place].line != values[-1].line or values[-1].quoted or tokens[place].quoted):
            break
        values.append(tokens[place])
        place += 1
    if not values:
        _complain(block, f"{name} has no value", name)
        return place
    _set(block, name, [_joined(values)])
    return place


def _loop(tokens: list[Token], place: int, block: Block) -> int:
    names = []
    while place < len(tokens) and not tokens[place].quoted and tokens[place].text.startswith("_"):
        names.append(_name(tokens[place]))
        place += 1
    values = []
    while place < len(tokens) and _is_value(tokens[place]):
        values.append(tokens[place])
        place += 1
    if not names:
        return place
    if any(_OPERATION.search(name) for name in names):
        values = _whole_operations(values)
    elif len(names) == 1:
        values = _whole_lines(values)
    if len(values) % len(names):
        _complain(
            block,
            f"the loop of {names[0]} has {len(values)} values, which is no multiple of its {len(names)} items",
            *names,
        )
        return place
    for number, name in enumerate(names):
        _set(block, name, values[number :: len(names)])
    return place


def _set(block: Block, name: str, values: list[Token]) -> None:
    if name in block.values and [token.text for token in block.values[name]] != [
        token.text for token in values
    ]:
        _complain(block, f"{name} stands in the file twice, with different values", name)
        return
    block.values[name] = values


def _name(token: Token) -> str:
    return token.text.lower().replace(".", "_")


def _complain(block: Block, problem: str, *names: str) -> None:
    """Note ``problem``, if one of the items ``names`` is needed."""
    if any(map(_NEEDED.match, names)):
        block.problem = block.problem or problem


def _joined(tokens: list[Token]) -> Token:
    if len(tokens) == 1:
        return tokens[0]
    return Token(" ".join(token.text for token in tokens), False, tokens[0].line)


def _whole_lines(tokens: list[Token]) -> list[Token]:
    """Return values of a loop of one item, in which all of a line is one value."""
    if any(token.quoted for token in tokens):
        return tokens
    lines: dict[int, list[Token]] = {}
    for token in tokens:
        lines.setdefault(token.line, []).append(token)
    return [_joined(line) for line in lines.values()]


def _whole_operations(tokens: list[Token]) -> list[Token]:
    """Return values in which ``x, y, z`` without quotes is one."""
    joined: list[list[Token]] = []
    for token in tokens:
        before = joined[-1][-1] if joined else None
        goes_on = before is not None and not before.quoted and not token.quoted and before.line == token.line
        if goes_on and before is not None and (before.text.endswith(",") or token.text.startswith(",")):
            joined[-1].append(token)
        else:
            joined.append([token])
    return [_joined(parts) for parts in joined]

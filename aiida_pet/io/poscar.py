"""Reads POSCAR, CONTCAR and XDATCAR: every structure of a file, one after the other. No AiiDA.

Layout as VASP reads it (https://vasp.at/wiki/POSCAR): comment; one scaling factor (a negative one is the volume in A^3)
or three, along x, y and z; lattice vectors in A; species; numbers of atoms; ``Selective dynamics`` if there are flags;
``Direct`` or ``Cartesian``; an atom per line. Flags are along the lattice vectors and T moves: what does not is the
column ``fixed_scaled``, True = held. Velocities and what molecular dynamics needs behind them are passed over; any
other line that belongs to no structure is counted.

The id is what this program wrote into the comment line (``id=...``); in a file of several structures the first word of
the comment line, if no other structure has it; else the file's name gives it.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TextIO

import numpy as np
from ase import Atoms

from aiida_pet.io.crystal import Broken, Crystal, Item, checked
from aiida_pet.io.left_out import LeftOut
from aiida_pet.io.poscar_writer import ID_MARK
from aiida_pet.io.symbols import ISOTOPE_NOTE, ISOTOPES, atomic_number
from aiida_pet.tables.fixed_atoms import SCALED
from aiida_pet.tables.table import Array
from aiida_pet.words import plural

_FRAME = re.compile(r"\s*(direct|cartesian|konfig)\w*\s*(configuration)?\s*=", re.IGNORECASE)
_MODE = re.compile(r"\s*[a-zA-Z]")
_VELOCITIES = re.compile(r"\s*(direct|cartesian|lattice velocities.*)\s*\Z", re.IGNORECASE)
# Numbers of atoms above this are no structure that a file of this format holds.
_MAX_ATOMS = 10_000_000


class PoscarError(ValueError):
    """Raised for a structure that cannot be read; names the line, the value and what was expected."""


@dataclass(frozen=True)
class _Head:
    """What stands above the atoms.

    :ivar cell: (3, 3) A, scaled.
    :ivar scale: (3,) factors of Cartesian coordinates.
    :ivar end: number of the line behind it.
    """

    comment: str
    cell: Array
    scale: Array
    numbers: Array
    end: int


@dataclass
class _Found:
    comment: str
    item: Item


@dataclass
class _Reader:
    lines: list[str]
    left_out: LeftOut
    found: list[_Found] = field(default_factory=list)

    def read(self) -> list[_Found]:
        """Return all structures of the file, and what cannot be read as one."""
        place, unknown = 0, 0
        while place < len(self.lines):
            if not (self.found and not _is_head(self.lines, place)):
                place = self._structures(place)
            else:
                unknown += bool(self.lines[place].strip())
                place += 1
        if unknown:
            self.left_out.add(f"text after a structure ({plural(unknown, 'line')})")
        return self.found

    def _structures(self, place: int) -> int:
        """Take in the structure at ``place`` and the frames of its kind behind it; return the line behind them."""
        comment = self.lines[place].strip()
        try:
            head = _read_head(self.lines, place)
        except PoscarError as error:
            self.found.append(_Found(comment, Broken(None, str(error))))
            return self._next_head(place + 1)
        place = head.end
        while True:
            is_frame = place < len(self.lines) and bool(_FRAME.match(self.lines[place]))
            try:
                crystal, place = _read_atoms(self.lines, head, self.left_out)
            except ValueError as error:
                self.found.append(_Found(comment, Broken(None, str(error))))
                return self._next_head(place + 1)
            self.found.append(_Found(comment, crystal))
            behind = _behind_blanks(self.lines, place)
            if not (is_frame and behind < len(self.lines) and _FRAME.match(self.lines[behind])):
                behind = _behind_velocities(self.lines, place, len(head.numbers))
                if any(re.search("[1-9]", line) for line in self.lines[place:behind] if "." in line):
                    self.left_out.add("velocities")
                return behind
            head = replace(head, end=behind)
            place = behind

    def _next_head(self, place: int) -> int:
        while place < len(self.lines) and not _is_head(self.lines, place):
            place += 1
        return place


def read_poscar(text: TextIO, id_key: str | None, dropped: LeftOut) -> Iterator[Item]:
    """Yield each structure of a POSCAR, a CONTCAR, several of them one after the other, or an XDATCAR."""
    lines = text.read().split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        return
    found = _Reader(lines, dropped).read()
    words = Counter(one.comment.split()[0] if one.comment.split() else "" for one in found)
    unique = len(found) > 1 and len(words) == len(found) and "" not in words
    for one in found:
        row_id = None
        if id_key is None:
            row_id = id_in_comment(one.comment) or (one.comment.split()[0] if unique else None)
        yield replace(one.item, id=row_id)


def id_in_comment(comment: str) -> str | None:
    """Return the id in a comment line that this program wrote, None if it is none."""
    text = comment.strip()
    if not text.startswith(ID_MARK) or text == ID_MARK:
        return None
    text = text.removeprefix(ID_MARK)
    if not text.startswith('"'):
        return text
    try:
        return str(json.loads(text))
    except ValueError:
        return text


# -- what stands above the atoms -------------------------------------------------------------------------------------


def _floats(line: str, count: int) -> list[float] | None:
    """Return the first ``count`` numbers of ``line``, None if it has others."""
    parts = line.split()[:count]
    try:
        numbers = [float(part.replace("D", "e").replace("d", "e")) for part in parts]
    except ValueError:
        return None
    return numbers if len(numbers) == count else None


def _integers(line: str) -> list[int]:
    """Return the integers that ``line`` begins with."""
    numbers: list[int] = []
    for part in line.split():
        if not (part.isascii() and part.isdigit() and len(part) < 10):
            break
        numbers.append(int(part))
    return numbers


def _scale(line: str) -> list[float] | None:
    return _floats(line, 3) or _floats(line, 1)


def _is_head(lines: Sequence[str], place: int) -> bool:
    """Return whether a structure begins at line ``place``: a comment, one or three numbers, three vectors, species."""
    part = lines[place : place + 7]
    if len(part) < 6 or len(part[1].split()) not in (1, 3) or _scale(part[1]) is None:
        return False
    if any(_floats(line, 3) is None for line in part[2:5]):
        return False
    if (_VELOCITIES.match(part[0]) and part[0].strip()) or not part[5].strip():
        return False
    if _integers(part[5]):  # without symbols, which zero velocities look like
        return _floats(part[0], 3) is None and bool(np.linalg.det([_floats(line, 3) for line in part[2:5]]))
    return len(part) > 6 and bool(_integers(part[6])) and _floats(part[5], 1) is None


def _read_head(lines: Sequence[str], place: int) -> _Head:
    """:raises PoscarError: if it is none."""
    comment = lines[place].strip()
    if len(lines) < place + 7:
        raise PoscarError(
            f"not a POSCAR from line {place + 1} on: the file ends after {len(lines) - place} more lines. Expected "
            "comment, scaling factor, three lattice vectors, element symbols, numbers of atoms, Direct or Cartesian, "
            "atoms"
        )
    factors = _scale(lines[place + 1])
    if factors is None or not all(factors):
        raise PoscarError(
            f"line {place + 2}: expected one scaling factor or three, got {_shown(lines[place + 1])}"
        )
    if len(factors) == 3 and min(factors) < 0:
        raise PoscarError(
            f"line {place + 2}: expected three positive scaling factors, or one negative number for a volume in A^3, "
            f"got {_shown(lines[place + 1])}"
        )
    vectors = []
    for line in range(place + 2, place + 5):
        vector = _floats(lines[line], 3)
        if vector is None:
            raise PoscarError(f"line {line + 1}: expected a lattice vector, got {_shown(lines[line])}")
        vectors.append(vector)
    cell, scale = np.array(vectors), np.array(factors * (3 if len(factors) == 1 else 1))
    if len(factors) == 1 and factors[0] < 0:
        volume = abs(np.linalg.det(cell))
        if not volume > 0:
            raise PoscarError(
                f"line {place + 2}: the lattice vectors span no volume to scale to {-factors[0]} A^3"
            )
        scale = np.full(3, (-factors[0] / volume) ** (1 / 3))
    numbers, end = _species(lines, place + 5, comment)
    return _Head(comment, cell * scale, scale, numbers, end)


def _species(lines: Sequence[str], place: int, comment: str) -> tuple[Array, int]:
    """Return (n,) atomic numbers of all atoms, and the number of the line behind the numbers of atoms."""
    symbols: list[str] = []
    first = place
    while place < len(lines) and not _integers(lines[place]) and lines[place].strip():
        symbols += lines[place].split("!")[0].split()
        place += 1
        if place - first > 50:
            break
    counts: list[int] = []
    while place < len(lines) and _integers(lines[place]) and (not counts or len(counts) < len(symbols)):
        counts += _integers(lines[place])
        place += 1
    if not counts:
        raise PoscarError(
            f"line {first + 2}: expected numbers of atoms, got {_shown(lines[min(first + 1, len(lines) - 1)])}"
        )
    if not symbols:  # VASP 4 has them in POTCAR only; many write them into the comment
        symbols = comment.split()[: len(counts)]
        if len(symbols) < len(counts) or not all(map(_is_element, symbols)):
            raise PoscarError(
                f"no element symbols: write them in line {first + 1}, above the numbers of atoms"
            )
    if len(symbols) != len(counts):
        raise PoscarError(
            f"line {first + 1}: expected as many element symbols as numbers of atoms: {len(symbols)} and {len(counts)}"
        )
    if sum(counts) > _MAX_ATOMS:
        raise PoscarError(f"line {first + 2}: {sum(counts)} atoms: expected at most {_MAX_ATOMS}")
    numbers = [_number(symbol, first) for symbol in symbols]
    return np.repeat(numbers, counts).astype(np.int64), place


def _bare(symbol: str) -> str:
    """Return the element of ``Mo_pv``, ``Mo/0a1b2c`` or ``Mo.5``."""
    return re.split(r"[_/.]", symbol)[0]


def _is_element(symbol: str) -> bool:
    try:
        atomic_number(_bare(symbol))
    except ValueError:
        return False
    return True


def _number(symbol: str, line: int) -> int:
    try:
        return atomic_number(_bare(symbol))
    except ValueError as error:
        raise PoscarError(f"line {line + 1}: {error}") from error


def _shown(line: str) -> str:
    return repr(line.strip()[:60])


# -- the atoms and what stands behind them -----------------------------------------------------------------------------


def _read_atoms(lines: Sequence[str], head: _Head, left_out: LeftOut) -> tuple[Crystal, int]:
    """Return the crystal and the number of the line behind its atoms.

    :raises PoscarError: if there are fewer or more atoms than said, or a line is none.
    """
    place, n_atoms = head.end, len(head.numbers)
    has_flags = place < len(lines) and lines[place].strip()[:1] in ("s", "S")
    place += has_flags
    if place >= len(lines) or not (_MODE.match(lines[place]) or _FRAME.match(lines[place])):
        got = _shown(lines[place]) if place < len(lines) else "the end of the file"
        raise PoscarError(f"line {place + 1}: expected Direct or Cartesian, got {got}")
    cartesian = lines[place].strip()[0] in "cCkK" and not lines[place].strip().lower().startswith("konfig")
    place += 1
    rows, flags = [], []
    for line in lines[place : place + n_atoms]:
        position = _floats(line, 3)
        if position is None:
            break
        rows.append(position)
        flags.append([part.lstrip(".")[:1].upper() for part in line.split()[3:6]])
    behind = place + len(rows)
    if len(rows) < n_atoms:
        got = _shown(lines[behind]) if behind < len(lines) else "the end of the file"
        raise PoscarError(f"expected {n_atoms} atoms, got {len(rows)}: line {behind + 1} is {got}")
    if behind < len(lines) and _floats(lines[behind], 3) is not None and not _is_head(lines, behind):
        extra = 1
        while behind + extra < len(lines) and _floats(lines[behind + extra], 3) is not None:
            extra += 1
        raise PoscarError(
            f"expected {n_atoms} atoms, got {n_atoms + extra}: line {behind + 1} is {_shown(lines[behind])}"
        )
    coordinates = np.array(rows, dtype=np.float64).reshape(n_atoms, 3)
    positions = coordinates * head.scale if cartesian else coordinates @ head.cell
    atoms = checked(Atoms(head.numbers, positions, cell=head.cell, pbc=True))
    if any(part.capitalize() in ISOTOPES for part in _symbols_of(lines, head)):
        left_out.note(ISOTOPE_NOTE)
    held = _held(flags, place) if has_flags else None
    return Crystal(None, atoms, {}, {} if held is None else {SCALED: held}), behind


def _symbols_of(lines: Sequence[str], head: _Head) -> list[str]:
    """Return the words of the two lines above the numbers of atoms, where isotopes may stand."""
    if 1 not in head.numbers:
        return []
    return [_bare(word) for line in lines[max(head.end - 3, 0) : head.end] for word in line.split()]


def _held(flags: list[list[str]], first: int) -> Array | None:
    """(n, 3) bool, True = held, along the lattice vectors; None where nothing is held."""
    for number, row in enumerate(flags):
        if len(row) != 3 or not set(row) <= {"T", "F"}:
            raise PoscarError(
                f"line {first + number + 1}: expected three flags T or F after the coordinates, since the file says "
                f"Selective dynamics, got {' '.join(row) or 'none'}"
            )
    held = np.array([[flag == "F" for flag in row] for row in flags], dtype=bool).reshape(-1, 3)
    return held if held.any() else None


def _behind_blanks(lines: Sequence[str], place: int) -> int:
    while place < len(lines) and not lines[place].strip():
        place += 1
    return place


def _behind_velocities(lines: Sequence[str], place: int, n_atoms: int) -> int:
    """Return the line behind velocities and the blocks of molecular dynamics, ``place`` if there are none."""
    while place < len(lines):
        if _is_head(lines, place):
            return place
        start = place + 1 if not lines[place].strip() or _VELOCITIES.match(lines[place]) else place
        end = start
        while end < len(lines) and _is_numeric(lines[end]) and not _is_head(lines, end):
            end += 1
        if end == place:
            return place
        if 0 < end - start < min(n_atoms, 6):
            return start  # too few for velocities: counted as text
        place = end
    return place


def _is_numeric(line: str) -> bool:
    parts = line.split()
    return bool(parts) and _floats(line, len(parts)) is not None

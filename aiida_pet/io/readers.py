"""Reads crystals from files into one table, as a stream: it takes only the memory of the table. No AiiDA.

Ids come from the file: a field of the structure (:data:`~aiida_pet.io.ids.ID_KEYS`), else the file's name for a file of
one structure, else ``<file name>-<number>``, counted from 0. They must be unique over all files of an import. Units are
the units of ASE and pymatgen (A, eV); nothing is converted.
"""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aiida_pet.crystals.validity import broken_geometry
from aiida_pet.io.column_collector import ColumnCollector
from aiida_pet.io.crystal import (
    KNOWN_UNITS,
    Broken,
    Crystal,
    ImportProblem,
    Item,
    OtherFileError,
    StructureFileError,
    reason_of,
)
from aiida_pet.io.encodings import bytes_taken_as_latin
from aiida_pet.io.equal_crystals import equal_crystals
from aiida_pet.io.formats import Format, format_named, readable
from aiida_pet.io.ids import EXPORTED_ID_KEY, sounds_like_id
from aiida_pet.io.input_results import ResultOptions, remedy_of
from aiida_pet.io.left_out import LeftOut
from aiida_pet.io.sources import Source, find_sources, names_by_folder
from aiida_pet.io.tabular import Row, RowsBeside
from aiida_pet.tables.crystals import StructureTable, StructureTableBuilder
from aiida_pet.tables.table import DuplicateIdError
from aiida_pet.words import plural, shortened

# What reading a damaged file may raise; anything else is a mistake of ours and must show.
_FILE_ERRORS = (ValueError, OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)


class DuplicateImportError(DuplicateIdError):
    """Raised when structures of an import share an id; the message names ids and files."""

    def __init__(self, places: dict[str, list[str]], given_twice: Sequence[str] = ()) -> None:
        super().__init__(list(places))
        self.places = places
        lines = [
            f"{name!r} in {', '.join(dict.fromkeys(files))}" for name, files in list(places.items())[:10]
        ]
        more = f"\n  and {len(places) - 10} more" if len(places) > 10 else ""
        listed = "\n  " + "\n  ".join(lines) + more
        self.reason = f"{len(places)} ids occur more than once:{listed}"
        self.remedy = _remedy_of_duplicates(places, given_twice)
        self.args = (f"{self.reason}\n({self.remedy})",)


def _remedy_of_duplicates(places: dict[str, list[str]], given_twice: Sequence[str]) -> str:
    """Return what helps."""
    if given_twice:
        return f"{given_twice[0]} is given twice: give it once"
    kind = (
        "numbers them"
        if all(len(set(files)) == 1 for files in places.values())
        else "takes the names of the files"
    )
    return f"rename the structures, id_key='NAME' takes another field, or id_key='' {kind}"


@dataclass(frozen=True)
class ReadOptions:
    """How to read files.

    :ivar file_format: format of all files; None takes the format that the name of each file says.
    :ivar id_key: field that holds the id; None tries the usual ones, empty uses none and numbers the
        structures.
    :ivar structure_key: field or data frame column that holds the structure, if JSON records have several structures.
    :ivar skip_invalid: collect broken structures and import the rest, instead of stopping at the first.
    """

    file_format: Format | None = None
    id_key: str | None = None
    structure_key: str | None = None
    skip_invalid: bool = False
    results: ResultOptions = field(default_factory=ResultOptions)

    @classmethod
    def of(
        cls,
        file_format: str | None,
        id_key: str | None,
        structure_key: str | None,
        skip_invalid: bool,
        **results: Any,
    ) -> ReadOptions:
        """Return the options, the format given by its name.

        :param results: results of :class:`~aiida_pet.io.input_results.ResultOptions`.
        :raises StructureFileError: if there is no such format, or an option of results has no such value.
        """
        if file_format is not None and file_format not in readable():
            raise StructureFileError(f"unknown file_format {file_format!r}: expected {', '.join(readable())}")
        try:
            options = ResultOptions(**results)
        except ValueError as error:
            raise StructureFileError("these options do not fit", str(error)) from error
        return cls(
            format_named(file_format) if file_format else None, id_key, structure_key, skip_invalid, options
        )


@dataclass
class ImportResult:
    """Structures that were read from files.

    :ivar table: the structures, with columns and units.
    :ivar problems: broken structures that were left out; empty unless ``skip_invalid``.
    :ivar left_out: fields that were not read, and values that were changed while reading.
    :ivar equal: ids of crystals that are equal, in groups of two or more.
    """

    table: StructureTable
    problems: list[ImportProblem] = field(default_factory=list)
    left_out: LeftOut = field(default_factory=LeftOut)
    equal: list[list[str]] = field(default_factory=list)

    def summary(self) -> list[str]:
        """Return what a user should know, in a sentence each; empty where all came in as it stood."""
        lines = self.left_out.lines()
        remedy = remedy_of(self.left_out)
        if remedy:
            lines.append(remedy)
        if self.equal:
            n_equal = sum(map(len, self.equal))
            shown = "; ".join(" = ".join(group[:3]) for group in self.equal[:3])
            more = "; ..." if len(self.equal) > 3 or any(len(group) > 3 for group in self.equal[:3]) else ""
            lines.append(
                f"{n_equal} crystals are equal to another crystal with a different id ({shown}{more}): all were "
                "imported, and each will be computed"
            )
        return lines


def read_structures(
    paths: str | Path | Iterable[str | Path], options: ReadOptions | None = None
) -> ImportResult:
    """Return the structures of files, archives and folders, in their order; folders in order of names.

    :param paths: one or several.
    :raises StructureFileError: at the first broken structure or file (unless ``skip_invalid``), or if there are no
        structures.
    :raises DuplicateImportError: if structures share an id, naming ids and files.

    >>> import tempfile
    >>> from ase.build import bulk
    >>> path = Path(tempfile.mkdtemp()) / "W.cif"
    >>> bulk("W").write(path)
    >>> read_structures(path).table.ids.tolist()
    ['W']
    """
    options = options or ReadOptions()
    left_out = LeftOut()
    builder, collector = StructureTableBuilder(), ColumnCollector(left_out)
    seen: dict[str, str] = {}
    duplicates: dict[str, list[str]] = {}
    problems: list[ImportProblem] = []
    names = [paths] if isinstance(paths, str | Path) else list(paths)
    beside = RowsBeside()
    for file, crystal in iter_crystals(names, options, problems, left_out, beside):
        row_id = str(crystal.id)
        if row_id in seen:
            duplicates.setdefault(row_id, [seen[row_id]]).append(file)
            continue
        seen[row_id] = file
        collector.add_crystal(len(builder), crystal)
        builder.add(row_id, crystal.atoms)
    if duplicates:
        given = Counter(map(str, names))
        raise DuplicateImportError(duplicates, [name for name, count in given.items() if count > 1])
    unknown = sorted(set(options.results.column_map) - left_out.mapped)
    if unknown and len(builder):
        raise StructureFileError(f"no structure has a field {unknown[0]!r}", "column_map names it")
    if not len(builder):
        why = f"; {len(problems)} could not be read, the first: {problems[0]}" if problems else ""
        raise StructureFileError(
            f"no structures in {', '.join(map(str, names)) or 'an empty list of files'}{why}"
        )
    beside.join({row_id: place for place, row_id in enumerate(seen)}, collector, left_out)
    table = builder.build(collector.build(len(builder)))
    table.atom_columns = collector.build_atoms(table.offsets)
    table.ragged = collector.build_ragged(len(table))
    named = [*table.columns, *table.atom_columns, *table.ragged]
    try:
        stated = collector.units()
    except ValueError as error:
        raise StructureFileError(f"{', '.join(map(str, names[:5]))}: {error}") from error
    table.units = {
        name: KNOWN_UNITS[name] for name in named if name in KNOWN_UNITS and name not in collector.own
    }
    table.units |= {name: unit for name, unit in stated.items() if name in named}
    _tell_broken(table, left_out)
    return ImportResult(table, problems, left_out, equal_crystals(table))


def _tell_broken(table: StructureTable, left_out: LeftOut) -> None:
    """Say which crystals no task will take."""
    broken = broken_geometry(table)
    if not broken:
        return
    ids = [repr(str(table.ids[row])) for row in broken]
    first = next(iter(broken.values()))
    many = "no task takes it" if len(broken) == 1 else "no task takes them; the first"
    told = f"{plural(len(broken), 'crystal')} without a sound geometry, {shortened(ids, 5)}"
    left_out.remark(f"{told}: {many}: {first}")


def iter_crystals(
    paths: Sequence[str | Path],
    options: ReadOptions,
    problems: list[ImportProblem],
    left_out: LeftOut | None = None,
    beside: RowsBeside | None = None,
) -> Iterator[tuple[str, Crystal]]:
    """Yield (file, crystal) of all files, every crystal with an id; ids are not compared.

    :param problems: what is broken is appended here, if ``options.skip_invalid``.
    :param left_out: counts what was not taken over.
    :param beside: takes rows of tables that have no structures.
    :raises StructureFileError: at the first broken structure or file, unless ``options.skip_invalid``.
    """
    left_out = LeftOut() if left_out is None else left_out
    beside = RowsBeside() if beside is None else beside
    files = [Path(path) for path in paths]
    folders = names_by_folder(files)
    for path in files:
        try:
            for source in find_sources(path, options.file_format, folders):
                if source.format is None and (path.is_dir() or source.path is None):
                    left_out.files.append(source.name)
                    continue
                for item in _named_items(source, options, left_out):
                    if isinstance(item, Crystal):
                        yield source.name, item
                        continue
                    if isinstance(item, Row):
                        beside.add(item)
                        continue
                    if item.is_other and (path.is_dir() or source.path is None):
                        left_out.others[source.name] = (
                            item.reason
                        )  # a folder may hold tables of something else
                        continue
                    problem = ImportProblem(source.name, item.id or "", item.reason, item.remedy)
                    _report(problem, options, problems)
        except StructureFileError as error:
            if not options.skip_invalid:
                raise
            reason = error.reason.removeprefix(f"{path}: ")
            _report(ImportProblem(str(path), "", reason, error.remedy), options, problems)


def _report(problem: ImportProblem, options: ReadOptions, problems: list[ImportProblem]) -> None:
    if not options.skip_invalid:
        remedies = [problem.remedy] if problem.remedy else []
        raise StructureFileError(
            problem.sentence, "; ".join([*remedies, "skip_invalid=True imports the rest"])
        )
    problems.append(problem)


def _named_items(source: Source, options: ReadOptions, left_out: LeftOut) -> Iterator[Item | Row]:
    """Yield the items of a file, those without an id named by it; a damaged file ends with a Broken."""
    waiting: Item | Row | None = None  # the first, until it is known whether it is the only one
    for count, item in enumerate(_items(source, options, left_out)):
        whole_file = isinstance(item, Broken) and item.whole_file
        if waiting is not None:
            yield _with_id(waiting, source.stem if whole_file and count == 1 else f"{source.stem}-0")
            waiting = None
        if item.id is None and options.id_key and isinstance(item, Crystal):
            left_out.note(f"no field {options.id_key!r} holds an id, so the name of the file became the id")
        if item.id is None and options.id_key is None and isinstance(item, Crystal):
            _note_likely_ids(item, left_out)
        if whole_file:
            yield item
        elif item.id is None and count == 0:
            waiting = item
        else:
            yield _with_id(item, f"{source.stem}-{count}")
    if waiting is not None:
        yield _with_id(waiting, source.stem)


def _note_likely_ids(crystal: Crystal, left_out: LeftOut) -> None:
    """Say which field may hold the id of a crystal that is named by its file."""
    for name, value in crystal.columns.items():
        if name != EXPORTED_ID_KEY and isinstance(value, str | int) and sounds_like_id(name):
            left_out.note(
                "no field with an id was found, so the name of the file became the id; "
                f"if {name!r} holds it, give id_key={name!r}"
            )
            return


def _with_id(item: Item | Row, default: str) -> Item | Row:
    if isinstance(item, Row) or item.id is not None:
        return item
    return replace(item, id=default)


def _items(source: Source, options: ReadOptions, left_out: LeftOut) -> Iterator[Item | Row]:
    count, latin = 0, bytes_taken_as_latin()
    try:
        for item in _read(source, options, left_out):
            count += 1
            yield item
        if bytes_taken_as_latin() > latin:
            left_out.remark(
                f"{source.name}: letters that are not UTF-8 were taken as Latin-1: where they are wrong, save the file "
                "as UTF-8 and import it again"
            )
    except UnicodeDecodeError as error:
        yield Broken(
            None,
            f"cannot be read: it is not {error.encoding.upper()} at byte {error.object[error.start :][:1]!r}",
            whole_file=True,
            remedy="save the file as UTF-8",
        )
    except _FILE_ERRORS as error:
        after = f" after {count} structures" if count else ""
        # errors of ours say apart what helps
        why = getattr(error, "reason", None) or reason_of(error)
        is_other = isinstance(error, OtherFileError) and not count
        reason = why if is_other else f"cannot be read{after}: {why}"
        yield Broken(None, reason, whole_file=True, remedy=getattr(error, "remedy", ""), is_other=is_other)


def _read(source: Source, options: ReadOptions, dropped: LeftOut) -> Iterator[Item | Row]:
    """Yield the items of a file by its format.

    :raises ValueError, OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile: if it cannot be
        read.
    """
    if source.format is None:
        raise StructureFileError(
            "its name matches no format",
            f"file_format=NAME says it, where NAME is one of {', '.join(readable())}",
        )
    yield from source.format.items(source, options, dropped)

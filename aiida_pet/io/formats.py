"""The formats that crystals and tables are read from and written to: one entry each, and nothing is imported for it.

Readers and writers are named, ``module:function``, and imported when a file of theirs is met, so that the command line
can list the formats without waiting. A reader is called with what the options say, a writer with a table:

- ``reader(source, options, left_out)`` yields a :class:`~aiida_pet.io.crystal.Crystal` or ``Broken`` for each structure
  of a :class:`~aiida_pet.io.sources.Source` (a table also ``Row``), and notes in ``left_out`` what it leaves out;
- ``writer(table, path)`` writes a whole file, or none, and returns the ids of rows that the format cannot hold.

``docs/dev/add-a-format.md`` adds one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import PurePath
from typing import Any


class UnknownFormatError(ValueError):
    """Raised for a name that is no format; the message lists those that there are."""


@dataclass(frozen=True)
class Format:
    """A format of files.

    :ivar name: for options.
    :ivar suffixes: suffixes of files that are read, in small letters.
    :ivar reader: ``module:function``; empty for a format that is only written.
    :ivar writer: ``module:function``; empty for a format that is only read.
    :ivar written: suffixes that mean the format when a file is written, in small letters.
    :ivar subject: module that says what is taken of a file.
    :ivar beginnings: with which names of files begin that programs call the same in every folder.
    :ivar endings: with which names of files end that have no suffix.
    :ivar is_strict: whether bytes that are no text mean damage.
    :ivar is_table: whether a file may hold rows without structures.
    :ivar needs_crystals: whether only a table with crystals can be written.
    :ivar one_each: whether a folder with a file per crystal may be written.
    """

    name: str
    suffixes: tuple[str, ...] = ()
    reader: str = ""
    writer: str = ""
    written: tuple[str, ...] = ()
    subject: str = ""
    beginnings: tuple[str, ...] = ()
    endings: tuple[str, ...] = ()
    is_strict: bool = False
    is_table: bool = False
    needs_crystals: bool = True
    one_each: bool = False

    @property
    def file_names(self) -> list[str]:
        """Patterns of the names of files that are read."""
        suffixes = [f"*{suffix}" for suffix in self.suffixes]
        return suffixes + [f"{name}*" for name in self.beginnings] + [f"*{name}" for name in self.endings]

    def items(self, source: Any, options: Any, left_out: Any) -> Iterator[Any]:
        """Yield what the reader finds in ``source``."""
        yield from _load(self.reader)(source, options, left_out)

    def write(self, table: Any, path: Any) -> list[str]:
        """Write ``table`` to ``path`` and return the ids of rows that the format cannot hold."""
        return list(_load(self.writer)(table, path))


FORMATS: tuple[Format, ...] = (
    Format(
        "extxyz",
        suffixes=(".xyz", ".extxyz"),
        reader="aiida_pet.io.format_readers:extxyz",
        writer="aiida_pet.io.format_writers:extxyz",
        written=(".xyz", ".extxyz"),
        subject="aiida_pet.io.extxyz",
    ),
    Format(
        "cif",
        suffixes=(".cif",),
        reader="aiida_pet.io.format_readers:cif",
        writer="aiida_pet.io.format_writers:cif",
        written=(".cif",),
        subject="aiida_pet.io.cif",
        one_each=True,
    ),
    Format(
        "poscar",
        suffixes=(".vasp", ".poscar", ".contcar", ".xdatcar"),
        beginnings=("POSCAR", "CONTCAR", "XDATCAR"),
        endings=("POSCARS",),  # USPEX: gatheredPOSCARS, goodStructures_POSCARS
        reader="aiida_pet.io.format_readers:poscar",
        writer="aiida_pet.io.format_writers:poscar",
        written=(".vasp", ".poscar"),
        subject="aiida_pet.io.poscar",
        one_each=True,
    ),
    Format(
        "ase-db",
        suffixes=(".db",),  # its JSON form is called .json and told by its content
        reader="aiida_pet.io.format_readers:ase_database",
        writer="aiida_pet.io.format_writers:ase_database",
        written=(".db",),
        subject="aiida_pet.io.ase_database",
    ),
    Format(
        "json",
        suffixes=(".json",),
        reader="aiida_pet.io.format_readers:json",
        writer="aiida_pet.io.format_writers:json",
        written=(".json",),
        subject="aiida_pet.io.pymatgen_json",
        is_strict=True,
        needs_crystals=False,
    ),
    Format(
        "jsonl",
        suffixes=(".jsonl", ".ndjson"),
        reader="aiida_pet.io.format_readers:json_lines",
        subject="aiida_pet.io.pymatgen_json",
        is_strict=True,
    ),
    Format(
        "phonopy",
        suffixes=(".yaml", ".yml"),
        beginnings=("phonopy_disp", "phonopy_params", "phono3py_disp", "phono3py_params"),
        reader="aiida_pet.io.format_readers:phonopy",
        writer="aiida_pet.io.format_writers:phonopy",
        written=(".yaml",),
        subject="aiida_pet.io.phonopy_yaml",
        one_each=True,
    ),
    Format(
        "phono3py",  # read as phonopy
        writer="aiida_pet.io.format_writers:phono3py",
        subject="aiida_pet.io.phonopy_writer",
        one_each=True,
    ),
    Format(
        "chemiscope",
        writer="aiida_pet.io.format_writers:chemiscope",
        subject="aiida_pet.io.chemiscope_writer",
    ),
    Format(
        "csv",
        suffixes=(".csv", ".tsv"),
        reader="aiida_pet.io.format_readers:csv",
        writer="aiida_pet.io.format_writers:csv",
        written=(".csv",),
        subject="aiida_pet.io.tabular",
        is_table=True,
        needs_crystals=False,
    ),
    Format(
        "parquet",
        suffixes=(".parquet",),
        reader="aiida_pet.io.format_readers:parquet",
        writer="aiida_pet.io.format_writers:parquet",
        written=(".parquet",),
        subject="aiida_pet.io.tabular",
        is_table=True,
        needs_crystals=False,
    ),
)


def readable() -> list[str]:
    """Return the names of formats that are read."""
    return [one.name for one in FORMATS if one.reader]


def writable() -> list[str]:
    """Return the names of formats that are written."""
    return [one.name for one in FORMATS if one.writer]


def format_named(name: str, *, to_write: bool = False) -> Format:
    """Return the format called ``name``.

    :param to_write: whether it is for a file that is written, and not for one that is read.
    :raises UnknownFormatError: if there is none.
    """
    names = writable() if to_write else readable()
    if name not in names:
        raise UnknownFormatError(f"unknown format {name!r}: expected {', '.join(names)}")
    return next(one for one in FORMATS if one.name == name)


def format_of_file(name: str) -> Format | None:
    """Return the format that the name of a file tells (without the suffix of a compression), or None."""
    suffix = PurePath(name).suffix.lower()
    for one in FORMATS:
        if suffix and suffix in one.suffixes:
            return one
    for one in FORMATS:
        if name.startswith(one.beginnings) or name.endswith(one.endings):
            return one
    return None


def stands_in_every_folder(name: str) -> bool:
    """Return whether programs write a file of this name, as ``POSCAR.orig``, into each of their folders."""
    return any(name.split(".", maxsplit=1)[0] in one.beginnings for one in FORMATS)


def _load(name: str) -> Callable[..., Any]:
    module, _, function = name.partition(":")
    return getattr(import_module(module), function)  # type: ignore[no-any-return]


def table_of_formats() -> list[str]:
    """Return the rows of the table in ``docs/formats.md``."""
    rows = ["| format | names of files | written as | module |", "| --- | --- | --- | --- |"]
    for one in FORMATS:
        read = ", ".join(f"`{pattern}`" for pattern in one.file_names)
        written = ", ".join(f"`*{suffix}`" for suffix in one.written)
        rows.append(f"| `{one.name}` | {read} | {written} | `{one.subject}` |")
    return rows

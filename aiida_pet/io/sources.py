"""Finds the files of an import: walks folders, opens archives, tells formats by name. No AiiDA.

The name of a file tells its format (:mod:`~aiida_pet.io.formats`), after any of ``.gz .bz2 .xz``. A ``.zip`` holds any
of these.

What VASP calls ``POSCAR``, ``CONTCAR`` or ``XDATCAR`` in every folder is named by its folder: ``runs/mp-1/CONTCAR.gz``
is ``mp-1``, or ``mp-1/CONTCAR`` and ``mp-1/POSCAR.orig`` where several of them stand in one folder.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, TextIO

from aiida_pet.io import formats
from aiida_pet.io.crystal import StructureFileError
from aiida_pet.io.encodings import as_text
from aiida_pet.io.formats import Format, format_of_file, stands_in_every_folder

COMPRESSION: dict[str, Callable[..., Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
}


@dataclass(frozen=True)
class Source:
    """One file to read, on disk or in an archive.

    :ivar name: for messages, ``archive.zip:member`` in an archive.
    :ivar stem: file name without compression and format: what names structures that bring no id.
    :ivar format: format of the content; None where the name does not tell.
    :ivar open_raw: opens the file as it is, compressed or not.
    :ivar compression: ``.gz``, ``.bz2``, ``.xz`` or empty.
    :ivar path: where the file is on disk; None in an archive.
    """

    name: str
    stem: str
    format: Format | None
    open_raw: Callable[[], IO[bytes]]
    compression: str = ""
    path: Path | None = None

    @contextmanager
    def open(self) -> Iterator[TextIO]:
        """Open the content as text."""
        with self.open_raw() as raw:
            content = COMPRESSION[self.compression](raw) if self.compression else raw
            # a stray byte in the comment of a CIF costs nothing, in JSON it means damage
            with as_text(content, strict=self.format is not None and self.format.is_strict) as text:
                yield text

    @contextmanager
    def as_path(self) -> Iterator[Path]:
        """Give a path of the uncompressed content on disk, a temporary copy if need be."""
        if self.path is not None and not self.compression:
            yield self.path
            return
        with tempfile.TemporaryDirectory() as folder, self.open_raw() as raw:
            copy = Path(folder) / "content"
            with copy.open("wb") as target:
                shutil.copyfileobj(COMPRESSION[self.compression](raw) if self.compression else raw, target)
            yield copy


def find_sources(
    path: Path, file_format: Format | None = None, folders: Mapping[Path, str] | None = None
) -> Iterator[Source]:
    """Yield the files that ``path`` names: itself, the members of a ``.zip``, or all of a folder, sorted.

    Hidden files are passed over. What has no known name is yielded with format None. An archive that is damaged or
    has members outside of it is yielded too, and raises when it is opened: it costs no other file.

    :param file_format: format of all of them, whatever their names.
    :param folders: names of files by :func:`names_by_folder`, where several files were given.
    :raises StructureFileError: if there is no such file or folder.
    """
    if path.is_dir():
        children = [child for child in sorted(path.rglob("*")) if _is_shown(child, path) and child.is_file()]
        names = _names_by_folder({child: _folder_of(child, path) for child in children})
        for child in children:
            yield from _from_file(child, file_format, names)
    elif path.is_file():
        yield from _from_file(path, file_format, folders or {})
    else:
        raise StructureFileError(f"{path}: no such file or folder")


def names_by_folder(paths: Sequence[Path]) -> dict[Path, str]:
    """Return what names the structures of files that were given one by one, as by ``runs/*/CONTCAR``.

    Named by folder are those that VASP calls the same in every folder, if they are of several folders, and other files
    whose names are the same.
    """
    files = [path for path in dict.fromkeys(paths) if path.is_file()]
    of_vasp = [path for path in files if stands_in_every_folder(_parse_name(path.name)[0])]
    names: dict[Path, str] = {}
    for group in (of_vasp, [path for path in files if path not in of_vasp]):
        parents = {path: path.absolute().parent for path in group}
        several = len(set(parents.values())) > 1
        base = Path(os.path.commonpath([*parents.values()])) if several else None
        names |= _names_by_folder(
            {path: _folder_of(parents[path] / path.name, base) if base else "" for path in group}
        )
    return names


def _is_shown(child: Path, folder: Path) -> bool:
    return not any(part.startswith(".") for part in child.relative_to(folder).parts)


def _folder_of(child: Path, base: Path) -> str:
    folder = child.parent.relative_to(base).as_posix()
    return "" if folder == "." else folder


def _names_by_folder(folders: Mapping[Path, str]) -> dict[Path, str]:
    """Return what names the structures of files, of file -> folder, where that is not the file's own name.

    Files of VASP's in a folder are named by it; others whose names are the same, by folder and name.
    """
    stems = {path: _parse_name(path.name)[0] for path in folders}
    of_vasp = {path: stem for path, stem in stems.items() if folders[path] and stands_in_every_folder(stem)}
    counts = Counter(folders[path] for path in of_vasp)
    always = {name for one in formats.FORMATS for name in one.beginnings}
    names = {
        path: folders[path] if counts[folders[path]] == 1 and stem in always else f"{folders[path]}/{stem}"
        for path, stem in of_vasp.items()
    }
    others = {path: stem for path, stem in stems.items() if path not in of_vasp}
    alike = Counter(others.values())
    again = Counter((folders[path], stem) for path, stem in others.items())
    for path, stem in others.items():
        if alike[stem] > 1:
            name = stem if again[folders[path], stem] == 1 else path.name
            names[path] = f"{folders[path]}/{name}" if folders[path] else name
    return names


def _from_file(path: Path, file_format: Format | None, names: Mapping[Path, str]) -> Iterator[Source]:
    if path.suffix.lower() == ".zip":
        yield from _from_archive(path, file_format)
        return
    stem, found, compression = _parse_name(path.name)
    stem = names.get(path, stem)
    yield Source(str(path), stem, file_format or found, lambda: path.open("rb"), compression, path)


def _from_archive(path: Path, file_format: Format | None) -> Iterator[Source]:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        yield _refused(path, f"expected a zip archive: {error}")
        return
    with archive:
        members = sorted(info.filename for info in archive.infolist() if not info.is_dir())
        leading_out = next((member for member in members if _leads_out(member)), None)
        if leading_out is not None:
            yield _refused(path, f"an archive with a member that leads out of it is refused: {leading_out!r}")
            return
        names = _names_by_folder({Path(member): _folder_of(Path(member), Path()) for member in members})
        for member in members:
            pure = PurePosixPath(member)
            if any(part.startswith((".", "__MACOSX")) for part in pure.parts):
                continue
            stem, found, compression = _parse_name(pure.name)
            yield Source(
                f"{path}:{member}",
                names.get(Path(member), stem),
                file_format or found,
                lambda member=member: archive.open(member),  # type: ignore[misc]
                compression,
            )


def _leads_out(member: str) -> bool:
    """Return whether an archive would write ``member`` outside of the folder that it is unpacked into."""
    parts = PurePosixPath(member.replace("\\", "/")).parts
    return ".." in parts or parts[:1] == ("/",) or (bool(parts) and parts[0].endswith(":"))


def _refused(path: Path, reason: str) -> Source:
    """Return an archive that raises what is wrong with it when it is opened."""

    def open_raw() -> IO[bytes]:
        raise StructureFileError(reason)

    return Source(str(path), path.stem, format_of_file("refused.xyz"), open_raw)


def _parse_name(name: str) -> tuple[str, Format | None, str]:
    """Return stem, format and compression that a file's name tells."""
    pure = PurePosixPath(name)
    compression = pure.suffix.lower() if pure.suffix.lower() in COMPRESSION else ""
    if compression:
        pure = PurePosixPath(pure.stem)
    found = format_of_file(pure.name)
    has_suffix = found is not None and pure.suffix.lower() in found.suffixes
    return pure.stem if has_suffix else pure.name, found, compression

"""Trajectories on disk: frames leave the engine while they grow, in files that are whole or not there.

A folder holds segments, ``trajectory-00000.h5`` and so on. A segment is an HDF5 file of up to some 16 MB that is
written under another name and renamed, so that a kill at any moment leaves all frames that were flushed; one file that
is appended to could be lost whole. The last segment is written anew at each flush until it is full. HDF5 and not zarr,
since phonopy brings h5py along and a campaign of many rows is a few files.

A segment has a group per row, in the order in which they were begun: its ``id``, the number of its ``first`` frame, and
the frames. A later group of a row takes the place of all that earlier ones have from its first frame on: a row that
goes on from its state writes the frames after that state again. Free of torch.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aiida_pet.job.folder import write_atomically
from aiida_pet.tables.table import Array
from aiida_pet.words import did_you_mean, shortened

if TYPE_CHECKING:
    import h5py

TRAJECTORY_GLOB = "trajectory-*.h5"
FORMAT = 1
SEGMENT_BYTES = 16 * 2**20
HEADER_BYTES = 5_000
"""Of a row in a segment beside its frames: names, types and shapes of the series."""
FILE_BYTES = 2_000
"""Of a segment without rows."""

#: Name of a series -> type on disk. Positions are unwrapped, A; velocities A/fs; energies eV; pressures GPa.
SERIES = {
    "steps": np.int64,
    "times": np.float64,
    "positions": np.float32,
    "velocities": np.float32,
    "cells": np.float64,
    "energies": np.float64,
    "temperatures": np.float64,
    "pressures": np.float64,
}


class TrajectoryError(ValueError):
    """Raised for files that are no trajectories, or rows that they do not hold."""


@dataclass(frozen=True)
class Frames:
    """F frames of a row of A atoms.

    :ivar numbers: (A,) atomic numbers.
    :ivar pbc: (3,) bool.
    :ivar series: name of :data:`SERIES` -> (F, ...); without ``velocities`` where they were not kept.
    """

    numbers: Array
    pbc: Array
    series: dict[str, Array]

    def __len__(self) -> int:
        return len(self.series["steps"])

    def take(self, frames: slice) -> Frames:
        """Return some of the frames."""
        return Frames(self.numbers, self.pbc, {name: values[frames] for name, values in self.series.items()})

    @staticmethod
    def concatenate(parts: Iterable[Frames]) -> Frames:
        """Return the frames of ``parts`` of one row, in order; at least one part."""
        found = list(parts)
        first = found[0]
        series = {name: np.concatenate([part.series[name] for part in found]) for name in first.series}
        return Frames(first.numbers, first.pbc, series)


@dataclass
class _Growing:
    """The frames of a row in the open segment."""

    first: int
    parts: list[Frames] = field(default_factory=list)


class TrajectoryWriter:
    """Writes segments into a folder, behind those that are there.

    :param folder: which exists.
    :param segment_bytes: at which a segment is full; what memory holds is about as much.
    """

    def __init__(self, folder: Path, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._folder = folder
        self._limit = segment_bytes
        there = segments_of(folder)
        self._number = int(there[-1].stem.rpartition("-")[2]) + 1 if there else 0
        self._rows: dict[str, _Growing] = {}
        self._bytes = 0
        self._is_changed = False

    def append(self, row_id: str, frame: int, frames: Frames) -> None:
        """Take ``frames`` of the row ``row_id``; they are on disk after the next flush.

        :param frame: number of the first of them.
        """
        growing = self._rows.setdefault(row_id, _Growing(frame))
        growing.parts.append(frames)
        self._bytes += sum(values.nbytes for values in frames.series.values())
        self._is_changed = True
        if self._bytes >= self._limit:
            self.flush()

    def flush(self) -> None:
        """Write what was taken since the last flush."""
        if not self._is_changed:
            return
        import h5py  # noqa: PLC0415 - a tenth of a second, and only where there are trajectories

        content = io.BytesIO()
        with h5py.File(content, "w", libver=("v110", "v110")) as file:  # its headers are a tenth as long
            file.attrs["format"] = FORMAT
            for number, (row_id, growing) in enumerate(self._rows.items()):
                joined = Frames.concatenate(growing.parts)
                growing.parts = [joined]
                _write_group(file.create_group(f"{number:06d}"), row_id, growing.first, joined)
        write_atomically(self._folder / f"trajectory-{self._number:05d}.h5", content.getvalue())
        self._is_changed = False
        if self._bytes >= self._limit:
            self._number += 1
            self._rows, self._bytes = {}, 0


def _write_group(group: h5py.Group, row_id: str, first: int, frames: Frames) -> None:
    group.attrs["id"] = row_id
    group.attrs["first"] = first
    group.create_dataset("numbers", data=frames.numbers.astype(np.uint8))
    group.create_dataset("pbc", data=frames.pbc)
    for name, values in frames.series.items():
        group.create_dataset(
            name,
            data=values.astype(SERIES[name]),
            chunks=values.shape,  # one chunk has no index, which for short series is larger than they are
            compression="gzip",
            compression_opts=1,
            shuffle=True,
        )


def segments_of(folder: Path) -> list[Path]:
    """Return the segments in ``folder``, in the order of writing."""
    return sorted(folder.glob(TRAJECTORY_GLOB))


@dataclass(frozen=True)
class _Part:
    """Where frames are: the group of a segment, its first frame, and how many of it count."""

    path: Path
    group: str
    first: int
    count: int


class Trajectories:
    """The trajectories in some segments, read row by row.

    :param segments: in the order of writing.
    :raises TrajectoryError: if one of them is no segment of this format.
    """

    def __init__(self, segments: Iterable[Path]) -> None:
        self._parts: dict[str, list[_Part]] = {}
        for path in segments:
            for row_id, part in _parts_of(path):
                known = self._parts.setdefault(row_id, [])
                kept = [
                    _Part(one.path, one.group, one.first, min(one.count, part.first - one.first))
                    for one in known
                    if one.first < part.first
                ]
                self._parts[row_id] = [*kept, part]

    @property
    def ids(self) -> list[str]:
        """Rows that have frames."""
        return list(self._parts)

    def n_frames(self, row_id: str) -> int:
        """Return the number of frames of ``row_id``, 0 if there are none."""
        return sum(part.count for part in self._parts.get(row_id, ()))

    def parts(self, row_id: str, n_frames: int | None = None) -> Iterator[Frames]:
        """Yield the frames of ``row_id`` segment by segment: no more of them is in memory.

        :param n_frames: how many there are at most.
        :raises TrajectoryError: if there are none.
        """
        if row_id not in self._parts:
            known = shortened(self.ids) if self.ids else "none"
            raise TrajectoryError(
                f"no frames of row {row_id!r}{did_you_mean(row_id, self.ids)}: there are {known}"
            )
        left = self.n_frames(row_id) if n_frames is None else n_frames
        for part in self._parts[row_id]:
            count = min(part.count, left)
            if count > 0:
                yield _read(part, count)
                left -= count

    def read(self, row_id: str, n_frames: int | None = None) -> Frames:
        """Return all frames of ``row_id`` at once.

        :raises TrajectoryError: if there are none.
        """
        return Frames.concatenate(self.parts(row_id, n_frames))


def _parts_of(path: Path) -> Iterator[tuple[str, _Part]]:
    import h5py  # noqa: PLC0415

    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT:
                raise TrajectoryError(
                    f"{path} has format {file.attrs.get('format')!r}, expected {FORMAT}: read it with the version of "
                    "aiida-pet that wrote it"
                )
            for name, group in file.items():
                yield (
                    str(group.attrs["id"]),
                    _Part(path, name, int(group.attrs["first"]), len(group["steps"])),
                )
    except (OSError, KeyError) as error:
        raise TrajectoryError(f"{path} is no segment of trajectories: {error}") from error


def _read(part: _Part, count: int) -> Frames:
    import h5py  # noqa: PLC0415

    with h5py.File(part.path, "r") as file:
        group: Any = file[part.group]
        series = {name: np.asarray(group[name][:count]) for name in SERIES if name in group}
        return Frames(np.asarray(group["numbers"]).astype(np.int64), np.asarray(group["pbc"]), series)


def bytes_of(n_atoms: int, *, velocities: bool) -> int:
    """Return the bytes of a frame of ``n_atoms`` before it is compressed, which takes off about a tenth."""
    per_atom = 12 * (2 if velocities else 1)
    return n_atoms * per_atom + 9 * 8 + 5 * 8


def bytes_on_disk(n_frames: Array, n_atoms: Array, *, velocities: bool) -> int:
    """Return the most bytes that the trajectories of N rows take, headers included.

    A row has a header in each segment in which it has frames; that is all of them if all rows move at the same time.

    :param n_frames: (N,) frames of each row.
    :param n_atoms: (N,) atoms of each row.
    """
    sizes = np.array([bytes_of(int(n), velocities=velocities) for n in n_atoms])
    content = int((n_frames * sizes).sum())
    segments = 1 + content // SEGMENT_BYTES
    headers = HEADER_BYTES * int(np.minimum(n_frames, segments).sum())
    return content + headers + FILE_BYTES * segments

"""Reads the array files of a node and of its segments."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aiida import orm

from aiida_pet.data import segments
from aiida_pet.data.description import npy_array
from aiida_pet.tables.arrays import Array


def load_arrays(node: orm.ArrayData, paths: Sequence[str]) -> list[Array]:
    """Return the arrays in these files. Of a stored node all are asked for at once: each alone is a query."""
    repository = node.base.repository
    if not node.is_stored:
        return [npy_array(repository.get_object_content(path, "rb")) for path in paths]
    keys = [str(repository.get_object(path).key) for path in paths]
    streams = node.backend.get_repository().iter_object_streams(list(dict.fromkeys(keys)))
    contents = {key: npy_array(stream.read()) for key, stream in streams}
    return [contents[key] for key in keys]


def segment_arrays(node: orm.ArrayData, number: int) -> list[str]:
    """Return the names of the arrays of one segment."""
    names = node.base.repository.list_object_names(segments.segment_folder(number))
    return [name.removesuffix(".npy") for name in names]


def segment_reader(node: orm.ArrayData, n_segments: int) -> Callable[[str], list[Array | None]]:
    """Return what reads an array of all segments by name; None for those that have none."""
    files = [frozenset(segment_arrays(node, number)) for number in range(n_segments)]

    def read(name: str) -> list[Array | None]:
        found = [number for number in range(n_segments) if name in files[number]]
        arrays = load_arrays(node, [segments.segment_file(number, name) for number in found])
        of_segment = dict(zip(found, arrays, strict=True))
        return [of_segment.get(number) for number in range(n_segments)]

    return read

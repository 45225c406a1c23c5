"""The trajectories of a job as a node: its segments, as the engine wrote them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from aiida import orm
from ase.data import chemical_symbols

from aiida_pet.job.trajectory_files import Frames, Trajectories, TrajectoryError, segments_of

_COUNTS = "n_frames"


class TrajectoriesData(orm.Data):
    """Frames of the rows of one job of molecular dynamics.

    A launch has one for each of its jobs. A row that went on in a later job has frames in both:
    :func:`opened` puts them together.
    """

    @classmethod
    def from_segments(cls, segments: Sequence[Path]) -> TrajectoriesData:
        """Return the node, not stored yet, of ``segments``.

        :raises TrajectoryError: if one of them is no segment.
        """
        found = Trajectories(segments)
        node = cls()
        for segment in segments:
            node.base.repository.put_object_from_file(str(segment), segment.name)
        node.base.attributes.set(_COUNTS, {name: found.n_frames(name) for name in found.ids})
        node.base.attributes.set("n_bytes", sum(segment.stat().st_size for segment in segments))
        return node

    @property
    def ids(self) -> list[str]:
        """Rows that have frames here."""
        return list(self.base.attributes.get(_COUNTS))

    @property
    def n_frames(self) -> dict[str, int]:
        """Row -> number of its frames here."""
        counts: dict[str, int] = self.base.attributes.get(_COUNTS)
        return dict(counts)

    def _validate(self) -> bool:
        if not any(name.endswith(".h5") for name in self.base.repository.list_object_names()):
            raise TrajectoryError("a node of trajectories has at least one segment: use from_segments()")
        return bool(super()._validate())


@contextmanager
def opened(nodes: Iterable[TrajectoriesData]) -> Iterator[Trajectories]:
    """Open the trajectories in ``nodes``, the nodes of the jobs of a launch in the order in which they ran."""
    with tempfile.TemporaryDirectory() as folder:
        segments: list[Path] = []
        for number, node in enumerate(nodes):
            here = Path(folder) / f"{number:05d}"
            here.mkdir()
            node.base.repository.copy_tree(here)
            segments += segments_of(here)
        yield Trajectories(segments)


def trajectory_data(frames: Frames) -> orm.TrajectoryData:
    """Return ``frames`` of one row as AiiDA's node, not stored; times are in ps and velocities in A/ps there."""
    series: dict[str, Any] = frames.series
    node = orm.TrajectoryData()
    node.set_trajectory(
        symbols=[chemical_symbols[number] for number in frames.numbers.tolist()],
        positions=series["positions"].astype(float),
        stepids=series["steps"],
        cells=series["cells"],
        times=series["times"] / 1000.0,
        velocities=series["velocities"].astype(float) * 1000.0 if "velocities" in series else None,
        pbc=frames.pbc.tolist(),
    )
    for name, unit in (("energies", "eV"), ("temperatures", "K"), ("pressures", "GPa")):
        node.set_array(name, series[name])
        node.base.attributes.set(f"units|{name}", unit)
    return node

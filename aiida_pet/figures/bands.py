"""Phonon bands of a row along the labelled path of its space group, or of the space group that it had before its
relaxation.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import seekpath
from numpy.typing import NDArray
from phonopy import Phonopy

from aiida_pet.crystals.phonons.bands import BandPath, BandStructure, band_path, band_structure
from aiida_pet.crystals.phonons.stored import phonopy_of_row
from aiida_pet.figures.frequency import FrequencyUnit
from aiida_pet.figures.source import NotDrawnError, framed
from aiida_pet.tables.arrays import Floats
from aiida_pet.tables.crystals import StructureTable

REMEDY = (
    "only results of the task phonons have force constants; in a screening the table of the stage phonons has them "
    "(`outputs.stages.phonons`)"
)


@dataclass(frozen=True)
class Bands:
    """Bands along a path, segment by segment.

    :ivar id: id of the row.
    :ivar unit: unit of frequencies.
    :ivar distances: distances along each segment (Q,), 1/A without 2 pi; a segment begins at the distance at which the
        one before ends.
    :ivar frequencies: frequencies of each segment (Q, 3 P); imaginary frequencies are negative.
    :ivar ticks: (distance, label) of the labelled points; ``H|P`` where the path breaks off.
    :ivar spacegroup: number of the space group that the path belongs to.
    :ivar remarks: remarks on the path, in words.
    """

    id: str
    unit: FrequencyUnit
    distances: tuple[Floats, ...]
    frequencies: tuple[Floats, ...]
    ticks: tuple[tuple[float, str], ...]
    spacegroup: int
    remarks: tuple[str, ...] = field(default_factory=tuple)

    @property
    def breaks(self) -> tuple[float, ...]:
        """Distances at which the path breaks off."""
        return tuple(distance for distance, label in self.ticks if "|" in label)

    def to_frame(self) -> pd.DataFrame:
        """Return a row per q-point: ``segment``, ``label``, ``distance``, ``band_0``, ``band_1``, ..."""
        frequencies = np.concatenate(self.frequencies)
        sizes = [len(part) for part in self.distances]
        names = dict(self.ticks)
        distances = np.concatenate(self.distances)
        ends = {
            offset + place
            for offset, size in zip(np.cumsum([0, *sizes]), sizes, strict=False)
            for place in (0, size - 1)
        }
        columns: dict[str, object] = {
            "segment": np.repeat(np.arange(len(sizes)), sizes),
            "label": [names.get(float(one), "") if i in ends else "" for i, one in enumerate(distances)],
            "distance": distances,
        }
        bands = {f"band_{index}": frequencies[:, index] for index in range(frequencies.shape[1])}
        return framed(columns | bands, {"distance": "1/A", **dict.fromkeys(bands, self.unit.value)})


def bands_of_row(
    table: StructureTable,
    row_id: str,
    *,
    start: StructureTable | None = None,
    path: BandPath | None = None,
    unit: FrequencyUnit | str = FrequencyUnit.THZ,
    spacing: float = 0.01,
    symprec: float = 0.01,
    phonon_symprec: float = 1e-5,
) -> Bands:
    """Return the bands of a row from its force constants.

    :param table: results of the task ``phonons``.
    :param start: the crystals before their relaxation, with the same ids. Bands are then along the path of the
        unrelaxed crystal, so a crystal that lost its symmetry keeps the labels of its original space group.
    :param path: another path, in the reciprocal basis of the primitive cell of the row.
    :param unit: unit of the frequencies.
    :param spacing: largest distance between points, 1/A, without 2 pi.
    :param symprec: tolerance at which the path's space group is found, A.
    :param phonon_symprec: the parameter ``phonon_symprec`` of the task, A.
    :raises NotDrawnError: if the row has no force constants, or no path is found.

    .. code-block:: python

        from aiida_pet.campaigns import rows

        bands = bands_of_row(rows("phonons of alloys").to_table(), "MoTa-0013", unit="cm-1")
        print([name for _, name in bands.ticks])
    """
    try:
        phonopy = phonopy_of_row(table, row_id, symprec=phonon_symprec)
    except KeyError as error:
        raise NotDrawnError(str(error.args[0])) from error
    except ValueError as error:
        raise NotDrawnError(f"{error}: {REMEDY}") from error
    remarks: tuple[str, ...] = ()
    if path is None:
        path, remarks = _path(phonopy, row_id, start, symprec)
    unit = FrequencyUnit(unit)
    return _drawn(row_id, band_structure(phonopy, path, spacing=spacing), unit, remarks)


def _drawn(row_id: str, found: BandStructure, unit: FrequencyUnit, remarks: tuple[str, ...]) -> Bands:
    parts = [slice(first, last) for first, last in pairwise(found.offsets.tolist())]
    ticks: list[tuple[float, str]] = []
    for index, name in found.labels:
        label, distance = shown_label(name), float(found.distances[index])
        if ticks and abs(ticks[-1][0] - distance) < 1e-12:
            ticks[-1] = (ticks[-1][0], f"{ticks[-1][1]}|{label}")
        else:
            ticks.append((distance, label))
    return Bands(
        id=row_id,
        unit=unit,
        distances=tuple(found.distances[part] for part in parts),
        frequencies=tuple(found.frequencies[part] * unit.per_thz for part in parts),
        ticks=tuple(ticks),
        spacegroup=found.path.spacegroup,
        remarks=remarks,
    )


def shown_label(name: str) -> str:
    """Return how a point of seekpath is called in a figure: ``GAMMA`` is a Greek letter, ``X_1`` has its index low."""
    head, _, index = name.partition("_")
    return ("Γ" if head == "GAMMA" else head) + index.translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))


def _path(
    phonopy: Phonopy, row_id: str, start: StructureTable | None, symprec: float
) -> tuple[BandPath, tuple[str, ...]]:
    """Return the path, that of the start where it fits, and what has to be said of it."""
    own = _path_of(phonopy, None, symprec)
    if start is None or not (start.ids == row_id).any():
        return own, ()
    row = start.index(row_id)
    atoms = start.atoms_of(row)
    parent = (start.cells[row], start.positions[atoms], start.numbers[atoms])
    try:
        of_start = _path_of(phonopy, parent, symprec)
    except ValueError as error:
        return own, (
            f"the path of the unrelaxed crystal does not fit ({error}), so the bands are along the path of the "
            "relaxed crystal",
        )
    if of_start.spacegroup == own.spacegroup:
        return of_start, ()
    return of_start, (
        f"the bands are along the path of the unrelaxed crystal, space group {of_start.spacegroup}; the relaxed "
        f"crystal has space group {own.spacegroup} at {symprec:g} A",
    )


def _path_of(
    phonopy: Phonopy, parent: tuple[Floats, Floats, NDArray[Any]] | None, symprec: float
) -> BandPath:
    primitive = phonopy.primitive
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", seekpath.SupercellWarning)
        try:
            return band_path(
                primitive.cell, primitive.positions, primitive.numbers, symprec=symprec, parent=parent
            )
        except ValueError as error:
            if parent is not None:
                raise
            raise NotDrawnError(str(error)) from error

"""Figures of one crystal: phonons, thermal curves, elastic tensor, Young's modulus, heat, dynamics."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from aiida_pet.data.partial import fresh
from aiida_pet.data.structures import StructureSetData
from aiida_pet.data.table import TableData
from aiida_pet.figures import (
    Bands,
    Dos,
    NotDrawnError,
    bands_of_row,
    dos_of_row,
    elastic_surface_of_row,
    thermal_of_row,
)
from aiida_pet.figures.symmetry import group_symbol
from aiida_pet.job.tasks import Task
from aiida_pet.report.dynamics import path_figures, steps_before, trajectories_for_page
from aiida_pet.report.figure import Figure, Kind, columns_of, plain_list
from aiida_pet.report.heat import NEEDED, heat_figures
from aiida_pet.report.source import Source
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.tables.table import Table
from aiida_pet.units import VOIGT

logger = logging.getLogger(__name__)

MOST_BYTES = 500_000_000
"""Of force constants that are read at once; bands of a larger table are left to `aiida-pet plot bands`."""
BAND_SPACING = 0.02  # 1/A
DIGITS = 5
_PHONONS = ("supercell_matrix", "primitive_matrix", "dielectric_tensor", "status", "message")
_THERMAL = ("free_energy", "temperatures", "entropy", "heat_capacity", "n_atoms_primitive")
_DOS = ("dos_frequencies", "phonon_dos")
_ELASTIC = ("elastic_tensor_ieee", "elastic_tensor")
_CONSTANTS = "force_constants"
_EVERY_THETA, _EVERY_PHI = 2, 3  # of the grid of the surface: what the eye sees of it on a page


def details_of(source: Source, ids: Sequence[str]) -> dict[str, list[Figure]]:
    """Return the figures of each of ``ids``; what a crystal has no values for is left out."""
    phonons, start = _phonon_tables(source, ids)
    thermal, dos, elastic = (_columns_at(source, names, ids) for names in (_THERMAL, _DOS, _ELASTIC))
    heat = {kind: _columns_at(source, names, ids) for kind, names in NEEDED.items()}
    makers: list[Callable[[str], list[Figure]]] = [
        lambda row_id: _bands(phonons, start, dos, row_id),
        lambda row_id: _thermal(thermal, row_id),
        lambda row_id: _elastic(elastic, row_id),
        *(partial(heat_figures, kind, table) for kind, table in heat.items() if table is not None),
    ]
    if source.task != Task.MD:
        return _made(makers, ids)
    with trajectories_for_page(source) as trajectories:
        if trajectories is not None:
            before = steps_before(source)
            makers.append(lambda row_id: path_figures(trajectories, row_id, before))
        return _made(makers, ids)


def _made(makers: Sequence[Callable[[str], list[Figure]]], ids: Sequence[str]) -> dict[str, list[Figure]]:
    """Return what ``makers`` make of each of ``ids``; nothing where one has no values."""
    found: dict[str, list[Figure]] = {}
    for row_id in ids:
        found[row_id] = []
        for make in makers:
            try:
                found[row_id] += make(row_id)
            except NotDrawnError as error:
                logger.debug("%s: %s", row_id, error)
    return found


def _columns_at(source: Source, names: Sequence[str], ids: Sequence[str]) -> Table | None:
    """Return columns of the rows ``ids``, of the last table that has the first of them; None if none has it."""
    node = source.table_with(names[0]) or source.table_with(names[-1])
    if node is None:
        return None
    places = _places(node, ids)
    there = [name for name in names if name in node.column_names]
    read = fresh(node)
    return Table(node.ids[places], {name: read.column(name)[places] for name in there}, {}, {})


def _places(node: TableData, ids: Sequence[str]) -> Any:
    places = pd.Index(node.ids).get_indexer(pd.Index(ids))
    return places[places >= 0]


def _phonon_tables(source: Source, ids: Sequence[str]) -> tuple[StructureTable | None, StructureTable | None]:
    """Return the rows ``ids`` with their force constants, and as they were before the relaxation."""
    node = source.table_with(_CONSTANTS)
    if not isinstance(node, StructureSetData):
        return None, None
    size = 8 * math.prod(node.base.attributes.get(f"array|ragged_{_CONSTANTS}", [0]))
    if size > MOST_BYTES:
        logger.warning(
            "the page has no bands, since the force constants are too large (%.0f MB)",
            size / 1e6,
        )
        return None, None
    read = fresh(node)
    whole = StructureTable(
        ids=read.ids,
        columns={name: read.column(name) for name in _PHONONS if name in read.column_names},
        ragged={name: read.ragged(name) for name in read.ragged_names},
        units={},
        **read.geometry(),
    )
    start = None
    if source.given is not None:
        places = _places(source.given, ids)
        given = source.given.geometry()
        start = StructureTable(ids=source.given.ids, columns={}, units={}, **given).take(places)
    return whole.take(_places(node, ids)), start


def _bands(
    table: StructureTable | None, start: StructureTable | None, densities: Table | None, row_id: str
) -> list[Figure]:
    if table is None:
        return []
    bands = bands_of_row(table, row_id, start=start, spacing=BAND_SPACING)
    dos = None
    if densities is not None:
        try:
            dos = dos_of_row(densities, row_id)
        except NotDrawnError:
            dos = None
    frame = bands.to_frame()
    names = [str(name) for name in frame.columns if str(name).startswith("band_")]
    symbol = group_symbol(bands.spacegroup)
    remarks = " ".join(f"{one[:1].upper()}{one[1:]}." for one in bands.remarks)
    along = " ".join(label for _, label in bands.ticks)
    lowest = float(frame[names].to_numpy().min())
    return [
        Figure(
            name=f"bands-{row_id}",
            kind=Kind.BANDS,
            title="Phonon bands",
            alt=f"Phonon bands of {row_id} along {along}, from {lowest:.3g} THz up"
            + (", with the density of states beside them" if dos else ""),
            columns=columns_of(frame, DIGITS),
            options={
                "branches": names,
                "ticks": [distance for distance, _ in bands.ticks],
                "labels": [label for _, label in bands.ticks],
                "unit": bands.unit.value,
                "dos": _beside(dos, bands),
            },
            caption=f"on the path of {symbol} ({bands.spacegroup}). {remarks}".strip(),
        )
    ]


def _beside(dos: Dos | None, bands: Bands) -> dict[str, list[Any]] | None:
    """Return the density of states beside bands, where frequencies are of their range."""
    if dos is None:
        return None
    top = max(float(part.max()) for part in bands.frequencies) * 1.05
    low = min(0.0, min(float(part.min()) for part in bands.frequencies) * 1.05)
    inside = (dos.frequencies >= low) & (dos.frequencies <= top)
    return {
        "frequency": plain_list(dos.frequencies[inside], DIGITS),
        "density": plain_list(dos.total[inside], DIGITS),
    }


def _thermal(table: Table | None, row_id: str) -> list[Figure]:
    if table is None:
        return []
    found = thermal_of_row(table, row_id)
    return [
        Figure(
            name=f"thermal-{row_id}",
            kind=Kind.LINES,
            title="Thermal properties",
            alt=f"Free energy, entropy and heat capacity of the vibrations of {row_id} from "
            f"{found.temperatures[0]:g} to {found.temperatures[-1]:g} K",
            columns=columns_of(found.to_frame(), DIGITS),
            options={
                "x": "temperature",
                "x_title": "temperature (K)",
                "panels": [
                    {"title": "F (kJ/mol)", "columns": ["free_energy"]},
                    {"title": "S (J/K/mol)", "columns": ["entropy"]},
                    {"title": "Cv (J/K/mol)", "columns": ["heat_capacity"]},
                ],
            },
            caption=f"per mole of {found.per}, harmonic.",
        )
    ]


def _elastic(table: Table | None, row_id: str) -> list[Figure]:
    if table is None:
        return []
    found = elastic_surface_of_row(table, row_id)
    tensor = Figure(
        name=f"elastic-{row_id}",
        kind=Kind.TENSOR,
        title="Elastic tensor",
        alt=f"Elastic tensor of {row_id}, six by six, in GPa",
        columns={axis: plain_list(np.round(found.tensor[:, place], 4)) for place, axis in enumerate(VOIGT)},
        caption=f"in GPa, {found.axes}.",
    )
    theta, phi = found.theta[::_EVERY_THETA], found.phi[:-1:_EVERY_PHI]
    modulus = found.youngs_modulus[::_EVERY_THETA, :-1:_EVERY_PHI]
    along = ", ".join(f"{name} {value:.4g}" for name, (value, _) in found.directions.items())
    surface = Figure(
        name=f"young-{row_id}",
        kind=Kind.YOUNG,
        title="Young's modulus",
        alt=f"Surface whose distance from its middle is Young's modulus of {row_id} along each direction: {along} GPa",
        columns={
            "theta": plain_list(np.repeat(theta, len(phi)), DIGITS),
            "phi": plain_list(np.tile(phi, len(theta)), DIGITS),
            "youngs_modulus": plain_list(modulus.ravel(), DIGITS),
        },
        options={
            "n_phi": len(phi),
            "least": float(found.youngs_modulus.min()),
            "most": float(found.youngs_modulus.max()),
        },
        caption=f"along every direction, {found.axes}: {along} GPa.",
    )
    return [surface, tensor]

"""What a launch of conductivities would evaluate: displaced supercells, counted before anything runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from aiida_pet.campaigns.transport_estimates import transport_seconds
from aiida_pet.crystals.conductivity.cells import count_displaced, make_phono3py
from aiida_pet.crystals.conductivity.plan import Rule, cells_as_given, cells_by_rule, is_metal
from aiida_pet.job.choices import Opposites
from aiida_pet.job.conductivity_parameters import ConductivityParameters
from aiida_pet.job.given_rows import given_supercells
from aiida_pet.job.suitability import foreseen
from aiida_pet.job.tasks import Task
from aiida_pet.tables.crystals import StructureTable
from aiida_pet.words import duration

MOST_COUNTED = 20
"""Crystals that are counted one by one; of more a sample is, and stands for the others."""
MOST_WITHOUT_ASKING = 20_000
"""Displaced supercells of a launch that are computed without being asked for by ``--yes``."""


@dataclass(frozen=True)
class Cost:
    """What a launch evaluates.

    :ivar displacements: displaced supercells of all crystals.
    :ivar atoms: in all of them.
    :ivar largest: largest value of a single crystal, displaced supercells.
    :ivar largest_id: its id.
    :ivar counted: crystals that were counted; the others are taken to be like these.
    :ivar n_rows: crystals that the task takes.
    :ivar failed: id -> why it cannot be displaced, of those that were looked at.
    :ivar metals: ids of crystals whose elements are all metals.
    :ivar transport_s: seconds that the transport of all crystals takes on one core.
    :ivar notes: further sentences on the crystals, said once per launch.
    """

    displacements: int
    atoms: int
    largest: int
    largest_id: str
    counted: int
    n_rows: int
    failed: dict[str, str]
    metals: list[str]
    transport_s: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def remedy(self) -> str:
        """What makes it less, in words."""
        return "choose a smaller supercell (--set fc3_min_image), a pair_cutoff, or a smaller set"

    @property
    def later(self) -> dict[str, str]:
        """Name of a job that comes after those of the engine -> what it takes, in words."""
        return {
            "transport": f"about {duration(self.transport_s)} on one core, after the forces; rows are shared out over "
            "the cores of its job (--transport-resources cpus=N)"
        }

    @property
    def told(self) -> str:
        """What it is in words."""
        about = "" if self.counted == self.n_rows else f"about (counted for {self.counted} of {self.n_rows}) "
        return (
            f"{about}{self.displacements:,} displaced supercells with {self.atoms:,} atoms; the largest crystal, "
            f"{self.largest_id}, has {self.largest:,}"
        )

    @property
    def too_much(self) -> bool:
        """Whether it is not computed without being asked for."""
        return self.displacements > MOST_WITHOUT_ASKING


def count_displacements(table: StructureTable, raw: dict[str, Any]) -> Cost:
    """Return what a launch over the crystals of ``table``, as they are, would evaluate.

    The supercells of third order are those of phono3py; of second order as well.

    :param table: the crystals.
    :param raw: parameters of the task.
    :raises MissingPhono3pyError: if phono3py is not installed.
    """
    parameters = ConductivityParameters.model_validate(raw)
    refused = foreseen(Task.CONDUCTIVITY, table, parameters)
    rows = [row for row in range(len(table)) if row not in refused]
    sample = rows
    if len(rows) > MOST_COUNTED:
        sample = [rows[place] for place in np.linspace(0, len(rows) - 1, MOST_COUNTED).astype(int)]
    counts: dict[str, tuple[int, int, float]] = {}
    failed: dict[str, str] = {}
    for row in sample:
        name = str(table.ids[row])
        try:
            counts[name] = _count(table, row, parameters)
        except ValueError as error:
            failed[name] = str(error)
    share = len(rows) / len(sample) if sample else 0.0
    largest = max(counts, key=lambda name: counts[name][0], default="")
    metals = [
        str(table.ids[row])
        for row in rows
        if is_metal(table.numbers[table.offsets[row] : table.offsets[row + 1]])
    ]
    return Cost(
        displacements=round(share * sum(count for count, _, _ in counts.values())),
        atoms=round(share * sum(atoms for _, atoms, _ in counts.values())),
        transport_s=share * sum(seconds for _, _, seconds in counts.values()),
        largest=counts[largest][0] if largest else 0,
        largest_id=largest,
        counted=len(sample),
        n_rows=len(rows),
        failed=failed,
        metals=metals,
    )


def _count(table: StructureTable, row: int, parameters: ConductivityParameters) -> tuple[int, int, float]:
    """Return displaced supercells of a crystal, the atoms in them, and the seconds of its transport on one core."""
    atoms = slice(table.offsets[row], table.offsets[row + 1])
    crystal = table.cells[row], table.positions[atoms], table.numbers[atoms]
    given = given_supercells(table, row) if parameters.given_cells else None
    symprec = parameters.phonon_symprec
    if given is not None:
        chosen = cells_as_given(*crystal, fc2_matrix=given[0], fc3_matrix=given[1], symprec=symprec)
    else:
        chosen = cells_by_rule(
            *crystal,
            fc2=Rule(parameters.fc2_min_image, parameters.fc2_max_atoms, parameters.fc2_supercell),
            fc3=Rule(parameters.fc3_min_image, parameters.fc3_max_atoms, parameters.fc3_supercell),
            symprec=symprec,
        )
    cells = chosen.cells
    # it is quick, and there are as many displacements of second order
    crystal_of = make_phono3py(replace(cells, fc2_matrix=cells.fc3_matrix))
    second, third = count_displaced(
        crystal_of,
        distance=0.03,
        plus_minus=True if parameters.opposites is Opposites.ALWAYS else "auto",
        cutoff=parameters.pair_cutoff,
    )
    of_second, of_third = (
        round(float(np.linalg.det(matrix))) * len(cells.numbers)
        for matrix in (cells.fc2_matrix, cells.fc3_matrix)
    )
    seconds = transport_seconds(crystal_of, table, row, parameters)
    return second + third, second * of_second + third * of_third, seconds

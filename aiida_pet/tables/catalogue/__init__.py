"""The catalogue: what each column means, in which unit, and when it exists. It is written down here only."""

from __future__ import annotations

from aiida_pet.tables.catalogue.conductivity import CONDUCTIVITY
from aiida_pet.tables.catalogue.dynamics import DYNAMICS
from aiida_pet.tables.catalogue.elasticity import ELASTICITY
from aiida_pet.tables.catalogue.equation_of_state import EQUATION_OF_STATE
from aiida_pet.tables.catalogue.evaluation import EVALUATION
from aiida_pet.tables.catalogue.general import GENERAL
from aiida_pet.tables.catalogue.given import GIVEN
from aiida_pet.tables.catalogue.hull import HULL
from aiida_pet.tables.catalogue.phonons import PHONONS
from aiida_pet.tables.catalogue.quasi_harmonic import QUASI_HARMONIC
from aiida_pet.tables.catalogue.relaxation import RELAXATION
from aiida_pet.tables.catalogue.symmetry import SYMMETRY
from aiida_pet.tables.column import Column

COLUMNS: tuple[Column, ...] = (
    *GENERAL,
    *EVALUATION,
    *RELAXATION,
    *HULL,
    *PHONONS,
    *ELASTICITY,
    *EQUATION_OF_STATE,
    *QUASI_HARMONIC,
    *CONDUCTIVITY,
    *DYNAMICS,
    *SYMMETRY,
    *GIVEN,
)
"""All columns that this package writes, in the order in which people see them."""

"""Node types: tables of rows, sets of crystals, models; and how they are found, merged and looked up.

The nodes are imported on first use, since AiiDA takes seconds to import. Files are read and written in
:mod:`aiida_pet.io`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiida_pet.homes import from_homes

if TYPE_CHECKING:
    from aiida_pet.data.model import PetModelData
    from aiida_pet.data.structures import StructureSetData
    from aiida_pet.data.table import TableData

__all__ = ["PetModelData", "StructureSetData", "TableData"]

_HOMES = {"PetModelData": "model", "StructureSetData": "structures", "TableData": "table"}


__getattr__ = from_homes(__name__, _HOMES)

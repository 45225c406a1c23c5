"""Node types: tables of rows, sets of crystals, models; and how they are found, merged and looked up.

The nodes are imported on first use, since AiiDA takes seconds to import. Files are read and written in
:mod:`aiida_pet.io`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiida_pet.data.model import PetModelData
    from aiida_pet.data.structures import StructureSetData
    from aiida_pet.data.table import TableData

__all__ = ["PetModelData", "StructureSetData", "TableData"]

_HOMES = {"PetModelData": "model", "StructureSetData": "structures", "TableData": "table"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)

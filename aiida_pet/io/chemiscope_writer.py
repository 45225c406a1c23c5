"""Writes crystals and their columns for chemiscope, which shows a map of properties beside the structures. No AiiDA.

The file is what chemiscope calls an input (https://chemiscope.org/docs/manual/input-reference.html): it opens on
chemiscope.org and in ``chemiscope.show_input``. It is written only, and holds columns with one value per row.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

from aiida_pet.io.whole_files import open_whole
from aiida_pet.tables.crystals import StructureTable


class MissingChemiscopeError(ImportError):
    """Raised when a file for chemiscope is asked for and chemiscope is not installed."""


def write_chemiscope(table: StructureTable, path: Path) -> None:
    """Write all rows of ``table``, compressed if the name ends in ``.gz``.

    :raises MissingChemiscopeError: if chemiscope is not installed.
    """
    try:
        from chemiscope.input import create_input  # noqa: PLC0415 - an extra, and slow to import
    except ImportError as error:
        raise MissingChemiscopeError(
            "the format chemiscope needs chemiscope, which is not installed: `pip install 'aiida-pet[chemiscope]'`"
        ) from error
    crystals = list(table.iter_ase())
    for atoms in crystals:
        atoms.calc = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values that are missing, whose rows the map leaves out
        document = create_input(
            structures=crystals,
            properties=properties_of(table),
            metadata={"name": path.name.partition(".")[0]},
        )
    with open_whole(path) as handle:
        json.dump(document, handle)


def properties_of(table: StructureTable) -> dict[str, dict[str, Any]]:
    """Return the ids and the columns with one value per row as chemiscope takes them; flags are 0 and 1."""
    found: dict[str, dict[str, Any]] = {"id": {"target": "structure", "values": table.ids.tolist()}}
    for name, values in table.columns.items():
        if values.ndim > 1 or values.dtype.kind not in "fiubU":
            continue
        plain = (values.astype(int) if values.dtype.kind == "b" else values).tolist()
        found[name] = {"target": "structure", "values": plain}
        if table.units.get(name):
            found[name]["units"] = table.units[name]
    return found

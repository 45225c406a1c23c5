"""Functions to look at launches from a script or a notebook: progress, rows, search, comparison, provenance.

>>> from aiida import load_profile
>>> from aiida_pet.campaigns import rows, status
>>> profile = load_profile()  # doctest: +SKIP
>>> status(12).progress.rows_done  # doctest: +SKIP
64
>>> rows(12).frame(where="status == converged", columns=["formula", "energy"])  # doctest: +SKIP

You can give a launch, a set or a table by its pk, its uuid or its label, or as a node. Functions return frozen
dataclasses, and data frames with units in ``attrs["units"]``. They raise errors as subclasses of
:class:`~aiida_pet.campaigns.errors.CampaignError`. Functions have verbs as names and modules have nouns, so no module
hides a function. Functions are imported on first use, since AiiDA is slow to import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiida_pet.homes import from_homes

if TYPE_CHECKING:
    from aiida_pet.campaigns.agreement import metrics
    from aiida_pet.campaigns.comparison import compare
    from aiida_pet.campaigns.errors import CampaignError
    from aiida_pet.campaigns.estimates import estimate
    from aiida_pet.campaigns.provenance import trace
    from aiida_pet.campaigns.report import status
    from aiida_pet.campaigns.results import rows
    from aiida_pet.campaigns.resumption import resume
    from aiida_pet.campaigns.search import find
    from aiida_pet.campaigns.sheets import sheet

__all__ = [
    "CampaignError",
    "compare",
    "estimate",
    "find",
    "metrics",
    "resume",
    "rows",
    "sheet",
    "status",
    "trace",
]

_HOMES = {
    "CampaignError": "errors",
    "compare": "comparison",
    "estimate": "estimates",
    "find": "search",
    "metrics": "agreement",
    "resume": "resumption",
    "rows": "results",
    "sheet": "sheets",
    "status": "report",
    "trace": "provenance",
}


__getattr__ = from_homes(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__

"""A campaign as one page that opens offline: parameters, results, figures, crystals and all rows.

>>> from aiida_pet.report import Choices, write_report
>>> write_report([12], "campaign.html", Choices(best=20))  # doctest: +SKIP

The numbers of figures come from :mod:`aiida_pet.figures`, and facts about launches from :mod:`aiida_pet.campaigns`.
Functions are imported on first use, since AiiDA is slow to import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiida_pet.homes import from_homes

if TYPE_CHECKING:
    from aiida_pet.report.choices import Choices
    from aiida_pet.report.document import Document, make_document
    from aiida_pet.report.page import page_of
    from aiida_pet.report.writing import Written, write_report

__all__ = ["Choices", "Document", "Written", "make_document", "page_of", "write_report"]

_HOMES = {
    "Choices": "choices",
    "Document": "document",
    "Written": "writing",
    "make_document": "document",
    "page_of": "page",
    "write_report": "writing",
}


__getattr__ = from_homes(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__

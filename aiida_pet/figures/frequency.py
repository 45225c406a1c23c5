"""Units in which frequencies are shown."""

from __future__ import annotations

from enum import StrEnum

from scipy import constants


class FrequencyUnit(StrEnum):
    """Unit of a frequency axis; tables have THz."""

    THZ = "THz"
    CM1 = "cm-1"

    @property
    def per_thz(self) -> float:
        """Value of 1 THz in this unit."""
        return 1.0 if self is FrequencyUnit.THZ else 1e10 / constants.speed_of_light

"""Units in which frequencies are shown."""

from __future__ import annotations

from enum import StrEnum

from scipy import constants


class FrequencyUnit(StrEnum):
    """What a frequency axis is in; tables have THz."""

    THZ = "THz"
    CM1 = "cm-1"

    @property
    def per_thz(self) -> float:
        """How much of the unit is 1 THz."""
        return 1.0 if self is FrequencyUnit.THZ else 1e10 / constants.speed_of_light

"""Two equations of state of four numbers: energy, pressure and bulk modulus over the volume.

Birch and Murnaghan's of third order (F. Birch, Phys. Rev. 71, 809 (1947)) and that of Vinet et al. (J. Phys.: Condens.
Matter 1, 1941 (1989)), both as in M. Hebbache and M. Zemzemi, Phys. Rev. B 70, 224107 (2004). P = -dE/dV and
B = -V dP/dV are their derivatives, written out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from aiida_pet.job.choices import Equation

_REACH = (0.4, 2.0)  # volumes in which a pressure is looked for, as shares of the volume of the minimum


@dataclass(frozen=True)
class EquationOfState:
    """An equation of state.

    :ivar equation: which.
    :ivar energy: at its minimum, eV.
    :ivar volume: at its minimum, A^3.
    :ivar bulk_modulus: there, eV/A^3.
    :ivar derivative: derivative of the bulk modulus by the pressure, there.
    """

    equation: Equation
    energy: float
    volume: float
    bulk_modulus: float
    derivative: float

    def energies(self, volumes: ArrayLike) -> Any:
        """Return the energies at ``volumes`` (A^3), eV."""
        scale = self.bulk_modulus * self.volume
        if self.equation is Equation.BIRCH_MURNAGHAN:
            f = self._compression(volumes)
            return self.energy + 4.5 * scale * f**2 * (1 + (self.derivative - 4) * f)
        x, slope = self._length(volumes), 1.5 * (self.derivative - 1)
        y = slope * (1 - x)
        if abs(slope) < 1e-6:  # its limit, where the next line is 0 / 0
            return self.energy + 4.5 * scale * (1 - x) ** 2
        return self.energy + 9 * scale / slope**2 * (1 + (y - 1) * np.exp(y))

    def pressures(self, volumes: ArrayLike) -> Any:
        """Return the pressures at ``volumes`` (A^3), eV/A^3."""
        if self.equation is Equation.BIRCH_MURNAGHAN:
            f = self._compression(volumes)
            third = 1 + 1.5 * (self.derivative - 4) * f
            return 3 * self.bulk_modulus * f * (1 + 2 * f) ** 2.5 * third
        x = self._length(volumes)
        return 3 * self.bulk_modulus * (1 - x) / x**2 * np.exp(1.5 * (self.derivative - 1) * (1 - x))

    def bulk_moduli(self, volumes: ArrayLike) -> Any:
        """Return the bulk moduli at ``volumes`` (A^3), eV/A^3."""
        if self.equation is Equation.BIRCH_MURNAGHAN:
            f, d = self._compression(volumes), self.derivative
            third = 1 + (3 * d - 5) * f + 13.5 * (d - 4) * f**2
            return self.bulk_modulus * (1 + 2 * f) ** 2.5 * third
        x, slope = self._length(volumes), 1.5 * (self.derivative - 1)
        return self.bulk_modulus / x**2 * (2 - x + slope * x * (1 - x)) * np.exp(slope * (1 - x))

    def volume_at(self, pressure: float) -> float:
        """Return the volume (A^3) at ``pressure`` (eV/A^3), on the branch of the minimum.

        :raises ValueError: if there is none, since the crystal would come apart or is compressed beyond reason.
        """
        if not pressure:
            return self.volume
        # outwards from the minimum, to the first volume at which the pressure is passed
        grid = self.volume * np.linspace(1.0, _REACH[pressure < 0], 1601)
        excess = self.pressures(grid) - pressure
        crossed = np.flatnonzero(excess <= 0 if pressure < 0 else excess >= 0)
        if not len(crossed):
            raise ValueError(
                f"the equation of state does not have a pressure of {pressure:.4g} eV/A^3 at any volume between "
                f"{_REACH[0]:g} and {_REACH[1]:g} times its volume of {self.volume:.4f} A^3"
            )
        end = float(grid[crossed[0]])
        return float(brentq(lambda volume: self.pressures(volume) - pressure, self.volume, end, xtol=1e-13))

    def _compression(self, volumes: ArrayLike) -> Any:
        return ((self.volume / np.asarray(volumes, dtype=np.float64)) ** (2 / 3) - 1) / 2

    def _length(self, volumes: ArrayLike) -> Any:
        return np.cbrt(np.asarray(volumes, dtype=np.float64) / self.volume)

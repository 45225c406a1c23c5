"""Quasi-harmonic properties: what free energies of harmonic phonons at several volumes say of a crystal at a pressure.

At each temperature an equation of state is fitted to F(V) = E(V) + F_vib(V), and the volume is found at which it has
the pressure of the launch (B. Fultz, Prog. Mater. Sci. 55, 247 (2010)). The thermal expansion is the exact derivative
of that volume: the fit depends on the temperature through F(V) alone, whose derivative is -S(V), so that no grid of
temperatures decides it. With alpha = (dV/dT) / V and the isothermal bulk modulus B

    C_p = C_v + alpha^2 B V T,    gamma = alpha B V / C_v.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.polynomial import Polynomial

from aiida_pet.crystals.eos.fit import FEWEST, fit_eos
from aiida_pet.job.choices import Equation
from aiida_pet.tables.arrays import Floats

_STEP = 0.5  # K, of the derivative of the fit
_DEGREE = 4  # of polynomials of the heat capacity over the volume, as in phonopy
_COLD = 1e-7  # eV/K, 0.001 k_B; a cell with a lower heat capacity has no Grueneisen parameter but noise


@dataclass(frozen=True)
class VolumeSeries:
    """A crystal at V volumes and T temperatures, everything of one cell.

    :ivar volumes: (V,), A^3.
    :ivar energies: (V,) without vibrations, eV.
    :ivar temperatures: (T,), K.
    :ivar free_energies: (V, T) of the vibrations, eV.
    :ivar entropies: (V, T), eV/K.
    :ivar heat_capacities: (V, T) at constant volume, eV/K.
    """

    volumes: Floats
    energies: Floats
    temperatures: Floats
    free_energies: Floats
    entropies: Floats
    heat_capacities: Floats

    def __post_init__(self) -> None:
        shape = (len(self.volumes), len(self.temperatures))
        for name in ("free_energies", "entropies", "heat_capacities"):
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} must have shape {shape}, got {getattr(self, name).shape}")

    def take(self, places: Floats) -> VolumeSeries:
        """Return the volumes at ``places``, indices or flags."""
        kept = {
            field.name: getattr(self, field.name)[places]
            for field in fields(self)
            if field.name != "temperatures"
        }
        return VolumeSeries(temperatures=self.temperatures, **kept)


@dataclass(frozen=True)
class QuasiHarmonic:
    """Properties at T temperatures, (T,) each; NaN from the temperature on at which the volume leaves the volumes.

    :ivar volume: A^3.
    :ivar expansion: expansion of the volume, 1/K.
    :ivar bulk_modulus: isothermal, eV/A^3.
    :ivar gibbs: F + P V, eV.
    :ivar heat_capacity_v: eV/K.
    :ivar heat_capacity_p: eV/K.
    :ivar gruneisen: thermodynamic; NaN at 0 K, where it is 0 / 0.
    :ivar max_temperature: highest temperature of the series that has a volume, NaN if none has.
    """

    volume: Floats
    expansion: Floats
    bulk_modulus: Floats
    gibbs: Floats
    heat_capacity_v: Floats
    heat_capacity_p: Floats
    gruneisen: Floats
    max_temperature: float


def quasi_harmonic(
    series: VolumeSeries, *, pressure: float = 0.0, equation: Equation = Equation.VINET
) -> QuasiHarmonic:
    """Return the quasi-harmonic properties.

    Values at volumes outside of the series would be read off beyond what was computed, and are NaN.

    :param series: temperatures in ascending order.
    :param pressure: eV/A^3.
    :raises ValueError: if there are fewer than five volumes.
    """
    if len(series.volumes) < FEWEST:
        raise ValueError(
            f"quasi-harmonic properties need at least {FEWEST} volumes, got {len(series.volumes)}"
        )
    found = np.full((len(series.temperatures), 7), np.nan)
    last = float("nan")
    for place, temperature in enumerate(series.temperatures.tolist()):
        values = _at(series, place, pressure, equation)
        if values is None:
            break
        found[place], last = values, temperature
    names = [field.name for field in fields(QuasiHarmonic) if field.name != "max_temperature"]
    return QuasiHarmonic(**dict(zip(names, found.T.copy(), strict=True)), max_temperature=last)


def _at(series: VolumeSeries, place: int, pressure: float, equation: Equation) -> list[float] | None:
    """Return the properties at one temperature, None where the volume is outside or there is none."""
    temperature = float(series.temperatures[place])
    free = series.energies + series.free_energies[:, place]
    entropy = series.entropies[:, place]
    try:
        eos = fit_eos(series.volumes, free, equation).eos
        volume = eos.volume_at(pressure)
        if not series.volumes.min() <= volume <= series.volumes.max():
            return None
        ahead, behind = (
            fit_eos(series.volumes, free - sign * _STEP * entropy, equation).eos.volume_at(pressure)
            for sign in (1, -1)
        )
    except ValueError:
        return None
    expansion = (ahead - behind) / (2 * _STEP * volume) if temperature else 0.0
    capacity = _capacity(series, place, volume)
    modulus = float(eos.bulk_moduli(volume))
    gibbs = float(eos.energies(volume)) + pressure * volume
    at_pressure = capacity + expansion**2 * modulus * volume * temperature
    is_warm = bool((series.heat_capacities[:, place] > _COLD).all())
    gruneisen = expansion * modulus * volume / capacity if is_warm else float("nan")
    return [volume, expansion, modulus, gibbs, capacity, at_pressure, gruneisen]


def _capacity(series: VolumeSeries, place: int, volume: float) -> float:
    """Return the heat capacity at constant volume, at ``volume``."""
    capacities = series.heat_capacities[:, place]
    degree = min(_DEGREE, len(capacities) - 1)
    is_warm = bool((capacities > _COLD).all())
    # near 0 K it falls by orders of magnitude over the volumes, which a polynomial does not follow: its logarithm does
    values = np.log(capacities) if is_warm else capacities
    fitted = float(Polynomial.fit(series.volumes, values, degree)(volume))
    return float(np.exp(fitted)) if is_warm else fitted

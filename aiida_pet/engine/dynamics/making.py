"""Makes the integrator that the parameters ask for."""

from __future__ import annotations

from aiida_pet.engine.dynamics.barostats import CellRescaling, IsotropicNoseHoover
from aiida_pet.engine.dynamics.integrators import InnerForces, Integrator, Respa, Verlet
from aiida_pet.engine.dynamics.thermostats import Bussi, Langevin, NoseHoover, NoThermostat, Thermostat
from aiida_pet.job.dynamics_parameters import (
    BarostatChoice,
    DynamicsParameters,
    Ensemble,
    ThermostatChoice,
)
from aiida_pet.units import FEMTOSECOND, GPA


def thermostat_of(parameters: DynamicsParameters) -> Thermostat:
    """Return the thermostat of ``parameters``."""
    time = parameters.thermostat_time * FEMTOSECOND
    match parameters.thermostat_used:
        case ThermostatChoice.LANGEVIN:
            return Langevin(time)
        case ThermostatChoice.BUSSI:
            return Bussi(time)
        case ThermostatChoice.NOSE_HOOVER:
            return NoseHoover(time)
    return NoThermostat()


def integrator_of(parameters: DynamicsParameters, inner: InnerForces) -> Integrator:
    """Return the integrator of ``parameters``.

    :param inner: forces of the inner steps, asked for with multiple time steps only.
    """
    thermostat = thermostat_of(parameters)
    if parameters.ensemble is Ensemble.NPT:
        pressure_time = parameters.barostat_time * FEMTOSECOND
        if parameters.barostat is BarostatChoice.NOSE_HOOVER:
            return IsotropicNoseHoover(parameters.thermostat_time * FEMTOSECOND, pressure_time)
        return CellRescaling(thermostat, pressure_time, parameters.compressibility * GPA)
    if parameters.respa is not None:
        return Respa(inner, parameters.respa.every, thermostat)
    return Verlet(thermostat)

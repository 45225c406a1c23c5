"""A table with equations of state, quasi-harmonic properties and conductivities whose numbers are known."""

from __future__ import annotations

import numpy as np

from aiida_pet.crystals.eos.equations import EquationOfState
from aiida_pet.job.choices import Equation
from aiida_pet.tables.table import Table
from aiida_pet.units import GPA

EOS = EquationOfState(Equation.VINET, -8.0, 16.0, 200.0 / GPA, 4.5)
TEMPERATURES = np.array([0.0, 300.0, 600.0, 900.0])


def heat_table() -> Table:
    """Return rows "good", which has everything, and "failed", which has nothing."""
    volumes = np.array([16.5, 15.0, 15.5, 16.0, 17.0])  # in no order
    row = {
        "eos_energy": EOS.energy,
        "eos_volume": EOS.volume,
        "eos_bulk_modulus": EOS.bulk_modulus * GPA,
        "eos_bulk_modulus_derivative": EOS.derivative,
        "eos_volumes": volumes,
        "eos_energies": EOS.energies(volumes),
        "temperatures": TEMPERATURES,
        "qha_volume": np.array([16.0, 16.1, 16.2, np.nan]),  # the last leaves the volumes
        "thermal_expansion": np.array([0.0, 20.0, 22.0, np.nan]),
        "qha_bulk_modulus": np.array([200.0, 195.0, 190.0, np.nan]),
        "qha_heat_capacity": np.array([0.0, 48.0, 50.0, np.nan]),
        "n_atoms_primitive": 2.0,
        "kappa_temperatures": np.array([300.0, 600.0]),
        "kappa": np.array([10.0, 5.0]),
        "cumulative_frequencies": np.linspace(0.0, 8.0, 5),
        "cumulative_kappa": np.array([0.0, 6.0, 8.0, 9.0, 10.0]),
        "cumulative_paths": np.array([1.0, 10.0, 100.0, 1000.0, 1e4]),
        "cumulative_kappa_paths": np.array([0.0, 2.0, 5.0, 9.0, 10.0]),
    }
    columns = {
        name: np.stack([np.asarray(value), np.full(np.shape(value), np.nan)]) for name, value in row.items()
    }
    columns["status"] = np.array(["converged", "failed"])
    return Table(np.array(["good", "failed"]), columns, {}, {})

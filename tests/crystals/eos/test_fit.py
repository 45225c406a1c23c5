"""Equations of state against those of ASE, pymatgen and phonopy, and against derivatives by differences."""

from __future__ import annotations

import numpy as np
import pytest
from ase.eos import EquationOfState as AseEos
from phonopy.qha.eos import fit_to_eos, get_eos
from pymatgen.analysis.eos import EOS

from aiida_pet.crystals.eos.equations import EquationOfState
from aiida_pet.crystals.eos.fit import fit_eos
from aiida_pet.job.choices import Equation

VOLUMES = np.linspace(14.5, 18.0, 9)
# a curve that is neither: a Morse-like well of the lattice constant with a ripple, so that residuals are not zero
LENGTHS = np.cbrt(VOLUMES)
ENERGIES = 9.0 * (np.exp(-2.6 * (LENGTHS - 2.53)) - 1) ** 2 - 5.2 + 2e-4 * np.sin(9 * VOLUMES)


@pytest.mark.parametrize(
    ("equation", "ase", "pymatgen"),
    [
        (Equation.BIRCH_MURNAGHAN, "birchmurnaghan", "birch_murnaghan"),
        (Equation.VINET, "vinet", "vinet"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_fits_are_those_of_ase_pymatgen_and_phonopy(equation, ase, pymatgen):
    fit = fit_eos(VOLUMES, ENERGIES, equation)
    eos = fit.eos
    ours = (eos.volume, eos.energy, eos.bulk_modulus)
    assert ours == pytest.approx(AseEos(VOLUMES, ENERGIES, eos=ase).fit(), rel=1e-6)
    theirs = EOS(eos_name=pymatgen).fit(VOLUMES, ENERGIES)
    assert [*ours, eos.derivative] == pytest.approx([theirs.v0, theirs.e0, theirs.b0, theirs.b1], rel=1e-5)
    energy, modulus, derivative, volume = fit_to_eos(VOLUMES, ENERGIES, get_eos(equation.value))
    assert [*ours, eos.derivative] == pytest.approx([volume, energy, modulus, derivative], rel=1e-5)
    left = get_eos(equation.value)(VOLUMES, [energy, modulus, derivative, volume]) - ENERGIES
    assert fit.residual == pytest.approx(np.sqrt(np.mean(left**2)), rel=1e-6)
    assert fit.residual > 1e-5


@pytest.mark.parametrize("equation", list(Equation))
def test_an_equation_is_found_again_in_any_order_of_volumes(equation):
    eos = EquationOfState(equation, -7.25, 16.1, 0.81, 4.7)
    volumes = VOLUMES[[4, 0, 8, 2, 6, 1]]
    fit = fit_eos(volumes, eos.energies(volumes), equation)
    assert fit.residual < 1e-12
    for name in ("energy", "volume", "bulk_modulus", "derivative"):
        assert getattr(fit.eos, name) == pytest.approx(getattr(eos, name), rel=1e-8), name


@pytest.mark.parametrize(
    ("volumes", "energies", "message"),
    [
        (VOLUMES[:4], ENERGIES[:4], "at least 5 volumes, got 4"),
        (VOLUMES, ENERGIES[:-1], "one shape"),
        (VOLUMES, np.where(VOLUMES > 17, np.nan, ENERGIES), "energies finite"),
        (VOLUMES.round(0), ENERGIES, "differ from each other"),
        (VOLUMES, -ENERGIES, "have no minimum: the lowest is at"),
    ],
)
def test_what_is_no_curve_is_refused_with_a_reason(volumes, energies, message):
    with pytest.raises(ValueError, match=message):
        fit_eos(volumes, energies)

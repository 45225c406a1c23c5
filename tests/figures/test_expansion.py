"""The numbers behind figures of equations of state, thermal expansion and conductivity."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_pet.figures import expansion_of_row, heat_curves_of_row, volume_curve_of_row
from aiida_pet.figures.source import NotDrawnError
from aiida_pet.job.choices import Equation
from aiida_pet.tables.frame import frame_of
from support.heat_results import EOS, heat_table


def test_curve_is_the_equation_that_the_energies_are_of() -> None:
    found = volume_curve_of_row(heat_table(), "good")
    assert found.equation is Equation.VINET
    assert found.volumes.tolist() == [15.0, 15.5, 16.0, 16.5, 17.0]
    np.testing.assert_allclose(found.energies, EOS.energies(found.volumes) + 8.0, atol=1e-12)
    np.testing.assert_allclose(found.curve_energies, EOS.energies(found.curve_volumes) + 8.0, atol=1e-9)
    frame = found.to_frame()
    np.testing.assert_allclose(frame["fitted"], frame["energy"], atol=1e-9)
    assert found.curve_volumes[0] < found.volumes[0]
    assert found.curve_volumes[-1] > found.volumes[-1]


def test_expansion_ends_where_there_is_no_volume_and_heat_is_per_atom() -> None:
    found = expansion_of_row(heat_table(), "good")
    assert found.temperatures.tolist() == [0.0, 300.0, 600.0]
    assert found.heat_capacity.tolist() == [0.0, 24.0, 25.0]
    assert found.to_frame().attrs["units"]["thermal_expansion"] == "1e-6/K"


def test_cumulative_curves_end_at_the_conductivity_of_300_k() -> None:
    found = heat_curves_of_row(heat_table(), "good")
    assert found.by_frequency[-1] == found.by_path[-1] == found.kappa[0]
    frame = found.to_frame()
    assert frame["curve"].value_counts().to_dict() == {
        "temperature (K)": 2,
        "frequency (THz)": 5,
        "mean free path (A)": 5,
    }


@pytest.mark.parametrize("make", [volume_curve_of_row, expansion_of_row, heat_curves_of_row])
def test_rows_without_numbers_and_tables_without_columns_say_so(make) -> None:
    table = heat_table()
    assert make(frame_of(table), "good").id == "good"
    with pytest.raises(NotDrawnError, match=r"'failed' has no .*: it ended as failed"):
        make(table, "failed")
    table.columns = {"status": table.columns["status"]}
    with pytest.raises(NotDrawnError, match=r"there is no column .*aiida-pet launch"):
        make(table, "good")
